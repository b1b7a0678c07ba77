"""A viewer of a camera node, as tests need one."""

from __future__ import annotations

import time
from collections.abc import Iterator

import requests

from mesh.multipart import Part, Reader, boundary_of


def parts(url: str, seconds: float = 10.0) -> Iterator[Part]:
    """The parts of the stream at `url` as they come, for at most `seconds`."""
    deadline = time.monotonic() + seconds
    with requests.get(url, stream=True, timeout=(3, seconds)) as answer:
        assert answer.status_code == 200, answer.text
        reader = Reader(boundary_of(answer.headers["Content-Type"]))
        while time.monotonic() < deadline:
            data = answer.raw.read1(65536)
            if not data:
                return
            yield from reader.feed(data)


def metric(url: str, name: str, **labels: str) -> float:
    """The value of one metric of the node at `url`; 0 when it is not there."""
    wanted = name + ("{" + ",".join(f'{k}="{v}"' for k, v in sorted(labels.items())) + "}" if labels else "")
    for line in requests.get(f"{url}/metrics", timeout=5).text.splitlines():
        if line.startswith(wanted + " "):
            return float(line.rpartition(" ")[2])
    return 0.0


def no_signal(url: str) -> str | None:
    """Why the camera has no picture; None while it has one."""
    return requests.get(f"{url}/image.jpg", timeout=5).headers.get("X-No-Signal")
