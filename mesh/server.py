"""Serving a WSGI application with gunicorn: one process with threads, for the frames live in its memory."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any, Protocol, runtime_checkable

from gunicorn.app.base import BaseApplication
from gunicorn.workers import gthread

from mesh import closing, limits
from mesh.audience import allow_more_files
from mesh.errors import SetupProblem
from mesh.fanout import Fanout
from mesh.handoff import HandOff
from mesh.server_log import ServerLog
from mesh.tls import Certificate
from mesh.tls_front import Front
from mesh.worker import Worker

STOP_SECONDS = 3  # for requests that are under way; Ctrl-C must be over within 5
BACKLOG = 2048  # connections that wait to be accepted: a flood is looked at 64 at a time
SWITCH = (
    0.001  # seconds that a thread may compute in Python while the fan-out waits: the usual 5 ms cost a busy one frames
)
LINGER = 0.5  # seconds that a stopping service waits for a request on its way over a connection that is kept open


class Service(Protocol):
    """What `serve` runs. `application` is built in the serving process, then `start` begins its threads there."""

    def application(self) -> Any: ...
    def start(self) -> None: ...
    def stop(self) -> None:
        """End the streams and leave; called once, when the process is told to stop."""
        ...


@runtime_checkable
class Streams(Protocol):
    """A service whose streams are handed to a fan-out; None while each viewer is to hold a thread."""

    fanout: Fanout | None


class _Server(BaseApplication):  # type: ignore[misc]  # gunicorn has no types
    def __init__(self, build: Callable[[], Service], front: Front | None, options: dict[str, Any]) -> None:
        self._build = build
        self._front = front
        self._given = options
        self.service: Service | None = None
        self._hand_off: HandOff | None = None
        self._stop: threading.Thread | None = None
        super().__init__()

    def load_config(self) -> None:
        for name, value in self._given.items():
            self.cfg.set(name, value)
        self.cfg.set("post_worker_init", self._begin)
        self.cfg.set("worker_exit", self._end)
        self.cfg.set("on_exit", self._leave)

    def load(self) -> Any:
        self.service = self._build()
        application = self.service.application()
        if self._front is not None:
            application = _secured(application)
        if isinstance(self.service, Streams) and self.service.fanout is not None:
            application = self._hand_off = HandOff(application, self.service.fanout)
            sys.setswitchinterval(SWITCH)
        return application

    def _begin(self, worker: Any) -> None:
        """Runs in the worker when it can answer: now the service may say to others that it is there."""
        service = self.service
        assert service is not None
        if self._hand_off is not None:
            self._hand_off.attach(worker)
        stop_once = threading.Lock()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT):
            usual = signal.getsignal(number)

            def stop(signum: int, frame: FrameType | None, usual: Any = usual) -> None:
                if stop_once.acquire(blocking=False):
                    # Not in the handler itself: it may have interrupted a thread that holds a lock which stop() needs.
                    self._stop = threading.Thread(target=service.stop, name="stop")
                    self._stop.start()
                if callable(usual):
                    usual(signum, frame)

            signal.signal(number, stop)
        if self._front is not None:
            self._front.start()
        service.start()

    def _end(self, _server: Any, _worker: Any) -> None:
        """Runs in the worker when it answers no more. Engines' and codecs' own threads outlive the service, and bring
        the process down with a signal when the interpreter takes itself apart under them: so it does not."""
        if self._stop is None:
            return  # it never began, or failed: gunicorn's own exit code tells which
        self._stop.join(STOP_SECONDS)
        if self._front is not None:
            self._front.stop()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)

    def _leave(self, _arbiter: Any) -> None:
        """Runs in the workers' parent when all have ended and their socket is gone."""
        if self._front is not None:
            with contextlib.suppress(OSError):
                self._front.inner.parent.rmdir()


def serve(
    build: Callable[[], Service],
    *,
    host: str,
    port: int,
    threads: int,
    workers: int = 1,
    certificate: Certificate | None = None,
) -> None:
    """Serve until SIGTERM or SIGINT, by TLS when there is a `certificate`. Returns never: gunicorn ends the process."""
    family_host = f"[{host}]" if ":" in host else host
    front = None
    if certificate is not None:
        listening = socket.create_server((host, port), family=family_of(host), backlog=BACKLOG)
        front = Front(
            listening, Path(tempfile.mkdtemp(prefix="fogline-")) / "service", certificate.file, certificate.key
        )
    # gunicorn's own 2 s, for which no setting exists, would be most of the time that Ctrl-C may take.
    gthread.STOP_KEEPALIVE_LINGER = LINGER
    closing.install()
    allow_more_files()
    _Server(
        build,
        front,
        {
            "bind": f"unix:{front.inner}" if front else f"{family_host}:{port}",
            "proxy_protocol": "v1" if front else "off",
            "workers": workers,
            "threads": threads,
            "worker_class": Worker,
            "worker_connections": 2 * limits.MAX_CONNECTIONS,  # the worker counts by itself, and makes room
            "worker_tmp_dir": _memory_folder(),
            "graceful_timeout": STOP_SECONDS,
            "keepalive": limits.KEEP_ALIVE_SECONDS,
            "limit_request_line": limits.MAX_REQUEST_LINE,
            "limit_request_fields": limits.MAX_HEADER_FIELDS,
            "limit_request_field_size": limits.MAX_HEADER_BYTES,
            "forwarded_allow_ips": "",  # gunicorn believes no proxy by itself: mesh.proxies does, as it is told to
            "timeout": 60,
            "loglevel": "warning",
            "logger_class": ServerLog,
            "backlog": BACKLOG,
            "control_socket_disable": True,
        },
    ).run()


def _secured(application: Callable[..., Any]) -> Callable[..., Any]:
    """Who comes here came by https: the front ended it."""

    def call(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        environ["wsgi.url_scheme"] = "https"
        return application(environ, start_response)

    return call


def family_of(host: str) -> socket.AddressFamily:
    """Of the address that `host` stands for. Raises SetupProblem when it is none."""
    try:
        return socket.getaddrinfo(host, None, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0][0]
    except socket.gaierror:
        raise SetupProblem(f"--host (FOGLINE_HOST) is {host!r}: not an address or a known host name") from None


def free_port(host: str, first: int, *, tries: int = 200) -> int:
    """The first free port from `first` on.

    Raises SetupProblem when there is none or the address is not this machine's.
    """
    for port in range(first, min(first + tries, 65536)):
        if port_is_free(host, port):
            return port
    raise SetupProblem(f"no free port between {first} and {first + tries - 1} on {host}; give --port")


def require_port(host: str, port: int, option: str) -> None:
    """Raise SetupProblem unless `port` can be listened on; `option` names what chooses it."""
    if not port_is_free(host, port):
        raise SetupProblem(
            f"port {port} on {host} is taken by another program; stop it, or choose another with {option}"
        )


def port_is_free(host: str, port: int) -> bool:
    """Whether `port` can be listened on. Raises SetupProblem when `host` is no address of this machine."""
    try:
        info = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    except socket.gaierror:
        raise SetupProblem(f"--host (FOGLINE_HOST) is {host!r}: not an address or a known host name") from None
    with socket.socket(info[0], socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(info[4])
        except PermissionError:
            raise SetupProblem(f"port {port} may only be used by root; choose one above 1023 with --port") from None
        except OSError as error:
            if error.errno == 99:
                raise SetupProblem(f"--host (FOGLINE_HOST) is {host!r}: not an address of this machine") from None
            return False
        return True


def _memory_folder() -> str | None:
    """gunicorn beats through a file; on a slow disk that stalls the workers."""
    return "/dev/shm" if Path("/dev/shm").is_dir() else None
