"""The example algorithm is found, loaded and offered like Fogline's own."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import requests

from tests.processes import ROOT, Running, wait_for
from tests.viewers import node

EXAMPLE = ROOT / "examples" / "algorithm"
LINES = 40


def installed(folder: Path) -> dict[str, str]:
    """The example as an installed package, without installing it here: its module and its entry points on the path."""
    project = tomllib.loads((EXAMPLE / "pyproject.toml").read_text())["project"]
    info = folder / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n")
    points = project["entry-points"]["fogline.algorithms"]
    lines = "\n".join(f"{name} = {target}" for name, target in points.items())
    (info / "entry_points.txt").write_text(f"[fogline.algorithms]\n{lines}\n")
    return {"PYTHONPATH": os.pathsep.join((str(ROOT), str(EXAMPLE), str(folder)))}


def test_the_example_is_under_forty_lines() -> None:
    """What the documentation promises."""
    assert len((EXAMPLE / "fogline_brightest.py").read_text().splitlines()) < LINES


def test_an_algorithm_of_another_package_is_offered_and_finds_things(
    start: Callable[..., Running], tmp_path: Path
) -> None:
    """It is in the manifest, and `/v1/detect` runs it."""
    environment = installed(tmp_path / "site")
    registry = start("registry").ready()
    compute = start("compute", "--registry", registry.url, "--algorithms", "brightest", environment=environment).ready()
    assert [one["id"] for one in wait_for(lambda: node(registry, "compute")["algorithm"], 20, "list")] == ["brightest"]
    image = np.full((480, 640, 3), 40, np.uint8)
    cv2.circle(image, (400, 300), 30, (250, 250, 250), -1)
    data = cv2.imencode(".png", image)[1].tobytes()
    found = requests.post(f"{compute.url}/v1/detect/brightest", data=data, timeout=5).json()["objects"]
    assert len(found) == 1
    left, top, right, bottom = found[0]["box"]
    assert abs((left + right) / 2 - 400) < 5
    assert abs((top + bottom) / 2 - 300) < 5
