"""Running several services as child processes: started, watched, started again, and stopped together."""

from __future__ import annotations

import contextlib
import ctypes
import json
import logging
import logging.handlers
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mesh.backoff import Backoff
from mesh.settings import PREFIX

PARENT = "FOGLINE_PARENT"  # the process id of the one that started us; not a setting
LOG_BYTES = 5_000_000  # of one log file, before the next is begun
LOG_FILES = 3  # kept of each service
HEALTHY_SECONDS = 30.0  # a service that ran so long and then died is started again at once
_PR_SET_PDEATHSIG = 1  # from <linux/prctl.h>


def follow_parent() -> None:
    """End this process when the one that started it ends, even by kill -9. Only for children of `Child`; Linux only."""
    parent = os.environ.pop(PARENT, "")
    if not parent or not sys.platform.startswith("linux"):
        return
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != int(parent):  # it ended before the line above
        sys.exit(0)


@dataclass(frozen=True)
class Service:
    """One service to run. role: the command; name: what people see; arguments: its options. secrets: settings by
    variable, for what may hold a password: every user of the machine can read a command line."""

    role: str
    name: str
    arguments: tuple[str, ...]
    secrets: Mapping[str, str] = field(default_factory=dict)


class _LogFile(logging.handlers.RotatingFileHandler):
    """A log file that tells once when it cannot be written, such as on a full disk, instead of a trace a line."""

    failed: Callable[[str], None] | None = None

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: ARG002, N802  logging's own signature
        failed, self.failed = self.failed, None
        if failed is not None:
            failed(str(sys.exc_info()[1]))


class Child:
    """One running service. `tell` gets (service name, level, text) of what a person should see."""

    def __init__(self, service: Service, logs: Path, tell: Callable[[str, str, str], None], *, raw: bool) -> None:
        self.service = service
        self._tell = tell
        self._raw = raw
        self._logs = logs
        self._stopping = threading.Event()
        self._process: subprocess.Popen[bytes] | None = None
        self._thread = threading.Thread(target=self._run, name=f"watch {service.name}", daemon=True)
        self._thread.start()

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def stop(self) -> None:
        """Ask the service to end; does not wait."""
        self._stopping.set()
        self._signal(signal.SIGTERM)

    def wait(self, seconds: float) -> None:
        """Wait for the service to end, and kill it with all its children after `seconds`."""
        self._thread.join(max(0.0, seconds))
        if self._thread.is_alive():
            self._signal(signal.SIGKILL)
            self._thread.join(1.0)

    def _signal(self, number: int) -> None:
        process = self._process
        if process is not None:
            # The service leads a group of its own; its workers are in it. A polite request goes to the leader only.
            with contextlib.suppress(ProcessLookupError):
                (os.killpg if number == signal.SIGKILL else os.kill)(process.pid, number)

    def _run(self) -> None:
        backoff = Backoff()
        log = self._open_log()
        while not self._stopping.is_set():
            began = time.monotonic()
            self._process = subprocess.Popen(
                [sys.executable, "-m", "cli", self.service.role, *self.service.arguments],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C reaches only us; we stop the others in order
                env={**_environment(), **self.service.secrets},
            )
            if self._stopping.is_set():
                self._signal(signal.SIGTERM)
            last = self._read(self._process, log)
            code = self._process.wait()
            if self._stopping.is_set():
                break
            if time.monotonic() - began > HEALTHY_SECONDS:
                backoff.reset()
            delay = backoff.delay()
            self._tell(
                self.service.name,
                "error",
                f"ended with code {code}; starting it again in {delay:.0f} s. It said: {last}",
            )
            self._stopping.wait(delay)
        for handler in log.handlers:
            handler.close()

    def _read(self, process: subprocess.Popen[bytes], log: logging.Logger) -> str:
        """Keep every line in the service's log file and show those that a person should see. Returns the last line."""
        assert process.stdout is not None
        last = "nothing"
        for line in process.stdout:
            text = line.decode("utf-8", "replace").rstrip()
            if not text:
                continue
            log.info(text)
            if self._raw:
                print(text, file=sys.stderr, flush=True)
            event = _parse(text)
            last = event.get("event", last)
            if event.get("level") in ("warning", "error", "critical") and not self._raw:
                details = ", ".join(
                    f"{key} {value}"
                    for key, value in event.items()
                    if key not in ("event", "level", "service", "node", "timestamp", "exception")
                )
                self._tell(self.service.name, event["level"], f"{event['event']}{f' ({details})' if details else ''}")
        return str(last)

    def _open_log(self) -> logging.Logger:
        self._logs.mkdir(parents=True, exist_ok=True)
        handler = _LogFile(
            self._logs / f"{self.service.name}.log", maxBytes=LOG_BYTES, backupCount=LOG_FILES, encoding="utf-8"
        )
        handler.failed = lambda reason: self._tell(self.service.name, "error", f"its log cannot be written: {reason}")
        handler.setFormatter(logging.Formatter("%(message)s"))
        log = logging.Logger(self.service.name)  # of its own, below no other: the lines are already formatted
        log.addHandler(handler)
        return log


def stop_all(children: Sequence[Child], seconds: float) -> None:
    """Stop `children` together and wait `seconds` for all of them."""
    deadline = time.monotonic() + seconds
    for child in children:
        child.stop()
    for child in children:
        child.wait(deadline - time.monotonic())


def _environment() -> dict[str, str]:
    """Our own environment without the settings: a child gets them as options, so FOGLINE_PORT cannot reach them all."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(PREFIX) or key == "FOGLINE_ROOT"}
    return kept | {PARENT: str(os.getpid()), "FOGLINE_LOG": "json", "PYTHONUNBUFFERED": "1"}


def _parse(text: str) -> dict[str, Any]:
    """A JSON log line's fields; a line that is none counts as chatter of a library."""
    if text.startswith("{"):
        try:
            event = json.loads(text)
        except ValueError:
            return {}
        if isinstance(event, dict) and "event" in event:
            return event
    return {"event": text, "level": "error"} if text.startswith("fogline: ") else {}
