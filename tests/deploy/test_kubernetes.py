"""The Kubernetes files hold together: against the schemas of Kubernetes, and against one another and the code."""

from __future__ import annotations

import functools
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

import kubernetes_validate  # type: ignore[import-untyped]
import pytest
from kubernetes_validate import utils

from camera_node.settings import CameraSettings
from cli.settings import TokenSettings, UserSettings
from compute_node.settings import ComputeSettings
from mesh.settings import fields_of, load, variable_of
from mesh.version import VERSION
from registry.settings import RegistrySettings
from tests.deploy.rendering import (
    OVERLAYS,
    Json,
    containers,
    matches,
    named,
    rendered,
    template,
    variables,
    workloads,
)
from tests.processes import ROOT
from ui.settings import UiSettings

VERSIONS = ("1.29", "1.33", kubernetes_validate.latest_version())  # the oldest, one in between, the newest
SETTINGS: dict[str, tuple[type[Any], ...]] = {
    "registry": (RegistrySettings, UserSettings, TokenSettings),  # the command line runs in its container
    "ui": (UiSettings,),
    "camera": (CameraSettings,),
    "compute": (ComputeSettings,),
}
# From Secrets and from the cluster: what a pod would find there.
ELSEWHERE = {"POD_IP": "10.42.0.7", "FOGLINE_REDIS": "redis://:x@redis:6379/0", "FOGLINE_JOIN_TOKEN": "fgj_a_b"}
FROM_CLUSTER = {"metadata.name": "pod-1", "spec.nodeName": "host-1", "status.podIP": "10.42.0.7"}
OTHER_IMAGES = {"redis:7-alpine"}
SCHEMA = functools.cache(utils.schema_contents)  # which reads megabytes for each document
pytestmark = pytest.mark.parametrize("overlay", OVERLAYS)


def test_kubernetes_would_take_every_document(overlay: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The schemas of three versions of Kubernetes know every field, and miss none."""
    monkeypatch.setattr(utils, "schema_contents", SCHEMA)
    for document in rendered(overlay):
        if document["apiVersion"].startswith("keda.sh/"):
            continue  # see test_kubernetes_autoscaling
        for version in VERSIONS:
            kubernetes_validate.validate(document, version, strict=True)


def test_no_two_documents_are_the_same_thing(overlay: str) -> None:
    """Each stands once, in the namespace, and none is a Secret: those are made by hand."""
    documents = rendered(overlay)
    assert max(Counter((d["kind"], d["metadata"]["name"]) for d in documents).values()) == 1
    assert {d["metadata"].get("namespace", "fogline") for d in documents} == {"fogline"}
    assert not [d for d in documents if d["kind"] == "Secret"]


def test_whatever_is_referred_to_is_there(overlay: str) -> None:
    """ConfigMaps, volumes, claims and accounts are documents; Secrets are in the page that says how they are made."""
    documents = rendered(overlay)
    page = (ROOT / "docs" / "kubernetes.md").read_text()
    for workload in workloads(documents):
        spec = template(workload)["spec"]
        assert named(documents, "ServiceAccount", spec.get("serviceAccountName", "")) or "redis" in str(spec), workload
        claimed = {one["metadata"]["name"] for one in workload["spec"].get("volumeClaimTemplates", [])}
        for volume in spec["volumes"]:
            if config := volume.get("configMap"):
                assert named(documents, "ConfigMap", config["name"]), volume
            if claim := volume.get("persistentVolumeClaim"):
                assert named(documents, "PersistentVolumeClaim", claim["claimName"]), volume
            if secret := volume.get("secret"):
                assert all(_is_told(secret["secretName"], one["key"], page) for one in secret["items"]), secret
        for container in containers(workload):
            mounted = {one["name"] for one in container["volumeMounts"]}
            assert mounted <= claimed | {volume["name"] for volume in spec["volumes"]}
            for one in container.get("env", []):
                if secret := one.get("valueFrom", {}).get("secretKeyRef"):
                    assert _is_told(secret["name"], secret["key"], page), secret


def test_every_volume_that_a_workload_has_is_used(overlay: str) -> None:
    """Nothing is given to a pod that none of its containers mounts."""
    for workload in workloads(rendered(overlay)):
        volumes = {volume["name"] for volume in template(workload)["spec"]["volumes"]}
        mounted = {mount["name"] for container in containers(workload) for mount in container["volumeMounts"]}
        assert volumes <= mounted


def test_selectors_take_the_pods_that_are_meant(overlay: str) -> None:
    """Each workload takes its own pods and no other's; Services, budgets and policies take some."""
    documents = rendered(overlay)
    every = {d["metadata"]["name"]: template(d)["metadata"]["labels"] for d in workloads(documents)}
    for workload in workloads(documents):
        taken = [name for name, labels in every.items() if matches(workload["spec"]["selector"], labels)]
        assert taken == [workload["metadata"]["name"]]
        for spread in template(workload)["spec"].get("topologySpreadConstraints", []):
            assert matches(spread["labelSelector"], every[workload["metadata"]["name"]])
    selecting = {"Service": "selector", "PodDisruptionBudget": "selector", "NetworkPolicy": "podSelector"}
    for document in documents:
        if document["kind"] in selecting:
            selector = document["spec"][selecting[document["kind"]]]
            if document["kind"] == "Service":  # whose selectors are of the older kind
                selector = {"matchLabels": selector}
            assert any(matches(selector, labels) for labels in every.values()), document


def test_services_lead_to_ports_that_are_open(overlay: str) -> None:
    """Each port of a Service is one of its pods', by name and protocol; an Ingress names ports of Services."""
    documents = rendered(overlay)
    for service in (d for d in documents if d["kind"] == "Service"):
        for pod in _taken({"matchLabels": service["spec"]["selector"]}, documents):
            for port in service["spec"]["ports"]:
                assert _port(pod, port["targetPort"]).get("protocol", "TCP") == port.get("protocol", "TCP")
    for ingress in (d for d in documents if d["kind"] == "Ingress"):
        for rule in ingress["spec"]["rules"]:
            for path in rule["http"]["paths"]:
                backend = path["backend"]["service"]
                service = named(documents, "Service", backend["name"]) or {}
                assert backend["port"]["name"] in [port["name"] for port in service["spec"]["ports"]]
    for workload in workloads(documents):
        if workload["kind"] == "StatefulSet":
            service = named(documents, "Service", workload["spec"]["serviceName"]) or {}
            assert service["spec"]["clusterIP"] == "None"  # it is what gives the pods their names


def test_every_variable_is_a_setting_and_its_value_is_good(overlay: str) -> None:
    """The service that reads them would start."""
    documents = rendered(overlay)
    for workload in workloads(documents):
        for container in template(workload)["spec"]["containers"]:
            role = container["image"].removeprefix("fogline/").partition(":")[0].removesuffix("-cuda")
            if role not in SETTINGS:
                continue
            given = dict(_values(container, documents))
            known = {variable_of(field) for one in SETTINGS[role] for field in fields_of(one)}
            shared = set(_shared(documents))  # one for all nodes: some services have no use for it
            unknown = {name for name in given if name.startswith("FOGLINE_")} - known - shared
            assert not unknown, f"{workload['metadata']['name']}: {unknown}"
            load(SETTINGS[role][0], {}, given)
    every = {variable_of(field) for settings in SETTINGS.values() for one in settings for field in fields_of(one)}
    assert set(_shared(documents)) <= every


def test_nothing_in_the_cluster_passes_for_a_setting(overlay: str) -> None:
    """Kubernetes makes variables of the names of Services: of one called `fogline`, FOGLINE_PORT would be one."""
    documents = rendered(overlay)
    assert not [d for d in documents if d["kind"] == "Service" and d["metadata"]["name"].startswith("fogline")]
    assert all(template(workload)["spec"]["enableServiceLinks"] is False for workload in workloads(documents))


def test_images_are_ours_of_this_version_or_pinned(overlay: str) -> None:
    """Each is a target of the Dockerfile with the tag of this version, or another's with a tag."""
    dockerfile = (ROOT / "Dockerfile").read_text()
    for image in {c["image"] for workload in workloads(rendered(overlay)) for c in containers(workload)}:
        if image in OTHER_IMAGES:
            continue
        name, _, tag = image.partition(":")
        assert tag == VERSION, image
        assert re.search(rf" AS {name.removeprefix('fogline/').removesuffix('-cuda')}$", dockerfile, re.MULTILINE), (
            image
        )
    assert re.search(r"useradd[^\n]* --uid 10001\b", dockerfile)


def test_no_container_has_more_rights_than_it_needs(overlay: str) -> None:
    """What the level `restricted` asks for, and a root that cannot be written; but one that gives a folder away."""
    for workload in workloads(rendered(overlay)):
        spec = template(workload)["spec"]
        assert spec["automountServiceAccountToken"] is False
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["runAsUser"] == (999 if workload["metadata"]["name"] == "redis" else 10001)
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in containers(workload):
            context = container["securityContext"]
            assert context["readOnlyRootFilesystem"] is True
            assert context["allowPrivilegeEscalation"] is False
            assert context["capabilities"]["drop"] == ["ALL"]
            assert not context.get("privileged")
            giving = container["name"] == "own" and container["command"][0] == "chown"
            assert context["capabilities"].get("add", []) == (["CHOWN"] if giving else [])
            assert context.get("runAsUser", 10001) == (0 if giving else 10001)
            assert {"cpu", "memory"} <= container["resources"]["requests"].keys()
            assert "memory" in container["resources"]["limits"]


def test_every_service_is_probed_where_it_answers(overlay: str) -> None:
    """Alive by /healthz and ready by /readyz, at a port of its own that has the usual number."""
    ports = {"registry": 5050, "ui": 8080, "camera": 5000, "compute": 8000}
    for workload in workloads(rendered(overlay)):
        for container in template(workload)["spec"]["containers"]:
            assert {"startupProbe", "livenessProbe", "readinessProbe"} <= container.keys()
            if "httpGet" not in container["livenessProbe"]:
                continue
            assert container["startupProbe"]["httpGet"]["path"] == "/healthz"
            assert container["livenessProbe"]["httpGet"]["path"] == "/healthz"
            assert container["readinessProbe"]["httpGet"]["path"] == "/readyz"
            for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
                port = _port(template(workload), container[probe]["httpGet"]["port"])
                assert port["containerPort"] == ports[container["name"]]


def test_a_compute_node_drains_before_it_is_stopped(overlay: str) -> None:
    """With a command that there is, and time for it and for leaving."""
    from cli.node import drain  # noqa: PLC0415 - the command itself, which only this test needs

    options = {option for parameter in drain.params for option in parameter.opts}
    nodes = [w for w in workloads(rendered(overlay)) if template(w)["spec"]["containers"][0]["name"] == "compute"]
    assert nodes
    for node in nodes:
        spec = template(node)["spec"]
        command = spec["containers"][0]["lifecycle"]["preStop"]["exec"]["command"]
        assert command[:5] == ["python", "-m", "cli", "node", "drain"]
        assert {word for word in command if word.startswith("--")} == {"--here", "--wait"}
        assert {"--here", "--wait"} <= options
        assert spec["terminationGracePeriodSeconds"] >= int(command[-1]) + 10


def test_every_image_starts_as_it_was_made(overlay: str) -> None:
    """Its own first program puts the models into a volume that is empty: only what runs before may have another one."""
    for workload in workloads(rendered(overlay)):
        for container in template(workload)["spec"]["containers"]:
            if container["image"] not in OTHER_IMAGES:
                assert "command" not in container
                assert "args" not in container
    assert (ROOT / "Dockerfile").read_text().count('deploy/start.sh"]') == len(SETTINGS)


def _is_told(name: str, key: str, page: str) -> bool:
    """Whether the page has the command that makes this key of this Secret."""
    command = rf"create secret generic {re.escape(name)}(?:[^\n]|\\\n)*--from-(?:literal|file)={re.escape(key)}="
    return re.search(command, page) is not None


def _taken(selector: Json, documents: list[Json]) -> list[Json]:
    found = [template(w) for w in workloads(documents) if matches(selector, template(w)["metadata"]["labels"])]
    assert found, selector
    return found


def _port(pod: Json, name: str) -> Json:
    found = [p for container in pod["spec"]["containers"] for p in container["ports"] if p["name"] == name]
    assert len(found) == 1, (name, pod)
    return dict(found[0])


def _shared(documents: list[Json]) -> Iterator[str]:
    for document in documents:
        if document["kind"] == "ConfigMap":
            yield from (name for name in document["data"] if name.startswith("FOGLINE_"))


def _values(container: Json, documents: list[Json]) -> Iterator[tuple[str, str]]:
    """As the process would find them."""
    sources = {one["name"]: one.get("valueFrom", {}) for one in container.get("env", [])}
    for name, value in variables(container, documents):
        path = sources.get(name, {}).get("fieldRef", {}).get("fieldPath")
        found = FROM_CLUSTER[path] if path else ELSEWHERE.get(name, "demo:") if value is None else value
        yield name, found.replace("$(POD_IP)", ELSEWHERE["POD_IP"])
