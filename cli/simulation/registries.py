"""The registry processes of a simulation: started on free ports, measured, and ended."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import psutil
import redis
import requests

from cli.processes import PARENT
from mesh.errors import SetupProblem
from mesh.settings import PREFIX
from registry.redis_connection import connection
from registry.settings import RegistrySettings
from registry.valkey import EmbeddedValkey

START_SECONDS = 30.0
STOP_SECONDS = 8.0
CALL_SECONDS = 5.0  # for one call of Redis: wiping a large one takes a while


@dataclass(frozen=True)
class Used:
    """What processes have used so far. registry, redis: CPU seconds. registry_mb, redis_mb: resident memory. commands:
    how many Redis has run."""

    at: float
    registry: float
    redis: float
    registry_mb: float
    redis_mb: float
    commands: int


class Registries:
    """`count` registries on one Redis or Valkey. Leaving the context ends them.

    address: of a Redis whose database is empty; an embedded Valkey when it is ''. options: for each registry.
    Raises SetupProblem when one does not start.
    """

    def __init__(self, count: int, folder: Path, *, address: str = "", options: Sequence[str] = ()) -> None:
        self._processes: list[subprocess.Popen[bytes]] = []
        self._folder = folder
        self.ports = [_free_port() for _ in range(count)]
        self.urls = [f"http://127.0.0.1:{port}" for port in self.ports]
        self._valkey = None if address else EmbeddedValkey(folder)
        try:
            if self._valkey is None:
                self.address = address
                self._require_empty()
            else:
                self._valkey.start()
                self.address = self._valkey.url
            for port in self.ports:
                self._start(port, options)
        except BaseException:
            self.stop()
            raise

    def __enter__(self) -> Registries:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.stop()

    def client(self) -> redis.Redis:
        """A connection to their Redis."""
        return connection(RegistrySettings(redis=self.address, redis_timeout=CALL_SECONDS))

    def wipe(self) -> None:
        """Forget everything, as a Redis does that lost its data."""
        with self.client() as client:
            client.flushdb()

    def used(self) -> Used:
        cpu = memory = 0.0
        for one in self._family():
            with contextlib.suppress(psutil.Error):
                times = one.cpu_times()
                cpu += times.user + times.system
                memory += one.memory_info().rss / 1e6
        with self.client() as client:
            info = client.info("cpu") | client.info("memory") | client.info("stats")
        return Used(
            at=time.monotonic(),
            registry=cpu,
            redis=info["used_cpu_user"] + info["used_cpu_sys"],
            registry_mb=memory,
            redis_mb=info["used_memory_rss"] / 1e6,
            commands=info["total_commands_processed"],
        )

    def kill_redis(self) -> None:
        """kill -9 of the embedded Valkey; it is started again at once."""
        with self.client() as client:
            os.kill(client.info("server")["process_id"], signal.SIGKILL)

    def stop(self) -> None:
        for process in self._processes:
            if process.poll() is None:
                process.terminate()
        for process in self._processes:
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait(STOP_SECONDS)
        if self._valkey is not None:
            self._valkey.stop()
        elif self._processes:
            with contextlib.suppress(redis.RedisError):
                self.wipe()

    def _start(self, port: int, options: Sequence[str]) -> None:
        data = self._folder / f"registry-{port}"
        log = self._folder / f"registry-{port}.log"
        kept = {key: value for key, value in os.environ.items() if not key.startswith(PREFIX)}
        secrets = {f"{PREFIX}REDIS": self.address}  # it may hold a password, and command lines can be read by all
        command = [sys.executable, "-m", "cli", "registry", "--port", str(port), "--data", str(data), "--log", "json"]
        with log.open("wb") as output:
            process = subprocess.Popen(
                [*command, *options],
                cwd=Path(__file__).resolve().parents[2],
                env={**kept, **secrets, PARENT: str(os.getpid())},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._processes.append(process)
        deadline = time.monotonic() + START_SECONDS
        while not _ready(port):
            if process.poll() is not None or time.monotonic() > deadline:
                words = " ".join(log.read_text(errors="replace").split())[-600:]
                raise SetupProblem(f"a registry for the simulation does not start: {words or 'it said nothing'}")
            time.sleep(0.05)

    def _require_empty(self) -> None:
        try:
            with self.client() as client:
                kept = int(client.dbsize())
        except redis.RedisError as error:
            raise SetupProblem(f"--redis (FOGLINE_REDIS) does not answer: {error}") from None
        if kept:
            raise SetupProblem(
                f"--redis (FOGLINE_REDIS) has {kept} keys in its database: a simulation wipes it, so give an empty one"
            )

    def _family(self) -> list[psutil.Process]:
        found = []
        for process in self._processes:
            with contextlib.suppress(psutil.Error):
                first = psutil.Process(process.pid)
                found += [first, *first.children(recursive=True)]
        return found


def _ready(port: int) -> bool:
    try:
        return requests.get(f"http://127.0.0.1:{port}/readyz", timeout=2).ok
    except requests.RequestException:
        return False


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
