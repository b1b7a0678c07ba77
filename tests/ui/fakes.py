"""A mesh of small HTTP servers that speak the contract: registry, cameras, compute nodes, with pictures that move."""

from __future__ import annotations

import io
import json
import threading
import time
import uuid
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

from PIL import Image, ImageDraw

from mesh import multipart
from mesh.frame import Frame

FPS = 12  # frames a second of a fake's stream
Json = dict[str, Any]


def drawn(step: int, *, width: int = 640, height: int = 360) -> bytes:
    """A JPEG with a disc that is elsewhere at every step."""
    image = Image.new("RGB", (width, height), (38, 70, 83))
    x = 40 + step * 29 % (width - 80)
    ImageDraw.Draw(image).ellipse((x - 30, 150, x + 30, 210), fill=(233, 196, 106))
    out = io.BytesIO()
    image.save(out, "JPEG", quality=70)
    return out.getvalue()


class Handler(BaseHTTPRequestHandler):
    """Requests go to `answer` of the server's owner; nothing is logged."""

    protocol_version = "HTTP/1.1"
    owner: Any

    def do_GET(self) -> None:
        self.owner.answer(self)

    do_POST = do_DELETE = do_GET  # noqa: N815  # http.server calls them so

    def log_message(self, format: str, *args: Any) -> None:
        """The tests' output is for the tests."""

    def send(self, status: int, content_type: str, body: bytes, **headers: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def send_json(self, value: Any, status: int = 200, kind: str = "application/json", **headers: str) -> None:
        self.send(status, kind, json.dumps(value).encode(), **headers)

    def problem(self, status: int, title: str, detail: str) -> None:
        self.send_json({"title": title, "status": status, "detail": detail}, status, "application/problem+json")

    def body(self) -> Any:
        return json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or b"{}")


class FakeServer:
    """A server on a port of its own, which may go and come back."""

    def __init__(self) -> None:
        self._port = 0
        self._server: ThreadingHTTPServer | None = None
        self.requests: list[str] = []
        self.up()

    def up(self) -> None:
        handler = type("Bound", (Handler,), {"owner": self})
        ThreadingHTTPServer.allow_reuse_address = True
        self._server = ThreadingHTTPServer(("127.0.0.1", self._port), handler)
        self._server.daemon_threads = True
        self._port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def down(self) -> None:
        if self._server is not None:
            server, self._server = self._server, None
            server.shutdown()
            server.server_close()

    @property
    def runs(self) -> bool:
        return self._server is not None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def answer(self, request: Handler) -> None:
        if not self.runs:  # a connection that was kept from before it went
            request.close_connection = True
            return
        self.requests.append(f"{request.command} {request.path}")
        try:
            self.route(request, request.command, urlsplit(request.path).path)
        except (BrokenPipeError, ConnectionResetError):
            request.close_connection = True

    def route(self, request: Handler, method: str, path: str) -> None:
        raise NotImplementedError


class FakeCamera(FakeServer):
    """`picture(step)` gives the JPEG of a step. no_signal: why there is none."""

    def __init__(self, picture: Callable[[int], bytes] = drawn) -> None:
        self.picture = picture
        self.no_signal: str | None = None
        super().__init__()

    def route(self, request: Handler, method: str, path: str) -> None:
        if path == "/stream.jpg":
            self.stream(request)
            return
        if path != "/image.jpg":
            request.problem(404, "Not found", f"no {path}")
            return
        extra = {"X_No_Signal": self.no_signal} if self.no_signal else {}
        request.send(
            200,
            "image/jpeg",
            self.picture(int(time.time() * FPS)),
            Access_Control_Allow_Origin="*",
            Access_Control_Expose_Headers="X-Timestamp, X-Frame, X-No-Signal",
            Cache_Control="no-store",
            **extra,
        )

    def stream(self, request: Handler) -> None:
        request.send_response(200)
        request.send_header("Content-Type", multipart.CONTENT_TYPE)
        request.send_header("Connection", "close")
        request.end_headers()
        request.close_connection = True
        while self.runs:
            step = int(time.time() * FPS)
            frame = Frame(jpeg=self.picture(step), sequence=step, captured_at=time.time(), width=640, height=360)
            request.wfile.write(multipart.part(frame))
            time.sleep(1 / FPS)


class FakeCompute(FakeServer):
    """Annotated pictures and detections of any session. frozen: it keeps connections open and sends nothing."""

    def __init__(self, picture: Callable[[int], bytes] = drawn, size: tuple[int, int] = (640, 360)) -> None:
        self.picture = picture
        self.size = size
        self.frozen = False
        self.labels = ["person", "person", "bottle"]
        self.stats: Json = {
            **{"session": "s", "camera": "c", "algorithm": "yolo", "viewers": 2, "fps": 11.9, "camera_fps": 12.0},
            **{"frames": {"in": 1300, "searched": 1290, "drawn": 1290, "sent": 2580}, "dropped": {"busy": 10}},
            "stages": {
                name: {"count": 256, "mean": typical, "p50": typical, "p99": 2 * typical}
                for name, typical in (("decode", 1.2), ("inference", 17.2), ("age", 48.0))
            },
        }
        super().__init__()

    def route(self, request: Handler, method: str, path: str) -> None:
        view = path.rpartition("/")[2]
        if view == "snapshot":
            request.send(
                200,
                "image/jpeg",
                self.picture(int(time.time() * FPS)),
                Access_Control_Allow_Origin="*",
                Access_Control_Expose_Headers="X-Inference-Ms",
                X_Inference_Ms="17.20",
            )
        elif view == "stats":
            request.send_json(self.stats, Access_Control_Allow_Origin="*")
        elif view in ("stream", "detections"):
            self.flow(request, view)
        else:
            request.problem(404, "Not found", f"no {path}")

    def flow(self, request: Handler, view: str) -> None:
        kind = multipart.CONTENT_TYPE if view == "stream" else "text/event-stream"
        request.send_response(200)
        request.send_header("Content-Type", kind)
        request.send_header("Access-Control-Allow-Origin", "*")
        request.send_header("Connection", "close")
        request.end_headers()
        request.close_connection = True
        while self.runs:
            if not self.frozen:
                step = int(time.time() * FPS)
                request.wfile.write(self.part(step) if view == "stream" else self.event(step))
                request.wfile.flush()
            time.sleep(1 / FPS)

    def part(self, step: int) -> bytes:
        width, height = self.size
        return multipart.part(
            Frame(jpeg=self.picture(step), sequence=step, captured_at=time.time(), width=width, height=height)
        )

    def event(self, step: int) -> bytes:
        width, height = self.size
        objects = [
            {"label": label, "confidence": 0.9 - place / 10, "box": [10, 10, 90, 90]}
            for place, label in enumerate(self.labels)
        ]
        document = {
            "algorithm": "yolo",
            "model": "yolov3-tiny",
            "inference_ms": 17.2,
            "age_ms": 48.0,
            "frame": {"sequence": step, "captured_at": time.time(), "width": width, "height": height},
            "objects": objects,
        }
        return f"data: {json.dumps(document)}\n\n".encode()


class FakeRegistry(FakeServer):
    """Lists what it is told, and makes sessions on the first free node."""

    def __init__(self) -> None:
        self.nodes: dict[str, Json] = {}
        self.sessions: dict[str, Json] = {}
        self.stale: float | None = None  # seconds for which its Redis has been away
        super().__init__()

    def reset(self) -> None:
        """As it was in the beginning, at the same address."""
        self.nodes.clear()
        self.sessions.clear()
        self.requests.clear()
        self.stale = None
        if not self.runs:
            self.up()

    # --- what it knows

    def add_camera(self, camera: FakeCamera, name: str, **more: Any) -> str:
        node_id = str(uuid.uuid4())
        self.nodes[node_id] = {
            **{"schema": "fogline/1", "node_id": node_id, "kind": "camera", "name": name, "host_name": "host"},
            **{"type": "Camera", "source": "demo", "width": 640, "height": 360, "fps": 12.0, "version": "0.1.0"},
            **{"state": "ready", "state_reason": "", "url": camera.url, "sessions": 0, "load": {"fps": 12.0}},
            **more,
        }
        return node_id

    def add_compute(self, node: FakeCompute, name: str, *, slots: int = 4, **more: Any) -> str:
        node_id = str(uuid.uuid4())
        entries: list[Json] = [
            {"id": "yolo", "name": "Object detection (YOLO)", "category": "objectdetection", "model": "yolov3-tiny"},
            {"id": "haar", "name": "Faces (Haar)", "category": "facialrecognition", "model": None},
        ]
        self.nodes[node_id] = {
            **{"schema": "fogline/1", "node_id": node_id, "kind": "compute", "name": name, "FriendlyName": name},
            **{"host_name": "host", "ram": "16gb", "cpu": "Intel(R) Xeon(R)", "cores": 8, "version": "0.1.0"},
            **{"accelerators": ["openvino:cpu"], "slots": slots, "url": node.url, "sessions": 0, "load": {}},
            **{"algorithm": [{**e, "fps": fps} for e, fps in zip(entries, (36.1, 80.0), strict=True)]},
            **{"state": "ready", "state_reason": ""},
            **more,
        }
        return node_id

    def add_session(self, camera: str, algorithm: str, node_id: str | None, **more: Any) -> Json:
        node = self.nodes[node_id] if node_id else None
        session_id = str(uuid.uuid4())
        base = f"{node['url']}/v1/sessions/{session_id}" if node else None
        session: Json = {
            **{"session_id": session_id, "state": "running" if node else "requested", "state_reason": ""},
            **{"camera": camera, "camera_name": self.nodes[camera]["name"], "algorithm": algorithm, "token": 1},
            **{"node": node_id, "node_name": node and node["name"], "node_url": node and node["url"]},
            **{f"{view}_url": base and f"{base}/{view}" for view in ("stream", "snapshot", "detections", "stats")},
            **{"why": "it had the most room: 4 of 4 slots free", "pinned": False, "viewers": 1, "fps": 12.0},
            **{"created_at": time.time()},
            **more,
        }
        self.sessions[session_id] = session
        if node:
            node["sessions"] += 1
        return session

    def free(self, node: Json) -> int:
        return max(0, node["slots"] - node["sessions"]) if node["state"] == "ready" else 0

    def algorithms(self) -> list[Json]:
        found: dict[str, Json] = {}
        for node in self.nodes.values():
            for entry in node.get("algorithm", ()):
                one = found.setdefault(entry["id"], {**entry, "free_slots": 0, "nodes": []})
                one["free_slots"] += self.free(node)
                one["nodes"].append(
                    {
                        **{"id": node["node_id"], "name": node["name"], "fps": entry["fps"], "model": entry["model"]},
                        **{"free_slots": self.free(node), "state": node["state"]},
                        **{"state_reason": node["state_reason"], "original": False},
                    }
                )
        return list(found.values())

    # --- its calls

    def route(self, request: Handler, method: str, path: str) -> None:
        lists: dict[str, Callable[[], list[Json]]] = {
            "nodes": lambda: [{**n, "last_seen": time.time()} for n in self.nodes.values()],
            "algorithms": self.algorithms,
            "sessions": lambda: [s for s in self.sessions.values() if s["state"] != "ended"],
        }
        name, _, ident = path.removeprefix("/v1/").partition("/")
        if method == "GET" and not ident and name in lists:
            stale = {"stale": self.stale is not None, "next_cursor": None}
            request.send_json({name: lists[name](), **stale, **({"age_seconds": self.stale} if self.stale else {})})
        elif method == "POST" and path == "/v1/sessions":
            self.open(request, request.body())
        elif name == "sessions" and ident in self.sessions:
            if method == "DELETE":
                self.end(ident)
                request.send(204, "application/json", b"")
            else:
                request.send_json(self.sessions[ident])
        else:
            request.problem(404, "Not found", f"unknown session {ident!r}")

    def open(self, request: Handler, wish: Json) -> None:
        able = [
            n
            for n in self.nodes.values()
            if any(e["id"] == wish["algorithm"] for e in n.get("algorithm", ()))
            and wish.get("node") in (None, n["node_id"], n["name"])
            and self.free(n)
        ]
        if not able:
            request.problem(503, "No free slot", f"no free slot for {wish['algorithm']}: every node is full")
            return
        request.send_json(self.add_session(wish["camera"], wish["algorithm"], able[0]["node_id"]), 201)

    def end(self, session_id: str) -> None:
        session = self.sessions[session_id]
        if session["node"] and session["state"] != "ended":
            self.nodes[session["node"]]["sessions"] -= 1
        session |= {"state": "ended", "state_reason": "ended by request"}
