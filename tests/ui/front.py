"""A proxy in front of the dashboard that shows it below a path, as people put one there."""

from __future__ import annotations

import contextlib
import http.client
import threading
from http.server import BaseHTTPRequestHandler
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit

from tests.ui.fakes import QuietServer

HOP = ("connection", "transfer-encoding", "keep-alive", "te", "upgrade")  # headers of one connection only
PIECE = 65536  # bytes passed on at once


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    front: Front

    def do_GET(self) -> None:
        front = self.front
        if not f"{self.path}/".startswith(f"{front.prefix}/"):
            self.send_response(404)
            self.send_header("Content-Length", "0")
            self.end_headers()
            front.strays.append(self.path)
            return
        path = self.path if front.keeps else self.path.removeprefix(front.prefix) or "/"
        headers = {name: value for name, value in self.headers.items() if name.lower() not in HOP}
        headers |= {
            "Host": front.there.netloc,
            "X-Forwarded-For": self.client_address[0],
            "X-Forwarded-Proto": front.scheme,
            "X-Forwarded-Host": self.headers["Host"],
            "X-Forwarded-Prefix": front.prefix,
        }
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        with contextlib.closing(http.client.HTTPConnection(front.there.netloc, timeout=30)) as far:
            far.request(self.command, path, body or None, headers)
            self._pass_on(far.getresponse())

    do_POST = do_PATCH = do_DELETE = do_HEAD = do_GET  # noqa: N815  # http.server calls them so

    def _pass_on(self, answer: http.client.HTTPResponse) -> None:
        self.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in HOP:
                self.send_header(name, value)
        self.send_header("Connection", "close")
        self.end_headers()
        self.close_connection = True
        while piece := answer.read1(PIECE):
            self.wfile.write(piece)
            self.wfile.flush()

    def log_message(self, format: str, *args: Any) -> None:
        """The tests' output is for the tests."""


class Front:
    """Shows the service at `url` below `prefix`, for as long as the context is open.

    keeps: it passes the path on as it came, the prefix included. scheme: what it says that browsers speak. strays:
    paths outside of the prefix that were asked for: a page has forgotten where it is.
    """

    def __init__(self, url: str, prefix: str, *, keeps: bool = False, scheme: str = "http") -> None:
        self.there = urlsplit(url)
        self.prefix = prefix
        self.keeps = keeps
        self.scheme = scheme
        self.strays: list[str] = []
        self._server = QuietServer(("127.0.0.1", 0), type("Bound", (_Handler,), {"front": self}))
        self.origin = f"http://127.0.0.1:{self._server.server_address[1]}"
        self.url = self.origin + prefix

    def __enter__(self) -> Front:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
