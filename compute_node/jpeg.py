"""Pictures in and out: JPEG and PNG to arrays and back, with the limits checked before anything is decoded."""

from __future__ import annotations

import cv2
import numpy as np
import simplejpeg

from compute_node.algorithms.base import Image
from mesh.errors import UnsupportedMedia
from mesh.picture import inspect

DIVISORS = (4, 2, 1)
"""By which a JPEG's sides can be divided while it is decoded. libjpeg has eighths too, but only halves are fast."""


def decode(data: bytes, divisor: int = 1) -> Image:
    """The picture in `data`, as stored (an orientation tag is not applied).

    divisor: one of `DIVISORS`; a JPEG's sides are divided by it, rounded up. A PNG comes in full.
    Raises UnsupportedMedia for what is no whole JPEG or PNG, TooLarge over a limit.
    """
    found = inspect(data)
    image: Image | None
    if found.format == "jpeg":
        return _decode(data, "BGR", -(-found.width // divisor), -(-found.height // divisor))
    # cv2 reports a broken PNG by None, and one that breaks a rule of its own by an exception.
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)  # type: ignore[assignment]
    except cv2.error:
        image = None
    if image is None:
        raise UnsupportedMedia("the PNG is broken")
    return image


def decode_grey(data: bytes, width: int, height: int) -> Image:
    """The JPEG in `data`, uint8 rows × columns × 1, as small as its decoder can make it while each side has at least
    `width` and `height` pixels: down to an eighth, each pixel then the mean of 64."""
    return _decode(data, "GRAY", width, height)


def _decode(data: bytes, colours: str, width: int, height: int) -> Image:
    try:
        # Both shortcuts are invisible to a detector and save a third of the time.
        image: Image = simplejpeg.decode_jpeg(
            data, colorspace=colours, fastdct=True, fastupsample=True, min_width=width, min_height=height
        )
    except ValueError as error:
        raise UnsupportedMedia(f"the JPEG is broken: {error}") from None
    return image


def encode(image: Image, quality: int) -> bytes:
    """`image` as a JPEG of `quality` (1 to 100), colours at half resolution as cameras send them."""
    data: bytes = simplejpeg.encode_jpeg(
        np.ascontiguousarray(image), quality=quality, colorspace="BGR", colorsubsampling="420", fastdct=True
    )
    return data


def scaled(image: Image, size: tuple[int, int]) -> Image:
    """`image` scaled down to `size` (width, height in pixels)."""
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
