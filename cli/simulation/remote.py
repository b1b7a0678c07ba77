"""The fleet in a process of its own, so that it takes no time from what measures: one line a call, one an answer."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import psutil

from cli.simulation.fleet import Fleet
from cli.simulation.loop import READ, Loop
from mesh.audience import allow_more_files
from mesh.errors import SetupProblem

STOP_SECONDS = 5.0
POLL_SECONDS = 0.05
CALLS = ("grow", "join", "state", "killable", "kill", "vanish", "cut", "heal")
Json = dict[str, Any]


class RemoteFleet:
    """`count` nodes on the registries at `ports`; leaving the context ends them without a word, as a power cut would.

    Any thread may call any method. Raises SetupProblem when the process does not answer.
    """

    def __init__(self, ports: Sequence[int], count: int) -> None:
        self._lock = threading.Lock()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "cli.simulation.remote", str(count), *map(str, ports)],
            cwd=Path(__file__).resolve().parents[2],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C is for us alone: we end it by closing its input
        )

    def __enter__(self) -> RemoteFleet:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(STOP_SECONDS)

    def call(self, name: str, **arguments: Any) -> Json:
        """What the fleet's method `name` answers."""
        with self._lock:
            assert self._process.stdin is not None
            assert self._process.stdout is not None
            try:
                self._process.stdin.write(json.dumps([name, arguments]).encode() + b"\n")
                self._process.stdin.flush()
            except OSError:
                raise SetupProblem("the process of the simulated nodes has ended") from None
            line = self._process.stdout.readline()
        if not line:
            raise SetupProblem("the process of the simulated nodes has ended")
        answer: Json = json.loads(line)
        return answer

    def state(self) -> Json:
        return self.call("state")

    def until(self, look: Callable[[Json], bool], seconds: float) -> Json | None:
        """The first state that `look` is content with; None when none was for `seconds`."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            state = self.state()
            if look(state):
                return state
            time.sleep(POLL_SECONDS)
        return None

    def cpu_seconds(self) -> float:
        times = psutil.Process(self._process.pid).cpu_times()
        return times.user + times.system


def main() -> None:
    """The fleet's own process: obeys lines from its standard input until that is closed."""
    count, *ports = map(int, sys.argv[1:])
    allow_more_files()
    loop = Loop()
    fleet = Fleet(loop, ports, count)
    rest = bytearray()

    def read(_events: int) -> None:
        chunk = os.read(sys.stdin.fileno(), 1 << 16)
        if not chunk:
            loop.end()
            return
        rest.extend(chunk)
        while (end := rest.find(b"\n")) >= 0:
            name, arguments = json.loads(rest[:end])
            del rest[: end + 1]
            if name not in CALLS:
                raise ValueError(f"no such call: {name}")
            sys.stdout.write(json.dumps(getattr(fleet, name)(**arguments)) + "\n")
            sys.stdout.flush()

    loop.watch(sys.stdin.buffer, READ, read)
    loop.run()


if __name__ == "__main__":
    main()
