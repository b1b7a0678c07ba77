"""One thread that serves every viewer of a process: it sends to sockets that never block.

A viewer costs no thread here. What is new is built once and offered to all; who is still busy with an older part misses
it and gets the newest when it is free. Only this file touches the sockets; what is sent when is said by the kinds of
`Connection` (`mesh.channel`: streams, `mesh.stills`: single pictures over a connection that is kept open).
"""

from __future__ import annotations

import select
import socket
import struct
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any, ClassVar, Protocol

from mesh.logs import logger
from mesh.sending import send
from mesh.viewers import GRACE, STALLED

LOOK = 0.5  # seconds between two looks at every connection, while there is one
MOST_HEARD = 64 * 1024  # bytes that a viewer may send us; they are read and forgotten
HELD = 64 * 1024 * 1024  # bytes of older parts that slow viewers may keep in memory together
SEND_BUFFER = 128 * 1024  # bytes: with the usual buffer a slow viewer would fall seconds behind instead of skipping
IN, OUT = 1, 4  # POLLIN and POLLOUT; EPOLLIN and EPOLLOUT are the same numbers
log = logger(__name__)


class Connection:
    """One socket in the fan-out's care. Only the fan-out's thread calls the methods.

    part, offset, since: what is being sent, how many bytes of it are gone, and since when (monotonic seconds); None
    between two parts. finishing: it is closed when that part is out.
    """

    listens_when_busy: ClassVar[bool] = True
    fanout: Fanout  # from `begin` on
    __slots__ = ("fanout", "fd", "finishing", "heard", "offset", "part", "since", "sock")

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.fd = sock.fileno()
        self.part: bytes | None = None
        self.offset = 0
        self.since = 0.0
        self.finishing = False
        self.heard = 0

    def begin(self) -> None:
        """It is in the fan-out's care from now on."""

    def hear(self) -> None:
        """There is something to read, perhaps the end. Raises OSError when the peer is gone."""
        data = self.sock.recv(4096)
        self.heard += len(data)
        if not data or self.heard > MOST_HEARD:
            raise ConnectionResetError

    def resume(self) -> None:
        """There is room for more of the part."""
        if self.fanout.go_on(self):
            self.sent()

    def sent(self) -> None:
        """The part that had to wait is out."""
        if self.finishing:
            self.fanout.finish(self)

    def look(self, now: float) -> None:
        """Called about twice a second while no part is on its way. now: monotonic seconds."""

    def end(self) -> None:
        """Finish soon: the service, or what is sent here, ends."""
        self.finishing = True
        if self.part is None:
            self.fanout.finish(self)

    def left(self) -> None:
        """The connection is gone: let go of what it held. Called once."""


class Group(Protocol):
    """Connections that get the same things. `round`: something is new for all of them."""

    dirty: bool

    def round(self) -> None: ...


class Fanout:
    """`add`, `touch`, `close`, `open` and `connections` may be used by any thread, the rest by the fan-out's own.

    evicted: called for each viewer that is cut because it did not take a part in time. The thread begins with the
    first connection and ends with `close`; without connections it sleeps.
    """

    def __init__(self, evicted: Callable[[], None] = lambda: None) -> None:
        self.groups: dict[Any, Any] = {}  # kept here for the kinds of connection: they live as long as the fan-out
        self._evicted = evicted
        self._lock = threading.Lock()
        self._closed = False
        self._thread: threading.Thread | None = None
        self._added: deque[Connection] = deque()
        self._dirty: deque[Group] = deque()
        self._here: dict[int, Connection] = {}
        self._woken = False
        self._look_at = 0.0

    @property
    def open(self) -> bool:
        return not self._closed

    @property
    def connections(self) -> int:
        return len(self._here)

    def add(self, connection: Connection) -> bool:
        """Take `connection` into care; False, and nothing done, when the fan-out is closed."""
        with self._lock:
            if self._closed:
                return False
            if self._thread is None:
                self._begin()
            self._added.append(connection)
        self._wake()
        return True

    def touch(self, group: Group) -> None:
        """Something is new for `group`. Quick: streams call it for every frame."""
        if not group.dirty:
            group.dirty = True
            self._dirty.append(group)
            self._wake()

    def close(self) -> None:
        """End every connection: parts under way have a moment to get out. Returns when all are closed."""
        with self._lock:
            self._closed = True
            thread = self._thread
        if thread is not None:
            self._woken = False
            self._wake()
            thread.join(GRACE + 2)

    # --- what kinds of connection may ask for

    def push(self, connection: Connection, part: bytes) -> bool:
        """Send `part`; whether all of it went at once. Raises OSError when the peer is gone."""
        connection.part, connection.offset, connection.since = part, 0, time.monotonic()
        if self._send(connection):
            connection.part = None
            return True
        self._poll.modify(connection.fd, OUT | IN if connection.listens_when_busy else OUT)
        return False

    def stuck(self, connection: Connection, part: bytes, offset: int) -> None:
        """`part` went out up to `offset` only; go on when there is room."""
        connection.part, connection.offset, connection.since = part, offset, time.monotonic()
        self._poll.modify(connection.fd, OUT | IN if connection.listens_when_busy else OUT)

    def go_on(self, connection: Connection) -> bool:
        """Send more of the part that had to wait; whether all of it is out."""
        if not self._send(connection):
            return False
        connection.part = None
        self._poll.modify(connection.fd, IN)
        return True

    def finish(self, connection: Connection) -> None:
        """Close politely: what is in the kernel's buffer still gets there."""
        with suppress(OSError):
            connection.sock.shutdown(socket.SHUT_WR)
            connection.sock.recv(MOST_HEARD)  # unread bytes would turn the end into a reset
        self.drop(connection)

    def drop(self, connection: Connection) -> None:
        """Close, whatever state it is in. A second call does nothing."""
        if self._forget(connection):
            connection.sock.close()
            self._let_go(connection)

    def release(self, connection: Connection) -> None:
        """Give the open socket out of care; the caller goes on with it."""
        if self._forget(connection):
            self._let_go(connection)

    def attempt(self, connection: Connection, call: Callable[..., None], *arguments: float) -> None:
        """Call a method of `connection`: a peer that is gone, or a fault of ours, costs this connection only."""
        try:
            call(*arguments)
        except OSError:
            self.drop(connection)
        except Exception:  # one viewer's fault must not stop the thread that serves all
            log.exception("a viewer's connection failed; it is closed")
            self.drop(connection)

    # --- the thread

    def _begin(self) -> None:
        self._bell, self._ear = socket.socketpair()
        self._bell.setblocking(False)
        self._ear.setblocking(False)
        self._poll, self._wait = _poller()
        self._poll.register(self._ear.fileno(), IN)
        self._thread = threading.Thread(target=self._run, name="fan-out", daemon=True)
        self._thread.start()

    def _wake(self) -> None:
        if not self._woken:
            self._woken = True
            with suppress(OSError):  # full: it will wake anyway; closed: nobody is left to wake
                self._bell.send(b"\0")

    def _run(self) -> None:
        cut_at: float | None = None
        while cut_at is None or (self._here and time.monotonic() < cut_at):
            try:
                self._turn()
                if self._closed and cut_at is None:
                    cut_at = time.monotonic() + GRACE
                    for connection in list(self._here.values()):
                        self.attempt(connection, connection.end)
            except Exception:  # a defect must not end every stream of the process; the pause keeps it from spinning
                log.exception("the fan-out failed; it goes on")
                time.sleep(0.1)
        while self._added:  # came between the last turn and the end
            self._adopt(self._added.popleft())
        for connection in list(self._here.values()):
            self._cut(connection)
        self._ear.close()
        self._bell.close()
        if isinstance(self._poll, select.epoll):
            self._poll.close()

    def _turn(self) -> None:
        until = self._look_at if self._here else None
        events = self._wait(None if until is None else max(0.0, until - time.monotonic()))
        now = time.monotonic()
        for fd, happened in events:
            connection = self._here.get(fd)
            if connection is not None:
                self._handle(connection, happened)
            elif fd == self._ear.fileno():
                self._ear.recv(4096)
        # Whoever adds something does so before it looks at `_woken`: nothing from before this line is missed below.
        self._woken = False
        while self._added:
            self._adopt(self._added.popleft())
        while self._dirty:
            group = self._dirty.popleft()
            group.dirty = False
            group.round()
        if self._here and now >= self._look_at:
            self._look_at = now + LOOK
            self._look(now)

    def _adopt(self, connection: Connection) -> None:
        if not self._here:
            self._look_at = time.monotonic() + LOOK
        try:
            connection.sock.setblocking(False)
            self._poll.register(connection.fd, IN)
            self._here[connection.fd] = connection
            if connection.sock.family != socket.AF_UNIX:  # behind TLS, see mesh.tls_front
                connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
        except OSError:  # gone already
            self._here.setdefault(connection.fd, connection)
            self.drop(connection)
            return
        connection.fanout = self
        self.attempt(connection, connection.begin)

    def _handle(self, connection: Connection, happened: int) -> None:
        if happened & OUT and connection.part is not None:
            self.attempt(connection, connection.resume)
        if happened & ~OUT and connection.fd in self._here:
            self.attempt(connection, connection.hear)

    def _send(self, connection: Connection) -> bool:
        """Send on until all is out or the socket is full; whether all is out."""
        part = connection.part
        assert part is not None
        try:
            if connection.offset == 0:
                connection.offset = send(connection.fd, part)
            while connection.offset < len(part):
                connection.offset += connection.sock.send(memoryview(part)[connection.offset :])
        except BlockingIOError:
            return False
        return True

    def _look(self, now: float) -> None:
        stuck: list[Connection] = []
        for connection in list(self._here.values()):
            if connection.part is None:
                self.attempt(connection, connection.look, now)
            elif now - connection.since > STALLED:
                self._evict(connection)
            else:
                stuck.append(connection)
        held: dict[int, int] = {}
        for connection in sorted(stuck, key=lambda one: -one.since):
            if connection.part is not None:
                held[id(connection.part)] = len(connection.part)
                if sum(held.values()) > HELD and now - connection.since > 2 * LOOK:
                    self._evict(connection)

    def _evict(self, connection: Connection) -> None:
        self._cut(connection)
        self._evicted()

    def _cut(self, connection: Connection) -> None:
        with suppress(OSError):  # a reset: the kernel need not keep what the peer does not take
            connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.drop(connection)

    def _forget(self, connection: Connection) -> bool:
        if self._here.get(connection.fd) is not connection:
            return False
        del self._here[connection.fd]
        with suppress(OSError, KeyError):
            self._poll.unregister(connection.fd)
        return True

    def _let_go(self, connection: Connection) -> None:
        connection.part = None
        try:
            connection.left()
        except Exception:  # what a viewer held is somebody else's code; the others' streams go on
            log.exception("what a viewer held could not be let go")


def _poller() -> tuple[Any, Callable[[float | None], list[tuple[int, int]]]]:
    """epoll where there is one, else poll; and how to wait for so many seconds, or for ever."""
    if hasattr(select, "epoll"):
        epoll = select.epoll()
        return epoll, epoll.poll
    poll = select.poll()
    return poll, lambda seconds: poll.poll(None if seconds is None else seconds * 1000)
