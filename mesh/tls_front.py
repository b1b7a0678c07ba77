"""TLS in front of a service: a process of its own ends it and hands the plain bytes on over a Unix socket.

In the service's own process TLS would keep streams from leaving the web server (mesh.handoff), and each viewer would
hold a thread. Here one event loop serves them all, and the service sees plain connections, each behind a line of the
PROXY protocol that says from where it came. What a viewer does not take is not read from the service either, so the
newest frame wins as it does without TLS.

    python -m mesh.tls_front LISTENING_FD SOCKET CERTIFICATE KEY
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import ssl
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path
from typing import Final

from mesh.backoff import Backoff
from mesh.limits import MAX_CONNECTIONS, MAX_CONNECTIONS_PER_CLIENT, SILENT_SECONDS, TAKE_SECONDS
from mesh.logs import logger

CHUNK: Final = 256 * 1024  # bytes read at once
AHEAD: Final = 64 * 1024  # bytes that may wait for a viewer here: what is older than a frame is of no use
HANDSHAKE_SECONDS: Final = 10.0
CLOSE_SECONDS: Final = 2.0  # that a client may take to say goodbye
LOOK_SECONDS: Final = 60.0  # between two looks whether the certificate was renewed
_PR_SET_PDEATHSIG: Final = 1
_OURS: Final = frozenset({"127.0.0.1", "::1", "::ffff:127.0.0.1"})  # a proxy or a dashboard speaks for many
log = logger(__name__)


class Front:
    """Keeps the process running while the service does. `start` and `stop` are called once, in the serving process.

    listening: a socket that clients connect to. inner: the Unix socket of the service.
    """

    def __init__(self, listening: socket.socket, inner: Path, certificate: Path, key: Path) -> None:
        self._listening = listening
        self.inner = inner
        self._words = (str(inner), str(certificate), str(key))
        self._stopping = threading.Event()
        self._process: subprocess.Popen[bytes] | None = None
        # The kernel ties the process's life to the thread that starts it.
        self._thread = threading.Thread(target=self._keep, name="tls", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        if self._process is not None:
            self._process.terminate()

    def _keep(self) -> None:
        backoff = Backoff(first=0.2, ceiling=5.0)
        while not self._stopping.is_set():
            fd = self._listening.fileno()
            self._process = subprocess.Popen(
                [sys.executable, "-m", "mesh.tls_front", str(fd), *self._words],
                stdin=subprocess.DEVNULL,
                pass_fds=[fd],
                env=os.environ | {"FOGLINE_PARENT": str(os.getpid())},
            )
            code = self._process.wait()
            if not self._stopping.is_set():
                log.error("the process that ends TLS has ended; starting it again", code=code)
                self._stopping.wait(backoff.delay())


class _Loop:
    """One process's connections. Everything runs in the event loop."""

    def __init__(self, inner: str, context: ssl.SSLContext) -> None:
        self._inner = inner
        self._context = context
        self._clients: Counter[str] = Counter()

    async def serve(self, listening: socket.socket) -> None:
        server = await asyncio.start_server(
            self._greet,
            sock=listening,
            ssl=self._context,
            limit=CHUNK,
            ssl_handshake_timeout=HANDSHAKE_SECONDS,
            ssl_shutdown_timeout=CLOSE_SECONDS,
            backlog=2048,
        )
        async with server:
            await server.serve_forever()

    async def _greet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = writer.get_extra_info("peername") or ("", 0)
        client = str(peer[0])
        many = client not in _OURS and self._clients[client] >= MAX_CONNECTIONS_PER_CLIENT
        if many or self._clients.total() >= MAX_CONNECTIONS:
            writer.transport.abort()
            return
        self._clients[client] += 1
        plain = writer.get_extra_info("socket")
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(TAKE_SECONDS * 1000))
        try:
            await self._pass(reader, writer, peer)
        except (OSError, asyncio.IncompleteReadError, TimeoutError):
            pass  # one of the two has gone
        finally:
            self._clients[client] -= 1
            if not self._clients[client]:
                del self._clients[client]
            writer.transport.abort()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, peer: tuple[str, int]) -> None:
        async with asyncio.timeout(SILENT_SECONDS):  # browsers open some ahead, and say nothing yet
            said = await reader.read(CHUNK)
        if not said:
            return
        inner_reader, inner_writer = await asyncio.open_unix_connection(self._inner, limit=CHUNK)
        inner_writer.write(_proxy_line(peer, writer.get_extra_info("sockname")) + said)
        ways = [
            asyncio.ensure_future(_copy(reader, inner_writer)),
            asyncio.ensure_future(_copy(inner_reader, writer)),
        ]
        try:
            # The service's end is the end; a client that has said all may still listen.
            await ways[1]
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            inner_writer.transport.abort()
        with contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(CLOSE_SECONDS):
                writer.close()
                await writer.wait_closed()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.transport.set_write_buffer_limits(high=AHEAD)
    while data := await reader.read(CHUNK):
        writer.write(data)
        await writer.drain()
    if writer.can_write_eof():
        writer.write_eof()


def _proxy_line(peer: tuple[str, int], own: tuple[str, int] | None) -> bytes:
    """PROXY protocol, version 1."""
    host, port = str(peer[0]).partition("%")[0], int(peer[1])
    kind = "TCP6" if ":" in host else "TCP4"
    there = (str(own[0]).partition("%")[0], int(own[1])) if own else (host, port)
    return f"PROXY {kind} {host} {there[0]} {port} {there[1]}\r\n".encode()


async def _renew(context: ssl.SSLContext, certificate: Path, key: Path) -> None:
    """Take up a renewed certificate; connections that are open keep the one they have."""
    stamp = certificate.stat().st_mtime_ns
    while True:
        await asyncio.sleep(LOOK_SECONDS)
        with contextlib.suppress(OSError, ssl.SSLError):  # half written: the next look takes it
            if (now := certificate.stat().st_mtime_ns) != stamp:
                context.load_cert_chain(certificate, key)
                stamp = now


def _follow_parent() -> None:
    """End with the service, however that ends."""
    if sys.platform.startswith("linux"):
        import ctypes  # noqa: PLC0415

        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, 15)
        if os.getppid() != int(os.environ.pop("FOGLINE_PARENT", "0")):
            sys.exit(0)


async def _main(listening: socket.socket, inner: str, certificate: Path, key: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(certificate, key)
    renewing = asyncio.ensure_future(_renew(context, certificate, key))
    try:
        await _Loop(inner, context).serve(listening)
    finally:
        renewing.cancel()


if __name__ == "__main__":
    _follow_parent()
    from mesh.audience import allow_more_files

    allow_more_files()
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_main(socket.socket(fileno=int(sys.argv[1])), sys.argv[2], Path(sys.argv[3]), Path(sys.argv[4])))
