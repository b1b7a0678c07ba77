"""A camera node in a process of its own, without a registry."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.camera_node.pictures import picture
from tests.processes import Running

NOBODY = "http://127.0.0.1:1"  # no registry listens there: a camera serves without one


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
    place = tmp_path / "pictures"
    place.mkdir()
    for number in range(3):
        (place / f"{number}.jpg").write_bytes(picture(640, 360, seed=number))
    return place
