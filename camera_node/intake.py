"""From what a source gives to a JPEG that may be published: everything is checked before anything is decoded."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager

from camera_node import jpeg
from camera_node.sources.base import Captured, Image
from mesh.errors import FoglineError, TooLarge, UnsupportedMedia
from mesh.picture import MAX_BYTES, MAX_PIXELS, MAX_SIDE, inspect, whole_jpeg


class Refused(Exception):
    """A picture that is not published. kind: one word for the metric. words: for people."""

    def __init__(self, kind: str, words: str) -> None:
        super().__init__(words)
        self.kind = kind
        self.words = words


class Intake:
    """Makes JPEGs of captured pictures. One thread.

    quality: of those that did not come as JPEG. timed: a context that measures an encoding.
    """

    def __init__(self, quality: int, timed: Callable[[], AbstractContextManager[None]]) -> None:
        self._quality = quality
        self._timed = timed

    def take(self, captured: Captured) -> tuple[bytes, int, int]:
        """JPEG, width and height in pixels. A JPEG that came is passed on byte for byte. Raises Refused."""
        if captured.data is not None:
            return self._file(captured.data)
        if captured.image is None:
            raise Refused("empty", "a picture without content")
        return self._encode(captured.image)

    def _file(self, data: bytes) -> tuple[bytes, int, int]:
        try:
            found = inspect(data)
        except TooLarge as error:
            raise Refused("too_large" if len(data) > MAX_BYTES else "too_many_pixels", error.detail) from None
        except UnsupportedMedia:
            # inspect's words are for somebody who uploads; these are for somebody who looks at a camera
            what = "a JPEG that is broken" if data[:2] == b"\xff\xd8" else "something that is no JPEG or PNG"
            raise Refused("broken", f"the source sent {what} ({len(data):,} bytes)") from None
        if found.format == "png":
            try:
                return self._encode(jpeg.decode_png(data))
            except FoglineError as error:
                raise Refused("broken", error.detail) from None
        if not whole_jpeg(data):
            raise Refused("cut_off", f"the source sent a JPEG without its end ({len(data):,} bytes)")
        return data, found.width, found.height

    def _encode(self, image: Image) -> tuple[bytes, int, int]:
        height, width = image.shape[:2]
        if not (0 < width <= MAX_SIDE and 0 < height <= MAX_SIDE and width * height <= MAX_PIXELS):
            raise Refused("too_many_pixels", f"the source gave a picture of {width} × {height} pixels")
        with self._timed():
            return jpeg.encode(image, self._quality), width, height
