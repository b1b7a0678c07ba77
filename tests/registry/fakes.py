"""Nodes that answer the registry's dial-back and beat, but serve nothing."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import redis
import requests

from tests.processes import Running, wait_for

YOLO = {
    "id": "yolo",
    "name": "Object detection (YOLO)",
    "category": "objectdetection",
    "path": "yolo/image.jpg",
    "fps": 36.1,
}
Json = dict[str, Any]


class _Health(BaseHTTPRequestHandler):
    status = 200
    location = ""

    def do_GET(self) -> None:
        self.send_response(self.status)
        if self.location:
            self.send_header("Location", self.location)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


class FakeNode:
    """One node with a web server of its own. `beat` sends one beat; `live` goes on beating until `die` or `close`."""

    def __init__(self, registry: Registry, kind: str, name: str, **fields: Any) -> None:
        handler = type(
            "Health", (_Health,), {"status": fields.pop("health", 200), "location": fields.pop("location", "")}
        )
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        self._registry = registry
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._beating = threading.Lock()
        self.port = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.name = name
        self.node_id = str(uuid.uuid4())
        self.reports: dict[str, Json] = {}
        self.assigned: list[Json] = []
        self.manifest: Json = {
            "schema": "fogline/1",
            "kind": kind,
            "node_id": self.node_id,
            "boot_id": str(uuid.uuid4()),
            "host_name": "factory",
            "name": name,
            "port": self.port,
        }
        if kind == "compute":
            self.manifest |= {"slots": 2, "algorithm": [YOLO]}
        self.manifest |= fields

    def register(self) -> requests.Response:
        return self._registry.post("/v1/nodes", self.manifest)

    def join(self, state: str = "ready") -> FakeNode:
        """Register, and wait until the registry lists it in `state`."""
        assert self.register().status_code in (200, 201)

        def stands() -> bool:
            now = self.listed()["state"]
            if now in ("suspect", "dead"):  # nothing beats yet, and on a machine that stood still its lease has ended
                self.register()
            return bool(now == state)

        wait_for(stands, 5, f"{self.name} {state}")
        return self

    def listed(self) -> Json:
        return dict(self._registry.json(f"/v1/nodes/{self.node_id}"))

    def beat(self, **load: Any) -> requests.Response:
        with self._beating:  # else the other thread's older beat may come, or be answered, after this one
            body = {"boot_id": self.manifest["boot_id"], "load": load, "sessions": list(self.reports.values())}
            answer = self._registry.post(f"/v1/nodes/{self.node_id}/heartbeat", body)
            if answer.ok:
                self.assigned = answer.json()["sessions"]
        return answer

    def serves(self, session: Mapping[str, Any], **report: Any) -> None:
        """Report this placement of a session from the next beat on."""
        self.reports[session["session_id"]] = {"session_id": session["session_id"], "token": session["token"], **report}

    def live(self, seconds: float = 0.3) -> FakeNode:
        """Beat from a thread, and register again when the registry says so."""

        def run() -> None:
            while not self._stop.wait(seconds):
                try:
                    if self.beat().status_code == 404:
                        self.register()
                except requests.RequestException:
                    pass  # the registry is away: go on, as a real node does

        self._thread = threading.Thread(target=run, daemon=True)
        self._thread.start()
        return self

    def die(self) -> None:
        """Stop beating and answering, without a word."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(10)
        self._server.shutdown()
        self._server.server_close()

    close = die


class Registry:
    """A registry process with a Valkey of its own, and its calls."""

    def __init__(self, running: Running) -> None:
        self.running = running
        self.url = running.url
        self.nodes: list[FakeNode] = []

    def node(self, kind: str, name: str, **fields: Any) -> FakeNode:
        one = FakeNode(self, kind, name, **fields)
        self.nodes.append(one)
        return one

    def camera(self, name: str = "line-3", **fields: Any) -> FakeNode:
        return self.node("camera", name, **fields).join().live()

    def compute(self, name: str, **fields: Any) -> FakeNode:
        return self.node("compute", name, **fields).join().live()

    def get(self, path: str, **options: Any) -> requests.Response:
        return requests.get(self.url + path, timeout=10, allow_redirects=False, **options)

    def json(self, path: str) -> Any:
        answer = self.get(path)
        assert answer.ok, answer.text
        return answer.json()

    def post(self, path: str, body: Any = None) -> requests.Response:
        return requests.post(self.url + path, json=body, timeout=10)

    def delete(self, path: str) -> requests.Response:
        return requests.delete(self.url + path, timeout=10)

    def open(self, camera: str = "line-3", algorithm: str = "yolo", **wishes: Any) -> Json:
        answer = self.post("/v1/sessions", {"camera": camera, "algorithm": algorithm, **wishes})
        assert answer.status_code == 201, answer.text
        return dict(answer.json())

    def session(self, session_id: str) -> Json:
        return dict(self.json(f"/v1/sessions/{session_id}"))

    def names(self, query: str = "") -> list[str]:
        return [node["name"] for node in self.json(f"/v1/nodes{query}")["nodes"]]

    def store(self, data: Any) -> redis.Redis:
        """A connection to its own Valkey."""
        return redis.Redis(unix_socket_path=str(data / "valkey" / "valkey.sock"))

    def close(self) -> None:
        for one in self.nodes:
            one.close()
        self.nodes.clear()
