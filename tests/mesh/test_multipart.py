"""The multipart writer and reader agree, and the reader survives what cameras send."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterable

import pytest

from mesh.frame import Frame, Stamps
from mesh.multipart import CONTENT_TYPE, Part, Reader, boundary_of, part

JPEGS = [b"\xff\xd8" + bytes([number]) * 900 + b"\r\n--other\r\n\xff\xd9" for number in range(5)]
FRAMES = [Frame(jpeg, number, 1700000000.25 + number, 640, 480, 12.5) for number, jpeg in enumerate(JPEGS)]
STEPS = (1, 7, 100, 100_000)


def read(reader: Reader, data: bytes, step: int) -> list[Part]:
    return [one for at in range(0, len(data), step) for one in reader.feed(data[at : at + step])]


def without_length(bodies: Iterable[bytes], boundary: bytes, newline: bytes = b"\r\n") -> bytes:
    head = b"--" + boundary + newline + b"Content-Type: image/jpeg" + newline * 2
    return b"".join(head + body + newline for body in bodies) + b"--" + boundary + b"--"


@pytest.mark.parametrize("step", STEPS)
def test_what_is_written_is_read_back_with_its_stamps(step: int) -> None:
    """Every frame comes back whole with its stamps, however the bytes are cut up."""
    parts = read(Reader(boundary_of(CONTENT_TYPE)), b"".join(map(part, FRAMES)), step)
    assert [one.body for one in parts] == JPEGS
    stamps = Stamps.parse(parts[3].headers)
    assert (stamps.sequence, stamps.captured_at, stamps.inference_ms) == (3, 1700000003.25, 12.5)


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("newline", [b"\r\n", b"\n"])
@pytest.mark.parametrize("announced", ["cam", "--cam", None, "another"])
def test_parts_without_a_length_end_at_the_next_delimiter(step: int, newline: bytes, announced: str | None) -> None:
    """A camera that sends no lengths is read, with whatever boundary it announces."""
    parts = read(Reader(announced), without_length(JPEGS, b"cam", newline), step)
    assert [one.body for one in parts] == JPEGS


@pytest.mark.parametrize("step", STEPS)
def test_garbage_between_parts_is_passed_over_and_counted(step: int) -> None:
    """Noise between two parts loses neither of them."""
    reader = Reader(boundary_of(CONTENT_TYPE))
    parts = read(reader, (b"noise" * 20 + b"\r\n").join(map(part, FRAMES)), step)
    assert [one.body for one in parts] == JPEGS
    assert reader.skipped.garbage_bytes == 4 * 100


@pytest.mark.parametrize("step", [50, 100_000])
def test_a_part_that_is_too_large_is_skipped_without_being_kept(step: int) -> None:
    """A part over the limit is dropped, counted, and reading goes on behind it."""
    huge = Frame(b"\xff\xd8" + b"x" * 5000 + b"\xff\xd9", 9, 1.0, 1, 1)
    reader = Reader(boundary_of(CONTENT_TYPE), max_part=2000)
    parts = read(reader, part(FRAMES[0]) + part(huge) + part(FRAMES[1]), step)
    assert [one.body for one in parts] == JPEGS[:2]
    assert reader.skipped.too_large == 1


def test_an_endless_part_without_a_length_does_not_grow_the_buffer() -> None:
    """Bytes without any delimiter are dropped at the limit."""
    reader = Reader("cam", max_part=10_000)
    read(reader, b"--cam\r\nContent-Type: image/jpeg\r\n\r\n", 100)
    for _ in range(100):
        assert not list(reader.feed(b"z" * 1000))
    assert reader.skipped.too_large >= 1
    assert len(reader._buffer) <= 20_000


def test_empty_parts_and_endless_headers_are_counted() -> None:
    """A part of no bytes and headers without end are passed over."""
    reader = Reader("cam")
    data = (
        b"--cam\r\nContent-Length: 0\r\n\r\n\r\n" + b"--cam\r\nX: " + b"y" * 40_000 + without_length(JPEGS[:1], b"cam")
    )
    assert [one.body for one in read(reader, data, 1000)] == JPEGS[:1]
    assert (reader.skipped.empty, reader.skipped.bad_headers) == (1, 1)


def test_a_negative_or_absurd_length_is_not_believed() -> None:
    """A length that is no number of bytes counts as none."""
    for length in (b"-5", b"1e9", b"\xb2"):
        data = b"--cam\r\nContent-Length: " + length + b"\r\n\r\n" + JPEGS[0] + b"\r\n--cam--"
        assert [one.body for one in read(Reader("cam"), data, 100)] == JPEGS[:1]


def sent(data: bytes, step: int, reader: Reader, patience: float = 10.0) -> list[Part]:
    """What `reader` receives when `data` comes over a real connection in pieces of `step` bytes, and then its end."""
    here, there = socket.socketpair()

    def send() -> None:
        with there:
            for at in range(0, len(data), step):
                there.sendall(data[at : at + step])

    sender = threading.Thread(target=send, daemon=True)
    sender.start()
    try:
        with here:
            return list(reader.receive(here, patience))
    finally:
        sender.join(10)


@pytest.mark.parametrize("step", STEPS)
def test_parts_come_straight_off_a_connection(step: int) -> None:
    """Whole, in order and with their headers, however the bytes arrive, behind what another reader had taken in."""
    data = b"".join(map(part, FRAMES))
    for before in (0, 1, 60, 500, 2000):
        reader = Reader(boundary_of(CONTENT_TYPE))
        first = list(reader.feed(data[:before]))
        parts = first + sent(data[before:], step, reader)
        assert [one.body for one in parts] == JPEGS
        assert [one.headers["x-frame"] for one in parts] == ["0", "1", "2", "3", "4"]
        assert not reader.skipped.garbage_bytes


@pytest.mark.parametrize("step", [7, 100, 100_000])
def test_a_connection_full_of_trouble_loses_no_good_part(step: int) -> None:
    """Garbage, empty and huge parts, parts without length and half a part between good ones, over a connection."""
    good = list(map(part, FRAMES))
    huge = part(Frame(b"x" * 6000, 9, 1.0, 1, 1))
    bare = b"--fogline-frame\r\nContent-Type: image/jpeg\r\n\r\n" + JPEGS[1] + b"\r\n"
    empty = b"--fogline-frame\r\nContent-Length: 0\r\n\r\n\r\n"
    data = good[0] + b"noise" * 30 + b"\r\n" + bare + empty + huge + good[2] + good[3] + good[4][:500]
    reader = Reader(boundary_of(CONTENT_TYPE), max_part=5000)
    assert [one.body for one in sent(data, step, reader)] == JPEGS[:4]
    assert (reader.skipped.empty, reader.skipped.too_large) == (1, 1)
    assert reader.skipped.garbage_bytes == 150


@pytest.mark.parametrize("announced", ["--cam", None, "another"])
def test_a_connection_with_another_boundary_than_announced_is_read(announced: str | None) -> None:
    """The one that it uses is learnt."""
    data = b"".join(
        b"--cam\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n" % len(one) + one + b"\r\n" for one in JPEGS
    )
    assert [one.body for one in sent(data, 1000, Reader(announced))] == JPEGS


def test_a_part_that_trickles_is_given_up() -> None:
    """Bytes that keep coming are no reason to wait for ever."""
    here, there = socket.socketpair()
    stop = threading.Event()

    def trickle() -> None:
        there.sendall(b"--cam\r\nContent-Length: 100000\r\n\r\n")
        while not stop.wait(0.02):
            there.sendall(b"x")

    sender = threading.Thread(target=trickle, daemon=True)
    sender.start()
    # Long enough for a byte to come on a busy machine: without one in that time it would be the socket that gives up.
    here.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", 1, 0))
    try:
        with pytest.raises(TimeoutError):
            list(Reader("cam").receive(here, 0.3))
    finally:
        stop.set()
        sender.join(5)
        here.close()
        there.close()


def test_a_length_of_thousands_of_digits_is_no_length() -> None:
    """Python refuses to read such a number."""
    data = b"--cam\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\n" + JPEGS[0] + b"\r\n--cam--"
    assert [one.body for one in read(Reader("cam"), data, 100)] == JPEGS[:1]
