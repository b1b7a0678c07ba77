"""What a camera tells the registry: through real HTTP, to a registry that only listens."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from mesh import manifest
from tests.camera_node.pictures import picture
from tests.camera_node.web_server import WebCamera, mjpeg
from tests.processes import Running, wait_for


class Registry:
    """Keeps what it is sent, and answers as a registry does."""

    def __init__(self) -> None:
        self.manifests: list[dict[str, Any]] = []
        self.beats: list[dict[str, Any]] = []
        self.left: list[str] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                if self.path == "/v1/nodes":
                    outer.manifests.append(body)
                    self._answer(
                        {
                            "node_id": body["node_id"],
                            "lease_seconds": 3,
                            "manifest_seconds": 600,
                            "heartbeat": {"seconds": 0.2},
                        }
                    )
                else:
                    outer.beats.append(body)
                    self._answer({"lease_seconds": 3})

            def do_DELETE(self) -> None:
                outer.left.append(self.path)
                self._answer({})

            def _answer(self, value: dict[str, Any]) -> None:
                data = json.dumps(value).encode()
                self.send_response(200)
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


@pytest.fixture
def registry() -> Iterator[Registry]:
    one = Registry()
    yield one
    one.close()


def test_manifest_beats_and_leave(camera: Callable[..., Running], registry: Registry) -> None:
    """The manifest says what the camera is, without address or password of its source, and is sent again once the
    size is known; beats carry viewers, rate and why there is no picture; the camera leaves when it stops."""
    web = WebCamera(mjpeg(lambda n: picture(640, 360, seed=n)))
    node = camera(f"http://op:s3cret@{web.host}/video?pwd=s3cret", registry=registry.url)
    beat = wait_for(lambda: next((b for b in registry.beats if b["load"].get("no_signal")), None), 10, "beat")
    assert "refuses connections" in beat["load"]["no_signal"]
    with web:
        known = wait_for(lambda: next((m for m in registry.manifests if m.get("width")), None), 15, "size")
        parsed = manifest.parse(known, "camera")
        assert parsed.name == "127.0.0.1"
        assert parsed.port == node.port
        assert known["type"] == "Camera"
        assert known["source"] == "http"
        assert (known["width"], known["height"]) == (640, 360)
        assert known["ip_address"] == "127.0.0.1"
        assert known["ram"].endswith("gb")
        assert len({m["node_id"] for m in registry.manifests}) == 1
        assert beat["boot_id"] == parsed.boot_id
        wait_for(lambda: registry.beats[-1]["load"].get("fps", 0) > 10, 10, "rate")
        # A busy machine's first one may be another: the manifest is renewed when the rate is clearly another.
        wait_for(lambda: 10 < (registry.manifests[-1].get("fps") or 0) < 30, 15, "rate in manifest")
        assert node.stop() < 3.5
    wait_for(lambda: registry.left == [f"/v1/nodes/{parsed.node_id}"] or None, 2, "goodbye")
    assert "s3cret" not in json.dumps([registry.manifests, registry.beats])
    assert "s3cret" not in node.log()


def test_same_identity_again(camera: Callable[..., Running], registry: Registry, folder: Path) -> None:
    """A restart keeps the node's id and has a new boot id; a second camera of the same name beside it has its own."""
    first = camera(str(folder), "--name", "gate", registry=registry.url)
    wait_for(lambda: registry.manifests or None, 10, "manifest")
    second = camera(str(folder), "--name", "gate", registry=registry.url)
    wait_for(lambda: len({m["name"] for m in registry.manifests}) == 2, 10, "second name")
    first.stop()
    second.stop()
    seen = {(m["name"], m["node_id"], m["boot_id"]) for m in registry.manifests}
    assert {name for name, _, _ in seen} == {"gate", "gate-2"}
    camera(str(folder), "--name", "gate", registry=registry.url)
    again = wait_for(
        lambda: {(m["name"], m["node_id"], m["boot_id"]) for m in registry.manifests} - seen or None,
        10,
        "third manifest",
    )
    name, node_id, boot_id = again.pop()
    old = next(one for one in seen if one[0] == "gate")
    assert (name, node_id) == old[:2]
    assert boot_id != old[2]
