"""A published stream: one newest value, any number of viewers, its bytes built once for all of them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from mesh import multipart
from mesh.errors import FoglineError
from mesh.frame import Frame, Newest
from mesh.rate import Recent
from mesh.viewers import Viewer

T = TypeVar("T")
POLL = 1.0  # seconds: how soon a viewer's thread notices that its stream has ended otherwise than by being closed
KEEP_ALIVE = 10.0  # seconds of quiet after which a stream that has a keep-alive sends it, so that proxies leave it open


class Outflow:
    """What became of a stream's parts. sent: parts given to viewers. skipped: parts that a viewer missed because it
    was busy with an older one. send: from a part's publication until all viewers who keep up have it.

    Any thread may call; the figures may be read at any time without a lock.
    """

    def __init__(self) -> None:
        self.sent = 0
        self.skipped = 0
        self.send = Recent()
        self.told: Callable[[float], None] = lambda _seconds: None  # also hears what `send` is given
        self._lock = threading.Lock()
        self._open: tuple[int, float] | None = None

    def round(self, sent: int, skipped: int, seconds: float | None) -> None:
        """One part was given to `sent` viewers within `seconds` of its publication, and `skipped` were busy."""
        with self._lock:
            self.sent += sent
            self.skipped += skipped
        if seconds is not None:
            self.send.add(seconds)
            self.told(seconds)

    def one(self, version: int, skipped: int, seconds: float) -> None:
        """One viewer's own thread gave it the part `version`, `seconds` after its publication. The slowest counts."""
        finished = None
        with self._lock:
            self.sent += 1
            self.skipped += skipped
            if self._open is None or self._open[0] == version:
                self._open = (version, max(seconds, self._open[1] if self._open else 0.0))
            elif version > self._open[0]:
                finished, self._open = self._open[1], (version, seconds)
        if finished is not None:
            self.send.add(finished)
            self.told(finished)


@dataclass(frozen=True, slots=True)
class Item(Generic[T]):
    """A published value, its number (from 1 on), and when it was published (monotonic seconds)."""

    value: T
    version: int
    at: float


class Published(Generic[T]):
    """The newest value of one stream, and who follows it. Any thread may call any method.

    encode: makes of a value the bytes that viewers get. outflow: shared with another stream where both are one to
    those who ask for figures.
    """

    def __init__(self, encode: Callable[[T], bytes], outflow: Outflow | None = None) -> None:
        self.feed: Feed[T] = Feed(self, encode)
        self.outflow = outflow or Outflow()
        self._newest: Newest[tuple[T, float]] = Newest()
        self._viewers = 0
        self._lock = threading.Lock()
        self._left_at = time.monotonic()
        self._listeners: tuple[Callable[[], None], ...] = ()

    def publish(self, value: T) -> None:
        self._newest.put((value, time.monotonic()))
        for listener in self._listeners:
            listener()

    def newest(self) -> T | None:
        """The newest value, None before the first."""
        item = self.latest()
        return None if item is None else item.value

    def latest(self) -> Item[T] | None:
        """The newest value with its number and time, None before the first."""
        found, version = self._newest.get()
        return None if found is None else Item(found[0], version, found[1])

    def after(self, seen: int, timeout: float) -> Item[T] | None:
        """The newest value once its number is above `seen`; None when none came within `timeout` seconds."""
        found, version = self._newest.wait(seen, timeout)
        return None if found is None else Item(found[0], version, found[1])

    def wait(self, seen: int, timeout: float) -> tuple[T | None, int]:
        """A value newer than version `seen`, or None; and the version to pass next time."""
        item = self.after(seen, timeout)
        return (None, seen) if item is None else (item.value, item.version)

    def recent(self, max_age: float) -> T | None:
        """The newest value if it was published within `max_age` seconds. Never waits."""
        item = self.latest()
        return item.value if item is not None and time.monotonic() - item.at <= max_age else None

    def fresh(self, max_age: float, timeout: float) -> T | None:
        """The newest value if it was published within `max_age` seconds, else the next one within `timeout` seconds.

        Counts as a viewer meanwhile, for some streams run only while they have one.
        """
        with self.watch():
            item = self.latest()
            if item is not None and time.monotonic() - item.at <= max_age:
                return item.value
            return self.wait(0 if item is None else item.version, timeout)[0]

    def listen(self, listener: Callable[[], None]) -> None:
        """Call `listener` from now on whenever there is something new or the stream is closed, in the publisher's
        thread: it must be quick and must not fail."""
        with self._lock:
            self._listeners = (*self._listeners, listener)

    def unlisten(self, listener: Callable[[], None]) -> None:
        """Undo `listen`."""
        with self._lock:
            self._listeners = tuple(one for one in self._listeners if one != listener)

    def close(self) -> None:
        """End the stream for every viewer."""
        self._newest.close()
        for listener in self._listeners:
            listener()

    @property
    def closed(self) -> bool:
        return self._newest.closed

    @property
    def viewers(self) -> int:
        return self._viewers

    @property
    def idle_seconds(self) -> float:
        """Seconds since the last viewer left; 0 while there is one."""
        with self._lock:
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
        with self._lock:
            self._viewers += change
            self._left_at = time.monotonic()


class Feed(Generic[T]):
    """A published stream as bytes: what all who want it in the same form share. Any thread may call."""

    def __init__(self, published: Published[T], encode: Callable[[T], bytes]) -> None:
        self.published = published
        self._encode = encode
        self._lock = threading.Lock()
        self._part: tuple[T, bytes] | None = None

    def part(self, value: T) -> bytes:
        """The bytes of `value`, built by whoever asks first."""
        with self._lock:
            if self._part is None or self._part[0] is not value:
                self._part = (value, self._encode(value))
            return self._part[1]


class Broadcast(Published[Frame]):
    """A published stream of frames, each as one part of an MJPEG answer."""

    def __init__(self, outflow: Outflow | None = None) -> None:
        super().__init__(multipart.part, outflow)


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


@dataclass(frozen=True, kw_only=True)
class Manner:
    """How one viewer is to get a feed.

    fps: frames a second at most. silence: seconds without anything new after which the stream ends, so that the viewer
    reconnects; None for never. fresh: seconds; a value that was published longer ago is not shown to a viewer who
    comes, who waits for the next one. chunked: whether the fan-out sends HTTP chunks to those who read them, so that
    clients pass on each part as it comes; pictures have a length of their own, and are cheaper to read without. hello:
    bytes sent at once; without them the answer begins with the first part,
    and until then can still become an error. keep_alive: bytes sent when it is quiet for long. ended: whether the
    stream is over: asked before every part, so it must be quick, and about once a second besides. lost: the error for
    a viewer for whom no first part came.
    """

    ended: Callable[[], bool]
    lost: Callable[[], FoglineError]
    fps: float | None = None
    silence: float | None = None
    fresh: float | None = None
    chunked: bool = False
    hello: bytes = b""
    keep_alive: bytes = b""

    def begins_after(self, published: Published[Any]) -> int:
        """The number of the last value that a viewer who comes now does not get to see."""
        item = published.latest()
        if item is None:
            return 0
        stale = self.fresh is not None and time.monotonic() - item.at > self.fresh
        return item.version if stale else item.version - 1


class Live:
    """A streaming answer's body: one viewer of `feed`. Calls `left` once, when it ends or the viewer goes, read from
    or not.

    The fan-out takes it apart and sends to the viewer by itself; for any other server it is a plain iterator of parts,
    read by one thread that the viewer holds. viewer: watches over that thread; None for the fan-out.
    """

    def __init__(
        self, feed: Feed[Any], manner: Manner, *, left: Callable[[], None], viewer: Viewer | None = None
    ) -> None:
        self.feed = feed
        self.manner = manner
        self._left: Callable[[], None] | None = left
        self._viewer = viewer
        self._parts = self._generate()
        self._first: bytes | None = None

    @property
    def chunked(self) -> bool:
        """See `Manner`."""
        return self.manner.chunked

    def lost(self) -> FoglineError:
        """The error for a viewer for whom no first part came."""
        return self.manner.lost()

    def begin(self) -> None:
        """Wait for the first part before the headers go out: what is wrong can then still be said with a status.

        Raises what `manner.lost` gives when none comes.
        """
        try:
            self._first = next(self._parts, None)
            if self._first is None:
                raise self.manner.lost()
        except BaseException:
            self.close()
            raise

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        viewer = self._viewer
        if viewer is not None:
            viewer.sending_since = None
        part, self._first = self._first, None
        if part is None:
            part = next(self._parts)
        if viewer is not None:
            viewer.answered = True
            viewer.sending_since = time.monotonic()
        return part

    def close(self) -> None:
        """Called by the WSGI server or the fan-out. A second call does nothing."""
        left, self._left = self._left, None
        if left is not None:
            try:
                self._parts.close()
            finally:
                left()

    def _generate(self) -> Any:
        manner, published = self.manner, self.feed.published
        pacer = Pacer(manner.fps)
        seen = given = manner.begins_after(published)
        if manner.hello:
            yield manner.hello
        newest: Item[Any] | None = None
        skipped = 0
        quiet_since = comforted = time.monotonic()
        while not (manner.ended() or published.closed):
            item = published.after(seen, POLL)
            now = time.monotonic()
            if item is not None:
                skipped += item.version - seen - 1
                seen, newest, quiet_since, comforted = item.version, item, now, now
            elif manner.silence is not None and now - quiet_since > manner.silence:
                return
            # Without anything new, what the pacer held back may be due by now.
            if newest is not None and newest.version > given and pacer.admits(now):
                if manner.ended():  # the wait may have been long: this process may have been stopped meanwhile
                    return
                given = newest.version
                yield self.feed.part(newest.value)
                published.outflow.one(newest.version, skipped, time.monotonic() - newest.at)
                skipped = 0
            elif item is None and manner.keep_alive and now - comforted > KEEP_ALIVE:
                comforted = now
                yield manner.keep_alive
