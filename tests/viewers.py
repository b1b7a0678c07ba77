"""Watching streams as a viewer would, with a bound on the time."""

from __future__ import annotations

import json
import time
from typing import Any

import cv2
import numpy as np
import requests
from numpy.typing import NDArray

from mesh.multipart import Part, Reader, boundary_of
from tests.processes import Running, wait_for


def watch(url: str, frames: int, seconds: float = 20) -> list[Part]:
    """The first `frames` parts of the MJPEG stream at `url`, redirects followed. Fails when they take too long."""
    deadline = time.monotonic() + seconds
    parts: list[Part] = []
    with requests.get(url, stream=True, timeout=(5, seconds)) as answer:
        assert answer.status_code == 200, (answer.status_code, answer.text[:500])
        kind = answer.headers["Content-Type"]
        assert kind.startswith("multipart/x-mixed-replace"), kind
        reader = Reader(boundary_of(kind))
        for chunk in answer.iter_content(None):
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
        listed = requests.get(f"{registry.url}/v1/nodes", params={"kind": kind}, timeout=5).json()["nodes"]
        for one in listed:
            if one["state"] == "ready" and all(one.get(key) == value for key, value in has.items()):
                found: dict[str, Any] = one
                return found
        return None

    return wait_for(look, seconds, f"{kind} node with {has} at {registry.url}")


def session(registry: Running, camera: str, algorithm: str, **more: Any) -> dict[str, Any]:
    """A new session, as the registry describes it."""
    body = {"camera": camera, "algorithm": algorithm, **more}

    def look() -> dict[str, Any] | None:
        answer = requests.post(f"{registry.url}/v1/sessions", json=body, timeout=5)
        if answer.status_code in (404, 503):  # an algorithm that is still loading, a node that is being dialled
            return None
        assert answer.status_code == 201, (answer.status_code, answer.text)
        made: dict[str, Any] = answer.json()
        return made

    return wait_for(look, 30, f"session of {algorithm} on {camera}")
