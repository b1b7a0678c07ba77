"""A frame's pixels: decoded once, no larger than needed, and never drawn on by one while another looks."""

from __future__ import annotations

import threading

import cv2
import numpy as np
import pytest

from compute_node import jpeg
from compute_node.algorithms.base import Image
from compute_node.picture import Picture, Wishes
from mesh.errors import UnsupportedMedia
from mesh.frame import Frame


def picture(wishes: Wishes | None = None, width: int = 1280, height: int = 720) -> Picture:
    ys, xs = np.mgrid[0:height, 0:width]
    image = np.stack([xs * 255 // width, ys * 255 // height, (xs + ys) % 255], -1).astype(np.uint8)
    data = cv2.imencode(".jpg", image)[1].tobytes()
    return Picture(Frame(data, 1, 1.0, width, height), wishes or Wishes())


def test_those_who_share_a_frame_share_one_decoding(monkeypatch: pytest.MonkeyPatch) -> None:
    """Six threads at once: one decoding, one array."""
    real, decoded = jpeg.decode, []

    def counted(data: bytes, divisor: int = 1) -> Image:
        decoded.append(divisor)
        return real(data, divisor)

    monkeypatch.setattr(jpeg, "decode", counted)
    one = picture()
    got: list[Image] = []
    threads = [threading.Thread(target=lambda: got.append(one.pixels(2))) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert decoded == [2]
    assert len(got) == 6
    assert all(image is got[0] for image in got)


def test_the_finest_wish_serves_all_and_a_finer_one_later_decodes_again() -> None:
    """Who wants a quarter is content with the half that another one wants."""
    wishes = Wishes()
    wishes.wish("a", 2)
    wishes.wish("b", 4)
    one = picture(wishes)
    assert one.pixels(4).shape == (360, 640, 3)
    assert one.pixels(2) is one.pixels(4)
    assert one.pixels(1).shape == (720, 1280, 3)
    assert one.pixels(4).shape == (720, 1280, 3)
    wishes.forget("a")
    assert picture(wishes).pixels(4).shape == (180, 320, 3)


@pytest.mark.parametrize(
    ("needed", "divisor"),
    [
        ((416, 234), 2),
        ((300, 300), 2),
        ((320, 180), 4),
        ((640, 360), 2),
        ((641, 1), 1),
        ((1280, 720), 1),
        ((9999, 1), 1),
    ],
)
def test_no_side_is_decoded_smaller_than_needed(needed: tuple[int, int], divisor: int) -> None:
    """Halves and quarters only, and only where both sides stay large enough."""
    one = picture()
    assert one.divisor(*needed) == divisor


def test_odd_sizes_are_divided_and_rounded_up() -> None:
    """As libjpeg does it."""
    one = picture(width=641, height=481)
    assert one.pixels(2).shape == (241, 321, 3)
    assert picture(width=641, height=481).pixels(4).shape == (121, 161, 3)


def test_who_is_alone_draws_in_place_and_others_never_see_it() -> None:
    """Shared pixels cannot be written to; the last who has them may draw on them; who comes later gets clean ones."""
    one = picture()
    first, second = one.pixels(1), one.pixels(1)
    with pytest.raises(ValueError, match="read-only"):
        first[0, 0] = 0
    canvas = one.canvas(first)
    assert canvas is not second
    canvas[:] = 7
    assert second.std() > 10
    last = one.canvas(second)
    assert last is second
    last[:] = 9
    assert one.pixels(1).std() > 10


def test_a_picture_that_is_broken_inside_is_refused_each_time() -> None:
    """Its header is right; its data is not."""
    good = picture().frame
    broken = Picture(Frame(good.jpeg[:2000] + b"\xff\xd9", 1, 1.0, 1280, 720), Wishes())
    for _ in range(2):
        with pytest.raises(UnsupportedMedia):
            broken.pixels(1)
