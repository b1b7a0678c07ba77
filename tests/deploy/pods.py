"""Pods of the Kubernetes files on `podman kube play`, with this file in the kubelet's place for what podman lacks.

Podman 4.3 knows Deployments, ConfigMaps, Secrets and claims, but no StatefulSets, DaemonSets and Services; it gives
folders to nobody (fsGroup), knows no address of a pod, fills volumes from images, and trips over empty folders and over
volumes that an image names. So each pod is played by itself under the name that it would have, folders are made for the
user they are for, the probes are asked here, and `stop` runs `preStop` before it ends the containers.
"""

from __future__ import annotations

import base64
import io
import json
import os
import shutil
import subprocess
import tarfile
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import IO, Any, Final

import requests
import yaml

from tests.calm import changing
from tests.deploy.rendering import Json, template, workloads
from tests.processes import wait_for

NETWORK: Final = "fogline"
COMMAND_SECONDS: Final = 120
PROBE_SECONDS: Final = 120  # of a pod that starts: a compute node measures its engines, on a machine with other work
ENDED: Final = "OnFailure"  # restart policy: podman starts a container that ran first again and again by `Always`
SETTINGS = """
[containers]
default_ulimits = ["nofile=4096:4096", "nproc=4096:4096"]
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
lock_type = "file"
runtime = "{runtime}"
[network]
network_backend = "netavark"
"""


class Podman:
    """A podman with a store and settings of its own in `folder`. `remove` ends all pods and forgets everything."""

    def __init__(self, folder: Path) -> None:
        settings = folder / "containers.conf"
        # Where both generations of control groups are mounted, crun refuses to work.
        settings.write_text(SETTINGS.format(runtime="runc" if shutil.which("runc") else "crun"))
        self._environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("DOCKER_", "CONTAINER"))},
            "CONTAINERS_CONF": str(settings),
        }
        self._command = [
            *("podman", "--root", str(folder / "store"), "--runroot", str(folder / "run")),
            *("--tmpdir", str(folder / "tmp"), "--storage-driver", "overlay"),
        ]

    def __call__(self, *arguments: str, text: str = "") -> str:
        """What the command prints. Fails when it fails."""
        done = self._run(*arguments, text=text)
        assert done.returncode == 0, f"podman {' '.join(arguments)}: {(done.stdout + done.stderr)[-3000:]}"
        return done.stdout

    def _run(self, *arguments: str, text: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*self._command, *arguments], env=self._environment, input=text, capture_output=True, text=True,
            timeout=COMMAND_SECONDS, check=False,
        )  # fmt: skip

    def take(self, images: list[str], seconds: float) -> None:
        """Copy images from Docker, without the volumes that they name."""
        with (
            subprocess.Popen(["docker", "save", *images], stdout=subprocess.PIPE) as saved,
            subprocess.Popen(
                [*self._command, "load", "--quiet"], env=self._environment, stdin=subprocess.PIPE, stdout=-3
            ) as loading,
        ):
            assert saved.stdout is not None
            assert loading.stdin is not None
            with loading.stdin as into:
                _without_volumes(saved.stdout, into)
            assert loading.wait(seconds) == 0
            assert saved.wait(seconds) == 0

    def secret(self, name: str, values: Mapping[str, str]) -> None:
        """Make a Secret with these values by key. Podman wants it in one way for variables, in another for files."""
        coded = {key: base64.b64encode(value.encode()).decode() for key, value in values.items()}
        self("secret", "create", name, "-", text=json.dumps(coded))
        self("secret", "create", f"{name}-files", "-", text=json.dumps({"data": dict(values)}))

    def play(self, workload: Json, documents: list[Json], host: str, number: int | None = None) -> str:
        """Start one pod of a workload on a host of that name; the pod's name. number: which one, of a StatefulSet."""
        name: str = workload["metadata"]["name"] + ("" if number is None else f"-{number}")
        pod = _pod(workload, name, host)
        for volume in pod["spec"]["volumes"]:
            if claim := volume.get("persistentVolumeClaim"):
                self._folder_for(claim["claimName"], pod["spec"]["securityContext"].get("fsGroup"), volume)
        played = [d for d in documents if d["kind"] == "ConfigMap"] + [pod]
        with changing():
            self("kube", "play", "--network", NETWORK, "-", text=yaml.safe_dump_all(played))
        return name

    def ready(self, name: str, workload: Json) -> None:
        """Wait until the pod's own probes say that it is."""
        container = template(workload)["spec"]["containers"][0]
        own = container["name"]
        try:
            for probe in ("startupProbe", "readinessProbe"):
                wait_for(partial(self._answers, name, container, probe), PROBE_SECONDS, f"success of {probe}")
        except AssertionError as error:
            raise AssertionError(f"{name}: {error}\n{self._run('logs', f'{name}-{own}').stderr[-3000:]}") from None

    def address(self, name: str) -> str:
        """The pod's address."""
        infra = self("pod", "inspect", name, "--format", "{{.InfraContainerID}}").strip()
        found: list[Json] = json.loads(self("inspect", infra))
        return str(found[0]["NetworkSettings"]["Networks"][NETWORK]["IPAddress"])

    def stop(self, name: str, workload: Json) -> str:
        """End the pod as the kubelet does: `preStop` first. Returns what that said."""
        container = template(workload)["spec"]["containers"][0]
        command = container["lifecycle"]["preStop"]["exec"]["command"]
        done = self._run("exec", f"{name}-{container['name']}", *command)
        assert done.returncode == 0, done.stderr
        with changing():
            self("pod", "stop", "--time", "10", name)
        return done.stderr

    def remove(self) -> None:
        """End everything, and forget it."""
        with changing():
            self("pod", "rm", "--all", "--force", "--time", "0")
            self("network", "rm", "--force", NETWORK)
        self("system", "reset", "--force")

    def _answers(self, name: str, container: Json, probe: str) -> bool:
        """Whether the probe of the pod's own container succeeds, as the kubelet asks it."""
        if "exec" in container[probe]:
            command = container[probe]["exec"]["command"]
            return self._run("exec", f"{name}-{container['name']}", *command).returncode == 0
        asked = container[probe]["httpGet"]
        port = next(one["containerPort"] for one in container["ports"] if one["name"] == asked["port"])
        return requests.get(f"http://{self.address(name)}:{port}{asked['path']}", timeout=3).status_code == 200

    def _folder_for(self, name: str, group: int | None, volume: Json) -> None:
        """What fsGroup does, and for folders of a host `type: DirectoryOrCreate`: those belong to root."""
        self("volume", "create", name)
        folder = Path(self("volume", "inspect", name, "--format", "{{.Mountpoint}}").strip())
        (folder / ".volume").touch()  # into an empty one podman would copy what the image has there
        if volume["name"] == "tmp":
            folder.chmod(0o1777)
        elif group is not None:
            os.chown(folder, 0, group)
            folder.chmod(0o2775)


def replicas(documents: list[Json]) -> list[tuple[Json, int | None]]:
    """Every pod of the documents: its workload, and its number in a StatefulSet."""
    found: list[tuple[Json, int | None]] = []
    for workload in workloads(documents):
        if workload["kind"] == "StatefulSet":
            found += [(workload, number) for number in range(workload["spec"]["replicas"])]
        else:
            found.append((workload, None))
    return found


def _pod(workload: Json, name: str, host: str) -> Json:
    spec: Json = json.loads(json.dumps(template(workload)["spec"]))
    cluster = {"metadata.name": name, "spec.nodeName": host, "status.podIP": ""}
    for container in [*spec.get("initContainers", []), *spec["containers"]]:
        container["imagePullPolicy"] = "Never"
        for done_here in ("startupProbe", "livenessProbe", "readinessProbe", "lifecycle"):
            container.pop(done_here, None)
        container.pop("ports", None)  # podman would open them on this machine
        for one in container.get("env", []):
            if field := one.get("valueFrom", {}).get("fieldRef"):
                del one["valueFrom"]
                one["value"] = cluster[field["fieldPath"]]
            elif one["name"] == "FOGLINE_ADVERTISE":
                one["value"] = one["value"].replace("$(POD_IP)", "")  # the node finds out what is left open
    claims = [one["metadata"]["name"] for one in workload["spec"].get("volumeClaimTemplates", [])]
    spec["volumes"] += [{"name": one, "persistentVolumeClaim": {}} for one in claims]
    for volume in spec["volumes"]:
        for kind in ("secret", "configMap"):
            if kind in volume:
                volume[kind]["optional"] = False
        if "secret" in volume:
            volume["secret"]["secretName"] += "-files"
        if not {"secret", "configMap"} & volume.keys():
            kept = {"name": volume["name"], "persistentVolumeClaim": {"claimName": f"{name}-{volume['name']}"}}
            volume.clear()
            volume.update(kept)
    spec["restartPolicy"] = ENDED
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": template(workload)["metadata"]["labels"]},
        "spec": spec,
    }


def _without_volumes(saved: IO[bytes], into: IO[bytes]) -> None:
    """Copy what `docker save` writes, and leave out of each image's description the volumes."""
    with tarfile.open(fileobj=saved, mode="r|") as source, tarfile.open(fileobj=into, mode="w|") as target:
        for member in source:
            content: IO[bytes] | None = source.extractfile(member) if member.isfile() else None
            if content is not None and member.name.endswith(".json"):
                document: Any = json.loads(content.read())
                if isinstance(document, dict) and "config" in document:
                    document["config"].pop("Volumes", None)
                text = json.dumps(document).encode()
                member.size = len(text)
                content = io.BytesIO(text)
            target.addfile(member, content)
