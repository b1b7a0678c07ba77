"""Pictures in and out: JPEG and PNG to arrays and back, with the limits checked before anything is decoded."""

from __future__ import annotations

import cv2
import numpy as np
import simplejpeg

from compute_node.algorithms.base import Image
from mesh.errors import UnsupportedMedia
from mesh.picture import inspect


def decode(data: bytes) -> Image:
    """The picture in `data`, as stored (an orientation tag is not applied).

    Raises UnsupportedMedia for what is no whole JPEG or PNG, TooLarge over a limit.
    """
    found = inspect(data)
    image: Image | None
    if found.format == "jpeg":
        try:
            # Both shortcuts are invisible to a detector and save a third of the time.
            image = simplejpeg.decode_jpeg(data, colorspace="BGR", fastdct=True, fastupsample=True)
            return image
        except ValueError as error:
            raise UnsupportedMedia(f"the JPEG is broken: {error}") from None
    # cv2 reports a broken PNG by None, and one that breaks a rule of its own by an exception.
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)  # type: ignore[assignment]
    except cv2.error:
        image = None
    if image is None:
        raise UnsupportedMedia("the PNG is broken")
    return image


def encode(image: Image, quality: int) -> bytes:
    """`image` as a JPEG of `quality` (1 to 100), colours at half resolution as cameras send them."""
    data: bytes = simplejpeg.encode_jpeg(
        np.ascontiguousarray(image), quality=quality, colorspace="BGR", colorsubsampling="420", fastdct=True
    )
    return data


def fit(image: Image, width: int | None, height: int | None) -> Image:
    """`image` scaled down to fit into `width` × `height` pixels, aspect kept; never scaled up."""
    rows, columns = image.shape[:2]
    scale = min(width / columns if width else 1.0, height / rows if height else 1.0, 1.0)
    if scale >= 1.0:
        return image
    size = (max(1, round(columns * scale)), max(1, round(rows * scale)))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
