"""HTTP over connections that are kept open, from one thread: the cheapest client that speaks the real protocol."""

from __future__ import annotations

import socket
import time
from collections import deque
from collections.abc import Callable

from cli.simulation.loop import READ, WRITE, Loop

TIMEOUT = 8.0  # seconds for one answer, waiting for a busy registry included
TRIES = 3  # a kept connection may be closed just as a request goes out; every call may be sent twice
AGAIN_SECONDS = 0.1  # until a connection that was refused is tried again
Done = Callable[[int, bytes], None]


def request(method: str, host: str, path: str, body: bytes = b"", headers: str = "") -> bytes:
    """One request as it is sent."""
    head = f"{method} {path} HTTP/1.1\r\nHost: {host}\r\n{headers}"
    if body or method == "POST":
        head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    return head.encode() + b"\r\n" + body


class Exchange:
    """`connections` connections to one server, each with one request under way at a time; further ones wait in line."""

    def __init__(self, loop: Loop, host: str, port: int, connections: int) -> None:
        self.loop = loop
        self.address = (host, port)
        self.line: deque[tuple[bytes, Done, int]] = deque()
        self.idle = [_Connection(self) for _ in range(connections)]

    def ask(self, sent: bytes, done: Done, *, tries: int = TRIES) -> None:
        """Send a request; `done` gets status and body, or 0 and the reason when no answer came."""
        if self.idle:
            self.idle.pop().begin(sent, done, tries)
        else:
            self.line.append((sent, done, tries))

    @property
    def waiting(self) -> int:
        """Requests that no connection was free for yet."""
        return len(self.line)


class _Connection:
    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._loop = exchange.loop
        self._socket: socket.socket | None = None
        self._connected = False
        self._sent = b""
        self._left = memoryview(b"")
        self._done: Done | None = None
        self._tries = 0
        self._got = bytearray()
        self._number = 0  # of the request under way, for its timer

    def begin(self, sent: bytes, done: Done, tries: int) -> None:
        self._sent, self._done, self._tries = sent, done, tries
        self._number += 1
        number = self._number
        self._loop.at(time.monotonic() + TIMEOUT, lambda: self._late(number))
        self._send()

    def _send(self) -> None:
        self._left = memoryview(self._sent)
        self._got.clear()
        if self._socket is None:
            self._socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._connected = False
            self._socket.connect_ex(self._exchange.address)
            self._loop.watch(self._socket, WRITE, self._ready)
        else:
            self._write()

    def _write(self) -> None:
        assert self._socket is not None
        try:
            self._left = self._left[self._socket.send(self._left) :]
        except BlockingIOError:
            pass
        except OSError as error:
            self._failed(str(error))
            return
        self._loop.watch(self._socket, READ | WRITE if self._left else READ, self._ready)

    def _ready(self, events: int) -> None:
        if events & WRITE and self._left:
            self._connected = True
            self._write()
        elif events & READ:
            self._read()

    def _read(self) -> None:
        if self._socket is None:
            return
        try:
            chunk = self._socket.recv(1 << 18)
        except BlockingIOError:
            return
        except OSError as error:
            self._failed(str(error))
            return
        if not chunk:
            self._failed("closed")
            return
        self._got += chunk
        head_end = self._got.find(b"\r\n\r\n")
        if self._done is None or head_end < 0:
            return
        head = bytes(self._got[:head_end]).lower()
        status = int(head[9:12])
        at = head.find(b"\r\ncontent-length:")
        length = 0 if at < 0 else int(head[at + 17 : (head + b"\r\n").index(b"\r\n", at + 2)])
        if len(self._got) - head_end - 4 < length:
            return
        body = bytes(self._got[head_end + 4 : head_end + 4 + length])
        if b"connection: close" in head:
            self._close()
        self._finish(status, body)

    def _finish(self, status: int, body: bytes) -> None:
        done, self._done = self._done, None
        self._number += 1
        line = self._exchange.line
        if line:
            self.begin(*line.popleft())
        else:
            self._exchange.idle.append(self)
        if done is not None:
            done(status, body)

    def _failed(self, reason: str) -> None:
        self._close()
        if self._done is None:
            return  # an idle connection was closed; the next request opens another
        self._tries -= 1
        if self._tries <= 0:
            self._finish(0, reason.encode())
            return
        number = self._number
        self._loop.after(AGAIN_SECONDS, lambda: self._send() if number == self._number and self._done else None)

    def _late(self, number: int) -> None:
        if number == self._number and self._done is not None:
            self._close()
            self._finish(0, b"no answer in time")

    def _close(self) -> None:
        if self._socket is not None:
            self._loop.forget(self._socket)
            self._socket.close()
            self._socket = None
