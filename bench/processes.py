"""Processes under measurement: started, waited for, their CPU and memory counted with all their children, and ended."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType

import psutil
import requests

READY_SECONDS = 60.0  # loading a big model takes 20
STOP_SECONDS = 8.0
PORTS_FROM = 20_000  # below the range from which the system takes its own
_handed_out: list[int] = []


class Missing(Exception):
    """Something that a measurement needs is not on this machine; the text says what and how to get it."""


class Failed(Exception):
    """A measurement could not be made; the text says why."""


def free_port() -> int:
    """A port that nothing listens on, and that was not given out before."""
    start = max(_handed_out, default=PORTS_FROM + os.getpid() % 5000) + 1
    for port in range(start, start + 500):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        _handed_out.append(port)
        return port
    raise Failed(f"no free port from {start} on")


class Process:
    """One process of a measurement; leaving the context ends it and its children."""

    def __init__(
        self, name: str, command: Sequence[str], folder: Path, *, environment: Mapping[str, str] | None = None
    ) -> None:
        self.name = name
        self.command = list(command)
        self.log = folder / f"{name.replace(' ', '-').replace('/', '-')}-{time.monotonic_ns()}.log"
        kept = {key: value for key, value in os.environ.items() if not key.startswith("FOGLINE_")}
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                self.command,
                env={**kept, **(environment or {})},
                cwd=Path(__file__).resolve().parent.parent,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def __enter__(self) -> Process:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.stop()

    def wait_until(self, look: Callable[[], bool], what: str, seconds: float = READY_SECONDS) -> None:
        """Wait for `look`. Raises Failed with the process's last words when it ends or takes too long."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            ended = self._process.poll() is not None
            with contextlib.suppress(requests.RequestException, OSError):
                if look():
                    return
            if ended:
                raise Failed(f"{self.name} ended with {self._process.returncode}: {self.last_words()}")
            time.sleep(0.05)
        raise Failed(f"{self.name}: no {what} within {seconds:g} s: {self.last_words()}")

    def answers(self, url: str, seconds: float = READY_SECONDS) -> None:
        """Wait until `url` answers 200. Only the head is read, so it may be a stream."""

        def look() -> bool:
            with requests.get(url, stream=True, timeout=2) as answer:
                return answer.status_code == 200

        self.wait_until(look, f"answer at {url}", seconds)

    def wait(self, seconds: float) -> str:
        """Wait for its end. Returns what it printed. Raises Failed when it fails or takes too long."""
        try:
            code = self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise Failed(f"{self.name} did not end within {seconds:g} s: {self.last_words()}") from None
        if code:
            raise Failed(f"{self.name} ended with {code}: {self.last_words()}")
        return self.log.read_text(errors="replace")

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    def cpu_seconds(self) -> float:
        """User and system time so far, of all its threads and its children's."""
        total = 0.0
        for one in self._family():
            with contextlib.suppress(psutil.Error):
                times = one.cpu_times()
                total += times.user + times.system
        return total

    def memory_mb(self) -> float:
        """Resident memory of the family, in megabytes; what two of them share counts twice."""
        total = 0
        for one in self._family():
            with contextlib.suppress(psutil.Error):
                total += one.memory_info().rss
        return total / 1e6

    def threads(self) -> int:
        return sum(one.num_threads() for one in self._family())

    def files(self) -> int:
        """Open files and sockets."""
        return sum(one.num_fds() for one in self._family())

    def last_words(self) -> str:
        return " ".join(self.log.read_text(errors="replace").split())[-600:] or "it said nothing"

    def stop(self) -> None:
        if self._process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(STOP_SECONDS)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)  # it leads a group of its own; what is left of it
        self._process.wait(5)

    def _family(self) -> list[psutil.Process]:
        try:
            first = psutil.Process(self._process.pid)
            return [first, *first.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []
