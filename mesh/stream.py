"""A published stream: one newest value, any number of viewers, its bytes built once for all of them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar

from mesh import multipart
from mesh.errors import Unavailable
from mesh.frame import Frame, Newest

T = TypeVar("T")
POLL = 1.0  # seconds: how soon a waiting viewer notices that the service stops


class Published(Generic[T]):
    """The newest value of one stream, and who follows it. Any thread may call any method.

    encode: makes of a value the bytes that viewers get.
    """

    def __init__(self, encode: Callable[[T], bytes]) -> None:
        self._newest: Newest[T] = Newest()
        self._encode = encode
        self._part_lock = threading.Lock()
        self._part: tuple[T, bytes] | None = None
        self._viewers = 0
        self._viewers_lock = threading.Lock()
        self._left_at = time.monotonic()
        self._published_at = float("-inf")

    def publish(self, value: T) -> None:
        self._published_at = time.monotonic()
        self._newest.put(value)

    def newest(self) -> T | None:
        """The newest value, None before the first."""
        return self._newest.get()[0]

    def wait(self, seen: int, timeout: float) -> tuple[T | None, int]:
        """A value newer than version `seen`, or None; and the version to pass next time."""
        return self._newest.wait(seen, timeout)

    def fresh(self, max_age: float, timeout: float) -> T | None:
        """The newest value if it was published within `max_age` seconds, else the next one within `timeout` seconds.

        Counts as a viewer meanwhile, for some streams run only while they have one.
        """
        with self.watch():
            value, version = self._newest.get()
            if value is not None and time.monotonic() - self._published_at <= max_age:
                return value
            return self._newest.wait(version, timeout)[0]

    def part(self, value: T) -> bytes:
        """The bytes of `value`, built by whoever asks first."""
        with self._part_lock:
            if self._part is None or self._part[0] is not value:
                self._part = (value, self._encode(value))
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

    @contextmanager
    def watch(self) -> Iterator[None]:
        """Be counted as a viewer while the context is open."""
        self._count(+1)
        try:
            yield
        finally:
            self._count(-1)

    def _count(self, change: int) -> None:
        with self._viewers_lock:
            self._viewers += change
            self._left_at = time.monotonic()


class Broadcast(Published[Frame]):
    """A published stream of frames, each as one part of an MJPEG answer."""

    def __init__(self) -> None:
        super().__init__(multipart.part)


class Places:
    """How many viewers a service takes at once: each holds a thread, and some threads must stay free for the rest.

    Any thread may call any method.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self._taken = 0
        self._lock = threading.Lock()

    def take(self) -> Place:
        """A place for one viewer, until it is released. Raises Unavailable when there is none."""
        with self._lock:
            if self._taken >= self.most:
                raise Unavailable(
                    f"this node already serves {self.most} viewers; try again later"
                    " or raise --threads (FOGLINE_THREADS)",
                    retry_after=5,
                )
            self._taken += 1
        return Place(self)

    def _give_back(self) -> None:
        with self._lock:
            self._taken -= 1


class Place:
    """One viewer's place."""

    def __init__(self, places: Places) -> None:
        self._places: Places | None = places

    def release(self) -> None:
        """Give the place back; a second call does nothing."""
        places, self._places = self._places, None
        if places is not None:
            places._give_back()

    def __enter__(self) -> None:
        return None

    def __exit__(self, *_exc: object) -> None:
        self.release()


class Pacer:
    """Lets through at most `fps` frames a second; all of them when fps is None."""

    def __init__(self, fps: float | None) -> None:
        self._period = 1 / fps if fps else 0.0
        self._due = 0.0

    def admits(self, now: float) -> bool:
        """Whether a frame at `now` (monotonic seconds) is due; if so, counts it."""
        if now < self._due - 0.002:  # the clock of a camera at the same rate may run a little early
            return False
        # On time: keep the beat. After a pause: begin a new one, without a burst to catch up.
        self._due = max(self._due, now if self._due + self._period < now else self._due) + self._period
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


class Body:
    """A streaming answer's body: calls `left` once, when it ends or the viewer goes, read from or not."""

    def __init__(
        self, parts: Iterator[bytes], left: Callable[[], None], begins: Callable[[], None] = lambda: None
    ) -> None:
        """begins: called when the server takes the first part."""
        self._parts = parts
        self._begins = begins
        self._left: Callable[[], None] | None = left
        self._first: bytes | None = None

    def begin(self) -> bool:
        """Get the first part before the headers go out: what is wrong can then still be said with a status.

        Whether there is one. Passes on what making it raises.
        """
        try:
            self._first = next(self._parts, None)
        except BaseException:
            self.close()
            raise
        if self._first is None:
            self.close()
        return self._first is not None

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        if self._first is None:
            return next(self._parts)
        first, self._first = self._first, None
        self._begins()
        return first

    def close(self) -> None:
        """Called by the WSGI server. A second call does nothing."""
        left, self._left = self._left, None
        if left is not None:
            try:
                if isinstance(self._parts, Generator):
                    self._parts.close()
            finally:
                left()
