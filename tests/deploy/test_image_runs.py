"""The images by themselves, on a real engine: small, locked in, healthy when they serve, and quick to stop."""

from __future__ import annotations

import json
import re
import subprocess
import time
from collections.abc import Iterator
from uuid import uuid4

import pytest

from deploy.lock import ROLES
from tests.containers.project import engine_answers
from tests.processes import ROOT, wait_for

BASE = "python:3.11-slim-bookworm"
MEGABYTE = 1_000_000  # as `docker images` counts
MOST = {"registry": 150, "ui": 150, "camera": 320, "compute": 900}  # megabytes over the base image
BUILD_SECONDS = 1500  # the first time: packages and models come over a line
HEALTHY_SECONDS = 90
LOCKED_IN = (
    *("--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--network", "none"),
    *("--tmpfs", "/tmp:mode=1777,size=64m"),
)
pytestmark = [
    pytest.mark.skipif(not engine_answers(), reason="no container engine answers on this machine"),
    pytest.mark.timeout(BUILD_SECONDS + 200),
]


def docker(*arguments: str, seconds: float = 60, fails: bool = False) -> str:
    """What the command prints, on both streams. Fails when it fails, unless it is meant to."""
    done = subprocess.run(
        ["docker", *arguments], cwd=ROOT, stdout=-1, stderr=subprocess.STDOUT, text=True, timeout=seconds, check=False
    )
    assert fails == (done.returncode != 0), f"docker {' '.join(arguments)}: {done.stdout[-3000:]}"
    return done.stdout


@pytest.fixture(scope="module", params=ROLES)
def role(request: pytest.FixtureRequest) -> Iterator[str]:
    """A role whose image is built, as `fogline-test/ROLE`; the builder's cache stays for the next run."""
    role: str = request.param
    docker("build", "--quiet", "--target", role, "--tag", f"fogline-test/{role}", ".", seconds=BUILD_SECONDS)
    yield role
    docker("rmi", "--no-prune", f"fogline-test/{role}")


@pytest.fixture(scope="module")
def container(role: str) -> Iterator[str]:
    """A container of it that has no network and no variable, and that is healthy by the image's own check."""
    name = f"fogline-test-{role}-{uuid4().hex[:8]}"
    docker("run", "--detach", "--name", name, *LOCKED_IN, f"fogline-test/{role}")
    try:
        health = ("inspect", "-f", "{{.State.Health.Status}}", name)
        wait_for(lambda: docker(*health).strip() == "healthy", HEALTHY_SECONDS, f"a healthy {role}")
        yield name
    finally:
        docker("rm", "--force", "--volumes", name)


def test_an_image_is_small(role: str) -> None:
    """What it adds to the base image stays within its bounds."""
    if subprocess.call(["docker", "image", "inspect", BASE], stdout=-3, stderr=-3):  # not every builder keeps it
        docker("pull", "--quiet", BASE, seconds=600)
    size, base = (int(docker("image", "inspect", "-f", "{{.Size}}", image)) for image in (f"fogline-test/{role}", BASE))
    assert 0 < (size - base) / MEGABYTE <= MOST[role]


def test_a_container_writes_its_data_and_nothing_else(role: str, container: str) -> None:
    """It is user 10001, the code and the packages are not its own, and it starts from compiled files."""
    assert docker("exec", container, "id", "-u").strip() == "10001"
    writable = "find /opt -writable -not -type l | head -3; ls /opt/fogline/mesh/__pycache__ | head -1"
    assert docker("exec", container, "sh", "-c", writable).split() == ["__init__.cpython-311.pyc"]
    assert docker("exec", container, "sh", "-c", "touch /data/x && rm /data/x && ls -d /opt/fogline/tests; true").count(
        "No such file"
    )


def test_every_image_has_the_command_line(role: str, container: str) -> None:
    """People are let in, machines join and the cluster is looked at from the registry's container; others answer."""
    assert "fogline, version" in docker("exec", container, "python", "-m", "cli", "--version")
    if role == "registry":
        assert "/setup#" in docker("exec", container, "python", "-m", "cli", "user", "link")
        assert "fgj_" in docker("exec", container, "python", "-m", "cli", "token", "create")
        assert "No nodes yet" in docker("exec", container, "python", "-m", "cli", "status")


def test_a_single_image_says_what_it_lacks_and_nothing_but_json(role: str, container: str) -> None:
    """Started alone, it names the option and the variable that are missing, or the next step, in its log."""
    wanted = {"registry": "fogline user link"}.get(role, "FOGLINE_JOIN_TOKEN")
    wait_for(lambda: wanted in docker("logs", container), HEALTHY_SECONDS, wanted)
    for line in docker("logs", container).splitlines():
        json.loads(line)


def test_a_data_folder_that_cannot_be_written_is_named(role: str) -> None:
    """The first line says which folder, and to whom it has to be given."""
    somebody_elses = ("--mount", "type=tmpfs,destination=/data,tmpfs-mode=0755")
    said = docker("run", "--rm", *LOCKED_IN, *somebody_elses, f"fogline-test/{role}", "true")
    assert re.match(r"fogline: /data cannot be written by user 10001: .*chown 10001:10001", said)


@pytest.mark.parametrize("role", ["compute"], indirect=True)
def test_compute_has_its_models_without_a_network(role: str, container: str) -> None:
    """The default models are in the image: each algorithm gets ready, on an empty volume and without internet."""

    def ready() -> bool:
        events = [json.loads(line) for line in docker("logs", container).splitlines()]
        return {"yolo", "ssd", "haar"} <= {one["algorithm"] for one in events if one["event"] == "algorithm ready"}

    wait_for(ready, HEALTHY_SECONDS, "the algorithms")


def test_a_service_that_hangs_is_not_healthy(role: str, container: str) -> None:
    """The image's check fails while nobody answers, and is content again afterwards."""
    check = json.loads(docker("inspect", "-f", "{{json .Config.Healthcheck.Test}}", container))[1:]
    docker("exec", container, *check)
    docker("exec", container, "sh", "-c", "kill -STOP -1")
    try:
        docker("exec", container, *check, fails=True)
    finally:
        docker("exec", container, "sh", "-c", "kill -CONT -1")
    docker("exec", container, *check)


def test_a_container_stops_while_it_starts(role: str) -> None:
    """A service that does not serve yet ends on SIGTERM, too, although it is the container's first."""
    name = f"fogline-test-{role}-{uuid4().hex[:8]}"
    docker("run", "--detach", "--name", name, *LOCKED_IN, f"fogline-test/{role}")
    try:
        _stop(name)
    finally:
        docker("rm", "--force", "--volumes", name)


def test_a_container_stops_at_once(role: str, container: str) -> None:
    """SIGTERM to the first process, without an init in front of it: it ends by itself within 5 s, and says so."""
    _stop(container)


def _stop(name: str) -> None:
    began = time.monotonic()
    docker("stop", "--time", "20", name)
    assert time.monotonic() - began < 5 + 2  # 2 s for the engine itself
    assert docker("inspect", "-f", "{{.State.ExitCode}}", name).strip() in ("0", "143")
