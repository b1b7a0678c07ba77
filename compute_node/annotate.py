"""Drawing what was found onto the picture."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from functools import lru_cache

import cv2
import numpy as np

from compute_node.algorithms.base import Detection, Image
from mesh.fonts import font_for

Colour = tuple[int, int, int]
# Colours (blue, green, red) that stay apart on pictures and for the colour-blind, after Okabe and Ito (2008).
PALETTE = ((0, 159, 230), (233, 180, 86), (115, 158, 0), (66, 228, 240), (178, 114, 0), (0, 94, 213), (167, 121, 204))
_FONT = cv2.FONT_HERSHEY_SIMPLEX
_REFERENCE = 720  # pixels of the shorter side at which lines are 2 pixels wide
_PIXELS = 34  # height of Pillow's letters for one unit of OpenCV's text scale
_BLACK, _WHITE = (0, 0, 0), (255, 255, 255)
_BRIGHT = 330  # sum of a colour's channels above which black letters read better on it
_LABEL_LIMIT = 40  # characters: a long code must not cover the picture


def colour_of(label: str) -> Colour:
    """The colour of a label: the same in every picture and on every node."""
    return PALETTE[zlib.crc32(label.encode()) % len(PALETTE)]


def draw(image: Image, found: Sequence[Detection], scale: float = 1.0) -> None:
    """Draw boxes and labels onto `image`, in place. scale: its size divided by the searched picture's."""
    rows, columns = image.shape[:2]
    size = max(0.5, min(rows, columns) / _REFERENCE)
    line = max(1, round(2 * size))
    text_scale, text_line = max(0.4, 0.6 * size), max(1, round(size))
    for one in found:
        left, top, right, bottom = (round(value * scale) for value in one.box)
        colour = colour_of(one.label)
        cv2.rectangle(image, (left, top), (right, bottom), colour, line)
        text = _words(one)
        ink = _BLACK if sum(colour) > _BRIGHT else _WHITE
        pad = max(2, round(3 * size))
        if not text.isascii():
            _paste(image, _plate(text, round(_PIXELS * text_scale), pad, ink, colour), left - line // 2, top)
            continue
        (width, height), base = cv2.getTextSize(text, _FONT, text_scale, text_line)
        tall = height + base + pad
        x, at = _place(image, left - line // 2, top, width + 2 * pad, tall)
        cv2.rectangle(image, (x, at), (x + width + 2 * pad, at + tall), colour, cv2.FILLED)
        cv2.putText(image, text, (x + pad, at + height + pad // 2), _FONT, text_scale, ink, text_line, cv2.LINE_AA)


def _place(image: Image, left: int, top: int, width: int, height: int) -> tuple[int, int]:
    """Where a label's plate goes: above the box, inside it when there is no room above, never beyond the edge."""
    return max(0, min(left, image.shape[1] - width)), top - height if top >= height else max(0, top)


@lru_cache(maxsize=256)
def _plate(text: str, pixels: int, pad: int, ink: Colour, colour: Colour) -> Image:
    """`text` on its plate, drawn by Pillow: OpenCV's font has ASCII only. Kept, because labels come again and again."""
    from PIL import Image as Picture  # noqa: PLC0415  # only who meets such a label pays for it
    from PIL import ImageDraw  # noqa: PLC0415

    font = font_for(text, pixels)
    left, top, right, bottom = font.getbbox(text)
    plate = Picture.new("RGB", (int(right - left) + 2 * pad, int(bottom - top) + 2 * pad), colour[::-1])
    ImageDraw.Draw(plate).text((pad - left, pad - top), text, font=font, fill=ink[::-1])
    return np.ascontiguousarray(np.asarray(plate, np.uint8)[:, :, ::-1])


def _paste(image: Image, plate: Image, left: int, top: int) -> None:
    height, width = plate.shape[:2]
    x, y = _place(image, left, top, width, height)
    room = image[y : y + height, x : x + width]
    room[:] = plate[: room.shape[0], : room.shape[1]]


def _words(one: Detection) -> str:
    label = one.label if len(one.label) <= _LABEL_LIMIT else one.label[: _LABEL_LIMIT - 1] + "…"
    plain = "".join(c if c.isprintable() else " " for c in label)
    return plain if one.confidence >= 1 else f"{plain} {one.confidence:.0%}"
