"""A registry that says what a test wants it to say."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit

from tests.processes import wait_for

Json = dict[str, Any]


LEASE = 1.5  # seconds
BEAT = 0.2  # seconds


class ScriptedRegistry:
    """Takes manifests and beats, and tells every node what `orders` holds. A session's addresses lead to `place`.

    beats: what came, oldest first. left: the nodes that said goodbye. asked: the tokens with which viewers asked for
    another node; `moved` is done then. answer: the status of whatever comes, when it is not to be the right one.
    """

    def __init__(self) -> None:
        registry = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                registry.route(self)

            do_POST = do_DELETE = do_GET  # noqa: N815  # http.server calls them so

            def log_message(self, *_arguments: object) -> None:
                """Nothing: the test says what matters."""

        self.orders: list[Json] = []
        self.unknown: list[str] = []
        self.beats: list[Json] = []
        self.left: list[str] = []
        self.asked: list[int] = []
        self.opened = 0
        self.place: str | None = None
        self.session: Json = {"state": "running", "node": "another"}
        self.status: int | None = None
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    def __enter__(self) -> ScriptedRegistry:
        self._thread.start()
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    def moved(self, token: int) -> Json:
        """What a viewer's report leads to."""
        return {"token": token}

    def order(self, session_id: str, token: int, camera: str, **more: Any) -> Json:
        """An assignment of `echo` on the camera node at the address `camera`."""
        place = {"node_id": "c", "name": "cam", "url": camera, "original": False}
        return {"session_id": session_id, "token": token, "camera": place, "algorithm": "echo", **more}

    def heard(self, session_id: str) -> Json:
        """The newest beat's report on a session; empty when there is none."""
        reports = self.beats[-1]["sessions"] if self.beats else []
        found: Json = next((one for one in reports if one["session_id"] == session_id), {})
        return found

    def wait_for_beat(self) -> None:
        """Until a beat has come and been answered that began after this call."""
        before = len(self.beats)
        wait_for(lambda: len(self.beats) > before + 1, 5, "two beats")

    def route(self, request: BaseHTTPRequestHandler) -> None:
        length = int(request.headers.get("Content-Length") or 0)
        body = json.loads(request.rfile.read(length) or b"{}")
        path = urlsplit(request.path).path
        if self.status is not None:
            self._send(request, self.status, {"title": "Unavailable", "status": self.status, "detail": "scripted"})
        elif path == "/v1/nodes":
            known = {"node_id": body["node_id"], "lease_seconds": LEASE, "manifest_seconds": 600}
            self._send(request, 201, {**known, "heartbeat": {"seconds": BEAT}, "url": ""})
        elif path.endswith("/heartbeat"):
            self.beats.append(body)
            self._send(
                request, 200, {"lease_seconds": LEASE, "sessions": self.orders, "unknown": self.unknown, "orders": 1}
            )
        elif request.command == "DELETE":
            self.left.append(path.rpartition("/")[2])
            self._send(request, 204, None)
        elif path.endswith("/failover"):
            self.asked.append(body["token"])
            self._send(request, 200, self.moved(body["token"]))
        elif path.endswith("/stream"):
            self.opened += 1
            if self.place is None:
                self._send(request, 503, {"title": "Unavailable", "status": 503, "detail": "no node"})
            else:
                self._send(request, 307, None, Location=self.place)
        else:
            self._send(request, 200, self.session)

    def _send(self, request: BaseHTTPRequestHandler, status: int, body: Json | None, **headers: str) -> None:
        data = b"" if body is None else json.dumps(body).encode()
        request.send_response(status)
        for name, value in headers.items():
            request.send_header(name, value)
        request.send_header("Content-Type", "application/json")
        request.send_header("Content-Length", str(len(data)))
        request.end_headers()
        request.wfile.write(data)
