"""Pictures for tests: whole ones, and each kind of broken one."""

from __future__ import annotations

import functools
import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow

from camera_node import jpeg


def array(width: int = 320, height: int = 180, seed: int = 0) -> NDArray[np.uint8]:
    """A smooth coloured picture, other for each `seed`: it survives JPEG and scaling nearly unchanged."""
    across = np.linspace(0, 200, width)[None, :] + np.zeros((height, 1))
    down = np.linspace(0, 200, height)[:, None] + np.zeros((1, width))
    return np.stack([across, down, np.full((height, width), (seed * 37) % 250)], axis=2).astype(np.uint8)


@functools.lru_cache(maxsize=256)  # cameras send them twenty times a second
def picture(width: int = 320, height: int = 180, seed: int = 0) -> bytes:
    """The same as a JPEG."""
    return jpeg.encode(array(width, height, seed), 85)


def png(width: int = 320, height: int = 180) -> bytes:
    out = io.BytesIO()
    Pillow.fromarray(array(width, height)).save(out, "PNG")
    return out.getvalue()


def bomb(width: int = 60000, height: int = 60000) -> bytes:
    """A JPEG of a few hundred bytes whose header claims `width` × `height` pixels."""
    data = bytearray(picture(16, 16))
    at = data.index(b"\xff\xc0")
    data[at + 5 : at + 9] = height.to_bytes(2, "big") + width.to_bytes(2, "big")
    return bytes(data)


def half(data: bytes | None = None) -> bytes:
    whole = data or picture()
    return whole[: len(whole) // 2]


def size(data: bytes) -> tuple[int, int]:
    """Width and height of a JPEG, after decoding all of it."""
    with Pillow.open(io.BytesIO(data)) as image:
        image.load()
        assert image.format == "JPEG"
        return image.size
