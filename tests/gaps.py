"""A viewer in a process of its own, on any host, that follows a session and notes every picture: when, which, whose.

`python -m tests.gaps REGISTRIES SESSION` prints a line of JSON for each; `Viewer` starts that and reads it.
"""

from __future__ import annotations

import http.client
import itertools
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from urllib.parse import urlsplit

from mesh.credentials import Bearer
from mesh.follow import Follower
from mesh.multipart import Part, Reader, boundary_of
from tests.hosts import Host
from tests.processes import wait_for

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Seen:
    """One picture. at: monotonic seconds of its arrival, the same clock on every host of one machine. frame: the
    camera's count. node: the address that sent it; token: of the placement. signal: the camera has one."""

    at: float
    frame: int
    node: str
    token: int | None
    signal: bool


class Viewer:
    """Follows `session_id` at `registries` (as for `--registry`) until the context ends.

    host: where it runs, here when None. ask: whether it asks for another node when no picture comes. kept: the address
    of a stream on a node; it is opened once and never again, whatever happens. key: an API key for the registries.
    """

    def __init__(
        self,
        registries: str,
        session_id: str,
        *,
        host: Host | None = None,
        ask: bool = True,
        kept: str = "",
        key: str = "",
    ) -> None:
        words = [registries, session_id, "ask" if ask else "follow"] if not kept else [kept]
        self.seen: list[Seen] = []
        self.process = subprocess.Popen(
            [*(host.command if host else []), sys.executable, "-m", "tests.gaps", *words],
            cwd=ROOT,
            env={**os.environ, "FOGLINE_API_KEY": key},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def __enter__(self) -> Viewer:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.process.kill()
        self.process.wait(5)
        self._thread.join(5)

    def after(self, moment: float) -> list[Seen]:
        """The pictures that came after `moment` (monotonic seconds)."""
        return [one for one in tuple(self.seen) if one.at > moment]

    def runs(self, frames: int = 5, seconds: float = 15) -> Viewer:
        """Wait for so many further pictures with a signal."""
        begun = time.monotonic()
        wait_for(lambda: sum(one.signal for one in self.after(begun)) >= frames, seconds, f"{frames} further pictures")
        return self

    def comes_from(self, node: str, seconds: float = 15) -> Viewer:
        """Wait until the newest picture is from `node`."""
        wait_for(lambda: bool(self.seen) and self.seen[-1].node == node, seconds, f"picture from {node}")
        return self

    def gap(self, since: float, until: float | None = None) -> float:
        """The longest time without a picture, in seconds, of what lies between two moments; `until` now when None.
        A gap that began before counts whole, and so does one that has not ended."""
        end = time.monotonic() if until is None else until
        times = [one.at for one in tuple(self.seen)]
        earlier = [at for at in times if at <= since]
        marks = [earlier[-1] if earlier else since, *(at for at in times if since < at <= end)]
        later = [at for at in times if at > end]
        marks.append(later[0] if later else end)
        return max(second - first for first, second in itertools.pairwise(marks))

    def nodes(self, since: float) -> list[str]:
        """Whose pictures came since then, in this order; a node that came back stands there twice."""
        found: list[str] = []
        for one in self.after(since):
            if not found or found[-1] != one.node:
                found.append(one.node)
        return found

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as lines:
            for line in lines:
                self.seen.append(Seen(**json.loads(line)))


def _follow(registries: str, session_id: str, *, ask: bool) -> Iterator[Seen]:
    key = os.environ.get("FOGLINE_API_KEY", "")
    for sight in Follower(registries, session_id, ask=ask, credentials=Bearer(key) if key else None):
        yield _seen(Part(sight.headers, sight.jpeg), sight.at, sight.node, sight.token)


def _keep(url: str) -> Iterator[Seen]:
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc)
    connection.request("GET", f"{parts.path}?{parts.query}")
    with connection.getresponse() as answer:
        reader = Reader(boundary_of(answer.headers["Content-Type"]))
        while data := answer.read1(1 << 18):
            for part in reader.feed(data):
                yield _seen(part, time.monotonic(), f"{parts.scheme}://{parts.netloc}", None)


def _seen(part: Part, at: float, node: str, token: int | None) -> Seen:
    return Seen(at, int(part.headers.get("x-frame", -1)), node, token, "x-no-signal" not in part.headers)


def main(words: Sequence[str]) -> None:
    pictures = _keep(words[0]) if len(words) == 1 else _follow(words[0], words[1], ask=words[2] == "ask")
    for one in pictures:
        sys.stdout.write(json.dumps(one.__dict__) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1:])
