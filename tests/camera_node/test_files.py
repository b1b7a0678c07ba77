"""Video files, folders of pictures, and the demo."""

from __future__ import annotations

import itertools
import math
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np
import pytest

from camera_node.opencv import as_live, cv2
from camera_node.sources.base import Captured, SourceOptions
from camera_node.sources.demo import DemoSource
from camera_node.sources.folder import FolderSource
from camera_node.sources.pace import Pace
from camera_node.sources.video import VideoSource
from mesh.errors import SourceLost
from tests.camera_node.pictures import array, picture, png, size
from tests.camera_node.viewer import no_signal, parts
from tests.processes import Running, wait_for

STEP = 24  # of the red of one frame of `film` to the next
FRAMES = 10


def film(path: Path, frames: int = FRAMES, fps: float = 20, codec: str = "mp4v") -> Path:
    """A video whose n-th frame has STEP · (n % FRAMES) as its red."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*codec), fps, (320, 180))
    assert writer.isOpened()
    for number in range(frames):
        image = array()
        image[:, :, 2] = STEP * (number % FRAMES)
        writer.write(image)
    writer.release()
    return path


def number_of(captured: Captured) -> int:
    """Which frame of `film` it is."""
    assert captured.image is not None
    return round(float(captured.image[:, :, 2].mean()) / STEP)


def test_video_in_real_time(tmp_path: Path) -> None:
    """A video runs at its own pace, in order, and after a pause is where it should be."""
    source = VideoSource(str(film(tmp_path / "a.mp4", frames=20 * FRAMES)), SourceOptions())
    source.open()
    began = time.monotonic()
    at = number_of(source.read())
    assert at == 0
    begun = time.monotonic()  # it counts from a moment between the two
    for turn in range(24):
        if turn == 12:
            time.sleep(0.3)
        # A busy machine may miss frames, more than a film's numbers can tell apart, but never shows one again or falls
        # behind the clock: the next one with this number that is late enough must not be too early.
        least = max(at + 1, math.floor(20 * (time.monotonic() - begun) - 2.5) + 1)
        at = least + (number_of(source.read()) - least) % FRAMES
        assert at < 20 * (time.monotonic() - began) + 2.5
    source.close()
    assert at >= 28


def test_a_video_begins_again_without_a_gap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its last frame is followed by its first, and none is left out by a caller who is in time."""
    monkeypatch.setattr(Pace, "wait", lambda _self: 0)
    source = VideoSource(str(film(tmp_path / "a.mp4")), SourceOptions())
    source.open()
    assert [number_of(source.read()) for _ in range(3 * FRAMES)] == [*range(FRAMES)] * 3
    source.close()


def test_a_video_passes_over_frames_across_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a pause it is where it should be in its next round, or the one after it."""
    late = iter((0, 7, 7, 0, 2 * FRAMES + 3))
    monkeypatch.setattr(Pace, "wait", lambda _self: next(late))
    source = VideoSource(str(film(tmp_path / "a.mp4")), SourceOptions())
    source.open()
    due = [0, 8, 16, 17, 17 + 2 * FRAMES + 4]
    assert [number_of(source.read()) for _ in due] == [number % FRAMES for number in due]
    source.close()


def test_a_video_begins_at_its_first_frame_beside_a_live_camera(tmp_path: Path) -> None:
    """A host that reads a live stream, too, gives FFmpeg options that would leave a file's first frames out."""
    film(tmp_path / "a.mp4")
    as_live()
    for _ in range(3):
        source = VideoSource(str(tmp_path / "a.mp4"), SourceOptions())
        source.open()
        assert number_of(source.read()) == 0
        source.close()


@pytest.mark.parametrize(
    ("content", "words"), [(None, "there is no file"), (b"", "is empty"), (b"no video" * 100, "is not a video")]
)
def test_no_video(tmp_path: Path, content: bytes | None, words: str) -> None:
    """What cannot be shown is said."""
    file = tmp_path / "x.mp4"
    if content is not None:
        file.write_bytes(content)
    source = VideoSource(str(file), SourceOptions())
    with pytest.raises(SourceLost, match=words):
        source.open()
    source.close()


def test_cut_off_video(tmp_path: Path) -> None:
    """A video whose end is missing plays as far as it goes, again and again."""
    whole = film(tmp_path / "a.avi", frames=60, codec="MJPG")
    half = tmp_path / "half.avi"
    half.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    source = VideoSource(str(half), SourceOptions(fps=100))
    source.open()
    assert {number_of(source.read()) for _ in range(80)} == set(range(FRAMES))
    source.close()


def test_folder(tmp_path: Path) -> None:
    """Pictures in the order of their names, JPEG and PNG as they are, new ones with the next round."""
    (tmp_path / "b.JPG").write_bytes(picture(seed=2))
    (tmp_path / "a.png").write_bytes(png())
    (tmp_path / "note.txt").write_text("not a picture")
    source = FolderSource(str(tmp_path), SourceOptions(fps=200))
    source.open()
    assert [source.read().data for _ in range(3)] == [png(), picture(seed=2), png()]
    (tmp_path / "c.jpeg").write_bytes(picture(seed=3))
    source.read()
    assert [source.read().data for _ in range(3)] == [png(), picture(seed=2), picture(seed=3)]
    for file in tmp_path.iterdir():
        file.unlink()
    with pytest.raises(SourceLost, match="no picture"):
        source.read()


def test_one_picture(tmp_path: Path) -> None:
    """A single picture is a camera that does not move."""
    (tmp_path / "a.jpg").write_bytes(picture())
    source = FolderSource(str(tmp_path / "a.jpg"), SourceOptions(fps=200))
    source.open()
    assert {source.read().data for _ in range(3)} == {picture()}


def test_huge_file_is_not_read(tmp_path: Path) -> None:
    """A file over the limit is passed over without reading it."""
    refused: list[str] = []
    (tmp_path / "a.jpg").write_bytes(picture())
    with (tmp_path / "b.jpg").open("wb") as file:
        file.truncate(10**10)
    source = FolderSource(str(tmp_path), SourceOptions(fps=200, refused=lambda reason, _n: refused.append(reason)))
    source.open()
    assert {source.read().data for _ in range(4)} == {picture()}
    assert set(refused) == {"too_large"}


@pytest.fixture
def photographs(tmp_path: Path) -> Path:
    """A data folder with two photographs for the demo."""
    place = tmp_path / "demo-data" / "media" / "demo"
    place.mkdir(parents=True)
    for name, shape in (("a", (512, 512)), ("b", (451, 300))):
        (place / f"{name}.jpg").write_bytes(picture(*shape))
    return tmp_path / "demo-data"


def test_demo(photographs: Path) -> None:
    """The demo moves, has the size asked for, and something of a photograph is always in view."""
    for options, expected in (
        (SourceOptions(data=photographs), (720, 1280)),
        (SourceOptions(data=photographs, width=640), (360, 640)),
        (SourceOptions(data=photographs, width=640, height=480), (480, 640)),
    ):
        source = DemoSource("demo:", options)
        source.open()
        first = source.read().image
        assert first is not None
        assert first.shape[:2] == expected
        for second in range(0, 41, 4):
            source._began = time.monotonic() - second
            image = source.read().image
            assert image is not None
            assert image.shape == first.shape
            assert (image.std(axis=2) > 8).mean() > 0.1, "bare wall only"
            assert second in (0, 40) or not np.array_equal(image, first)


def test_demo_without_photographs(tmp_path: Path) -> None:
    """Without its photographs the demo says how to get them."""
    source = DemoSource("demo:", SourceOptions(data=tmp_path))
    with pytest.raises(SourceLost, match="fogline models pull demo"):
        source.open()


def test_real_video(camera: Callable[..., Running], shared: Path, tmp_path: Path) -> None:
    """A real H.264 film through the node: its size, its pace, and its name as the camera's."""
    file = shared / "videos" / "one-by-one-person-detection.mp4"
    if not file.is_file():
        pytest.skip(f"{file} is not on this machine")
    shutil.copy(file, tmp_path / "gate.mp4")
    node = camera(str(tmp_path / "gate.mp4"))
    wait_for(lambda: no_signal(node.url) is None, 10, "picture")
    got = list(itertools.islice(parts(f"{node.url}/stream.jpg"), 15))
    stamps = [float(part.headers["x-timestamp"]) for part in got]
    # The usual time between two: where the machine was busy it was longer.
    assert 0.07 < median(after - before for before, after in itertools.pairwise(stamps)) < 0.17, "10 frames a second"
    assert {size(part.body) for part in got} == {(768, 432)}
    assert '"node": "gate"' in node.log()
