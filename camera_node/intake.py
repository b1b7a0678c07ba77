"""From what a source gives to a JPEG that may be published: everything is checked before anything is decoded."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass

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


@dataclass(frozen=True, slots=True)
class Taken:
    """A picture that may be published. width, height: pixels. Either a JPEG, or an image that is none yet."""

    width: int
    height: int
    jpeg: bytes | None = None
    image: Image | None = None


class Intake:
    """Checks captured pictures, and makes JPEGs of those that are none. Any thread may call.

    quality: of those JPEGs. timed: a context that measures an encoding.
    """

    def __init__(self, quality: int, timed: Callable[[], AbstractContextManager[None]]) -> None:
        self._quality = quality
        self._timed = timed

    def take(self, captured: Captured) -> Taken:
        """The picture, if it can be published. A JPEG that came is passed on byte for byte. Raises Refused."""
        if captured.data is not None:
            return self._file(captured.data)
        if captured.image is None:
            raise Refused("empty", "a picture without content")
        return self._image(captured.image)

    def encode(self, taken: Taken) -> bytes:
        """The JPEG of `taken`."""
        if taken.jpeg is not None:
            return taken.jpeg
        assert taken.image is not None
        with self._timed():
            return jpeg.encode(taken.image, self._quality)

    def _file(self, data: bytes) -> Taken:
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
                return self._image(jpeg.decode_png(data))
            except FoglineError as error:
                raise Refused("broken", error.detail) from None
        if not whole_jpeg(data):
            raise Refused("cut_off", f"the source sent a JPEG without its end ({len(data):,} bytes)")
        return Taken(found.width, found.height, jpeg=data)

    @staticmethod
    def _image(image: Image) -> Taken:
        height, width = image.shape[:2]
        if not (0 < width <= MAX_SIDE and 0 < height <= MAX_SIDE and width * height <= MAX_PIXELS):
            raise Refused("too_many_pixels", f"the source gave a picture of {width} × {height} pixels")
        return Taken(width, height, image=image)
