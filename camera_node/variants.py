"""Other sizes and qualities of a frame, each made once for all who want it."""

from __future__ import annotations

import threading
from collections import Counter, OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from camera_node import jpeg
from camera_node.metrics import Metrics
from mesh.errors import Unavailable
from mesh.frame import Frame

MOST = 16  # different variants of streams at once, and as many of stills a frame: each costs an encoding a frame
KEPT = 3  # frames whose variants are kept: a viewer may be one or two behind
QUALITY = 80  # of a variant whose quality nobody asked for


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a viewer asks for. width, height: the picture fits into them, with its shape kept; it is never enlarged.
    downsample: divides both sides after that. quality: of the JPEG, 1 to 100. None: as the source gives it."""

    width: int | None = None
    height: int | None = None
    downsample: int = 1
    quality: int | None = None

    def size(self, width: int, height: int) -> tuple[int, int]:
        """The size in pixels at which a frame of `width` × `height` fits; at least 1 × 1."""
        scale = min(1.0, (self.width or width) / width, (self.height or height) / height) / self.downsample
        return max(1, round(width * scale)), max(1, round(height * scale))


@dataclass(slots=True)
class _Entry:
    """One variant of one frame: made by whoever holds the lock first."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    made: Frame | None = None


_Key = tuple[int, int, int | None]


class Variants:
    """The variants of one camera's frames. Any thread may call any method."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._lock = threading.Lock()
        self._frames: OrderedDict[int, tuple[Frame, dict[_Key, _Entry]]] = OrderedDict()
        self._held: Counter[Wanted] = Counter()

    @contextmanager
    def hold(self, wanted: Wanted) -> Iterator[None]:
        """Keep a place for a stream's variant. Raises Unavailable when streams already want too many different ones."""
        with self._lock:
            if wanted not in self._held and len(self._held) >= MOST:
                raise Unavailable(
                    f"viewers already watch {MOST} different sizes of this camera; ask for one of those, or for the"
                    " whole picture",
                    retry_after=5,
                )
            self._held[wanted] += 1
        try:
            yield
        finally:
            with self._lock:
                self._held[wanted] -= 1
                if self._held[wanted] <= 0:
                    del self._held[wanted]

    def get(self, frame: Frame, wanted: Wanted) -> Frame:
        """`frame` as it is `wanted`: itself where that asks for nothing else.

        Raises Unavailable when too many different ones of this frame are wanted, UnsupportedMedia when the frame
        cannot be decoded.
        """
        width, height = wanted.size(frame.width, frame.height)
        if (width, height) == (frame.width, frame.height) and wanted.quality is None:
            return frame
        entry = self._entry(frame, (width, height, wanted.quality), wanted)
        with entry.lock:
            if entry.made is None:
                entry.made = self._make(frame, width, height, wanted.quality or QUALITY)
            return entry.made

    def _entry(self, frame: Frame, key: _Key, wanted: Wanted) -> _Entry:
        with self._lock:
            found = self._frames.get(frame.sequence)
            if found is None:
                found = self._frames[frame.sequence] = (frame, {})
                while len(self._frames) > KEPT:
                    self._frames.pop(min(self._frames))
            entries = found[1]
            entry = entries.get(key)
            if entry is None:
                stills = len(entries) - len(self._held)
                if wanted not in self._held and stills >= MOST:
                    raise Unavailable("too many different sizes of one picture are wanted at once", retry_after=1)
                entry = entries[key] = _Entry()
            return entry

    def _make(self, frame: Frame, width: int, height: int, quality: int) -> Frame:
        with self._metrics.encoding("variant"):
            image = jpeg.resize(jpeg.decode_at_least(frame.jpeg, width, height), width, height)
            data = jpeg.encode(image, quality)
        return Frame(data, frame.sequence, frame.captured_at, width, height, no_signal=frame.no_signal)
