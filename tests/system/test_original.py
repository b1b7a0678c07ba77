"""An unmodified camera, device and page of the original cluster work against Fogline.

The original has fixed ports and no advertised addresses, so each of its hosts gets a loopback address of its own, which
no other run of the tests on this machine has.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import requests

from tests.processes import Running, wait_for
from tests.viewers import node, picture, session, watch

OWN = f"{os.getpid() >> 8 & 255}.{os.getpid() & 255}"
CAMERA_HOST, COMPUTE_HOST, DEVICE_HOST = f"127.77.{OWN}", f"127.78.{OWN}", f"127.79.{OWN}"
CAMERA = {"name": "web camera", "type": "Camera", "host_name": "cam-pi", "ip_address": CAMERA_HOST}
DEVICE = {
    "FriendlyName": "Thinkstation", "name": "Thinkstation", "ram": "2gb", "cpu": "amd", "host_name": "thinkstation",
    "ip_address": DEVICE_HOST,
    "algorithm": [{"name": "HAAR Cascade", "category": "facialrecognition", "class": "Computer Vision",
                   "path": "haar/image.jpg"}],
}  # fmt: skip


class OriginalCamera(BaseHTTPRequestHandler):
    """The tutorial's camera: parts without a length, the boundary `frame`, sizes from the query."""

    def do_GET(self) -> None:
        path, _, query = self.path.partition("?")
        asked = dict(pair.split("=") for pair in query.split("&") if "=" in pair)
        width, height = int(asked.get("width") or 640), int(asked.get("height") or 480)
        shade = int(time.time() * 40) % 200
        data = cv2.imencode(".jpg", np.full((height, width, 3), shade, np.uint8))[1].tobytes()
        self.send_response(200)
        if path == "/image.jpg":
            self.send_header("Content-Type", "image/jpeg")
            self.end_headers()
            self.wfile.write(data)
        else:
            self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
            self.end_headers()
            try:
                while True:
                    self.wfile.write(b"--frame\r\nContent-Type: image/jpeg\r\n\r\n" + data + b"\r\n\r\n")
                    time.sleep(0.05)
            except OSError:
                return

    def log_message(self, *_arguments: object) -> None:
        """Nothing."""


@pytest.fixture
def original_camera() -> Iterator[None]:
    server = ThreadingHTTPServer((CAMERA_HOST, 5000), OriginalCamera)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield
    server.shutdown()
    server.server_close()


def test_the_originals_whole_story(
    start: Callable[..., Running], models: Path, original_camera: None, tmp_path: Path
) -> None:
    """Camera and device are posted, the page lists them, and opens a stream on our node by the original's address."""
    registry = start("registry").ready()
    # 1. Its camera and its device register as they always did, and get their body back.
    for path, document in (("/cam", CAMERA), ("/device", DEVICE)):
        answer = requests.post(f"{registry.url}{path}", json=document, timeout=5)
        assert answer.status_code == 200
        assert answer.json() == document
    bad = requests.post(f"{registry.url}/cam", json={"name": "nameless"}, timeout=5)
    assert bad.status_code == 422
    assert "host_name" in bad.json()["detail"]

    # 2. One of our compute nodes joins, on the original's port.
    folder = tmp_path / "k"
    folder.mkdir()
    for name in ("models", "engines"):
        (folder / name).symlink_to(models / name)
    compute = Running(
        "compute", "--host", COMPUTE_HOST, "--advertise", f"http://{COMPUTE_HOST}:8000", "--registry", registry.url,
        "--algorithms", "yolo,haar", "--data", str(folder), port=8000, log=tmp_path / "k.log",
    )  # fmt: skip
    with compute:
        node(registry, "compute", 40, url=f"http://{COMPUTE_HOST}:8000")

        # 3. Its page asks for bare lists, and finds theirs and ours alike.
        def both() -> list[dict[str, Any]] | None:
            found: list[dict[str, Any]] = requests.get(f"{registry.url}/device", timeout=5).json()
            ours = [one for one in found if one["ip_address"] == COMPUTE_HOST]
            return found if len(found) == 2 and ours and len(ours[0]["algorithm"]) == 2 else None

        devices = wait_for(both, 30, "both devices in the original's list")
        cameras = requests.get(f"{registry.url}/cam", timeout=5).json()
        assert CAMERA in cameras
        assert DEVICE in devices
        assert "web camera" in requests.get(f"{registry.url}/", timeout=5).text

        # 4. It builds the address of a stream as it always did.
        ours = next(one for one in devices if one["ip_address"] == COMPUTE_HOST)
        for algorithm in ours["algorithm"]:
            for camera in (cameras[0]["name"], cameras[0]["ip_address"], f"http://{CAMERA_HOST}:5000/stream.jpg"):
                address = f"http://{ours['ip_address']}:8000/{algorithm['path']}?height=240&width=320&downsample=1"
                parts = watch(f"{address}&camera={camera}", 5, 30)
                assert picture(parts[-1].body).shape == (240, 320, 3)
                assert all("x-no-signal" not in part.headers for part in parts)

        # 5. Its camera can be used by our sessions; its device serves no sessions of ours.
        made = session(registry, "web camera", "haar")
        assert made["node_url"] == f"http://{COMPUTE_HOST}:8000"
        watch(f"{registry.url}/v1/sessions/{made['session_id']}/stream", 5)


def test_our_camera_answers_the_originals_calls(start: Callable[..., Running], tmp_path: Path) -> None:
    """`/image.jpg?height=&width=` and `/stream.jpg?height=&width=&downsample=`, filled in or empty."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    cv2.imwrite(str(folder / "a.jpg"), np.full((480, 640, 3), 90, np.uint8))
    camera = start("camera", "--source", str(folder), "--registry", "http://127.0.0.1:9").ready()
    whole = requests.get(f"{camera.url}/image.jpg?height=&width=", timeout=5)
    assert picture(whole.content).shape == (480, 640, 3)
    small = requests.get(f"{camera.url}/image.jpg?height=240&width=320", timeout=5)
    assert picture(small.content).shape == (240, 320, 3)
    part = watch(f"{camera.url}/stream.jpg?height=480&width=640&downsample=2", 2)[0]
    assert picture(part.body).shape == (240, 320, 3)
