"""From a camera's frame and what was found in it to the annotated picture."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager

from compute_node import annotate, jpeg
from compute_node.algorithms.base import Image
from compute_node.found import Found, age_ms
from compute_node.picture import Picture
from mesh.frame import Frame
from mesh.tally import tally

Timed = Callable[[str], AbstractContextManager[None]]


def fitting(frame: Frame, width: int | None, height: int | None, downsample: int = 1) -> tuple[int, int]:
    """Width and height in pixels at which `frame` fits into `width` × `height`, both divided by `downsample`. Its shape
    is kept, and it is never enlarged; None: as large as the frame."""
    width, height = width or frame.width, height or frame.height
    if downsample > 1:
        width, height = max(1, width // downsample), max(1, height // downsample)
    scale = min(width / frame.width, height / frame.height, 1.0)
    return max(1, round(frame.width * scale)), max(1, round(frame.height * scale))


def annotated(
    picture: Picture, image: Image, size: tuple[int, int], found: Found, *, quality: int, timed: Timed
) -> Frame:
    """`picture` at `size` (width, height in pixels) with what was found drawn onto it, as a JPEG of `quality`.

    image: what `picture.pixels` gave the caller, at least as large. timed: opened around `draw` and `encode`.
    """
    frame = found.frame
    with timed("draw"):
        fits = (image.shape[1], image.shape[0]) == size
        canvas = picture.canvas(image) if fits else jpeg.scaled(image, size)
        annotate.draw(canvas, found.detections, size[0] / frame.width)
    with timed("encode"):
        data = jpeg.encode(canvas, quality)
    return Frame(
        jpeg=data,
        sequence=frame.sequence,
        captured_at=frame.captured_at,
        width=size[0],
        height=size[1],
        inference_ms=found.inference_ms,
        gated=found.gated,
        age_ms=age_ms(frame),
        objects=tally(one.label for one in found.detections),
    )
