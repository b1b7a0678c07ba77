"""Watching streams as a viewer would, with a bound on the time."""

from __future__ import annotations

import json
import selectors
import socket
import threading
import time
from types import TracebackType
from typing import Any

import cv2
import numpy as np
import requests
from numpy.typing import NDArray

from mesh.multipart import Part, Reader, boundary_of
from tests.processes import Running, wait_for


def watch(url: str, frames: int, seconds: float = 20, shown: dict[str, str] | None = None) -> list[Part]:
    """The first `frames` parts of the MJPEG stream at `url`, redirects followed. Fails when they take too long. shown:
    headers for that address alone."""
    deadline = time.monotonic() + seconds
    parts: list[Part] = []
    with requests.get(url, headers=shown, stream=True, timeout=(5, seconds)) as answer:
        assert answer.status_code == 200, (answer.status_code, answer.text[:500])
        kind = answer.headers["Content-Type"]
        assert kind.startswith("multipart/x-mixed-replace"), kind
        reader = Reader(boundary_of(kind))
        while chunk := answer.raw.read1(65536):
            parts += reader.feed(chunk)
            if len(parts) >= frames:
                return parts[:frames]
            assert time.monotonic() < deadline, f"{len(parts)} of {frames} frames within {seconds} s"
    raise AssertionError(f"the stream ended after {len(parts)} frames")


def follow(url: str, events: int, seconds: float = 20) -> list[dict[str, Any]]:
    """The first `events` server-sent events at `url`, as JSON."""
    deadline = time.monotonic() + seconds
    found: list[dict[str, Any]] = []
    with requests.get(url, stream=True, timeout=(5, seconds)) as answer:
        assert answer.status_code == 200, (answer.status_code, answer.text[:500])
        assert answer.headers["Content-Type"].startswith("text/event-stream")
        for line in answer.iter_lines():
            if line.startswith(b"data: "):
                found.append(json.loads(line[6:]))
            if len(found) >= events:
                return found
            assert time.monotonic() < deadline, f"{len(found)} of {events} events within {seconds} s"
    raise AssertionError(f"the events ended after {len(found)}")


def picture(data: bytes) -> NDArray[np.uint8]:
    """The JPEG in `data`, decoded: height × width × 3, blue-green-red."""
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    assert image is not None, data[:200]
    return np.asarray(image, np.uint8)


def node(registry: Running, kind: str, seconds: float = 40, **has: Any) -> dict[str, Any]:
    """The first node of `kind` that the registry lists as ready (and whose fields equal `has`)."""

    def look() -> dict[str, Any] | None:
        answer = requests.get(f"{registry.url}/v1/nodes", params={"kind": kind}, headers=registry.shown, timeout=5)
        answer.raise_for_status()  # it is being started, or its Redis is: asked again
        for one in answer.json()["nodes"]:
            if one["state"] == "ready" and all(one.get(key) == value for key, value in has.items()):
                found: dict[str, Any] = one
                return found
        return None

    return wait_for(look, seconds, f"{kind} node with {has} at {registry.url}")


def session(registry: Running, camera: str, algorithm: str, **more: Any) -> dict[str, Any]:
    """A new session, as the registry describes it."""
    body = {"camera": camera, "algorithm": algorithm, **more}

    def look() -> dict[str, Any] | None:
        answer = requests.post(f"{registry.url}/v1/sessions", json=body, headers=registry.shown, timeout=5)
        if answer.status_code in (404, 503):  # an algorithm that is still loading, a node that is being dialled
            return None
        assert answer.status_code == 201, (answer.status_code, answer.text)
        made: dict[str, Any] = answer.json()
        return made

    return wait_for(look, 30, f"session of {algorithm} on {camera}")


def ask(port: int, path: str, *, receive: int = 0) -> socket.socket:
    """A viewer that asks for `path` on this machine and leaves the reading to the caller. receive: bytes that its
    system takes in for it, few for a viewer that is to get stuck soon."""
    viewer = socket.socket()
    if receive:
        viewer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive)
    viewer.settimeout(10)
    viewer.connect(("127.0.0.1", port))
    viewer.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    return viewer


class Swarm:
    """Many viewers of one address that read all they get, in one thread."""

    def __init__(self, port: int, path: str, viewers: int) -> None:
        self._viewers = [ask(port, path) for _ in range(viewers)]
        self._parts = dict.fromkeys((one.fileno() for one in self._viewers), 0)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._read, daemon=True)

    def __enter__(self) -> Swarm:
        self._thread.start()
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.leave()

    def parts(self) -> list[int]:
        """How many parts each viewer has begun to get."""
        return list(self._parts.values())

    def leave(self) -> None:
        """All close at once, without a word."""
        self._stopping.set()
        self._thread.join(5)
        for viewer in self._viewers:
            viewer.close()

    def _read(self) -> None:
        with selectors.DefaultSelector() as selector:
            for viewer in self._viewers:
                viewer.setblocking(False)
                selector.register(viewer, selectors.EVENT_READ)
            while not self._stopping.is_set():
                for key, _ in selector.select(0.1):
                    assert isinstance(key.fileobj, socket.socket)
                    data = key.fileobj.recv(1 << 20)
                    self._parts[key.fd] += data.count(b"X-Frame: ")
                    if not data:
                        selector.unregister(key.fileobj)
