"""Pictures are judged by their first bytes, before anything decodes them."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import pytest
from PIL import Image

from mesh.errors import TooLarge, UnsupportedMedia
from mesh.picture import inspect, whole_jpeg


def picture(kind: str, size: tuple[int, int] = (64, 48), **options: object) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", size, (200, 30, 30)).save(out, kind, **options)
    return out.getvalue()


def png_claiming(width: int, height: int) -> bytes:
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunk = b"IHDR" + head
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk))


def jpeg_claiming(width: int, height: int) -> bytes:
    data = bytearray(picture("JPEG"))
    at = next(i for i in range(len(data)) if data[i] == 0xFF and data[i + 1] in (0xC0, 0xC2))
    data[at + 5 : at + 9] = struct.pack(">HH", height, width)
    return bytes(data)


@pytest.mark.parametrize("data", [picture("JPEG"), picture("JPEG", progressive=True), picture("PNG")])
def test_dimensions_are_read_from_the_header(data: bytes) -> None:
    """Format, width and height are known without decoding."""
    found = inspect(data)
    assert (found.width, found.height) == (64, 48)


def test_real_pictures_are_read(shared: Path) -> None:
    """Every real photograph gives the dimensions that Pillow sees."""
    files = sorted((shared / "images" / "coco" / "images").glob("*.jpg"))
    assert files
    for file in files:
        data = file.read_bytes()
        with Image.open(file) as image:
            assert (inspect(data).width, inspect(data).height) == image.size
        assert whole_jpeg(data)


@pytest.mark.parametrize(
    "data",
    [
        png_claiming(60_000, 60_000),
        jpeg_claiming(60_000, 60_000),
        jpeg_claiming(16_000, 16_000),
        b"\xff\xd8" * 9_000_000,
    ],
)
def test_bombs_are_refused_by_their_header(data: bytes) -> None:
    """A small file that claims gigabytes, and a large one, never reach a decoder."""
    with pytest.raises(TooLarge):
        inspect(data)


@pytest.mark.parametrize(
    "data",
    [b"", b"GIF89a", b"\xff\xd8", b"\xff\xd8\xff\xe0\x00\x10", picture("JPEG")[:40], b"\x89PNG\r\n\x1a\nxxxx",
     png_claiming(0, 10), b"\xff\xd8\xff\xc0\x00\x00" + b"\0" * 30, b"<html>", b"\xff\xd8" + b"\xff" * 500],
)  # fmt: skip
def test_what_is_no_picture_is_refused(data: bytes) -> None:
    """Text, other formats and cut-off headers are unsupported media, not crashes."""
    with pytest.raises(UnsupportedMedia):
        inspect(data)


def test_every_way_to_cut_a_jpeg_is_survived() -> None:
    """No prefix of a picture crashes the header reader, and only the whole one counts as whole."""
    data = picture("JPEG")
    for length in range(len(data)):
        try:
            inspect(data[:length])
        except UnsupportedMedia:
            continue
    assert whole_jpeg(data)
    assert not whole_jpeg(data[: len(data) // 2])
