"""A camera node in a process of its own, without a registry."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.camera_node.pictures import picture
from tests.processes import Running, free_port

NOBODY = "http://127.0.0.1:1"  # no registry listens there: a camera serves without one


def camera_node(folder: Path, source: str, *arguments: str) -> Running:
    """A camera node that serves, for the tests that share it. folder: for its data and its log."""
    words = ("--data", str(folder / "data"), "--source", source, "--registry", NOBODY, *arguments)
    running = Running("camera", *words, port=free_port(), log=folder / "camera.log")
    try:
        return running.ready(20)
    except BaseException:
        running.kill()  # the caller gets none that could be stopped
        raise


@pytest.fixture
def camera(start: Callable[..., Running]) -> Callable[..., Running]:
    """Start a camera node: `camera("demo:", "--quality", "70")`."""

    def begin(
        source: str, *arguments: str, registry: str = NOBODY, environment: dict[str, str] | None = None
    ) -> Running:
        return start("camera", "--source", source, "--registry", registry, *arguments, environment=environment).ready(
            20
        )

    return begin


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with three pictures of 640 × 360 pixels."""
    return three_pictures(tmp_path / "pictures")


def three_pictures(place: Path) -> Path:
    """That folder, at `place`."""
    place.mkdir()
    for number in range(3):
        (place / f"{number}.jpg").write_bytes(picture(640, 360, seed=number))
    return place
