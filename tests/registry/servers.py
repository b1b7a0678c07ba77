"""Redis servers of the tests' own, on free ports: plain ones, replicas and sentinels."""

from __future__ import annotations

import subprocess
from pathlib import Path
from types import TracebackType

import psutil
import redis

from registry.valkey import binary
from tests.processes import free_port, wait_for


def until_written(client: redis.Redis) -> None:
    """Wait until everything that was acknowledged is in the server's file.

    While the disk is busy with what it was given before, for some milliseconds of each second, a server that writes to
    disk every second acknowledges what follows before it writes it; kill -9 would lose that.
    """
    wait_for(lambda: client.info("persistence")["aof_pending_bio_fsync"] == 0, 5, "what was written, on disk")


def ended(process: psutil.Process) -> bool:
    """Whether it is gone, but for what its parent may still want to know of it."""
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:  # it went between the two looks
        return True


class Server:
    """One Valkey in the foreground, with nothing but what the arguments say. It ends with the context."""

    def __init__(self, folder: Path, *lines: str, sentinel: bool = False) -> None:
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._folder = folder / f"server-{self.port}"
        self._folder.mkdir(parents=True)
        self._configuration = self._folder / "server.conf"
        kept = [] if sentinel else ["save ''", "appendonly yes", "appendfsync everysec"]
        self._configuration.write_text(
            "\n".join([f"port {self.port}", "bind 127.0.0.1", f"dir {self._folder}", *kept, *lines, ""])
        )
        self._sentinel = sentinel
        self.start()

    def start(self) -> None:
        """Run it, also again after `kill`, with the data it had."""
        mode = ["--sentinel"] if self._sentinel else []
        with (self._folder / "log").open("ab") as output:
            self.process = subprocess.Popen(
                [str(binary()), str(self._configuration), *mode],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        try:
            wait_for(self._answers, 10, f"Valkey on port {self.port}")
        except BaseException:
            self.kill()
            raise

    def client(self) -> redis.Redis:
        return redis.Redis(port=self.port, decode_responses=True, socket_timeout=2)

    def kill(self) -> None:
        """As a power cut would."""
        self.process.kill()
        self.process.wait(5)

    def __enter__(self) -> Server:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.kill()

    def _answers(self) -> bool:
        try:
            with self.client() as client:
                return bool(client.ping())
        except redis.exceptions.RedisError:
            return False
