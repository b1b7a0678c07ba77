"""Single pictures over a connection that is kept open, answered by the fan-out.

Whoever asks for the same picture again and again over one connection gets each further one here, without a thread and
without the web framework. Only the very same request is answered; whatever else comes goes back to the web server,
untouched: it was only peeked at.
"""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from email.utils import formatdate
from typing import Any, ClassVar

from mesh.fanout import Connection
from mesh.frame import Frame

KEPT = 10.0  # seconds until the connection goes back in any case, so that its right to see is looked at again
PAUSE = 1.5  # seconds without a request after which it goes back: holding it keeps pictures coming for nobody
MOST_REQUEST = 8 * 1024  # bytes of a request that may be learned
_EVERY_STAMP = Frame(
    b"", 0, 0.0, 0, 0, inference_ms=0.0, no_signal="-", gated=True, age_ms=0.0, objects="", token=0
).headers()
_OF_A_FRAME = frozenset(name.lower() for name in (*_EVERY_STAMP, "Content-Length", "Connection", "Date", "Server"))
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
Newest = Callable[[], Frame | None]


class Still:
    """The body of an answer that is one picture, and how to get the next one.

    hold: a context in which more pictures are to be had, as long as it is open, from the function that it gives: the
    newest one, or None when there is none that this address would answer at once. That function must never wait.
    """

    def __init__(self, frame: Frame, hold: Callable[[], AbstractContextManager[Newest]]) -> None:
        self.frame = frame
        self.hold = hold

    def __iter__(self) -> Iterator[bytes]:
        yield self.frame.jpeg

    def headers(self) -> dict[str, str]:
        return frame_headers(self.frame)


def frame_headers(frame: Frame) -> dict[str, str]:
    """The headers of an answer that is `frame`."""
    return {"Content-Length": str(len(frame.jpeg)), **frame.headers()}


@dataclass(frozen=True, slots=True)
class Asked:
    """What a client asks for: the address as it wrote it, and its headers, as WSGI spells them."""

    uri: str
    headers: dict[str, str]

    @classmethod
    def of(cls, environ: dict[str, Any]) -> Asked | None:
        """The request of `environ`, if it is one that may be answered again without being looked at."""
        headers = {key[5:]: value for key, value in environ.items() if key.startswith("HTTP_")}
        plain = (
            environ["REQUEST_METHOD"] == "GET"
            and environ.get("SERVER_PROTOCOL") == "HTTP/1.1"
            and not environ.get("CONTENT_LENGTH")
            and "TRANSFER_ENCODING" not in headers
            and headers.get("CONNECTION", "keep-alive").lower() == "keep-alive"
            and "EXPECT" not in headers
        )
        if environ.get("CONTENT_TYPE"):
            headers["CONTENT_TYPE"] = environ["CONTENT_TYPE"]
        return cls(environ.get("RAW_URI", ""), headers) if plain else None

    def is_what(self, data: bytes) -> bool:
        """Whether `data` is this request: exactly it, whole, and nothing behind it."""
        head, _, rest = data.partition(b"\r\n\r\n")
        if rest or not data.endswith(b"\r\n\r\n"):
            return False
        line, *fields = head.decode("latin-1").split("\r\n")
        if line != f"GET {self.uri} HTTP/1.1":
            return False
        seen: dict[str, str] = {}
        for field in fields:
            name, colon, value = field.partition(":")
            key = name.upper().replace("-", "_")
            if not colon or not name or "_" in name or name != name.strip() or key in seen:
                return False
            seen[key] = value.strip(" \t")
        return seen == self.headers


class StillViewer(Connection):
    """One kept-open connection, which is answered with `frame` at once. headers: of that answer, by the framework.
    newest: see `Still`. left: called when the connection is out of care. back: takes the socket when anything but the
    same request comes."""

    listens_when_busy: ClassVar[bool] = False
    __slots__ = (
        "__weakref__", "_answer", "_asked", "_back", "_frame", "_headers", "_heard_at", "_known", "_left", "_newest",
        "_until",
    )  # fmt: skip

    def __init__(
        self,
        sock: socket.socket,
        asked: Asked,
        frame: Frame,
        headers: list[tuple[str, str]],
        *,
        newest: Newest,
        left: Callable[[], None],
        back: Callable[[socket.socket], None],
    ) -> None:
        super().__init__(sock)
        self._asked = asked
        self._headers = [pair for pair in headers if pair[0].lower() not in _OF_A_FRAME]
        self._newest = newest
        self._left = left
        self._back = back
        self._known: bytes | None = None
        self._heard_at = time.monotonic()
        self._until = self._heard_at + KEPT
        self._frame = frame
        self._answer = self._build(frame)

    def begin(self) -> None:
        self.fanout.push(self, self._answer)

    def hear(self) -> None:
        known, now = self._known, time.monotonic()
        data = self.sock.recv(MOST_REQUEST if known is None else len(known), socket.MSG_PEEK)
        if not data:
            raise ConnectionResetError
        if known is None and self._asked.is_what(data):
            known = self._known = data
        frame = self._newest() if data == known and now < self._until else None
        if frame is None:
            self._give_back()
            return
        self.sock.recv(len(data))
        self._heard_at = now
        if frame is not self._frame:
            self._frame, self._answer = frame, self._build(frame)
        self.fanout.push(self, self._answer)

    def look(self, now: float) -> None:
        if now > self._until or now - self._heard_at > PAUSE:
            self._give_back()

    def left(self) -> None:
        self._left()

    def _give_back(self) -> None:
        self.fanout.release(self)
        self._back(self.sock)

    def _build(self, frame: Frame) -> bytes:
        stamps = [*self._headers, *frame_headers(frame).items()]
        return render("200 OK", stamps, keep=True) + frame.jpeg


def render(status: str, headers: list[tuple[str, str]], *, keep: bool) -> bytes:
    """An answer's status line and headers, as the web server would write them. keep: leave the connection open."""
    lines = [
        f"HTTP/1.1 {status}",
        "Server: gunicorn",
        f"Date: {formatdate(usegmt=True)}",
        f"Connection: {'keep-alive' if keep else 'close'}",
        *(f"{name}: {value}" for name, value in headers),
    ]
    # What looks like a line's end in a value must not become one.
    return ("\r\n".join(_CONTROL.sub(" ", line) for line in lines) + "\r\n\r\n").encode("latin-1", "replace")
