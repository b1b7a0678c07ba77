"""gunicorn's thread worker, made patient: a request takes a thread only once it is there.

gunicorn 27's own waits in a thread for the first byte of a new connection, and for as long as the client likes for the
rest: 64 clients that say nothing, or little, stop a service with 64 threads. Here the main thread collects a request's
head from sockets that never block. A body is waited for in a thread, within bounds, and when half of the threads do so,
who has waited longest is cut. Connections are counted by client and in all (`mesh.connections`).

It leans on what gunicorn 27.0 does inside; tests/mesh/test_handoff.py fails when that changes.
"""

from __future__ import annotations

import errno
import selectors
import socket
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from gunicorn.http.unreader import SocketUnreader
from gunicorn.workers import gthread

from mesh.connections import Connections
from mesh.errors import FoglineError, TooLarge, TooMany, Unavailable
from mesh.limits import (
    BODY_SECONDS,
    HEAD_SECONDS,
    MAX_CONNECTIONS_PER_CLIENT,
    MAX_HEAD_BYTES,
    SILENT_SECONDS,
    TAKE_SECONDS,
)
from mesh.refusal import refusal

HERE = "127.0.0.1"
AT_ONCE = 64  # connections accepted before others are looked at
MOST_READ = 16 * 1024  # bytes of a head read at once
PARDON = 0.5  # seconds for which nobody is cut who waits for a body
LOOK = 0.5  # seconds between two looks for those that are late
LINGER = 0.5  # seconds that a stopping service waits for the rest of a head
_NO_FILES = 0.05  # seconds until the next try when no file is left


class TooSlow(FoglineError):
    """A request that does not become whole in time."""

    status = 408
    title = "Too slow"


@dataclass(slots=True)
class _Head:
    """What has come of a request. due: monotonic seconds when it must be whole, or have begun."""

    due: float
    data: bytearray = field(default_factory=bytearray)


class Waiting:
    """Those whose thread waits for the rest of a request. Any thread may call any method. most: at once."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._since: dict[PatientReader, float] = {}

    def begin(self, reader: PatientReader) -> None:
        now = time.monotonic()
        with self._lock:
            longest = next(iter(self._since.items()), None)
            if longest is not None and len(self._since) >= self._most and now - longest[1] > PARDON:
                del self._since[longest[0]]
                longest[0].cut()
            self._since[reader] = now

    def sweep(self) -> None:
        """Cut those who are too many. Called every second: nobody can begin while every thread waits."""
        now = time.monotonic()
        with self._lock:
            for reader, since in list(self._since.items())[: max(0, len(self._since) - self._most)]:
                if now - since > PARDON:
                    del self._since[reader]
                    reader.cut()

    def end(self, reader: PatientReader) -> None:
        with self._lock:
            self._since.pop(reader, None)


class PatientReader(SocketUnreader):  # type: ignore[misc]  # gunicorn has no types
    """Reads one connection's requests; what comes too late, or not in time for others, counts as its end."""

    def __init__(self, sock: socket.socket, waiting: Waiting) -> None:
        super().__init__(sock)
        self._waiting = waiting
        self._due = 0.0
        self.late = False

    def begin(self) -> None:
        """The next request is read from now on."""
        self._due = time.monotonic() + BODY_SECONDS

    def cut(self) -> None:
        """End it for good. Any thread may call it."""
        self.late = True
        with suppress(OSError):  # it has gone by itself
            self.sock.shutdown(socket.SHUT_RD)

    def chunk(self, size_hint: int | None = None) -> bytes:
        size = min(size_hint, self.max_body_chunk) if size_hint and size_hint > self.mxchunk else self.mxchunk
        usual = self.sock.gettimeout()
        with suppress(BlockingIOError):
            if usual is None:
                there: bytes = self.sock.recv(size, socket.MSG_DONTWAIT)
                return there
        left = self._due - time.monotonic()
        self._waiting.begin(self)
        try:
            if left <= 0:
                raise TimeoutError
            self.sock.settimeout(left if usual is None else min(left, usual))
            data: bytes = self.sock.recv(size)
            return data
        except TimeoutError:
            self.late = True
            return b""
        finally:
            self._waiting.end(self)
            with suppress(OSError):  # it was closed meanwhile
                self.sock.settimeout(usual)


class Worker(gthread.ThreadWorker):  # type: ignore[misc]
    """See above. All but `handle` and what it calls runs in the main thread."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.connections = Connections()
        self._waiting = Waiting(max(1, self.cfg.threads // 2))
        self._look_at = 0.0
        self._silent: dict[Any, _Head] = {}  # new connections that have said nothing, the oldest first
        self._heads: dict[Any, _Head] = {}  # those of which a head is under way, likewise

    # --- new connections

    def accept(self, listener: Any) -> None:
        for _ in range(AT_ONCE):
            try:
                sock, address = listener.accept()
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno not in (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM):
                    return  # it left before it was taken
                if not self._make_room():
                    time.sleep(_NO_FILES)
                return
            client = str(address[0]) if address else HERE  # behind TLS: the front has counted it
            problem = self._problem(client)
            if problem is not None:
                _refuse(sock, problem)
                continue
            self.connections.add(sock, client)
            sock.setblocking(False)
            if address and hasattr(socket, "TCP_USER_TIMEOUT"):
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(TAKE_SECONDS * 1000))
            self.nr_conns += 1
            connection = gthread.TConn(self.cfg, sock, address, listener.getsockname())
            self._silent[connection] = _Head(time.monotonic() + SILENT_SECONDS)
            if not self._hear_at_once(connection):
                self.poller.register(sock, selectors.EVENT_READ, partial(self._hear, connection))

    def _problem(self, client: str) -> FoglineError | None:
        """Why `client` cannot have one more connection."""
        if self.connections.has_too_many(client):
            return TooMany(
                f"{client} has {MAX_CONNECTIONS_PER_CLIENT} connections to this service, and can have no more"
                " (MAX_CONNECTIONS_PER_CLIENT): close some, or come through a proxy on this machine",
                limit="MAX_CONNECTIONS_PER_CLIENT",
                retry_after=5,
            )
        if self.connections.full and not self._make_room():
            return Unavailable(
                f"this service has {self.connections.in_all:,} connections, and can have no more (MAX_CONNECTIONS)",
                limit="MAX_CONNECTIONS",
                retry_after=5,
            )
        return None

    def _make_room(self) -> bool:
        """Close the connection that has been of no use for longest; whether there was one."""
        idle = next(iter(self._silent), None) or (self.keepalived_conns[0] if self.keepalived_conns else None)
        if idle is not None:
            self._drop(idle)
        return idle is not None

    # --- heads

    def _hear_at_once(self, connection: Any) -> bool:
        """Whether a whole head came with the new connection: then it need not be watched."""
        try:
            data = connection.sock.recv(MOST_READ, socket.MSG_PEEK)
        except OSError:
            return False  # nothing is there yet, or nobody any more
        if b"\r\n\r\n" not in data:
            return False
        self._begin(connection, connection.sock.recv(len(data)))
        return True

    def on_client_socket_readable(self, conn: Any, client: Any) -> None:
        """A connection that was kept open says something."""
        self._hear(conn, client)

    def _hear(self, connection: Any, _client: Any) -> None:
        try:
            data = connection.sock.recv(MOST_READ)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._drop(connection)
            return
        head = self._heads.get(connection)
        if head is None:
            self._silent.pop(connection, None)
            with suppress(ValueError):  # it is a new one
                self.keepalived_conns.remove(connection)
            head = self._heads[connection] = _Head(time.monotonic() + HEAD_SECONDS)
        searched = max(0, len(head.data) - 3)
        head.data += data
        if head.data.find(b"\r\n\r\n", searched) >= 0:
            self._begin(connection, bytes(head.data))
        elif len(head.data) > MAX_HEAD_BYTES:
            self._drop(
                connection,
                TooLarge(
                    f"the request's head has more than {MAX_HEAD_BYTES:,} bytes (MAX_HEAD_BYTES)",
                    limit="MAX_HEAD_BYTES",
                ),
            )

    def _begin(self, connection: Any, head: bytes) -> None:
        """The head is there: a thread goes on."""
        self._forget(connection)
        connection.data_ready = True
        connection.init()
        if not isinstance(connection.parser.unreader, PatientReader):
            connection.parser.unreader = PatientReader(connection.sock, self._waiting)
        connection.parser.unreader.unread(head)
        self.enqueue_req(connection)

    def handle(self, conn: Any) -> Any:
        conn.parser.unreader.begin()
        return super().handle(conn)

    def _keepalive_after(self, conn: Any, keepalive: Any) -> bool:
        kept = bool(super()._keepalive_after(conn, keepalive))
        # What comes late of a body would be taken for the next request.
        return kept and not conn.parser.unreader.late

    # --- the end

    def murder_pending(self) -> None:
        """Called after each look at the sockets, at least once a second."""
        now = time.monotonic()
        if self.alive and now < self._look_at:
            return
        self._look_at = now + LOOK
        self.connections.tidy()
        self._waiting.sweep()
        if not self.alive:
            for connection in list(self._silent):
                self._drop(connection)
            for head in self._heads.values():
                head.due = min(head.due, now + LINGER)
        for group in (self._silent, self._heads):
            while (oldest := next(iter(group.items()), None)) is not None and oldest[1].due <= now:
                late = f"the request's head was not whole after {HEAD_SECONDS:g} s (HEAD_SECONDS)"
                self._drop(oldest[0], TooSlow(late, limit="HEAD_SECONDS") if group is self._heads else None)

    def _forget(self, connection: Any) -> None:
        self._silent.pop(connection, None)
        self._heads.pop(connection, None)
        with suppress(ValueError):
            self.keepalived_conns.remove(connection)
        with suppress(OSError, KeyError, ValueError):
            self.poller.unregister(connection.sock)

    def _drop(self, connection: Any, problem: FoglineError | None = None) -> None:
        self._forget(connection)
        self.nr_conns -= 1
        if problem is not None:
            _refuse(connection.sock, problem)
        connection.close()


def _refuse(sock: socket.socket, problem: FoglineError) -> None:
    """Say why, if that goes at once, and close."""
    with suppress(OSError):
        sock.send(refusal(problem), socket.MSG_DONTWAIT)
        sock.shutdown(socket.SHUT_WR)
    sock.close()
