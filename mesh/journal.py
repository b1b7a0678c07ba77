"""A log that many readers follow, each from its own place: nobody misses anything, and its bytes are built once.

Beside the streams of `mesh.stream`, where the newest value wins, this is for what must not be lost: events. A reader
who falls behind what the log still holds begins anew, with a whole picture of how things are.
"""

from __future__ import annotations

import socket
import threading
import time
from bisect import bisect_right
from collections.abc import Callable, Iterator
from typing import Any

from mesh.errors import Unavailable
from mesh.fanout import Connection, Fanout
from mesh.stream import KEEP_ALIVE, POLL
from mesh.viewers import Viewer

HELD = 24 * 1024 * 1024  # bytes of a log that are kept: about 20,000 events with manifests of 1 KB
PUSH = 256 * 1024  # bytes of entries that a reader is sent at once: more would only wait in its socket
SHARED = 32  # excerpts kept for those who stand at the same place; most readers have everything, and so share one
DROPPED = 8  # a log that is full drops its oldest entries by the eighth, so that most appends drop none
Place = tuple[int, ...]


class Behind(Exception):
    """The log no longer holds what comes after a reader's place."""


class Excerpt:
    """What a reader is sent next, and where it stands afterwards. Shared by all who stand at the same place."""

    __slots__ = ("_data", "_pieces", "place")

    def __init__(self, data: bytes, place: Place) -> None:
        self.place = place
        self._data = data
        self._pieces: dict[bool, list[bytes]] = {}

    def pieces(self, chunked: bool) -> list[bytes]:
        """The bytes as they go over the wire, in pieces of which a slow reader can take one in time. chunked: each as
        one HTTP chunk."""
        found = self._pieces.get(chunked)
        if found is None:
            plain = [self._data[at : at + PUSH] for at in range(0, len(self._data), PUSH)]
            found = self._pieces[chunked] = [framed(piece) for piece in plain] if chunked else plain
        return found


def framed(data: bytes) -> bytes:
    """`data` as one HTTP chunk."""
    return b"%x\r\n%b\r\n" % (len(data), data)


class Journal:
    """Entries in the order of their places, which rise. Any thread may call any method.

    floor: where a reader must stand at least to miss nothing. most: bytes kept.
    """

    def __init__(self, floor: Place = (), most: int = HELD) -> None:
        self._most = most
        self._floor = floor
        self._places: list[Place] = []
        self._parts: list[bytes] = []
        self._size = 0
        self._closed = False
        self._changed = threading.Condition()
        self._excerpts: dict[Place, Excerpt] = {}
        self._listeners: tuple[Callable[[], None], ...] = ()

    @property
    def closed(self) -> bool:
        return self._closed

    @property
    def floor(self) -> Place:
        return self._floor

    @property
    def end(self) -> Place:
        """Where a reader stands who has everything."""
        with self._changed:
            return self._last()

    def append(self, place: Place, data: bytes) -> None:
        """Add an entry. place: behind the last one's."""
        with self._changed:
            self._places.append(place)
            self._parts.append(data)
            self._size += len(data)
            if self._size > self._most:
                cut = max(1, len(self._parts) // DROPPED)
                self._floor = self._places[cut - 1]
                self._size -= sum(map(len, self._parts[:cut]))
                del self._places[:cut], self._parts[:cut]
        self._tell()

    def restart(self, floor: Place) -> None:
        """Forget everything: whoever stands before `floor` begins anew."""
        with self._changed:
            self._floor = floor
            self._places.clear()
            self._parts.clear()
            self._size = 0
        self._tell()

    def after(self, place: Place) -> Excerpt | None:
        """What comes after `place`, up to about PUSH bytes; None when there is nothing. Raises Behind."""
        with self._changed:
            found = self._excerpts.get(place)
            if found is not None:
                return found
            if place < self._floor:
                raise Behind
            first = last = bisect_right(self._places, place)
            size = 0
            while last < len(self._parts) and (last == first or size + len(self._parts[last]) <= PUSH):
                size += len(self._parts[last])
                last += 1
            if last == first:
                return None
            found = Excerpt(b"".join(self._parts[first:last]), self._places[last - 1])
            if len(self._excerpts) >= SHARED:
                self._excerpts.clear()
            self._excerpts[place] = found
            return found

    def wait(self, place: Place, timeout: float) -> None:
        """Return once there may be something for a reader at `place`, or it is closed; after `timeout` s at most."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or place < self._last(), timeout)

    def listen(self, listener: Callable[[], None]) -> None:
        """Call `listener` whenever there is something new or the log is closed, in the writer's thread: it must be
        quick and must not fail."""
        with self._changed:
            self._listeners = (*self._listeners, listener)

    def unlisten(self, listener: Callable[[], None]) -> None:
        """Undo `listen`."""
        with self._changed:
            self._listeners = tuple(one for one in self._listeners if one != listener)

    def close(self) -> None:
        """End it for every reader."""
        self._closed = True
        self._tell()

    def _last(self) -> Place:
        return self._places[-1] if self._places else self._floor

    def _tell(self) -> None:
        with self._changed:
            self._excerpts.clear()
            self._changed.notify_all()
        for listener in self._listeners:
            listener()


class Reading:
    """A streaming answer's body: one reader of a journal. Calls `left` once, when it ends or the reader goes.

    The fan-out takes it apart and sends to the reader by itself; for any other server it is a plain iterator, read by
    one thread that the reader holds.

    place: where the reader stands; None for one who is new. anew: gives the whole picture, for a reader who is new or
    has fallen behind; it must not fail. hello: bytes sent first. keep_alive: bytes sent when it is quiet for long.
    viewer: watches over the thread; None for the fan-out. ended: whether this reader's right to read is over; asked for
    every part and about twice a second, so it must be cheap, and must not fail.
    """

    chunked = True  # so that clients pass on each part as it comes

    def __init__(
        self,
        journal: Journal,
        place: Place | None,
        anew: Callable[[], Excerpt],
        *,
        hello: bytes,
        keep_alive: bytes,
        left: Callable[[], None],
        viewer: Viewer | None = None,
        ended: Callable[[], bool] = lambda: False,
    ) -> None:
        self.journal = journal
        self._ended = ended
        self.hello = hello
        self.keep_alive = keep_alive
        self._place = place
        self._anew = anew
        self._left: Callable[[], None] | None = left
        self._viewer = viewer
        self._pieces: list[bytes] = []
        self._taken = 0  # of the pieces
        self._parts = self._generate()

    @property
    def over(self) -> bool:
        """The journal was closed, or this reader may read no more."""
        return self.journal.closed or self._ended()

    def take(self, chunked: bool) -> bytes | None:
        """What is next for this reader, who counts as having got it; None when there is nothing. chunked: as one HTTP
        chunk."""
        if self._taken == len(self._pieces):
            try:
                found = self._anew() if self._place is None else self.journal.after(self._place)
            except Behind:
                found = self._anew()
            self._pieces, self._taken = ([], 0) if found is None else (found.pieces(chunked), 0)
            if found is None:
                return None
            self._place = found.place
        self._taken += 1
        return self._pieces[self._taken - 1]

    def lost(self) -> Unavailable:
        """The error for a reader who comes when the service ends."""
        return Unavailable("this service is stopping; connect again", retry_after=1)

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        viewer = self._viewer
        if viewer is not None:
            viewer.sending_since = None
        part: bytes = next(self._parts)
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

    def _generate(self) -> Any:  # a generator, which has `close`
        yield self.hello
        comforted = time.monotonic()
        while not self.over:
            part = self.take(chunked=False)
            if part is not None:
                comforted = time.monotonic()
                yield part
                continue
            if time.monotonic() - comforted > KEEP_ALIVE:
                comforted = time.monotonic()
                yield self.keep_alive
            self.journal.wait(self._place or (), POLL)


class JournalChannel:
    """The readers of one journal in the fan-out; only the fan-out's thread uses it."""

    def __init__(self, fanout: Fanout, journal: Journal) -> None:
        self.dirty = False
        self._fanout = fanout
        self._journal = journal
        self._readers: dict[JournalReader, None] = {}
        self._news = lambda: fanout.touch(self)
        journal.listen(self._news)

    @classmethod
    def of(cls, fanout: Fanout, journal: Journal) -> JournalChannel:
        found = fanout.groups.get(journal)
        if found is None:
            found = fanout.groups[journal] = cls(fanout, journal)
        channel: JournalChannel = found
        return channel

    def enter(self, reader: JournalReader) -> None:
        self._readers[reader] = None

    def leave(self, reader: JournalReader) -> None:
        self._readers.pop(reader, None)
        if not self._readers and self._fanout.groups.pop(self._journal, None) is not None:
            self._journal.unlisten(self._news)

    def round(self) -> None:
        """Give every reader who is free what it has not got."""
        for reader in tuple(self._readers):
            self._fanout.attempt(reader, reader.end if self._journal.closed else reader.read_on)


class JournalReader(Connection):
    """One reader of a journal over one connection. head: the answer's status line and headers. chunked: whether that
    head announces HTTP chunks."""

    __slots__ = ("_channel", "_chunked", "_head", "_quiet_since", "_reading")

    def __init__(self, sock: socket.socket, reading: Reading, head: bytes, *, chunked: bool) -> None:
        super().__init__(sock)
        self._reading = reading
        self._head = head
        self._chunked = chunked
        self._channel: JournalChannel | None = None
        self._quiet_since = time.monotonic()

    def begin(self) -> None:
        self._channel = JournalChannel.of(self.fanout, self._reading.journal)
        self._channel.enter(self)
        if self.fanout.push(self, self._head + self._framed(self._reading.hello)):
            self.read_on()

    def read_on(self) -> None:
        """Send what the reader has not got, until its socket is full."""
        while self.part is None and not self.finishing:
            if self._reading.over:
                self.end()
                return
            part = self._reading.take(self._chunked)
            if part is None:
                return
            self._quiet_since = time.monotonic()
            self.fanout.push(self, part)

    def sent(self) -> None:
        if self.finishing:
            self._last_words()
        else:
            self.read_on()

    def look(self, now: float) -> None:
        if self._reading.over:
            self.end()
        elif now - self._quiet_since > KEEP_ALIVE:
            self._quiet_since = now
            self.fanout.push(self, self._framed(self._reading.keep_alive))

    def end(self) -> None:
        if not self.finishing:
            self.finishing = True
            if self.part is None:
                self._last_words()

    def left(self) -> None:
        if self._channel is not None:
            self._channel.leave(self)
        self._reading.close()

    def _last_words(self) -> None:
        if self._chunked:
            self._chunked = False
            self.fanout.push(self, b"0\r\n\r\n")
        if self.part is None:
            self.fanout.finish(self)

    def _framed(self, data: bytes) -> bytes:
        return framed(data) if self._chunked else data
