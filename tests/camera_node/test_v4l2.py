"""Cameras on this machine: a fake one, preloaded into the node, and the reasons why there is none."""

from __future__ import annotations

import shutil
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import requests

from camera_node import jpeg
from camera_node.sources.base import SourceOptions
from camera_node.sources.v4l2 import V4l2Source
from mesh.errors import SourceLost
from tests.camera_node.pictures import picture, size
from tests.camera_node.viewer import metric, no_signal
from tests.processes import Running, wait_for

DEVICE = "/dev/video42"


@pytest.fixture(scope="session")
def shim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The fake camera's library."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("no C compiler: the fake camera cannot be built")
    library = tmp_path_factory.mktemp("v4l2") / "fake_v4l2.so"
    source = Path(__file__).with_name("fake_v4l2.c")
    built = subprocess.run(
        [compiler, "-shared", "-fPIC", "-O1", "-o", str(library), str(source), "-ldl"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    if built.returncode:
        pytest.skip(f"the fake camera cannot be built here: {built.stderr[-300:]}")
    return library


def plug(file: Path, frames: list[bytes]) -> None:
    """Put the device in; it appears at once and whole."""
    fresh = file.with_suffix(".new")
    fresh.write_bytes(b"".join(struct.pack("=I", len(frame)) + frame for frame in frames))
    fresh.replace(file)


def environment(shim: Path, file: Path, pixels: str, form: str) -> dict[str, str]:
    return {
        "LD_PRELOAD": str(shim),
        "FAKE_V4L2_DEVICE": DEVICE,
        "FAKE_V4L2_FRAMES": str(file),
        "FAKE_V4L2_FORMAT": form,
        "FAKE_V4L2_SIZE": pixels,
    }


def test_compressed_frames_pass_untouched(camera: Callable[..., Running], shim: Path, tmp_path: Path) -> None:
    """The camera's own JPEGs come out byte for byte; it may be pulled out and plugged in again."""
    file = tmp_path / "frames"
    frames = [picture(640, 360, seed=n) for n in range(3)]
    plug(file, [frame + b"\0" * 200 for frame in frames])
    node = camera("42", environment=environment(shim, file, "640x360", "MJPG"))
    wait_for(lambda: no_signal(node.url) is None, 10, "picture")
    assert requests.get(f"{node.url}/image.jpg", timeout=5).content in frames
    assert metric(node.url, "fogline_camera_encode_seconds_count", what="source") == 0
    file.unlink()
    reason = wait_for(lambda: no_signal(node.url), 12, "no signal")
    assert DEVICE in reason
    wait_for(lambda: "plug the camera in" in (no_signal(node.url) or "") or None, 12, "the remedy")
    plug(file, frames)
    wait_for(lambda: no_signal(node.url) is None, 20, "picture again")


def test_raw_frames_are_encoded(camera: Callable[..., Running], shim: Path, tmp_path: Path) -> None:
    """A camera without compression gives decoded frames."""
    file = tmp_path / "frames"
    grey = np.full((48, 64, 2), 128, np.uint8)  # Y and U or V of each pixel: a middle grey
    plug(file, [grey.tobytes()])
    node = camera(DEVICE, environment=environment(shim, file, "64x48", "YUYV"))
    wait_for(lambda: no_signal(node.url) is None, 10, "picture")
    data = requests.get(f"{node.url}/image.jpg", timeout=5).content
    assert size(data) == (64, 48)
    assert np.abs(jpeg.decode_at_least(data, 64, 48).astype(int) - 128).max() < 12


def test_missing_device(tmp_path: Path) -> None:
    """No such device: the reason names it, the remedy, and those there are."""
    source = V4l2Source("/dev/video99", SourceOptions())
    with pytest.raises(SourceLost, match=r"there is no /dev/video99: plug the camera in.*devices here: "):
        source.open()
    source.close()


def test_not_a_camera() -> None:
    """A device of another kind is said to give no video."""
    source = V4l2Source("/dev/null", SourceOptions())
    with pytest.raises(SourceLost, match="/dev/null gives no video"):
        source.open()
    source.close()
