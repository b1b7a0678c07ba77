"""Streams leave the web server: the framework routes and authorises, then the socket goes to the fan-out.

`HandOff` is WSGI middleware for gunicorn's thread worker. It leans on what gunicorn 27.0 does inside (the version is
pinned, and tests/mesh/test_handoff.py fails when this changes):

- `gunicorn.socket` in the environment is the connection's own socket object; once it is detached, its fd is -1;
- StopIteration out of the application ends the request without an answer, and the worker then closes its connection
  and counts it out (`mesh.closing` lets a detached socket pass);
- a connection comes back by being queued, in the worker's main thread, like one that is kept alive.

Under TLS, HTTP/2, another server or `--fanout threads` nothing is handed over, and bodies are iterated as usual.
"""

from __future__ import annotations

import fcntl
import os
import selectors
import socket
import time
import weakref
from collections.abc import Callable, Iterable
from contextlib import ExitStack, suppress
from functools import partial
from typing import Any, NoReturn

from gunicorn.workers import gthread

from mesh.audience import OFFERED
from mesh.channel import StreamViewer
from mesh.errors import FoglineError
from mesh.fanout import Connection, Fanout
from mesh.journal import JournalReader, Reading
from mesh.refusal import refusal
from mesh.stills import Asked, Still, StillViewer, render
from mesh.stream import Live
from mesh.worker import Worker

# Viewers' descriptors begin here: OpenCV's and others' select() can take none of 1,024 and more, and the next camera or
# file that is opened must still get a low one.
FIRST_DESCRIPTOR = 1024
SOON = 1.0  # seconds between two equal requests for a picture that make a hand-over worth its while
MOST_STILLS = 1024  # connections for single pictures in the fan-out at once
Headers = list[tuple[str, str]]


class HandOff:
    """Wraps a WSGI application. `attach` must be called with gunicorn's worker before connections can come back."""

    def __init__(self, application: Callable[..., Iterable[bytes]], fanout: Fanout) -> None:
        self._application = application
        self._fanout = fanout
        self._worker: Any = None
        # The last request for a picture on each connection that the web server has, and when it came.
        self._last: weakref.WeakKeyDictionary[socket.socket, tuple[Asked, float]] = weakref.WeakKeyDictionary()
        self._stills: weakref.WeakSet[StillViewer] = weakref.WeakSet()

    def attach(self, worker: Any) -> None:
        """worker: gunicorn's thread worker of this process."""
        self._worker = worker

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        sock: Any = environ.get("gunicorn.socket")
        if not self._fanout.open or not _plain(sock, environ):
            return self._application(environ, start_response)
        environ[OFFERED] = True
        said: tuple[str, Headers] = ("", [])

        def hear(status: str, headers: Headers, _exc_info: Any = None) -> Callable[[bytes], object]:
            nonlocal said
            said = status, headers
            return _refuse_to_write

        body = self._application(environ, hear)
        status, headers = said
        if isinstance(body, (Live, Reading)):
            self._stream(sock, body, status, headers, new=environ.get("SERVER_PROTOCOL") == "HTTP/1.1")
        if isinstance(body, Still):
            self._still(sock, body, headers, environ)
        else:
            self._last.pop(sock, None)
        start_response(status, headers)
        return body

    def _stream(
        self, sock: socket.socket, body: Live | Reading, status: str, headers: Headers, *, new: bool
    ) -> NoReturn:
        """new: the viewer speaks HTTP/1.1 and so knows chunks."""
        own = self._take(sock)
        chunked = new and body.chunked
        pairs = [*headers, ("Transfer-Encoding", "chunked")] if chunked else headers
        head = render(status, pairs, keep=False)
        viewer: Connection
        if isinstance(body, Live):
            viewer = StreamViewer(own, body, head, refusal, chunked=chunked)
        else:
            viewer = JournalReader(own, body, head, chunked=chunked)
        if self._fanout.add(viewer):
            raise StopIteration  # gunicorn: this connection is somebody else's now
        body.close()
        own.setblocking(True)
        with own, suppress(OSError):  # the viewer may have left
            own.sendall(refusal(body.lost()))
        raise StopIteration

    def _still(self, sock: socket.socket, still: Still, headers: Headers, environ: dict[str, Any]) -> None:
        """Hand the connection over if the same picture was asked for a moment ago; it answers this request, too."""
        if "PROXY_PROTOCOL" in environ:
            return  # behind TLS: who comes back could say once more from where it comes
        asked = Asked.of(environ)
        now = time.monotonic()
        last, at = self._last.pop(sock, (None, 0.0))
        if asked is None:
            return
        self._last[sock] = asked, now
        if last != asked or now - at > SOON or self._worker is None or not self._worker.alive:
            return
        if len(self._stills) >= MOST_STILLS or _read_ahead(environ):
            return
        held = ExitStack()
        try:
            newest = held.enter_context(still.hold())
        except FoglineError:
            return  # no more pictures to be had just now: the next request will say why
        viewer = StillViewer(
            self._take(sock), asked, still.frame, headers, newest=newest, left=held.close, back=self._back
        )
        self._stills.add(viewer)
        if not self._fanout.add(viewer):
            viewer.sock.close()
            held.close()
        raise StopIteration

    def _take(self, sock: socket.socket) -> socket.socket:
        """As the function below; it goes on counting among its client's."""
        own = _take(sock)
        if isinstance(self._worker, Worker):
            self._worker.connections.add(own)
        return own

    def _back(self, sock: socket.socket) -> None:
        """Called by the fan-out."""
        self._worker.method_queue.defer(self._keep_alive, sock)

    def _keep_alive(self, sock: socket.socket) -> None:
        """In gunicorn's main thread: the connection waits for its next request, which may be there already."""
        worker = self._worker
        try:
            if not worker.alive:
                raise ConnectionAbortedError
            connection = gthread.TConn(worker.cfg, sock, sock.getpeername(), sock.getsockname())
            connection.set_timeout()
            worker.poller.register(sock, selectors.EVENT_READ, partial(worker.on_client_socket_readable, connection))
        except (OSError, ValueError, KeyError):  # it left, or the worker did
            sock.close()
            return
        worker.nr_conns += 1
        worker.keepalived_conns.append(connection)


def _plain(sock: Any, environ: dict[str, Any]) -> bool:
    # Exactly a socket: one under TLS is a subclass, and what is sent past it would not be encrypted.
    return type(sock) is socket.socket and environ.get("HTTP_VERSION") != "2" and sock.fileno() >= 0


def _take(sock: socket.socket) -> socket.socket:
    """The connection under a descriptor of its own; `sock` is detached."""
    family, kind, protocol = sock.family, sock.type, sock.proto
    fd = sock.detach()
    with suppress(OSError):  # the limit is lower: then it keeps the number that it has
        high = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, FIRST_DESCRIPTOR)
        os.close(fd)
        fd = high
    return socket.socket(family, kind, protocol, fileno=fd)


def _read_ahead(environ: dict[str, Any]) -> bool:
    """Whether the server has read more than this request: bytes that would be lost to whoever takes the socket."""
    reader = getattr(environ.get("wsgi.input"), "reader", None)
    unreader = getattr(reader, "unreader", None)
    return unreader is None or bool(unreader.buf.getvalue())


def _refuse_to_write(_data: bytes) -> object:
    raise RuntimeError("write() of WSGI's old days is not served here: give the body as an iterable")
