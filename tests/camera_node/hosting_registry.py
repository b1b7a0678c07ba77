"""A registry for camera hosts: it says what a test tells it to, and keeps what it hears."""

from __future__ import annotations

import json
import threading
import time
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Json = dict[str, Any]


def added(source: str, name: str = "gate", **more: Any) -> Json:
    """An added camera as a host is told of it."""
    return {"camera_id": str(uuid.uuid4()), "revision": 1, "name": name, "source": source, **more}


class HostingRegistry:
    """wanted: what the host is to run. lease: seconds. slow: seconds that its answer to a host takes. away: nobody gets
    an answer. calls: what came, and when a host was answered, in order; manifests, reports: what was said."""

    def __init__(self) -> None:
        self.wanted: list[Json] = []
        self.lease = 5.0
        self.slow = 0.0
        self.away = False
        self.nodes: dict[str, Json] = {}
        self.manifests: list[Json] = []
        self.beats: list[Json] = []
        self.reports: list[Json] = []
        self.calls: list[tuple[str, str]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                self._answer(*outer._post(self.path, body))

            def do_GET(self) -> None:
                found = outer.nodes.get(self.path.rpartition("/")[2])
                self._answer(200 if found else 404, found or {"title": "Not found"})

            def do_DELETE(self) -> None:
                node_id = self.path.rpartition("/")[2]
                outer.calls.append(("leave", node_id))
                self._answer(200, outer.nodes.pop(node_id, {}))

            def _answer(self, status: int, value: Json) -> None:
                data = json.dumps(value).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, format: str, *args: Any) -> None:
                return

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _post(self, path: str, body: Json) -> tuple[int, Json]:
        if self.away:
            return 503, {"title": "Registry unreachable", "detail": "Redis is away"}
        if path == "/v1/nodes":
            self.calls.append(("register", body["node_id"]))
            self.manifests.append(body)
            self.nodes[body["node_id"]] = body
            url = body.get("advertise_url") or f"http://127.0.0.1:{body['port']}"
            times = {"lease_seconds": 3, "manifest_seconds": 600, "heartbeat": {"seconds": 0.2}}
            return 200, {"node_id": body["node_id"], "url": url, **times}
        node_id = path.split("/")[3]
        if self.nodes.get(node_id, {}).get("boot_id") != body["boot_id"]:
            return 404, {"title": "Register again", "detail": "unknown"}
        if path.endswith("/heartbeat"):
            self.beats.append({"node_id": node_id, **body})
            return 200, {"lease_seconds": 3}
        wanted = list(self.wanted)
        time.sleep(self.slow)
        self.reports.append(body)
        self.calls.append(("told", node_id))
        return 200, {"cameras": wanted, "seconds": 0.2, "lease_seconds": self.lease}

    # --- what a test asks

    @property
    def running(self) -> list[str]:
        """What the host says that it runs, by camera_id, in the order in which it was begun."""
        return [one["camera_id"] for one in self.reports[-1]["cameras"]] if self.reports else []

    def manifest(self, node_id: str) -> Json:
        """The newest manifest of that node; empty without one."""
        return next((one for one in reversed(self.manifests) if one["node_id"] == node_id), {})
