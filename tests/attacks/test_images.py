"""Pictures that are small files and ask for gigabytes, or for ever, when they are decoded."""

from __future__ import annotations

import struct
import subprocess
import sys
import tracemalloc
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
import simplejpeg

from camera_node.intake import Intake, Refused
from camera_node.sources.base import Captured
from compute_node import jpeg
from mesh.errors import TooLarge, UnsupportedMedia
from mesh.picture import MAX_PIXELS, MAX_SCANS, inspect

ENDLESS = 64 << 20  # bytes
# In a process of its own, for the most memory that a process had only grows. Prints by how many bytes it did.
_DECODE = """
import resource, sys
from compute_node import jpeg
from mesh.errors import FoglineError
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
files = [open(name, "rb").read() for name in sys.argv[1:]]
before = peak()
for data in files:
    try:
        jpeg.decode(data)
    except FoglineError:
        pass
print(peak() - before)
"""
SMALL = simplejpeg.encode_jpeg(np.zeros((16, 16, 3), np.uint8), quality=50)


def sized(data: bytes, width: int, height: int) -> bytes:
    """The JPEG `data` with other dimensions in its header."""
    for marker in (b"\xff\xc0", b"\xff\xc2"):
        at = data.find(marker)
        if at >= 0:
            return data[: at + 5] + struct.pack(">HH", height, width) + data[at + 9 :]
    raise AssertionError("no header")


def png(width: int, height: int, *chunks: tuple[bytes, bytes], pixels: bytes = b"") -> bytes:
    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    more = b"".join(chunk(kind, content) for kind, content in chunks)
    return b"\x89PNG\r\n\x1a\n" + head + more + chunk(b"IDAT", zlib.compress(pixels)) + chunk(b"IEND", b"")


BOMBS = {
    "jpeg of 65,535 × 65,535": sized(SMALL, 65535, 65535),
    "jpeg with one side too long": sized(SMALL, 65535, 1),
    "png of 100,000 × 100,000": png(100_000, 100_000),
    "png of 2³¹ × 2³¹": png(2**31 - 1, 2**31 - 1),
    "png of just too many pixels": png(10_000, MAX_PIXELS // 10_000 + 1),
}


@pytest.mark.parametrize("bomb", BOMBS.values(), ids=BOMBS.keys())
def test_a_bomb_is_refused_by_its_header(bomb: bytes) -> None:
    """Watches mesh.picture.inspect, at an upload and at a camera: nothing is decoded, and no memory taken."""
    tracemalloc.start()
    try:
        with pytest.raises(TooLarge) as refused:
            jpeg.decode(bomb)
        with pytest.raises(Refused):
            Intake(85, lambda: pytest.fail("it was encoded")).take(Captured(0.0, data=bomb))
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()
    assert refused.value.members["limit"] == MAX_PIXELS


def test_a_jpeg_of_endless_scans_is_refused() -> None:
    """Watches mesh.picture.inspect: each scan of a progressive picture goes over all of its pixels."""
    noise = np.random.default_rng(1).integers(0, 255, (64, 64, 3), np.uint8)
    found, data = cv2.imencode(".jpg", noise, [cv2.IMWRITE_JPEG_PROGRESSIVE, 1])
    assert found
    usual = data.tobytes()
    assert jpeg.decode(usual).shape == (64, 64, 3)
    at = usual.index(b"\xff\xda")
    scan = usual[at : usual.index(b"\xff", at + 2)]
    bomb = sized(usual[:at] + scan * MAX_SCANS + usual[at:], 6000, 6000)
    with pytest.raises(UnsupportedMedia, match="scans"):
        inspect(bomb)


def test_pngs_with_bombs_inside_take_no_memory(tmp_path: Path) -> None:
    """Watches compute_node.jpeg.decode: what stands beside the pixels is not unpacked without bound, nor are more
    pixels kept than the header promised."""
    packed = zlib.compress(bytes(ENDLESS), 6)
    files = []
    for kind, before in ((b"iTXt", b"a\0\1\0\0\0"), (b"zTXt", b"a\0\0"), (b"iCCP", b"a\0\0"), (b"IDAT", b"")):
        files.append(tmp_path / kind.decode())
        files[-1].write_bytes(png(2, 2, (kind, before + packed), pixels=(b"\0" + bytes(6)) * 2))
    grown = subprocess.run([sys.executable, "-c", _DECODE, *files], capture_output=True, check=True, timeout=30)
    assert int(grown.stdout) < ENDLESS // 4


@pytest.mark.parametrize(
    "data",
    [
        b"RIFF\x00\x00\x00\x00WEBPVP8 ",
        b"GIF89a" + bytes(20),
        b"BM" + bytes(60),
        b"II*\0" + bytes(60),
        b"\0\0\0 ftypavif",
    ],
    ids=["webp", "gif", "bmp", "tiff", "avif"],
)
def test_other_formats_reach_no_decoder(data: bytes) -> None:
    """Watches mesh.picture.inspect: OpenCV would read dozens of formats, each with its own holes."""
    with pytest.raises(UnsupportedMedia):
        jpeg.decode(data)
    with pytest.raises(Refused):
        Intake(85, lambda: pytest.fail("it was encoded")).take(Captured(0.0, data=data))
