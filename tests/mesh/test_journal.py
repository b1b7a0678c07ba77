"""A log that many follow: nobody misses anything, through the fan-out or with a thread each."""

from __future__ import annotations

import re
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from mesh import journal as module
from mesh.audience import OFFERED, Audience
from mesh.fanout import Fanout
from mesh.journal import Behind, Excerpt, Journal, JournalReader, Place, Reading
from tests.mesh.test_handoff import connected, read_until
from tests.processes import wait_for


class Room:
    """A journal with readers on connections of this machine. Its whole picture says how many were given."""

    def __init__(self) -> None:
        self.journal = Journal((0,), most=200_000)
        self.fanout = Fanout()
        self.audience = Audience(64, self.fanout, lambda: None)
        self.number = 0
        self.pictures = 0

    def write(self, data: bytes = b"") -> None:
        self.number += 1
        self.journal.append((self.number,), b"<%d>%b" % (self.number, data))

    def whole(self) -> Excerpt:
        self.pictures += 1
        return Excerpt(b"[all to %d]" % self.number, (self.number,))

    def reading(self, place: Place | None, *, by_fanout: bool) -> Reading:
        held = ExitStack()
        with held:
            viewer = self.audience.admit({OFFERED: by_fanout}, held)
            left = held.pop_all().close
        return Reading(self.journal, place, self.whole, hello=b"hello ", keep_alive=b"...", left=left, viewer=viewer)

    def enter(self, place: Place | None = (0,), *, chunked: bool = False) -> socket.socket:
        ours, theirs = connected()
        reading = self.reading(place, by_fanout=True)
        assert self.fanout.add(JournalReader(ours, reading, b"HEAD ", chunked=chunked))
        return theirs


@pytest.fixture
def room() -> Iterator[Room]:
    room = Room()
    yield room
    room.journal.close()
    room.audience.close()
    assert room.audience.count == 0
    assert room.fanout.connections == 0
    assert not room.fanout.groups


def test_a_place_tells_what_comes_after_it(room: Room) -> None:
    """Everything once, in order, up to a bound; one excerpt for all who stand at the same place."""
    for _ in range(3):
        room.write()
    first = room.journal.after((1,))
    assert first is not None
    assert (first.pieces(False), first.place) == ([b"<2><3>"], (3,))
    assert first.pieces(True) == [b"6\r\n<2><3>\r\n"]
    assert room.journal.after((1,)) is first
    assert room.journal.after((3,)) is None
    for _ in range(4):
        room.write(bytes(100_000))
    bounded = room.journal.after((5,))
    assert bounded is not None
    assert bounded.place == (7,)


def test_a_place_that_the_log_no_longer_holds_is_behind(room: Room) -> None:
    """What was dropped for room, and what was before a new beginning."""
    room.write()
    for _ in range(20):
        room.write(bytes(20_000))
    with pytest.raises(Behind):
        room.journal.after((1,))
    assert room.journal.after(room.journal.floor) is not None
    room.journal.restart((500,))
    with pytest.raises(Behind):
        room.journal.after((21,))
    assert room.journal.after((500,)) is None
    assert room.journal.end == (500,)


def test_readers_get_everything_in_order(room: Room) -> None:
    """Forty readers in the fan-out, each from its own place, half of them in HTTP chunks."""
    room.write()
    readers = [room.enter((number % 2,), chunked=number >= 20) for number in range(40)]
    wait_for(lambda: room.fanout.connections == 40, 5, "all readers")
    for _ in range(50):
        room.write()
    for number, reader in enumerate(readers):
        data = read_until(reader, b"<51>")
        wanted = b"".join(b"<%d>" % n for n in range(1 + number % 2, 52))
        if number >= 20:
            data = b"".join(line for line in data.split(b"\r\n") if b"<" in line)
        else:
            assert data.startswith(b"HEAD hello ")
        assert data.endswith(wanted)
        reader.close()


def test_a_slow_reader_misses_nothing_until_the_log_has_moved_on(room: Room) -> None:
    """Then it gets the whole picture instead, and memory stays bounded."""
    slow = room.enter()
    quick = room.enter()
    wait_for(lambda: room.fanout.connections == 2, 5, "both readers")
    for number in range(1, 151):
        room.write(bytes(50_000))
        read_until(quick, b"<%d>" % number)
    assert room.pictures == 0
    data = read_until(slow, b"[all to 150]")
    told = [int(number) for number in re.findall(rb"<(\d+)>", data)]
    assert told == list(range(1, len(told) + 1))
    assert 1 <= len(told) < 150
    room.write()
    assert read_until(slow, b"<151>") == b"<151>"
    assert room.pictures == 1
    for one in (slow, quick):
        one.close()


def test_who_is_new_begins_with_the_whole_picture(room: Room) -> None:
    """A large one goes out in pieces, and what happens meanwhile comes after it."""

    def large() -> Excerpt:
        whole = Excerpt(b"[" + bytes(3_000_000) + b"]", (room.number,))
        room.pictures += 1
        return whole

    room.whole = large  # type: ignore[method-assign]
    reader = room.enter(None)
    # Not only until it is there: what is written before its picture is taken is in that.
    wait_for(lambda: room.pictures == 1, 5, "picture for the reader")
    room.write()
    data = read_until(reader, b"<1>")
    assert len(data) == len(b"HEAD hello []<1>") + 3_000_000
    assert data.endswith(b"]<1>")
    reader.close()


@pytest.mark.parametrize("by_fanout", [True, False])
def test_closing_ends_every_reading(room: Room, by_fanout: bool) -> None:
    """In chunks with the last one, so that the reader knows that the end is one."""
    room.write()
    if by_fanout:
        reader = room.enter(chunked=True)
        read_until(reader, b"<1>")
        room.journal.close()
        assert read_until(reader, b"never").endswith(b"0\r\n\r\n")
        reader.close()
    else:
        parts: list[bytes] = []
        reading = room.reading((0,), by_fanout=False)
        thread = threading.Thread(target=lambda: parts.extend(reading))
        thread.start()
        wait_for(lambda: b"<1>" in parts, 5, "the first entry")
        room.write()
        wait_for(lambda: b"<2>" in parts, 5, "the second entry")
        room.journal.close()
        thread.join(5)
        assert not thread.is_alive()
        assert parts == [b"hello ", b"<1>", b"<2>"]
        reading.close()


def test_a_quiet_reader_is_comforted(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a keep-alive, through the fan-out and by a thread."""
    monkeypatch.setattr(module, "KEEP_ALIVE", 0.2)
    monkeypatch.setattr(module, "POLL", 0.05)
    reader = room.enter()
    assert b"..." in read_until(reader, b"...")
    reader.close()
    reading = room.reading((0,), by_fanout=False)
    began = time.monotonic()
    assert [next(reading), next(reading)] == [b"hello ", b"..."]
    assert time.monotonic() - began < 3
    reading.close()
