"""A published stream of frames: one newest frame, any number of viewers, each part built once for all of them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

from mesh import multipart
from mesh.errors import Unavailable
from mesh.frame import Frame, Newest

POLL = 1.0  # seconds: how soon a waiting viewer notices that the service stops


class Broadcast:
    """The newest frame of one stream, and who is watching. Any thread may call any method."""

    def __init__(self) -> None:
        self._newest: Newest[Frame] = Newest()
        self._part_lock = threading.Lock()
        self._part: tuple[Frame, bytes] | None = None
        self._viewers = 0
        self._viewers_lock = threading.Lock()
        self._left_at = time.monotonic()

    def publish(self, frame: Frame) -> None:
        self._newest.put(frame)

    def newest(self) -> Frame | None:
        """The newest frame, None before the first."""
        return self._newest.get()[0]

    def wait(self, seen: int, timeout: float) -> tuple[Frame | None, int]:
        """A frame newer than version `seen`, or None; and the version to pass next time."""
        return self._newest.wait(seen, timeout)

    def part(self, frame: Frame) -> bytes:
        """The multipart part of `frame`, built by whoever asks first."""
        with self._part_lock:
            if self._part is None or self._part[0] is not frame:
                self._part = (frame, multipart.part(frame))
            return self._part[1]

    def close(self) -> None:
        """End the stream for every viewer."""
        self._newest.close()

    @property
    def closed(self) -> bool:
        return self._newest.closed

    @property
    def viewers(self) -> int:
        return self._viewers

    @property
    def idle_seconds(self) -> float:
        """Seconds since the last viewer left; 0 while there is one."""
        with self._viewers_lock:
            return 0.0 if self._viewers else time.monotonic() - self._left_at

    def watch(self) -> Watch:
        """Be counted as a viewer while the returned context is open."""
        return Watch(self)

    def _count(self, change: int) -> None:
        with self._viewers_lock:
            self._viewers += change
            self._left_at = time.monotonic()


class Watch:
    """Counts one viewer of a broadcast between `__enter__` and `__exit__`."""

    def __init__(self, broadcast: Broadcast) -> None:
        self._broadcast = broadcast

    def __enter__(self) -> Broadcast:
        self._broadcast._count(+1)
        return self._broadcast

    def __exit__(self, *_exc: object) -> None:
        self._broadcast._count(-1)


class Places:
    """How many viewers a service takes at once: each holds a thread, and some threads must stay free for the rest."""

    def __init__(self, most: int) -> None:
        self.most = most
        self._taken = 0
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        with self._lock:
            if self._taken >= self.most:
                raise Unavailable(
                    f"this node already serves {self.most} viewers; try again later"
                    " or raise --threads (FOGLINE_THREADS)",
                    retry_after=5,
                )
            self._taken += 1

    def __exit__(self, *_exc: object) -> None:
        with self._lock:
            self._taken -= 1


class Pacer:
    """Lets through at most `fps` frames a second; all of them when fps is None."""

    def __init__(self, fps: float | None) -> None:
        self._period = 1 / fps if fps else 0.0
        self._due = 0.0

    def admits(self, now: float) -> bool:
        """Whether a frame at `now` (monotonic seconds) is due; if so, counts it."""
        if now < self._due - 0.002:  # the clock of a camera at the same rate may run a little early
            return False
        self._due = max(self._due + self._period, now - self._period)
        return True


def mjpeg(
    broadcast: Broadcast,
    *,
    fps: float | None,
    stopping: Callable[[], bool],
    variant: Callable[[Frame], Frame] | None = None,
    silence: float | None = None,
) -> Iterator[bytes]:
    """The parts of a stream until the broadcast closes or the service stops.

    fps: frames a second at most. variant: makes the frame that this viewer asked for (cached by whoever gives it).
    silence: seconds without a frame after which the stream ends, so that the viewer reconnects; None for never.
    """
    seen = 0
    pacer = Pacer(fps)
    quiet_since = time.monotonic()
    with broadcast.watch():
        while not stopping() and not broadcast.closed:
            frame, seen = broadcast.wait(seen, POLL)
            now = time.monotonic()
            if frame is None:
                if silence is not None and now - quiet_since > silence:
                    return
                continue
            quiet_since = now
            if not pacer.admits(now):
                continue
            yield broadcast.part(frame) if variant is None else multipart.part(variant(frame))
