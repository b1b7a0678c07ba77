"""Streams of nodes that this service reads once for all browsers that watch them here."""

from __future__ import annotations

import http.client
import socket
import ssl
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from mesh import multipart
from mesh.backoff import Backoff
from mesh.client import RegistryClient
from mesh.errors import FoglineError, Forbidden, NotFound, SourceLost, Unauthorized, Unavailable
from mesh.logs import logger
from mesh.multipart import Part, Reader, boundary_of
from mesh.picture import MAX_BYTES, whole_jpeg
from mesh.stream import Published
from ui.addresses import Addresses
from ui.node_answer import Place, What, ask, connect, find, stamps

MOST = 64  # streams that are read at once: about a gigabit of 720p
LINGER = 1.0  # seconds for which a stream goes on without a viewer: a browser that opens it anew comes back at once
LOOK = 0.2  # seconds between two looks at whether sessions have moved and viewers have gone
QUIET = 0.3  # seconds without anything new after which a session that has moved is read at its new place
STALL = 20.0  # seconds without a byte after which a connection counts as lost: nodes end a stream after 15
PATIENCE = 15.0  # seconds in which one picture must be whole
MOST_EVENT = 1024 * 1024  # bytes of one event
STEADY = 1.0  # seconds after which a stream that ends is opened again at once
PAUSES = (0.1, 2.0)  # seconds before the next try when a stream has ended: the first, the longest
_CHUNK = 256 * 1024
log = logger(__name__)


def part(picture: Part) -> bytes:
    """One part of an MJPEG answer: the node's picture with its stamps, and nothing else that came with it."""
    lines = "".join(f"{name}: {value}\r\n" for name, value in stamps(picture.headers).items())
    head = f"--{multipart.BOUNDARY}\r\nContent-Type: image/jpeg\r\nContent-Length: {len(picture.body)}\r\n{lines}\r\n"
    return b"".join((head.encode("latin-1", "replace"), picture.body, b"\r\n"))


class Upstream:
    """One stream, read in a thread of its own until `stop`. Any thread may call any method.

    What ends is asked for anew, in the name of one of those who watch; what the registry does not know any more is
    over, and `problem` says so.
    """

    def __init__(self, what: What, addresses: Addresses) -> None:
        self.what = what
        self.published: Published[Any] = Published(_event if what.view == "detections" else part)
        self.problem: FoglineError | None = None
        self.token: int | None = None
        self.heard_at = time.monotonic()
        self._addresses = addresses
        self._lock = threading.Lock()
        self._watching: dict[object, RegistryClient] = {}
        self._left_at = time.monotonic()
        self._stopping = threading.Event()
        self._connection: http.client.HTTPConnection | None = None
        self._socket: socket.socket | None = None
        self._thread = threading.Thread(target=self._run, name=f"relay {what.view}", daemon=True)

    def enter(self, viewer: object, client: RegistryClient) -> None:
        """Be watched by somebody for whom `client` speaks; the first one begins it."""
        with self._lock:
            self._watching[viewer] = client
            if self._thread.ident is None:
                self._thread.start()

    def leave(self, viewer: object) -> None:
        with self._lock:
            self._watching.pop(viewer, None)
            self._left_at = time.monotonic()

    @property
    def unwatched(self) -> float:
        """Seconds without a viewer; 0 while there is one."""
        with self._lock:
            return 0.0 if self._watching else time.monotonic() - self._left_at

    def lost(self) -> FoglineError:
        """The error for a viewer for whom nothing came."""
        return self.problem or SourceLost("no picture came in time; the session's state says why", retry_after=2)

    def turn(self) -> None:
        """Read it at its new place now."""
        sock = self._socket
        if sock is not None:
            with suppress(OSError):  # it went by itself
                sock.shutdown(socket.SHUT_RDWR)

    def stop(self) -> None:
        """End, for every viewer; does not wait."""
        self._stopping.set()
        self.published.close()
        self.turn()

    # --- the thread

    def _run(self) -> None:
        pauses = Backoff(*PAUSES)
        while not self._stopping.is_set():
            before, began = self.heard_at, time.monotonic()
            try:
                self._read(self._find())
                self.problem = None
            except NotFound as error:
                self.problem = error
                self.published.close()
                return
            except FoglineError as error:
                self.problem = error
            except (OSError, http.client.HTTPException, ValueError) as error:
                self.problem = SourceLost(f"the connection to the node broke off ({type(error).__name__})")
            except Exception:  # the thread must live: whatever a node sends is in the log, and the next try comes
                log.exception("a node's stream could not be read")
            finally:
                self._close()
            if self.heard_at > before:
                pauses.reset()
                if time.monotonic() - began > STEADY:
                    continue  # its time was over, or it has moved: viewers shall not notice
            self._stopping.wait(pauses.delay())

    def _find(self) -> Place:
        """Raises the last watcher's error when none of them may know."""
        with self._lock:
            clients = list(self._watching.values())
        problem: FoglineError = Unavailable("nobody watches this any more", retry_after=1)
        for client in reversed(clients):
            try:
                return find(self.what, client, self._addresses)
            except (Unauthorized, Forbidden) as error:
                problem = error  # signed out; another may still be here
        raise problem

    def _read(self, place: Place) -> None:
        self.token = place.token
        self._connection = connection = connect(place.address)
        self._socket = sock = connection.sock
        sock.settimeout(STALL)
        if self._stopping.is_set():
            return
        answer = ask(connection, place.address)
        self.problem = None
        kind = answer.getheader("Content-Type", "").lower()
        if self.what.view == "detections":
            if not kind.startswith("text/event-stream"):
                raise SourceLost("the node sends no events")
            self._events(answer)
        elif kind.startswith("multipart/"):
            for one in self._parts(answer, Reader(boundary_of(kind), max_part=MAX_BYTES)):
                if self._stopping.is_set():
                    return
                if whole_jpeg(one.body):
                    self._publish(one)
        else:
            raise SourceLost("the node sends no stream of pictures")

    def _parts(self, answer: http.client.HTTPResponse, reader: Reader) -> Iterator[Part]:
        sock = self._socket
        if answer.chunked or sock is None or isinstance(sock, ssl.SSLSocket):
            while data := answer.read1(_CHUNK):
                yield from reader.feed(data)
            return
        # What came together with the headers waits in http.client's buffer; the rest is read past it.
        yield from reader.feed(answer.fp.peek())
        sock.settimeout(None)
        # The kernel keeps the time: Python's own time limit would cost a call more each time, and whole bodies at once.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", int(STALL), 0))
        yield from reader.receive(sock, PATIENCE)

    def _events(self, answer: http.client.HTTPResponse) -> None:
        rest = bytearray()
        while not self._stopping.is_set() and (data := answer.read1(_CHUNK)):
            rest += data
            while (end := rest.find(b"\n\n")) >= 0:
                event = bytes(rest[: end + 2])
                del rest[: end + 2]
                if not event.startswith(b":"):
                    self._publish(event)
            if len(rest) > MOST_EVENT:
                raise SourceLost("the node sends events without an end")

    def _publish(self, value: Part | bytes) -> None:
        self.heard_at = time.monotonic()
        self.published.publish(value)

    def _close(self) -> None:
        connection, self._connection, self._socket = self._connection, None, None
        if connection is not None:
            connection.close()


class Upstreams:
    """The streams that are read now. Any thread may call any method."""

    def __init__(self, addresses: Addresses, most: int = MOST) -> None:
        self._addresses = addresses
        self._most = most
        self._lock = threading.Lock()
        self._running: dict[What, Upstream] = {}
        self._watch: threading.Thread | None = None
        self._closed = False

    @property
    def count(self) -> int:
        return len(self._running)

    @contextmanager
    def watch(self, what: What, client: RegistryClient) -> Iterator[Upstream]:
        """The stream, begun if nobody watches it yet, while the context is open. Raises Unavailable when too many are
        read already."""
        viewer = object()
        with self._lock:
            upstream = self._running.get(what)
            if upstream is None or upstream.published.closed:
                upstream = self._begin(what)
            upstream.enter(viewer, client)
        try:
            yield upstream
        finally:
            upstream.leave(viewer)

    def _begin(self, what: What) -> Upstream:
        if self._closed:
            raise Unavailable("the dashboard is stopping", retry_after=5)
        if len(self._running) >= self._most and what not in self._running:
            raise Unavailable(
                f"the dashboard already passes on {self._most} streams; open fewer at once, or let browsers reach the"
                " nodes themselves (--streams direct)",
                retry_after=5,
            )
        upstream = self._running[what] = Upstream(what, self._addresses)
        if self._watch is None:
            self._watch = threading.Thread(target=self._look, name="relays", daemon=True)
            self._watch.start()
        return upstream

    def _look(self) -> None:
        """End what nobody watches, and turn to new places: a node that was cut off says no goodbye."""
        while True:
            time.sleep(LOOK)
            with self._lock:
                for what, upstream in list(self._running.items()):
                    if upstream.unwatched > LINGER or upstream.published.closed:
                        upstream.stop()
                        del self._running[what]
                if not self._running:
                    self._watch = None
                    return
                running = list(self._running.values())
            for upstream in running:
                if self._moved(upstream):
                    upstream.turn()

    def _moved(self, upstream: Upstream) -> bool:
        if upstream.token is None or time.monotonic() - upstream.heard_at < QUIET:
            return False
        return (self._addresses.token(upstream.what.ident) or 0) > upstream.token

    def close(self) -> None:
        """End every stream."""
        with self._lock:
            self._closed = True
            for upstream in self._running.values():
                upstream.stop()
            self._running.clear()


def _event(event: bytes) -> bytes:
    return event
