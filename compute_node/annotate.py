"""Drawing what was found onto the picture."""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import cv2

from compute_node.algorithms.base import Detection, Image

# Colours (blue, green, red) that stay apart on pictures and for the colour-blind, after Okabe and Ito (2008).
PALETTE = ((0, 159, 230), (233, 180, 86), (115, 158, 0), (66, 228, 240), (178, 114, 0), (0, 94, 213), (167, 121, 204))
_FONT = cv2.FONT_HERSHEY_SIMPLEX
_REFERENCE = 720  # pixels of the shorter side at which lines are 2 pixels wide
_LABEL_LIMIT = 40  # characters: a long code must not cover the picture


def colour_of(label: str) -> tuple[int, int, int]:
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
        (width, height), base = cv2.getTextSize(text, _FONT, text_scale, text_line)
        pad = max(2, round(3 * size))
        tall = height + base + pad
        # Above the box; inside it when there is no room above; and never beyond the picture's edge.
        at = top - tall if top >= tall else top
        x = max(0, min(left - line // 2, columns - width - 2 * pad))
        cv2.rectangle(image, (x, at), (x + width + 2 * pad, at + tall), colour, cv2.FILLED)
        ink = (0, 0, 0) if sum(colour) > 330 else (255, 255, 255)
        cv2.putText(image, text, (x + pad, at + height + pad // 2), _FONT, text_scale, ink, text_line, cv2.LINE_AA)


def _words(one: Detection) -> str:
    label = one.label if len(one.label) <= _LABEL_LIMIT else one.label[: _LABEL_LIMIT - 1] + "…"
    # OpenCV's font has ASCII only.
    plain = label.replace("…", "...").encode("ascii", "replace").decode().replace("\n", " ")
    return plain if one.confidence >= 1 else f"{plain} {one.confidence:.0%}"
