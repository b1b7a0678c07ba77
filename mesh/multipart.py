"""MJPEG over HTTP: `multipart/x-mixed-replace`, writer and reader side by side.

The writer makes what browsers, ffmpeg, VLC and OpenCV read. The reader takes what cameras send: with and without
`Content-Length`, with a boundary other than the one announced, with garbage between the parts. From a plain socket it
takes well-formed parts without copying them: the kernel writes each body into the memory in which it stays.
"""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from mesh.frame import Frame

BOUNDARY = "fogline-frame"
CONTENT_TYPE = f"multipart/x-mixed-replace; boundary={BOUNDARY}"

MAX_PART = 16 * 1024 * 1024  # bytes: a 24-megapixel JPEG is about 10 MB
MAX_HEADERS = 16 * 1024  # bytes of one part's headers
_CHUNK = 256 * 1024  # bytes received at once at most where no part's length is known
_HEAD = 2048  # bytes looked at for a part's headers: cameras send 50 to 400
_MOST_DIGITS = 12  # of a length: more is no length, and Python refuses to read numbers of thousands
_BLANK_LINE = re.compile(rb"\r?\n\r?\n")
_ANY_DELIMITER = re.compile(rb"(?:^|\r?\n)--([^\r\n]{1,200}?)[ \t]*\r?\n")


def part(frame: Frame) -> bytes:
    """One part, whole: delimiter, headers, JPEG. The same bytes serve every viewer."""
    stamps = "".join(f"{name}: {value}\r\n" for name, value in frame.headers().items())
    head = f"--{BOUNDARY}\r\nContent-Type: image/jpeg\r\nContent-Length: {len(frame.jpeg)}\r\n{stamps}\r\n"
    return b"".join((head.encode("latin-1"), frame.jpeg, b"\r\n"))


@dataclass(frozen=True, slots=True)
class Part:
    """One part as it was read: its headers (names in lower case) and its body."""

    headers: dict[str, str]
    body: bytes


@dataclass(slots=True)
class Skipped:
    """What a reader passed over, counted by reason."""

    empty: int = 0
    too_large: int = 0
    bad_headers: int = 0
    garbage_bytes: int = 0


def boundary_of(content_type: str) -> str | None:
    """The boundary that a Content-Type header announces, without quotes; None where there is none."""
    found = re.search(r'boundary\s*=\s*"?([^";,]+)"?', content_type, re.IGNORECASE)
    return found.group(1).strip() if found else None


@dataclass
class Reader:
    """Takes bytes as they arrive and gives parts as they become whole. One thread at a time.

    boundary: as announced; with None, or when the announced one never comes, the first line that begins with `--`
    is taken for it. A part over `max_part` bytes is skipped and counted, and reading goes on behind it.
    """

    boundary: str | None = None
    max_part: int = MAX_PART
    skipped: Skipped = field(default_factory=Skipped)

    def __post_init__(self) -> None:
        self._buffer = bytearray()
        self._headers: dict[str, str] | None = None
        self._length: int | None = None
        self._skip = 0
        self._scanned = 0
        self._delimiters: list[bytes] = []
        self._head = re.compile(rb"(?!)")  # matches a part's delimiter and headers, once a boundary is known
        # Some cameras announce the boundary with its leading dashes, some without: the wire has `--` in both cases.
        for spelling in self._spellings():
            self._learn(f"--{spelling}".encode("latin-1"))

    def _spellings(self) -> list[str]:
        if not self.boundary:
            return []
        bare = self.boundary.removeprefix("--")
        return list(dict.fromkeys((self.boundary, bare)))

    def _learn(self, delimiter: bytes) -> None:
        self._delimiters.append(delimiter)
        any_of = b"|".join(map(re.escape, self._delimiters))
        self._head = re.compile(rb"(?:\r?\n)?(?:" + any_of + rb")[ \t]*\r?\n(.*?)\r?\n\r?\n", re.DOTALL)

    def receive(self, connection: socket.socket, patience: float) -> Iterator[Part]:
        """Yield the parts that come over `connection` until its end, whatever `feed` was given before included.

        connection: a plain blocking socket, not TLS. A part whose delimiter and headers are as announced goes straight
        into its own memory; anything else goes by way of `feed`. Raises what the socket raises, and TimeoutError when
        a part is not whole within `patience` seconds, however its bytes trickle.
        """
        due = time.monotonic() + patience
        while True:
            part = self._straight(connection, due)
            if part is not None:
                due = time.monotonic() + patience
                yield part
                continue
            data = self._some(connection)
            if not data:
                return
            for one in self.feed(data):
                due = time.monotonic() + patience
                yield one
            if time.monotonic() > due:
                raise TimeoutError(f"no whole part within {patience:g} seconds")

    def _straight(self, connection: socket.socket, due: float) -> Part | None:
        """The next part, when it is well-formed and nothing of it has been taken in yet; else None."""
        if self._buffer or self._headers is not None or self._skip:
            return None
        ahead = connection.recv(_HEAD, socket.MSG_PEEK)
        if ahead in (b"\r\n", b"\n"):  # the last part's line end comes with it, the next part later
            connection.recv(len(ahead))
            ahead = connection.recv(_HEAD, socket.MSG_PEEK)
        found = self._head.match(ahead)
        if found is None:
            return None
        headers = _parse_headers(found.group(1))
        length = _length_of(headers)
        if not length or length > self.max_part:
            return None
        connection.recv(found.end())
        body = connection.recv(length, socket.MSG_WAITALL)
        while len(body) < length:  # a signal, or the socket's own time limit
            more = connection.recv(length - len(body), socket.MSG_WAITALL)
            if not more:
                return None
            if time.monotonic() > due:
                raise TimeoutError("a part trickles")
            body += more
        return Part(headers, body)

    def _some(self, connection: socket.socket) -> bytes:
        """What has arrived; of a part whose length is known the rest, so that the next can come straight again."""
        if self._headers is not None and self._length is not None and len(self._buffer) < self._length:
            return connection.recv(self._length - len(self._buffer))
        return connection.recv(_CHUNK)

    def feed(self, data: bytes | bytearray | memoryview) -> Iterator[Part]:
        """Take `data` in and yield each part that it completes."""
        self._buffer += data
        while self._pass_over():
            if self._headers is None:
                self._headers = self._read_headers()
            headers = self._headers
            if headers is None:
                if self._skip:
                    continue
                return
            body = self._read_body()
            if body is None:
                return
            self._headers = None
            if body:
                yield Part(headers, body)
            else:
                self.skipped.empty += 1

    def _pass_over(self) -> bool:
        """Drop the rest of a part that is too large; False while more of it is to come."""
        gone = min(self._skip, len(self._buffer))
        del self._buffer[:gone]
        self._skip -= gone
        return self._skip == 0

    def _find_delimiter(self) -> tuple[int, int] | None:
        """Where the next delimiter begins and where its line ends; learns an unannounced boundary."""
        best: tuple[int, int] | None = None
        for delimiter in self._delimiters:
            at = self._buffer.find(delimiter)
            if at >= 0 and (best is None or at < best[0]):
                best = (at, at + len(delimiter))
        if best is not None:
            return best
        found = _ANY_DELIMITER.search(self._buffer)
        # Only a line that real part headers follow is a delimiter: picture data may hold anything.
        if found and bytes(self._buffer[found.end() : found.end() + 8]).lower() in (b"content-", b"x-timest"):
            delimiter = b"--" + bytes(found.group(1))
            self._learn(delimiter)
            at = self._buffer.index(delimiter, found.start())
            best = (at, at + len(delimiter))
        return best

    def _read_headers(self) -> dict[str, str] | None:
        """The headers of the next part, once they are whole; None while they are not, or while a part is skipped."""
        found = self._find_delimiter()
        if found is None:
            keep = 512  # a delimiter and the start of its headers may still be arriving
            if len(self._buffer) > MAX_HEADERS:
                self.skipped.garbage_bytes += len(self._buffer) - keep
                del self._buffer[: len(self._buffer) - keep]
            return None
        at, end = found
        blank = _BLANK_LINE.search(self._buffer, end)
        if blank is None or blank.start() - at > MAX_HEADERS:
            if len(self._buffer) - at > MAX_HEADERS:
                self.skipped.bad_headers += 1
                del self._buffer[:end]
                return self._read_headers()
            return None
        if garbage := bytes(self._buffer[:at]).strip(b"\r\n"):
            self.skipped.garbage_bytes += len(garbage)
        headers = _parse_headers(bytes(self._buffer[end : blank.start()]))
        del self._buffer[: blank.end()]
        self._scanned = 0
        self._length = _length_of(headers)
        if self._length is not None and self._length > self.max_part:
            self.skipped.too_large += 1
            self._skip = self._length
            return None
        return headers

    def _read_body(self) -> bytes | None:
        if self._length is not None:
            if len(self._buffer) < self._length:
                return None
            body = bytes(self._buffer[: self._length])
            del self._buffer[: self._length]
            return body
        # Without a length the body ends where the next delimiter begins.
        for delimiter in self._delimiters:
            at = self._buffer.find(delimiter, max(0, self._scanned - len(delimiter)))
            if at >= 0:
                body = bytes(self._buffer[:at]).removesuffix(b"\n").removesuffix(b"\r")
                del self._buffer[:at]
                return body
        self._scanned = len(self._buffer)
        if len(self._buffer) > self.max_part:
            self.skipped.too_large += 1
            self._buffer.clear()
            self._headers = None
        return None


def _length_of(headers: dict[str, str]) -> int | None:
    """The length that a part claims; None where it claims none, or nonsense."""
    length = headers.get("content-length", "")
    believable = length.isascii() and length.isdigit() and len(length) <= _MOST_DIGITS
    return int(length) if believable else None


def _parse_headers(block: bytes) -> dict[str, str]:
    headers = {}
    for line in block.decode("latin-1").splitlines():
        name, colon, value = line.partition(":")
        if colon:
            headers[name.strip().lower()] = value.strip()
    return headers
