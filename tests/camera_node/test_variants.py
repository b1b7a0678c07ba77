"""Variants have the right size and are made once."""

from __future__ import annotations

import threading
from contextlib import ExitStack

import pytest

from camera_node.jpeg import with_tables
from camera_node.metrics import Metrics
from camera_node.variants import MOST, Variants, Wanted
from mesh.errors import Unavailable, UnsupportedMedia
from mesh.frame import Frame
from mesh.stream import Broadcast
from tests.camera_node.pictures import picture, size


def frame(sequence: int = 1, width: int = 640, height: int = 360) -> Frame:
    return Frame(picture(width, height), sequence, 1.0, width, height)


def made(metrics: Metrics) -> float:
    return metrics.registry.get_sample_value("fogline_camera_encode_seconds_count", {"what": "variant"}) or 0.0


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (Wanted(), (640, 360)),
        (Wanted(width=320), (320, 180)),
        (Wanted(height=90), (160, 90)),
        (Wanted(width=320, height=320), (320, 180)),
        (Wanted(width=333, height=100), (178, 100)),
        (Wanted(width=4000), (640, 360)),
        (Wanted(downsample=2), (320, 180)),
        (Wanted(width=320, downsample=2), (160, 90)),
        (Wanted(width=1), (1, 1)),
        (Wanted(downsample=64), (10, 6)),
        (Wanted(quality=30), (640, 360)),
    ],
)
def test_size(wanted: Wanted, expected: tuple[int, int]) -> None:
    """The picture fits inside what was asked for, keeps its shape, and is never enlarged."""
    got = Variants(Broadcast(), Metrics()).get(frame(), wanted)
    assert (got.width, got.height) == size(got.jpeg) == expected


def test_untouched_when_nothing_is_asked() -> None:
    """Asking for the size that it has anyway costs no encoding."""
    metrics = Metrics()
    one = frame()
    variants = Variants(Broadcast(), metrics)
    assert variants.get(one, Wanted(width=640, height=360)) is one
    assert made(metrics) == 0


def test_made_once_for_all() -> None:
    """Many threads that want the same variant of a frame share one encoding, stamps included."""
    metrics = Metrics()
    variants = Variants(Broadcast(), metrics)
    one = frame(sequence=77)
    got: list[Frame] = []
    wanted = [Wanted(width=320), Wanted(height=180), Wanted(width=320, height=200)]  # the same size three ways
    threads = [threading.Thread(target=lambda w=w: got.append(variants.get(one, w))) for w in wanted * 8]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(5)
    assert made(metrics) == 1
    assert len({id(frame.jpeg) for frame in got}) == 1
    assert (got[0].sequence, got[0].captured_at) == (77, 1.0)


def test_memory_is_bounded() -> None:
    """Only the last frames' variants are kept."""
    variants = Variants(Broadcast(), Metrics())
    for sequence in range(50):
        variants.get(frame(sequence), Wanted(width=100))
    assert len(variants._frames) <= 3


def test_too_many_sizes() -> None:
    """Streams may want a bounded number of sizes; a known one is always welcome, and stills do not push them out."""
    variants = Variants(Broadcast(), Metrics())
    one = frame()
    with ExitStack() as stack:
        for width in range(100, 100 + MOST):
            stack.enter_context(variants.stream(Wanted(width=width), None))
        stack.enter_context(variants.stream(Wanted(width=100), None))
        with pytest.raises(Unavailable, match="sizes"):
            stack.enter_context(variants.stream(Wanted(width=999), None))
        for width in range(200, 200 + 2 * MOST):
            variants.get(one, Wanted(width=width))
        with pytest.raises(Unavailable, match="too many"):
            variants.get(one, Wanted(width=500))
        assert variants.get(one, Wanted(width=100)).width == 100
    with variants.stream(Wanted(width=999), None):
        pass


def test_damaged_inside() -> None:
    """A picture that is damaged behind its header is shown as far as it goes, or refused in words: never a crash."""
    data = picture(640, 360)
    scan = data.index(b"\xff\xda")
    damaged = data[: scan + 200] + b"\x12" * 400 + data[scan + 600 :]
    got = Variants(Broadcast(), Metrics()).get(Frame(damaged, 1, 1.0, 640, 360), Wanted(width=320))
    assert size(got.jpeg) == (320, 180)
    with pytest.raises(UnsupportedMedia):
        Variants(Broadcast(), Metrics()).get(Frame(data[:300] + b"\xff\xd9", 1, 1.0, 640, 360), Wanted(width=320))


def test_huffman_tables() -> None:
    """Frames of USB cameras without tables get the usual ones, and then decode to the same picture."""
    data = picture()
    bare = data
    while (at := bare.find(b"\xff\xc4")) >= 0:
        bare = bare[:at] + bare[at + 2 + int.from_bytes(bare[at + 2 : at + 4], "big") :]
    assert len(bare) < len(data)
    assert sorted(with_tables(bare)) == sorted(data)
    assert size(with_tables(bare)) == (320, 180)
    assert with_tables(data) is data
