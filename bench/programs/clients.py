"""One client that reads a camera's frames: `python -m bench.programs.clients CLIENT URL SECONDS` prints JSON.

Its own CPU is counted from the first frame on. Stills are asked for 30 times a second.
"""

from __future__ import annotations

import http.client
import json
import sys
import time
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

import requests

PERIOD = 1 / 30
Frames = Iterator[int]
"""Yields the number of frames that came since the last time."""


def paced(fetch: Callable[[], bytes]) -> Frames:
    due = time.monotonic()
    while True:
        assert len(fetch()) > 1000
        yield 1
        due += PERIOD
        time.sleep(max(0.0, due - time.monotonic()))


def by_requests(url: str) -> Frames:
    return paced(lambda: requests.get(f"{url}/image.jpg", timeout=5).content)


def by_session(url: str) -> Frames:
    session = requests.Session()
    return paced(lambda: session.get(f"{url}/image.jpg", timeout=5).content)


def by_urllib3(url: str) -> Frames:
    import urllib3  # noqa: PLC0415

    pool = urllib3.PoolManager()
    return paced(lambda: pool.request("GET", f"{url}/image.jpg").data)


def by_http_client(url: str) -> Frames:
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=5)

    def fetch() -> bytes:
        connection.request("GET", "/image.jpg")
        return connection.getresponse().read()

    return paced(fetch)


def by_opencv(url: str) -> Frames:
    import cv2  # noqa: PLC0415

    capture = cv2.VideoCapture(f"{url}/stream.jpg")
    while capture.read()[0]:
        yield 1


def by_fogline(url: str) -> Frames:
    """The compute node's own reader, with every check that it makes of a frame."""
    from compute_node.ingest import Ingest  # noqa: PLC0415
    from mesh.wire import CameraAddress  # noqa: PLC0415

    ingest = Ingest(CameraAddress(node_id="bench", name="bench", url=url))
    seen = 0
    while True:
        time.sleep(0.25)
        _, frames = ingest.frames.get()  # its version counts them
        yield frames - seen
        seen = frames


CLIENTS: dict[str, Callable[[str], Frames]] = {
    "fogline": by_fogline,
    "http.client": by_http_client,
    "urllib3": by_urllib3,
    "requests with a session": by_session,
    "requests": by_requests,
    "cv2.VideoCapture": by_opencv,
}


def main() -> None:
    name, url, seconds = sys.argv[1], sys.argv[2], float(sys.argv[3])
    frames = CLIENTS[name](url)
    while not next(frames):
        continue
    begun, cpu, count = time.monotonic(), time.process_time(), 0
    for more in frames:
        count += more
        if time.monotonic() - begun >= seconds:
            break
    took, used = time.monotonic() - begun, time.process_time() - cpu
    print(json.dumps({"cpu_ms_per_frame": used / max(count, 1) * 1000, "fps": count / took}), flush=True)


if __name__ == "__main__":
    main()
