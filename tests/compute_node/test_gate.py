"""The motion gate: still scenes are not searched, everything that moves is, on real video and with noise."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest

from compute_node import jpeg
from compute_node.algorithms.base import Image
from compute_node.gate import ANYWAY, MotionGate
from compute_node.picture import Picture, Wishes
from mesh.frame import Frame

EMPTY = 50  # frames of the video that show an empty room
ENTERS = 60  # the frame in which a person is first to be seen at the edge


def grey(image: Image, quality: int = 80) -> Image:
    data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()
    return Picture(Frame(data, 1, 1.0, image.shape[1], image.shape[0]), Wishes()).grey()


def searched(frames: list[Image], quality: int, fps: float = 25.0) -> list[int]:
    """The numbers of the frames that the gate lets through."""
    gate = MotionGate()
    through = []
    for number, frame in enumerate(frames):
        if not gate.still(grey(frame, quality), number / fps):
            gate.searched(number / fps)
            through.append(number)
    return through


@pytest.mark.parametrize(("quality", "noise"), [(80, 0.0), (30, 0.0), (80, 8.0)])
def test_an_empty_room_is_searched_once_and_who_enters_at_once(
    shared: Path, quality: int, noise: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With strong compression and with a noisy sensor, too."""
    # What a test of RTSP set in this process would change how the file is decoded, and so its frames.
    monkeypatch.delenv("OPENCV_FFMPEG_CAPTURE_OPTIONS", raising=False)
    capture = cv2.VideoCapture(str(shared / "videos" / "one-by-one-person-detection.mp4"))
    rng = np.random.default_rng(1)
    frames = []
    for _ in range(ENTERS + 20):
        ok, frame = capture.read()
        assert ok
        noisy = frame + rng.normal(0, noise, frame.shape) if noise else frame
        frames.append(np.clip(noisy, 0, 255).astype(np.uint8))
    capture.release()
    through = searched(frames, quality)
    assert [number for number in through if number < EMPTY] == [0]
    assert [number for number in through if number >= ENTERS] == list(range(ENTERS, ENTERS + 20))


def test_a_slow_change_counts_once_it_has_added_up() -> None:
    """A wall that brightens by a grey level a frame is searched again and again, though no two frames differ much."""
    frames = [np.full((720, 1280, 3), 60 + number, np.uint8) for number in range(40)]
    through = searched(frames, 90)
    assert 3 <= len(through) <= 10
    assert max(b - a for a, b in pairwise(through)) <= 10


def test_a_small_thing_in_a_large_picture_is_noticed() -> None:
    """32 pixels of 1280 that differ by 60 grey levels."""
    still = np.full((720, 1280, 3), 90, np.uint8)
    moved = still.copy()
    moved[400:432, 900:932] = 150
    assert searched([still, still, moved, moved], 80) == [0, 2]


def test_a_still_scene_is_searched_anyway_from_time_to_time() -> None:
    """Every five seconds; and a picture of another size always is."""
    still = [np.full((480, 640, 3), 90, np.uint8)] * int(ANYWAY * 4 + 3)
    assert searched(still, 80, fps=2.0) == [0, 10, 20]
    assert searched([still[0], np.full((300, 640, 3), 90, np.uint8)], 80) == [0, 1]


def test_a_grey_picture_is_small_and_means_what_it_covers() -> None:
    """An eighth of 720p, each pixel the mean of its area."""
    image = np.zeros((720, 1280, 3), np.uint8)
    image[:, 640:] = 200
    small = grey(image)
    assert small.shape == (90, 160, 1)
    assert abs(int(small[:, :78].mean())) <= 2
    assert abs(int(small[:, 82:].mean()) - 200) <= 2
    assert jpeg.decode_grey(cv2.imencode(".jpg", image)[1].tobytes(), 160, 90).shape == small.shape
