"""Single pictures of a pipeline at other sizes: drawn when somebody asks, once for all who want the same of one frame.

Whoever looks at many sessions at once wants a small picture of each about once a second. So nothing is drawn or encoded
for the frames in between, and a frame is scaled before it is drawn on; often the detector has had it decoded already.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from compute_node import jpeg
from compute_node.drawing import annotated, fitting
from compute_node.found import Found
from compute_node.metrics import Metrics
from compute_node.picture import Picture
from mesh.errors import Unavailable
from mesh.frame import Frame, Newest

MOST = 16  # different pictures of one frame: each costs an encoding


@dataclass(frozen=True, slots=True)
class Wanted:
    """What somebody asks for. width, height: the picture fits into them, with its shape kept; it is never enlarged.
    quality: of the JPEG, 1 to 100. None: as the stream has it."""

    width: int | None = None
    height: int | None = None
    quality: int | None = None


@dataclass(slots=True)
class _Entry:
    """One picture of one frame: made by whoever holds the lock first."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    made: Frame | None = None


@dataclass(frozen=True, slots=True)
class _Looked:
    """A frame and what was found in it. size: of its annotated picture in the stream. at: monotonic seconds."""

    picture: Picture
    found: Found
    size: tuple[int, int]
    at: float
    entries: dict[tuple[int, int, int], _Entry] = field(default_factory=dict)


class Stills:
    """Any thread may call any method. quality: of a picture whose quality nobody asked for."""

    def __init__(self, quality: int, metrics: Metrics) -> None:
        self._quality = quality
        self._metrics = metrics
        self._newest: Newest[_Looked] = Newest()
        self._lock = threading.Lock()

    def put(self, picture: Picture, found: Found, size: tuple[int, int]) -> None:
        """From now on this is the newest. Cheap. size: of its annotated picture in the stream, in pixels."""
        self._newest.put(_Looked(picture, found, size, time.monotonic()))

    def close(self) -> None:
        """End every wait."""
        self._newest.close()

    def get(self, wanted: Wanted, max_age: float, timeout: float) -> Frame | None:
        """The newest frame as it is `wanted`, if it came within `max_age` seconds, else the next one; None when none
        comes within `timeout` seconds.

        Raises Unavailable when too many different pictures of it are wanted, UnsupportedMedia for a broken one.
        """
        looked, version = self._newest.get()
        if looked is None or time.monotonic() - looked.at > max_age:
            looked, _ = self._newest.wait(version, timeout)
        return None if looked is None else self._made(looked, wanted)

    def _made(self, looked: _Looked, wanted: Wanted) -> Frame:
        base = replace(looked.found.frame, width=looked.size[0], height=looked.size[1])
        width, height = fitting(base, wanted.width, wanted.height)
        quality = wanted.quality or self._quality
        with self._lock:
            entry = looked.entries.get((width, height, quality))
            if entry is None:
                if len(looked.entries) >= MOST:
                    raise Unavailable("too many different sizes of one picture are wanted at once", retry_after=1)
                entry = looked.entries[width, height, quality] = _Entry()
        with entry.lock:
            if entry.made is None:
                with self._metrics.stills.time():
                    entry.made = _make(looked, (width, height), quality)
            return entry.made


def _make(looked: _Looked, size: tuple[int, int], quality: int) -> Frame:
    picture, found = looked.picture, looked.found
    image = picture.pixels(picture.divisor(*size))
    if found.error is None:
        return annotated(picture, image, size, found, quality=quality, timed=_untimed)
    small = image if (image.shape[1], image.shape[0]) == size else jpeg.scaled(image, size)
    data = jpeg.encode(small, quality)
    return replace(found.frame, jpeg=data, width=size[0], height=size[1])


@contextmanager
def _untimed(_stage: str) -> Iterator[None]:
    yield
