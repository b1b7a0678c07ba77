"""What a picture file says of itself, read from its first bytes and never decoded.

A camera or a client may send anything. Size and dimensions are checked here before a decoder sees the data, so that a
few kilobytes cannot ask for gigabytes.
"""

from __future__ import annotations

from dataclasses import dataclass

from mesh.errors import TooLarge, UnsupportedMedia

MAX_BYTES = 16 * 1024 * 1024  # of one picture file
MAX_SIDE = 16384  # pixels
MAX_PIXELS = 40_000_000  # 40 megapixels decode to 120 MB
MAX_SCANS = 64  # of a progressive JPEG, each of which goes over all pixels: encoders make 10
_PNG = b"\x89PNG\r\n\x1a\n"
_STAND_ALONE = frozenset((0x01, *range(0xD0, 0xD9)))  # JPEG markers without a length
_START_OF_FRAME = frozenset((*range(0xC0, 0xD0),)) - {0xC4, 0xC8, 0xCC}
_PROGRESSIVE = frozenset((0xC2, 0xC6, 0xCA, 0xCE))
_BASELINE_CHANNELS = frozenset((1, 3, 4))


@dataclass(frozen=True, slots=True)
class Picture:
    """format: `jpeg` or `png`. width, height: pixels."""

    format: str
    width: int
    height: int


def inspect(data: bytes | memoryview) -> Picture:
    """Read format and dimensions from `data` and hold them against the limits.

    Raises UnsupportedMedia for what is no JPEG or PNG or is cut off in its header, TooLarge over a limit.
    """
    if len(data) > MAX_BYTES:
        raise TooLarge(f"the picture has {len(data):,} bytes; at most {MAX_BYTES:,} are taken", limit=MAX_BYTES)
    head = bytes(data[:8])
    if head[:2] == b"\xff\xd8":
        found = _jpeg(data)
    elif head == _PNG and len(data) >= 24 and bytes(data[12:16]) == b"IHDR":
        found = Picture("png", int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big"))
    else:
        raise UnsupportedMedia("not a JPEG or PNG picture; send one as the body or as the form field `image`")
    if found.width < 1 or found.height < 1:
        raise UnsupportedMedia("the picture's header gives no width or height")
    if found.width > MAX_SIDE or found.height > MAX_SIDE or found.width * found.height > MAX_PIXELS:
        raise TooLarge(
            f"the picture is {found.width} × {found.height} pixels; at most {MAX_SIDE} a side and"
            f" {MAX_PIXELS:,} in all are taken",
            limit=MAX_PIXELS,
        )
    return found


def whole_jpeg(data: bytes | memoryview) -> bool:
    """Whether `data` begins and ends as a JPEG does: half a picture does not. Trailing padding is allowed."""
    return bytes(data[:2]) == b"\xff\xd8" and b"\xff\xd9" in bytes(data[-64:])


def _jpeg(data: bytes | memoryview) -> Picture:
    at, end = 2, len(data)
    while at + 4 <= end:
        if data[at] != 0xFF:
            break
        marker = data[at + 1]
        if marker == 0xFF:  # padding before a marker
            at += 1
            continue
        if marker in _STAND_ALONE:
            at += 2
            continue
        if marker in (0xD9, 0xDA):  # the picture data begins, or ends, before any dimensions
            break
        length = int.from_bytes(data[at + 2 : at + 4], "big")
        if marker in _START_OF_FRAME and at + 10 <= end:
            if data[at + 9] not in _BASELINE_CHANNELS:
                break
            if marker in _PROGRESSIVE and bytes(data).count(b"\xff\xda") > MAX_SCANS:
                raise UnsupportedMedia(f"the JPEG has more than {MAX_SCANS} scans; save it as a usual one")
            return Picture(
                "jpeg",
                int.from_bytes(data[at + 7 : at + 9], "big"),
                int.from_bytes(data[at + 5 : at + 7], "big"),
            )
        if length < 2:
            break
        at += 2 + length
    raise UnsupportedMedia("the JPEG is broken or cut off before its dimensions")
