"""Four services on four hosts with addresses of their own find one another."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.hosts import Host, hosts, why_not
from tests.processes import ROOT, Running
from tests.viewers import node, session

pytestmark = pytest.mark.xdist_group("hosts")
VIEWER = """
import json, os, sys
from tests.viewers import watch
parts = watch(sys.argv[1], 20, 40, {"Authorization": os.environ["SHOWN"]})
print(json.dumps([part.headers for part in parts]))
"""


@pytest.fixture
def four() -> Iterator[list[Host]]:
    reason = why_not()
    if reason is not None:
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    with hosts(4) as made:
        yield made


def test_a_stream_goes_from_camera_host_to_compute_host_to_viewer_host(
    four: list[Host], models: Path, tmp_path: Path
) -> None:
    """Each service gets only the registry's address; the registry lists them under the addresses that it saw."""
    at_registry, at_camera, at_compute, at_viewer = four
    data = tmp_path / "data"
    data.mkdir()
    for name in ("models", "media", "engines"):
        (data / name).symlink_to(models / name)
    join = ("--registry", f"http://{at_registry.address}:5050", "--data", str(data))
    with (
        Running("registry", "--data", str(data), port=5050, host=at_registry, log=tmp_path / "r") as registry,
        Running("camera", *join, "--source", "demo:", "--name", "demo", port=5000, host=at_camera, log=tmp_path / "c"),
        Running("compute", *join, "--algorithms", "yolo", port=8000, host=at_compute, log=tmp_path / "k"),
        Running("ui", *join, port=8080, host=at_viewer, log=tmp_path / "u") as ui,
    ):
        registry.ready()
        ui.ready()
        assert node(registry, "camera")["url"] == f"http://{at_camera.address}:5000"
        assert node(registry, "compute")["url"] == f"http://{at_compute.address}:8000"
        made = session(registry, "demo", "yolo")
        assert made["stream_url"].startswith(f"http://{at_compute.address}:8000/")
        stable = f"http://{at_registry.address}:5050/v1/sessions/{made['session_id']}/stream"
        seen = subprocess.run(
            [*at_viewer.command, sys.executable, "-c", VIEWER, stable],
            cwd=ROOT, env={**os.environ, "SHOWN": registry.shown["Authorization"]},
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert seen.returncode == 0, seen.stderr
        assert len(json.loads(seen.stdout)) == 20
