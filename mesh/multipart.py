"""MJPEG over HTTP: `multipart/x-mixed-replace`, writer and reader side by side.

The writer makes what browsers, ffmpeg, VLC and OpenCV read. The reader takes what cameras send: with and without
`Content-Length`, with a boundary other than the one announced, with garbage between the parts.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from mesh.frame import Frame

BOUNDARY = "fogline-frame"
CONTENT_TYPE = f"multipart/x-mixed-replace; boundary={BOUNDARY}"

MAX_PART = 16 * 1024 * 1024  # bytes: a 24-megapixel JPEG is about 10 MB
MAX_HEADERS = 16 * 1024  # bytes of one part's headers
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
        # Some cameras announce the boundary with its leading dashes, some without: the wire has `--` in both cases.
        self._delimiters = [f"--{b}".encode("latin-1") for b in self._spellings()]

    def _spellings(self) -> list[str]:
        if not self.boundary:
            return []
        bare = self.boundary.removeprefix("--")
        return list(dict.fromkeys((self.boundary, bare)))

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
            self._delimiters.append(delimiter)
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
        length = headers.get("content-length")
        self._length = int(length) if length is not None and length.isascii() and length.isdigit() else None
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


def _parse_headers(block: bytes) -> dict[str, str]:
    headers = {}
    for line in block.decode("latin-1").splitlines():
        name, colon, value = line.partition(":")
        if colon:
            headers[name.strip().lower()] = value.strip()
    return headers
