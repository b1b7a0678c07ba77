"""Small HTTP servers that speak the contract: cameras and compute nodes, with pictures that move."""

from __future__ import annotations

import functools
import io
import json
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

from PIL import Image, ImageDraw

from mesh import multipart
from mesh.frame import Frame
from tests.processes import free_port

FPS = 12  # frames a second of a fake's stream
AHEAD = 5.0  # seconds by which a fake's clock is: pages then believe its own word for a frame's age, whatever the delay
Json = dict[str, Any]


def drawn(step: int, *, width: int = 640, height: int = 360) -> bytes:
    """A JPEG with a disc that is elsewhere at every step."""
    return _drawn(40 + step * 29 % (width - 80), width, height)


@functools.lru_cache(maxsize=600)  # as many as there are places for it: every viewer gets twelve a second
def _drawn(x: int, width: int, height: int) -> bytes:
    image = Image.new("RGB", (width, height), (38, 70, 83))
    ImageDraw.Draw(image).ellipse((x - 30, 150, x + 30, 210), fill=(233, 196, 106))
    out = io.BytesIO()
    image.save(out, "JPEG", quality=70)
    return out.getvalue()


def following(step: int) -> int:
    """The step after `step`, when its time has come: there are FPS of them in a second on a busy machine, too."""
    time.sleep(max(0.0, (step + 1) / FPS - time.time()))
    return max(step + 1, int(time.time() * FPS))


class Handler(BaseHTTPRequestHandler):
    """Requests go to `answer` of the server's owner; nothing is logged."""

    protocol_version = "HTTP/1.1"
    owner: Any

    def do_GET(self) -> None:
        self.owner.answer(self)

    do_POST = do_PATCH = do_DELETE = do_GET  # noqa: N815  # http.server calls them so

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

    def begin(self, content_type: str) -> None:
        """Begin an answer without an end; `part` sends more of it."""
        self.send_response(200)
        self.send_header("Content-Type", content_type)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.close_connection = True

    def part(self, data: bytes) -> None:
        self.wfile.write(b"%x\r\n%b\r\n" % (len(data), data))

    def event(self, kind: str, document: Any) -> None:
        self.part(f"event: {kind}\ndata: {json.dumps(document)}\n\n".encode())

    def problem(self, status: int, title: str, detail: str) -> None:
        self.send_json({"title": title, "status": status, "detail": detail}, status, "application/problem+json")

    def body(self) -> Any:
        return json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or b"{}")


class QuietServer(ThreadingHTTPServer):
    allow_reuse_address = True
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A browser or a service that goes breaks connections off; what matters shows in the tests."""


class FakeServer:
    """A server on a port of its own, which may go and come back."""

    def __init__(self) -> None:
        self._port = free_port()  # one that the kernel gives to nobody else while this server is away
        self._server: ThreadingHTTPServer | None = None
        self.requests: list[str] = []
        self.up()

    def up(self) -> None:
        handler = type("Bound", (Handler,), {"owner": self})
        self._server = QuietServer(("127.0.0.1", self._port), handler)
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
        request.send_header("Access-Control-Allow-Origin", "*")
        request.send_header("Connection", "close")
        request.end_headers()
        request.close_connection = True
        step = int(time.time() * FPS)
        while self.runs:
            frame = Frame(jpeg=self.picture(step), sequence=step, captured_at=time.time(), width=640, height=360)
            request.wfile.write(multipart.part(frame))
            step = following(step)


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
        step = int(time.time() * FPS)
        while self.runs:
            if not self.frozen:
                request.wfile.write(self.part(step) if view == "stream" else self.event(step))
                request.wfile.flush()
            step = following(step)

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
            "frame": {"sequence": step, "captured_at": time.time() + AHEAD, "width": width, "height": height},
            "objects": objects,
        }
        return f"data: {json.dumps(document)}\n\n".encode()
