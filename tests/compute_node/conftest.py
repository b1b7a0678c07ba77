"""Servers and tiny models for the tests of weights, engines and algorithms."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest


@dataclass
class FileServer:
    """A web server on this machine whose files and faults a test chooses.

    break_after: bytes of a body after which the next answer is cut off, once for each number in the list.
    """

    files: dict[str, bytes] = field(default_factory=dict)
    etags: dict[str, str] = field(default_factory=dict)
    ranges: bool = True
    break_after: list[int] = field(default_factory=list)
    seen: list[tuple[str, str | None]] = field(default_factory=list)
    url: str = ""


@pytest.fixture
def file_server() -> Iterator[FileServer]:
    """A running `FileServer`; `seen` lists path and Range of each request."""
    shared = FileServer()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked = self.headers.get("Range")
            shared.seen.append((self.path, asked))
            content = shared.files.get(self.path)
            if content is None:
                self.send_error(404)
                return
            tag = shared.etags.get(self.path)
            first = 0
            same = tag is None or self.headers.get("If-Range") in (None, tag)
            if asked and shared.ranges and same:
                first = int(asked.removeprefix("bytes=").rstrip("-"))
                if first >= len(content):
                    self.send_error(416)
                    return
                self.send_response(206)
                self.send_header("Content-Range", f"bytes {first}-{len(content) - 1}/{len(content)}")
            else:
                self.send_response(200)
            body = content[first:]
            if tag:
                self.send_header("ETag", tag)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Content-Type", "text/html" if self.path.endswith("/") else "application/octet-stream")
            self.end_headers()
            if shared.break_after:
                body = body[: shared.break_after.pop(0)]
                self.close_connection = True
            with contextlib.suppress(ConnectionError):  # a client that has seen enough hangs up
                self.wfile.write(body)

        def log_message(self, *_arguments: object) -> None:
            """Quiet: pytest shows what matters."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        shared.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, name="file server", daemon=True)
        thread.start()
        yield shared
        server.shutdown()
        thread.join(5)
