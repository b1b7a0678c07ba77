"""A small RTSP camera that sends JPEG over TCP (RFC 2326, RFC 2435), enough for FFmpeg."""

from __future__ import annotations

import socket
import struct
import threading
from contextlib import suppress

from tests.processes import free_port

CLOCK = 90_000  # RTP ticks a second
MOST = 1400  # bytes of picture data in a packet
_SDP = "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=test\r\nt=0 0\r\nm=video 0 RTP/AVP 26\r\na=control:track1\r\n"


class RtspCamera:
    """Sends `pictures` in turn, `fps` a second, from `on` to `off`, always on the same port.

    pictures: baseline 4:2:0 JPEGs with the standard Huffman tables and one size, sides divisible by 16.
    stall: sends nothing more while set. sent: pictures, to all who watched.
    """

    def __init__(self, pictures: list[bytes], fps: float = 20, password: bool = False) -> None:
        self._packets = [_packed(picture) for picture in pictures]
        self._fps = fps
        self._password = password
        self.stall = threading.Event()
        self.sent = 0
        self._stopped = threading.Event()
        self._listener: socket.socket | None = None
        self._connections: list[socket.socket] = []
        self.port = free_port()

    def __enter__(self) -> RtspCamera:
        return self.on()

    def __exit__(self, *_exc: object) -> None:
        self.off()

    def on(self) -> RtspCamera:
        self._stopped = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", self.port))
        threading.Thread(target=self._accept, args=(self._listener, self._stopped), daemon=True).start()
        return self

    def off(self) -> None:
        self._stopped.set()
        for one in (self._listener, *self._connections):
            if one is not None:
                with suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)
                one.close()
        self._connections.clear()

    def _accept(self, listener: socket.socket, stopped: threading.Event) -> None:
        with suppress(OSError):
            while not stopped.is_set():
                connection, _ = listener.accept()
                self._connections.append(connection)
                threading.Thread(target=self._talk, args=(connection, stopped), daemon=True).start()

    def _talk(self, connection: socket.socket, stopped: threading.Event) -> None:
        with suppress(OSError), connection.makefile("rb") as lines:
            while request := lines.readline().decode("latin-1").strip():
                method, address, _ = request.split(" ", 2)
                headers: dict[str, str] = {}
                while line := lines.readline().decode("latin-1").strip():
                    name, _, value = line.partition(":")
                    headers[name.lower()] = value.strip()
                self._reply(connection, method, address, headers)
                if method == "PLAY":
                    self._send(connection, stopped)
                    return

    def _reply(self, connection: socket.socket, method: str, address: str, headers: dict[str, str]) -> None:
        status, extra, body = "200 OK", "", ""
        if "/live" not in address and method != "OPTIONS":
            status = "404 Not Found"
        elif self._password and headers.get("authorization") != "Basic b3A6c2VjcmV0" and method != "OPTIONS":
            status, extra = "401 Unauthorized", 'WWW-Authenticate: Basic realm="cam"\r\n'
        elif method == "OPTIONS":
            extra = "Public: OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN\r\n"
        elif method == "DESCRIBE":
            body = _SDP
            extra = f"Content-Type: application/sdp\r\nContent-Base: {address}/\r\n"
        elif method == "SETUP":
            extra = "Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\nSession: 1\r\n"
        head = f"RTSP/1.0 {status}\r\nCSeq: {headers.get('cseq', '0')}\r\n{extra}Content-Length: {len(body)}\r\n\r\n"
        connection.sendall((head + body).encode())

    def _send(self, connection: socket.socket, stopped: threading.Event) -> None:
        number = sequence = 0
        while not stopped.wait(1 / self._fps):
            if self.stall.is_set():
                continue
            payloads = self._packets[number % len(self._packets)]
            for payload in payloads:
                marker = 0x80 if payload is payloads[-1] else 0
                header = struct.pack(
                    "!BBHII", 0x80, marker | 26, sequence & 0xFFFF, int(number * CLOCK / self._fps) & 0xFFFFFFFF, 7
                )
                packet = header + payload
                connection.sendall(b"$\0" + len(packet).to_bytes(2, "big") + packet)
                sequence += 1
            number += 1
            self.sent += 1


def _packed(jpeg: bytes) -> list[bytes]:
    """The RTP payloads of one picture (RFC 2435: type 1, quantisation tables sent along)."""
    tables, at = b"", 2
    width = height = 0
    while True:
        marker, length = jpeg[at + 1], int.from_bytes(jpeg[at + 2 : at + 4], "big")
        segment = jpeg[at + 4 : at + 2 + length]
        if marker == 0xDB:
            for start in range(0, len(segment), 65):
                tables += segment[start + 1 : start + 65]
        elif marker == 0xC0:
            height, width = int.from_bytes(segment[1:3], "big"), int.from_bytes(segment[3:5], "big")
        at += 2 + length
        if marker == 0xDA:
            break
    scan = jpeg[at:].removesuffix(b"\xff\xd9")
    payloads = []
    for offset in range(0, len(scan), MOST):
        head = b"\0" + offset.to_bytes(3, "big") + bytes((1, 255, width // 8, height // 8))
        if offset == 0:
            head += b"\0\0" + len(tables).to_bytes(2, "big") + tables
        payloads.append(head + scan[offset : offset + MOST])
    return payloads
