"""JPEG in and out of arrays, and the scaling between."""

from __future__ import annotations

from functools import cache

import numpy as np
import simplejpeg

from camera_node.opencv import cv2
from camera_node.sources.base import Image
from mesh.errors import UnsupportedMedia

_TABLES, _SCAN = b"\xff\xc4", b"\xff\xda"


def encode(image: Image, quality: int) -> bytes:
    """`image` (height × width × 3, blue first, or height × width) as JPEG of `quality` 1 to 100.

    Colours are kept at half resolution, as cameras themselves send them.
    """
    grey = image.ndim == 2
    data: bytes = simplejpeg.encode_jpeg(
        np.ascontiguousarray(image[:, :, None] if grey else image),
        quality=quality,
        colorspace="GRAY" if grey else "BGR",
        colorsubsampling="Gray" if grey else "420",
        fastdct=True,
    )
    return data


def decode_at_least(data: bytes, width: int, height: int) -> Image:
    """The picture in `data` at the smallest size that decoding gives for little and that is not below
    `width` × `height` pixels. Raises UnsupportedMedia for what cannot be decoded.

    The caller has held the header against the limits. A picture that is damaged inside is decoded as far as it goes:
    one wrong block is better than a missing frame.
    """
    try:
        image: Image = simplejpeg.decode_jpeg(
            data,
            colorspace="BGR",
            fastdct=True,
            fastupsample=True,
            min_width=width,
            min_height=height,
            min_factor=1,
            strict=False,
        )
    except ValueError as error:
        raise UnsupportedMedia(f"the JPEG cannot be decoded: {error}") from None
    return image


def decode_png(data: bytes) -> Image:
    """The PNG in `data`, 8 bits a colour and no transparency. Raises UnsupportedMedia when it is broken."""
    # cv2 reports a broken PNG by None, and one that breaks a limit of its own by an exception.
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error:
        image = None
    if image is None:
        raise UnsupportedMedia("the PNG is broken")
    return np.asarray(image, np.uint8)


def resize(image: Image, width: int, height: int) -> Image:
    """`image` at exactly `width` × `height` pixels, each the mean of those it covers."""
    if image.shape[1] == width and image.shape[0] == height:
        return image
    return np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA), np.uint8)


def with_tables(data: bytes) -> bytes:
    """`data` with the usual Huffman tables put in where it has none: many USB cameras leave them out of their frames,
    and not every viewer knows them by heart."""
    scan = data.find(_SCAN)
    if scan < 0 or _TABLES in data[:scan]:
        return data
    return data[:scan] + _usual_tables() + data[scan:]


@cache
def _usual_tables() -> bytes:
    """The four tables of the JPEG standard (annex K.3), as the encoder writes them into a colour picture."""
    sample = encode(np.zeros((16, 16, 3), np.uint8), 50)
    tables, at = b"", 2
    while sample[at : at + 2] != _SCAN:
        length = 2 + int.from_bytes(sample[at + 2 : at + 4], "big")
        if sample[at : at + 2] == _TABLES:
            tables += sample[at : at + length]
        at += length
    return tables
