"""Starting real services for tests: on free ports, with bounded waits, and without leaving a process behind."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import TypeVar

import psutil
import requests

from tests.hosts import Host

ROOT = Path(__file__).resolve().parent.parent
T = TypeVar("T")


def free_port() -> int:
    """A port that nothing listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_for(look: Callable[[], T | None], seconds: float, what: str) -> T:
    """What `look` gives as soon as it is neither None nor False. Fails after `seconds`, naming `what`."""
    deadline = time.monotonic() + seconds
    seen: object = None
    while time.monotonic() < deadline:
        try:
            found = look()
            if found is not None and found is not False:
                return found
            seen = found
        except (requests.RequestException, OSError) as error:
            seen = error
        time.sleep(0.05)
    raise AssertionError(f"after {seconds} s: no {what}; last seen: {seen!r:.500}")


class Running:
    """A service in a process of its own: `python -m cli ROLE …`, stopped when the context ends."""

    def __init__(
        self,
        role: str,
        *arguments: str,
        port: int,
        log: Path,
        environment: Mapping[str, str] | None = None,
        host: Host | None = None,
    ) -> None:
        """host: where to run it, when not here; it then listens on every address of that host."""
        self.url = f"http://{host.address if host else '127.0.0.1'}:{port}"
        self.port = port
        self._log = log.open("ab")
        self.log_file = log
        command = [sys.executable, "-m", "cli", role]
        if host is not None:
            command = [*host.command, *command, "--host", "0.0.0.0"]
        kept = {key: value for key, value in os.environ.items() if not key.startswith("FOGLINE_")}
        self.process = subprocess.Popen(
            [*command, "--port", str(port), "--log", "json", *arguments],
            cwd=ROOT,
            env={**kept, "FOGLINE_PARENT": str(os.getpid()), **(environment or {})},
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def __enter__(self) -> Running:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.stop()

    def ready(self, seconds: float = 30) -> Running:
        """Wait until the service can serve."""

        def look() -> bool:
            if self.process.poll() is not None:
                raise AssertionError(f"ended with {self.process.returncode}:\n{self.log()[-3000:]}")
            return requests.get(f"{self.url}/readyz", timeout=2).ok

        wait_for(look, seconds, f"answer of {self.url}/readyz ({self.log()[-500:]})")
        return self

    def log(self) -> str:
        return self.log_file.read_text(errors="replace")

    def kill(self) -> None:
        """End it as a power cut would: every process of its group at once."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(5)

    def stop(self, seconds: float = 6) -> float:
        """Ask it to end; how many seconds that took. Fails when it leaves a process behind."""
        began = time.monotonic()
        family = [self.process.pid]
        if self.process.poll() is None:
            family += [child.pid for child in psutil.Process(self.process.pid).children(recursive=True)]
            self.process.terminate()
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"did not end within {seconds} s:\n{self.log()[-3000:]}") from None
        finally:
            self._log.close()
        took = time.monotonic() - began
        left = [pid for pid in family if _runs(pid)]
        if left:
            time.sleep(1)
            left = [pid for pid in family if _runs(pid)]
            for pid in left:
                os.kill(pid, signal.SIGKILL)
        assert not left, f"left processes behind: {left}"
        return took


def _runs(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
