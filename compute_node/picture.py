"""A camera's frame on its way through the pipelines: decoded once for all who want it, and only if one does."""

from __future__ import annotations

import threading

from compute_node import jpeg
from compute_node.algorithms.base import Image
from mesh.errors import FoglineError
from mesh.frame import Frame

GATE_WIDTH = 160  # pixels of the grey picture by which motion is noticed: an eighth of 720p's


class Wishes:
    """How large those who share a camera want its pictures, so that the first to decode one serves them all.

    Any thread may call any method.
    """

    def __init__(self) -> None:
        self._divisors: dict[object, int] = {}

    def wish(self, who: object, divisor: int) -> None:
        """`who` wants sides divided by `divisor` from now on."""
        self._divisors[who] = divisor

    def forget(self, who: object) -> None:
        self._divisors.pop(who, None)

    @property
    def finest(self) -> int:
        """The least divisor that anybody wishes."""
        return min(self._divisors.copy().values(), default=max(jpeg.DIVISORS))


class Picture:
    """One frame and, once somebody asks, its pixels. Any thread may call any method."""

    def __init__(self, frame: Frame, wishes: Wishes) -> None:
        self.frame = frame
        self._wishes = wishes
        self._lock = threading.Lock()
        self._image: Image | None = None
        self._divisor = 0  # of `_image`
        self._takers = 0  # how many have been given `_image` and may still look at it
        self._grey: Image | None = None
        self._broken: FoglineError | None = None

    def divisor(self, width: int, height: int) -> int:
        """The largest of `jpeg.DIVISORS` that leaves at least `width` × `height` pixels; 1 where none does."""
        frame = self.frame
        fits = (d for d in jpeg.DIVISORS if -(-frame.width // d) >= width and -(-frame.height // d) >= height)
        return next(fits, 1)

    def pixels(self, divisor: int) -> Image:
        """The picture with its sides divided by `divisor` or less. Shared: nobody may draw on it; see `canvas`.

        Raises UnsupportedMedia when the JPEG is broken inside.
        """
        with self._lock:
            if self._broken is not None:
                raise self._broken
            if self._image is None or self._divisor > divisor:
                self._divisor = min(divisor, self._wishes.finest)
                try:
                    self._image = jpeg.decode(self.frame.jpeg, self._divisor)
                except FoglineError as error:
                    self._broken = error
                    raise
                self._image.flags.writeable = False  # what somebody draws would be seen by the others
                self._takers = 0
            self._takers += 1
            return self._image

    def canvas(self, image: Image) -> Image:
        """`image`, which `pixels` gave the caller, to be drawn on: itself if nobody else has it, else a copy."""
        with self._lock:
            if image is self._image:
                self._takers -= 1
                if self._takers == 0:
                    self._image = None
                    image.flags.writeable = True
                    return image
        return image.copy()

    def grey(self) -> Image:
        """A small grey picture, uint8 rows × columns × 1, at least `GATE_WIDTH` wide where the frame is. Shared."""
        with self._lock:
            if self._grey is None:
                frame = self.frame
                width = min(GATE_WIDTH, frame.width)
                self._grey = jpeg.decode_grey(frame.jpeg, width, max(1, frame.height * width // frame.width))
            return self._grey
