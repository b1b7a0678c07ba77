"""The no-signal picture is readable, whatever its words and its size."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from mesh.placard import Placard, no_signal_frame
from tests.camera_node.pictures import size


@pytest.mark.parametrize(
    ("width", "height", "expected"),
    [(None, None, (960, 540)), (1280, 720, (1280, 720)), (3840, 2160, (1920, 1080)), (80, 60, (320, 180))],
)
def test_size(width: int | None, height: int | None, expected: tuple[int, int]) -> None:
    """It has the shape of the camera's own pictures, within what can be read."""
    assert size(Placard("yard").draw("gone", since=0.0, width=width, height=height)[0]) == expected


@pytest.mark.parametrize(
    "words", ["", "x", "word " * 200, "x" * 5000, "Gerät · 电缆松了 · кабель", "\x00\n\r\t\ud800", "名" * 500]
)
def test_any_words(words: str) -> None:
    """No text, however long or in whatever script, breaks it or runs out of it."""
    jpeg, width, height = Placard(words or "yard").draw(words, since=1e9)
    image = np.asarray(Image.open(io.BytesIO(jpeg)).convert("L")).astype(int)
    assert image.shape == (height, width)
    assert image[:, -width // 32 :].max() < 60, "words run out of the right side"
    assert image[: height // 40].max() < 60
    assert image[-height // 40 :].max() < 60


def test_drawn_once() -> None:
    """The same words once a second cost one drawing."""
    placard = Placard("yard")
    assert placard.draw("gone", since=1.0) is placard.draw("gone", since=1.0)
    assert placard.draw("gone", since=1.0) is not placard.draw("gone", since=2.0)


def test_frame() -> None:
    """As a frame it carries the reason."""
    frame = no_signal_frame("yard", "gone", 7)
    assert (frame.sequence, frame.no_signal) == (7, "gone")
    assert size(frame.jpeg) == (frame.width, frame.height)
