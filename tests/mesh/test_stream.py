"""Newest frame wins: slots, broadcasts, viewers' places and pacing."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from mesh.errors import Unavailable
from mesh.frame import Frame, Newest
from mesh.multipart import Reader
from mesh.rate import Rate
from mesh.stream import Body, Broadcast, Pacer, Places, mjpeg


def frame(number: int) -> Frame:
    return Frame(b"\xff\xd8" + bytes([number % 256]) + b"\xff\xd9", number, float(number), 1, 1)


def test_a_slow_reader_sees_the_newest_and_never_the_older_ones() -> None:
    """The slot has length one, and its version tells how many were missed."""
    slot: Newest[int] = Newest()
    for value in range(5):
        slot.put(value)
    assert slot.wait(1, 0) == (4, 5)
    assert slot.wait(5, 0.01) == (None, 5)


def test_closing_wakes_whoever_waits() -> None:
    """A closed slot never blocks."""
    slot: Newest[int] = Newest()
    threading.Timer(0.05, slot.close).start()
    began = time.monotonic()
    assert slot.wait(0, 5) == (None, 0)
    assert time.monotonic() - began < 2


def test_one_part_is_built_for_all_viewers() -> None:
    """Every viewer of a frame gets the very same bytes object."""
    broadcast = Broadcast()
    one = frame(1)
    assert broadcast.part(one) is broadcast.part(one)
    assert broadcast.part(frame(2)) is not broadcast.part(one)


def test_viewers_are_counted_and_get_frames_in_order() -> None:
    """Several viewers of one broadcast each see rising sequences, and are gone from the count afterwards."""
    broadcast = Broadcast()
    stop = threading.Event()
    seen: list[list[int]] = [[], [], []]

    def view(out: list[int]) -> None:
        reader = Reader()
        for data in mjpeg(broadcast, fps=None, stopping=stop.is_set):
            out += [int(part.headers["x-frame"]) for part in reader.feed(data)]

    threads = [threading.Thread(target=view, args=(out,)) for out in seen]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + 5
    number = 0
    while min(map(len, seen)) < 20 and time.monotonic() < deadline:
        number += 1
        broadcast.publish(frame(number))
        time.sleep(0.005)
    assert broadcast.viewers == 3
    stop.set()
    broadcast.close()
    for thread in threads:
        thread.join(3)
        assert not thread.is_alive()
    for out in seen:
        assert len(out) >= 20
        assert out == sorted(set(out))
    assert broadcast.viewers == 0


def test_a_fresh_picture_is_waited_for() -> None:
    """An old picture is not given as a new one; no picture in time is None."""
    broadcast = Broadcast()
    assert broadcast.fresh(1, 0.05) is None
    broadcast.publish(frame(1))
    assert broadcast.fresh(1, 0.05) == frame(1)
    time.sleep(0.1)
    threading.Timer(0.1, broadcast.publish, (frame(2),)).start()
    assert broadcast.fresh(0.05, 3) == frame(2)


def test_the_pacer_halves_a_stream_evenly() -> None:
    """At half the rate every other frame passes, and a pause earns no burst."""
    pacer = Pacer(10)
    passed = [n for n in range(60) if pacer.admits(n / 20)]
    assert passed == list(range(0, 60, 2))
    assert [pacer.admits(100 + n / 1000) for n in range(3)].count(True) <= 2
    assert all(Pacer(None).admits(0.0) for _ in range(3))


def test_places_run_out_in_words_and_come_back() -> None:
    """The cap is an error that says what to do; a place that was given back twice counts once."""
    places = Places(2)
    first, _second = places.take(), places.take()
    with pytest.raises(Unavailable, match="--threads"):
        places.take()
    first.release()
    first.release()
    places.take()
    with pytest.raises(Unavailable):
        places.take()


def test_a_body_frees_its_place_however_it_ends() -> None:
    """Read to its end, closed early, never read, or failed: `left` is called exactly once."""
    left: list[str] = []

    def failing() -> Iterator[bytes]:
        if not left:
            yield b"never"
        raise Unavailable("no")

    body = Body(iter([b"a", b"b"]), lambda: left.append("read"))
    assert body.begin()
    assert list(body) == [b"a", b"b"]
    body.close()
    body.close()
    unread = Body((b for b in [b"a"]), lambda: left.append("unread"))
    unread.close()
    empty = Body(iter([]), lambda: left.append("empty"))
    assert not empty.begin()
    broken = Body(failing(), lambda: left.append("broken"))
    with pytest.raises(Unavailable):
        broken.begin()
    assert left == ["read", "unread", "empty", "broken"]


def test_the_rate_follows_what_happens() -> None:
    """Ticks a second lately; a silence brings it down."""
    rate = Rate()
    assert rate.per_second == 0
    began = time.monotonic()
    for _ in range(11):
        rate.tick()
        time.sleep(0.02)
    # Held against the time that truly passed: a busy machine sleeps longer than it is asked to.
    true = 11 / (time.monotonic() - began)
    assert 0.8 * true < rate.per_second < 1.25 * true
    time.sleep(1)
    assert rate.per_second < 0.4 * true
