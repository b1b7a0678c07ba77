"""A camera at an http:// address that does what a test tells it."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.processes import free_port

Behave = Callable[["Request"], None]


class Request(BaseHTTPRequestHandler):
    """One request to the camera, with what its behaviours need."""

    protocol_version = "HTTP/1.1"
    behave: Behave
    stopped: threading.Event
    announce_close = True

    def do_GET(self) -> None:
        self.close_connection = True
        with suppress(OSError):  # the node under test has gone
            self.behave(self)

    def log_message(self, format: str, *args: Any) -> None:
        return

    def answer(self, content_type: str, body: bytes = b"", status: int = 200, **headers: str) -> None:
        """A whole answer."""
        self.begin(content_type, status, **headers, Content_Length=str(len(body)))
        self.wfile.write(body)

    def begin(self, content_type: str, status: int = 200, **headers: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        if self.announce_close:
            self.send_header("Connection", "close")
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()

    def running(self, pause: float = 0.05) -> bool:
        """Wait a little; False once the camera is switched off."""
        return not self.stopped.wait(pause)


class WebCamera:
    """Listens from `on` to `off`, always on the same port."""

    def __init__(self, behave: Behave) -> None:
        self._behave = behave
        self._connections: list[socket.socket] = []
        self.port = free_port()
        self._server: ThreadingHTTPServer | None = None

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    def on(self) -> WebCamera:
        stopped = threading.Event()
        handler = type("Handler", (Request,), {"behave": staticmethod(self._behave), "stopped": stopped})

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            allow_reuse_address = True

        self._server = Server(("127.0.0.1", self.port), handler)
        self._stopped = stopped
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def off(self) -> None:
        if self._server is not None:
            self._stopped.set()
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def __enter__(self) -> WebCamera:
        return self.on()

    def __exit__(self, *_exc: object) -> None:
        self.off()


def mjpeg(
    pictures: Callable[[int], bytes], *, fps: float = 20, boundary: str = "frame", announced: str | None = None
) -> Behave:
    """An MJPEG camera that sends `pictures(n)` as its n-th part."""

    def behave(request: Request) -> None:
        request.begin(f"multipart/x-mixed-replace; boundary={announced or boundary}")
        number = 0
        while request.running(1 / fps):
            data = pictures(number)
            head = f"--{boundary}\r\nContent-Type: image/jpeg\r\nContent-Length: {len(data)}\r\n\r\n"
            request.wfile.write(head.encode() + data + b"\r\n")
            number += 1

    return behave


def raw(pieces: Callable[[int], bytes], *, fps: float = 20, boundary: str = "frame") -> Behave:
    """A server that sends `pieces(n)` one after the other under the name of MJPEG."""

    def behave(request: Request) -> None:
        request.begin(f"multipart/x-mixed-replace; boundary={boundary}")
        number = 0
        while request.running(1 / fps):
            request.wfile.write(pieces(number))
            number += 1

    return behave


def still(pictures: Callable[[int], bytes], content_type: str = "image/jpeg") -> Behave:
    """A still camera: the n-th request gets `pictures(n)`."""
    count = iter(range(10**9))

    def behave(request: Request) -> None:
        request.answer(content_type, pictures(next(count)))

    return behave


def trickle(data: bytes, seconds_a_byte: float = 0.2) -> Behave:
    """A camera that takes for ever over one picture."""

    def behave(request: Request) -> None:
        request.begin("image/jpeg", Content_Length=str(len(data)))
        for at in range(len(data)):
            if not request.running(0):
                return
            request.wfile.write(data[at : at + 1])
            time.sleep(seconds_a_byte)

    return behave
