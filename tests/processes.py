"""Starting real services for tests: on free ports, with bounded waits, and without leaving a process behind."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sized
from pathlib import Path
from types import TracebackType
from typing import TypeVar

import psutil
import requests

from mesh.credentials import ADMIN_KEY
from mesh.keys import Key
from tests.hosts import Host

ROOT = Path(__file__).resolve().parent.parent
# Below those that the kernel gives away by itself: else another process gets one before the service listens on it.
PORTS = range(10_000, 20_000)
GONE_SECONDS = 5.0  # after a service's end in which the kernel takes its processes apart: a busy machine is slow at it
T = TypeVar("T")


def free_port() -> int:
    """A port that nothing listens on now, and that no other test on this machine is given for a long while."""
    with (Path(tempfile.gettempdir()) / "fogline-ports.lock").open("a+") as book:
        fcntl.flock(book, fcntl.LOCK_EX)
        book.seek(0)
        before = int(book.read() or -1)
        for number in range(before + 1, before + 1 + len(PORTS)):
            port = PORTS[number % len(PORTS)]
            with contextlib.suppress(OSError), socket.socket() as probe:
                probe.bind(("", port))
                book.truncate(0)
                book.write(str(number % len(PORTS)))
                return port
    raise AssertionError("no port is free")


def wait_for(look: Callable[[], T | None], seconds: float, what: str) -> T:
    """What `look` gives as soon as it is something: neither None nor False nor empty. Fails after `seconds`, naming
    `what`."""
    deadline = time.monotonic() + seconds
    seen: object = None
    while time.monotonic() < deadline:
        try:
            found = look()
            if found is not None and found is not False and not (isinstance(found, Sized) and len(found) == 0):
                return found
            seen = found
        except (requests.RequestException, OSError) as error:
            seen = error
        time.sleep(0.05)
    raise AssertionError(f"after {seconds} s: no {what}; last seen: {seen!r:.500}")


def stolen_signer(data: Path) -> Key:
    """The registry's own signing key, from the copy in its data folder, which follows a change within a second."""

    def look() -> Key | None:
        signers = json.loads((data / "access" / "book.json").read_text())["documents"]["signer"]
        return Key.parse(signers["keys"]["keys"][0]["private"]) if "keys" in signers else None

    return wait_for(look, 10, "copy of the registry's keys")


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
        tree: Path = ROOT,
    ) -> None:
        """host: where to run it, when not here; it then listens on every address of that host. tree: whose code."""
        self.url = f"http://{host.address if host else '127.0.0.1'}:{port}"
        self.role = role
        self.port = port
        self._family: list[psutil.Process] = []
        self._log = log.open("ab")
        self.log_file = log
        self._data = Path(arguments[arguments.index("--data") + 1]) if "--data" in arguments else None
        self._locked = host is not None or "locked" in arguments
        command = [sys.executable, "-m", "cli", role]
        if host is not None:
            command = [*host.command, *command, "--host", "0.0.0.0"]
        kept = {key: value for key, value in os.environ.items() if not key.startswith("FOGLINE_")}
        self.process = subprocess.Popen(
            [*command, "--port", str(port), "--log", "json", *arguments],
            cwd=tree,
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

    @property
    def shown(self) -> dict[str, str]:
        """The header that makes the caller of this registry an admin, where it is locked; else none."""
        if not self._locked or self._data is None:
            return {}
        return {"Authorization": f"Bearer {(self._data / ADMIN_KEY).read_text().strip()}"}

    def log(self) -> str:
        return self.log_file.read_text(errors="replace")

    def kill(self) -> None:
        """End it as a power cut would: every process of its group at once."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(5)

    def end(self) -> None:
        """Ask it to end and do not wait: `stop` does. Where many end, they do so at once."""
        if self.process.poll() is None and not self._family:
            own = psutil.Process(self.process.pid)
            self._family = [own, *own.children(recursive=True)]
            self.process.terminate()

    def stop(self, seconds: float = 6) -> float:
        """Ask it to end; how many seconds that took. Fails when it leaves a process behind."""
        began = time.monotonic()
        self.end()
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"did not end within {seconds} s:\n{self.log()[-3000:]}") from None
        finally:
            self._log.close()
        took = time.monotonic() - began
        until = time.monotonic() + GONE_SECONDS
        while (left := {one.pid: words for one in self._family if (words := _runs(one))}) and time.monotonic() < until:
            time.sleep(0.02)
        for one in self._family:
            if one.pid in left:
                one.kill()
        assert not left, f"left processes behind: {left}"
        return took


def _runs(process: psutil.Process) -> str:
    """What it does and who it is; nothing when it has ended."""
    try:
        state = process.status() if process.is_running() else psutil.STATUS_ZOMBIE
        return "" if state == psutil.STATUS_ZOMBIE else f"{state}: {' '.join(process.cmdline())}"
    except psutil.NoSuchProcess:
        return ""
