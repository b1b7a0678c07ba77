"""The container files hold together as far as tools can tell without an engine."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.processes import ROOT


def compose(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    program = Path(sys.executable).parent / "docker-compose"
    command = [str(program)] if program.exists() else [shutil.which("docker") or "docker", "compose"]
    return subprocess.run(
        [*command, *arguments], cwd=ROOT, env={"PATH": "/usr/bin:/bin", "HOME": "/tmp", **variables},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def test_the_compose_file_is_valid_and_has_every_service() -> None:
    """`docker compose config` accepts it without any variable set."""
    done = compose("config", "--services")
    assert done.returncode == 0, done.stderr
    assert set(done.stdout.split()) == {"redis", "registry", "ui", "camera", "compute"}


def test_the_address_of_the_host_reaches_the_nodes() -> None:
    """FOGLINE_ADDRESS becomes what cameras and compute nodes advertise."""
    done = compose("config", FOGLINE_ADDRESS="10.20.0.14")
    assert "http://10.20.0.14:5000" in done.stdout
    assert "http://10.20.0.14:8000" in done.stdout


def test_redis_is_reached_by_nobody_but_the_registry() -> None:
    """No port of Redis is published."""
    assert "6379:" not in (ROOT / "docker-compose.yml").read_text()


@pytest.mark.parametrize("role", ["registry", "ui", "camera", "compute"])
def test_every_service_has_a_target_that_runs_as_nobody_special(role: str) -> None:
    """Each image names its user, its health check and its command."""
    text = (ROOT / "Dockerfile").read_text()
    stage = re.search(rf"^FROM base AS {role}$(.*?)(?=^FROM |\Z)", text, re.MULTILINE | re.DOTALL)
    assert stage
    for line in ("USER fogline", "HEALTHCHECK", f'"cli", "{role}"'):
        assert line in stage.group(1)


def test_an_image_carries_only_what_its_role_needs() -> None:
    """The registry's and the dashboard's images get neither OpenCV nor an engine."""

    def needs(*extras: str) -> str:
        return subprocess.run(
            [sys.executable, ROOT / "deploy" / "requirements_of.py", *extras],
            capture_output=True,
            text=True,
            check=True,
        ).stdout

    for role in (("registry",), ()):
        assert not re.search(r"opencv|openvino|onnx|numpy", needs(*role))
    assert "redis" in needs("registry")
    assert "openvino" in needs("compute")
    assert "opencv" in needs("camera")
