"""The pods of `single-site` with the real images, as the Kubernetes files have them: join, pictures, a drain."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from mesh.version import VERSION
from tests.deploy.pods import NETWORK, Podman, replicas
from tests.deploy.rendering import Json, containers, named, rendered, workloads
from tests.processes import wait_for
from tests.viewers import watch

CLI = ("python", "-m", "cli")
NAMES = "http://registry-0:5050,http://registry-1:5050"  # there are no Services: pods are called by their own names
LOAD_SECONDS = 300  # of copying 1.5 GB
ROLES = ("registry", "ui", "camera", "compute")


def _why_not() -> str | None:
    """Why pods cannot be run here."""
    if not shutil.which("podman") or os.geteuid() != 0:
        return "podman (4.3 or later) and root are needed to run pods"
    if not shutil.which("docker") or subprocess.call(["docker", "info"], stdout=-3, stderr=-3):
        return "no container engine answers on this machine, which would have the images"
    if subprocess.call(["docker", "image", "inspect", *map(_image, ROLES), "redis:7-alpine"], stdout=-3, stderr=-3):
        return "the images fogline/… are not built on this machine"
    return None


def _image(role: str) -> str:
    return f"fogline/{role}:latest"


WHY_NOT = _why_not()
pytestmark = [pytest.mark.skipif(WHY_NOT is not None, reason=str(WHY_NOT)), pytest.mark.timeout(LOAD_SECONDS + 240)]


@pytest.fixture(scope="module")
def documents() -> list[Json]:
    """As rendered, with the images that were built here, and pods called by their own names."""
    found = rendered("single-site")
    for workload in workloads(found):
        for container in containers(workload):
            container["image"] = "localhost/" + container["image"].replace(f":{VERSION}", ":latest")
    for document in found:
        if document["kind"] == "ConfigMap" and "FOGLINE_REGISTRY" in document["data"]:
            document["data"]["FOGLINE_REGISTRY"] = NAMES
    return found


@pytest.fixture(scope="module")
def podman(documents: list[Json]) -> Iterator[Podman]:
    """Redis and both registries run, and are ready; the Secrets are made as the page says."""
    with tempfile.TemporaryDirectory(prefix="fogline-pods-", dir=_roomy()) as folder:
        podman = Podman(Path(folder))
        try:
            podman.take([*map(_image, ROLES), "redis:7-alpine"], LOAD_SECONDS)
            podman("network", "create", NETWORK)
            password = "only for this test"
            auth = f'requirepass "{password}"\n'
            url = f"redis://:{password.replace(' ', '%20')}@redis-0:6379/0"
            podman.secret("fogline-redis", {"url": url, "auth.conf": auth})
            start(podman, documents, "redis")
            start(podman, documents, "registry")
            token = podman("exec", "registry-0-registry", *CLI, "token", "create", "--uses", "100")
            podman.secret("fogline-join", {"token": token})
            yield podman
        finally:
            podman.remove()


def test_a_mesh_of_pods_shows_pictures_and_drains_without_losing_a_session(
    podman: Podman, documents: list[Json]
) -> None:
    """Nodes join both registries with the Secret's token; a compute pod that is stopped hands its session on first."""
    compute = named(documents, "DaemonSet", "compute") or {}
    second = {**compute, "metadata": {"name": "compute-2"}}  # of another host
    podman.play(second, documents, "host-2")
    start(podman, documents, "cameras", "compute", "ui")
    registry = f"http://{podman.address('registry-1')}:5050"
    shown = {"Authorization": f"Bearer {podman('exec', 'registry-1-registry', 'cat', '/data/admin/key').strip()}"}

    def nodes() -> dict[str, Any] | None:
        listed = requests.get(f"{registry}/v1/nodes", headers=shown, timeout=5).json()["nodes"]
        ready = {node["name"]: node for node in listed if node["state"] == "ready"}
        return ready if {"host-1", "host-2", "cameras-0", "cameras-1"} <= ready.keys() else None

    ready = wait_for(nodes, 60, "ready nodes, called as their hosts and pods")
    wish = {"camera": "cameras-0", "algorithm": "yolo"}
    session = requests.post(f"{registry}/v1/sessions", headers=shown, json=wish, timeout=10).json()
    assert all("x-inference-ms" in frame.headers for frame in watch(session["stream_url"], 3, 60))
    serving = next(name for name in ("host-1", "host-2") if ready[name]["node_id"] == session["node"])
    stopped = ("compute", compute) if serving == "host-1" else ("compute-2", second)
    said = podman.stop(*stopped)
    assert "No session is left" in said
    moved = requests.get(f"{registry}/v1/sessions/{session['session_id']}", headers=shown, timeout=5).json()
    assert moved["state"] == "running"
    assert moved["node"] != session["node"]


@pytest.mark.parametrize(
    "pod", ["redis-0-redis", "registry-0-registry", "cameras-0-camera", "compute-compute", "ui-ui"]
)
def test_a_container_is_nobody_and_can_write_nowhere(podman: Podman, pod: str) -> None:
    """As its securityContext says."""
    if "compute" in pod:
        podman("start", pod)  # the test before may have stopped it
    look = "id -u; grep CapEff /proc/self/status | cut -f2; touch /x /etc/x /opt/x 2>/dev/null && echo wrote; echo end"
    user, capabilities, *rest = podman("exec", pod, "sh", "-c", look).split()
    assert user == ("999" if "redis" in pod else "10001")
    assert int(capabilities, 16) == 0
    assert rest == ["end"]


def start(podman: Podman, documents: list[Json], *names: str) -> None:
    """Start all pods of these workloads, and wait until each is ready."""
    begun = [
        (podman.play(workload, documents, "host-1", number), workload)
        for workload, number in replicas(documents)
        if workload["metadata"]["name"] in names
    ]
    for pod, workload in begun:
        podman.ready(pod, workload)


def _roomy() -> str | None:
    """A file system in memory, where it has room for the images: nothing of them is worth a disk's time."""
    memory = Path("/dev/shm")
    return str(memory) if memory.is_dir() and shutil.disk_usage(memory).free > 6 * 2**30 else None
