"""What stands between FFmpeg and an RTSP camera that somebody added: FFmpeg speaks to this machine, this to the camera.

FFmpeg looks names up by itself, goes wherever a camera's answer sends it, and checks no certificate. Here the
connection is made beforehand, to an address that was looked at and under TLS to who the name says, and an answer that
passes the request on ends it.
"""

from __future__ import annotations

import re
import selectors
import socket
import ssl
import threading
from contextlib import suppress

PATIENCE = 12.0  # seconds for FFmpeg to come, and for it to take what it asked for
MOST_HEAD = 16 * 1024  # bytes of one answer's head; a camera sends some hundred
REDIRECTED = "passes the request on to another address, which is not followed: give that address"
_CHUNK = 64 * 1024  # bytes read at once at most
_STATUS = re.compile(rb"RTSP/1\.\d (\d{3})(?: [^\r\n]*)?")
_LENGTH = re.compile(rb"content-length *: *(\d{1,9}) *", re.IGNORECASE)


class Refused(Exception):
    """An answer that FFmpeg does not get, with words about the camera."""


class Answers:
    """Reads the camera's answers while the stream is being set up. Only what is read the same way by everybody passes:
    heads of whole lines, and interleaved packets between two answers."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._rest = 0  # bytes of a body or a packet that are still to come

    def feed(self, data: bytes) -> bytes:
        """What may be passed on of all that came. Raises Refused."""
        self._buffer += data
        passed = bytearray()
        while self._buffer:
            if self._rest == 0:
                head = self._head()
                if head is None:
                    break
                passed += head
                continue
            part = self._buffer[: self._rest]
            del self._buffer[: self._rest]
            self._rest -= len(part)
            passed += part
        return bytes(passed)

    def _head(self) -> bytes | None:
        """The next answer's or packet's head; None until it is whole."""
        if self._buffer[0] == ord("$"):
            if len(self._buffer) < 4:
                return None
            self._rest = int.from_bytes(self._buffer[2:4], "big")
            end = 4
        else:
            end = self._buffer.find(b"\r\n\r\n") + 4
            if end < 4 or end > MOST_HEAD:
                if len(self._buffer) > MOST_HEAD:
                    raise Refused(f"sends an answer with more than {MOST_HEAD:,} bytes before its content")
                return None
            self._rest = _length(bytes(self._buffer[: end - 4]))
        head = bytes(self._buffer[:end])
        del self._buffer[:end]
        return head


def _length(head: bytes) -> int:
    """The bytes of the body that follows an answer's `head`. Raises Refused for a redirect, and for a head that one
    reader could take for something else than another does."""
    first, *lines = head.split(b"\r\n")
    status = _STATUS.fullmatch(first)
    if status is None or any(line[:1] in (b"$", b" ", b"\t", b"") or b"\n" in line or b"\r" in line for line in lines):
        raise Refused("sends something else than RTSP answers")
    if status[1][:1] == b"3":
        raise Refused(REDIRECTED)
    lengths = [line for line in lines if line.lower().startswith(b"content-length")]
    found = _LENGTH.fullmatch(lengths[0]) if len(lengths) == 1 else None
    if lengths and found is None:
        raise Refused("sends something else than RTSP answers")
    return int(found[1]) if found else 0


class Relay:
    """Passes on what one FFmpeg and the camera at the other end of `camera` say, in a thread, until one of them goes or
    `close`. port: where FFmpeg finds it on 127.0.0.1. problem: why it was cut, about the camera, else None."""

    def __init__(self, camera: socket.socket) -> None:
        self._camera = camera
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=1)
        self._listener.settimeout(PATIENCE)
        self.port: int = self._listener.getsockname()[1]
        self.problem: str | None = None
        self._thread = threading.Thread(target=self._run, name="rtsp relay", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Any thread may call it, again too."""
        for one in (self._listener, self._camera):
            with suppress(OSError):  # it has gone by itself
                one.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _run(self) -> None:
        with self._camera, suppress(OSError):  # either side has gone: the other one sees it now
            with self._listener:
                ours, _ = self._listener.accept()
            with ours:
                ours.settimeout(PATIENCE)
                self._camera.settimeout(PATIENCE)
                try:
                    self._pass_on(ours)
                except Refused as refused:
                    self.problem = str(refused)

    def _pass_on(self, ours: socket.socket) -> None:
        answers: Answers | None = Answers()
        with selectors.DefaultSelector() as either:
            either.register(ours, selectors.EVENT_READ)
            either.register(self._camera, selectors.EVENT_READ)
            while True:
                waiting = isinstance(self._camera, ssl.SSLSocket) and self._camera.pending() > 0
                ready = [self._camera] if waiting else [key.fileobj for key, _ in either.select()]
                if ours in ready:
                    asked = ours.recv(_CHUNK)
                    if not asked:
                        return
                    if asked.startswith(b"PLAY "):
                        answers = None  # it is set up: FFmpeg follows nobody any more
                    self._camera.sendall(asked)
                if self._camera in ready:
                    said = self._camera.recv(_CHUNK)
                    if not said:
                        return
                    ours.sendall(said if answers is None else answers.feed(said))
