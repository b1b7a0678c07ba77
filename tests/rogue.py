"""A camera node that sends whatever a test wants it to send."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType

import requests

from mesh.multipart import CONTENT_TYPE
from tests.processes import Running


class RogueCamera:
    """Answers `/healthz`, and `/stream.jpg` with the chunks that `chunks()` yields, as fast as it yields them."""

    def __init__(self, chunks: Callable[[], Iterator[bytes]], content_type: str = CONTENT_TYPE) -> None:
        rogue = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                if self.path.startswith("/stream.jpg"):
                    rogue.connections += 1
                    self.send_response(200)
                    self.send_header("Content-Type", content_type)
                    self.end_headers()
                    try:
                        for chunk in chunks():
                            self.wfile.write(chunk)
                    except OSError:
                        return
                else:
                    self.send_response(200)
                    self.send_header("Content-Length", "2")
                    self.end_headers()
                    self.wfile.write(b"{}")

            def log_message(self, *_arguments: object) -> None:
                """Nothing: the test says what matters."""

        self.connections = 0
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._stop = threading.Event()

    def __enter__(self) -> RogueCamera:
        self._thread.start()
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._server.shutdown()
        self._server.server_close()

    def join(self, registry: Running, name: str = "rogue") -> None:
        """Register as a camera and beat until the context ends."""
        manifest = {
            "schema": "fogline/1", "kind": "camera", "node_id": f"id-{name}", "boot_id": "b", "host_name": "rogue",
            "name": name, "advertise_url": self.url,
        }  # fmt: skip
        answer = requests.post(f"{registry.url}/v1/nodes", json=manifest, timeout=5)
        assert answer.status_code == 201, answer.text

        def beat() -> None:
            while not self._stop.is_set():
                requests.post(f"{registry.url}/v1/nodes/id-{name}/heartbeat", json={"boot_id": "b"}, timeout=5)
                time.sleep(0.5)

        threading.Thread(target=beat, daemon=True).start()
