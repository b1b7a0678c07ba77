"""Other sizes and qualities of a frame, each made once for all who want it."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from camera_node import jpeg
from camera_node.derived import Derived
from camera_node.metrics import Metrics
from mesh.errors import Unavailable, UnsupportedMedia
from mesh.frame import Frame
from mesh.stream import Broadcast

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
class _Stream:
    """One variant that is being made, and for how many viewers."""

    derived: Derived
    viewers: int = 0


@dataclass(slots=True)
class _Entry:
    """One variant of one frame: made by whoever holds the lock first."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    made: Frame | None = None


_Key = tuple[int, int, int | None]
_StreamKey = tuple[Wanted, float | None]


class Variants:
    """The variants of one camera's frames, `source`. Any thread may call any method."""

    def __init__(self, source: Broadcast, metrics: Metrics) -> None:
        self._source = source
        self._metrics = metrics
        self._lock = threading.Lock()
        self._frames: OrderedDict[int, tuple[Frame, dict[_Key, _Entry]]] = OrderedDict()
        self._streams: dict[_StreamKey, _Stream] = {}

    @contextmanager
    def stream(self, wanted: Wanted, fps: float | None) -> Iterator[Broadcast]:
        """The frames as they are `wanted`, at most `fps` a second, made while somebody has this context open.

        Raises Unavailable when streams already want too many different ones.
        """
        key = (wanted, fps)
        with self._lock:
            found = self._streams.get(key)
            if found is None:
                if len(self._streams) >= MOST:
                    raise Unavailable(
                        f"viewers already watch {MOST} different sizes of this camera; ask for one of those, or for the"
                        " whole picture",
                        retry_after=5,
                    )
                found = self._streams[key] = _Stream(Derived(self._source, lambda f: self._shown(f, wanted), fps))
            found.viewers += 1
        try:
            yield found.derived.broadcast
        finally:
            with self._lock:
                found.viewers -= 1
                if found.viewers == 0:
                    del self._streams[key]
                    found.derived.stop()

    def running(self, wanted: Wanted) -> Broadcast | None:
        """The stream of this variant at the camera's own rate, if somebody watches it."""
        with self._lock:
            found = self._streams.get((wanted, None))
            return None if found is None else found.derived.broadcast

    def _shown(self, frame: Frame, wanted: Wanted) -> Frame:
        try:
            return self.get(frame, wanted)
        except UnsupportedMedia:
            # Checked by its header but broken inside. The stream goes on; a viewer sees the picture as it came.
            self._metrics.refused("undecodable")
            return frame

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
                streamed = {of for of, _ in self._streams}
                if wanted not in streamed and len(entries) - len(streamed) >= MOST:
                    raise Unavailable("too many different sizes of one picture are wanted at once", retry_after=1)
                entry = entries[key] = _Entry()
            return entry

    def _make(self, frame: Frame, width: int, height: int, quality: int) -> Frame:
        with self._metrics.encoding("variant"):
            image = jpeg.resize(jpeg.decode_at_least(frame.jpeg, width, height), width, height)
            data = jpeg.encode(image, quality)
        return Frame(data, frame.sequence, frame.captured_at, width, height, no_signal=frame.no_signal)
