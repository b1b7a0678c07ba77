"""Newest frame wins: slots, broadcasts, pacing, and the plain iterator of a stream."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from types import SimpleNamespace

import pytest

from mesh.audience import Audience, Places
from mesh.errors import SourceLost, Unavailable
from mesh.frame import Frame, Newest
from mesh.multipart import Reader
from mesh.rate import Rate
from mesh.stream import Broadcast, Feed, Live, Manner, Pacer
from tests.processes import wait_for


def frame(number: int) -> Frame:
    return Frame(b"\xff\xd8" + bytes([number % 256]) + b"\xff\xd9", number, float(number), 1, 1)


def manner(
    ended: Callable[[], bool] = lambda: False,
    fps: float | None = None,
    fresh: float | None = None,
    silence: float | None = None,
) -> Manner:
    return Manner(ended=ended, lost=lambda: SourceLost("no picture"), fps=fps, fresh=fresh, silence=silence)


def live(broadcast: Broadcast, how: Manner, left: Callable[[], None] = lambda: None) -> Live:
    return Live(broadcast.feed, how, left=left)


def number_of(part: bytes) -> int:
    return int(next(Reader().feed(part)).headers["x-frame"])


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
    assert broadcast.feed.part(one) is broadcast.feed.part(one)
    assert broadcast.feed.part(frame(2)) is not broadcast.feed.part(one)
    own = Feed(broadcast, lambda value: b"%d" % value.sequence)
    assert own.part(one) == b"1"


def test_viewers_are_counted_and_get_frames_in_order() -> None:
    """Several viewers of one broadcast each see rising sequences, and are gone from the count afterwards."""
    broadcast = Broadcast()
    stop = threading.Event()
    seen: list[list[int]] = [[], [], []]

    def view(out: list[int]) -> None:
        reader = Reader()
        for data in Audience(64, None, lambda: None).seat({}, broadcast.feed, manner(stop.is_set), ExitStack()):
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
    # Each is counted when its viewer comes for the next one.
    wait_for(lambda: broadcast.outflow.sent >= 60, 5, "count of what was sent")
    assert broadcast.outflow.send.times() is not None
    stop.set()
    broadcast.close()
    for thread in threads:
        thread.join(3)
        assert not thread.is_alive()
    for out in seen:
        assert len(out) >= 20
        assert out == sorted(set(out))


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
    """The cap is an error that says what to do; a place comes back when its viewer goes."""
    places = Places(2, "raise --threads")
    with ExitStack() as stack:
        stack.enter_context(places.take())
        with places.take(), pytest.raises(Unavailable, match="--threads"), places.take():
            pass
        with places.take():
            assert places.taken == 2
    assert places.taken == 0


def test_a_stream_lets_go_however_it_ends() -> None:
    """Read to its end, closed early, never read, or without a first part: `left` is called exactly once."""
    left: list[str] = []
    broadcast = Broadcast()
    broadcast.publish(frame(1))
    read = live(broadcast, manner(), lambda: left.append("read"))
    read.begin()
    assert number_of(next(read)) == 1
    read.close()
    read.close()
    live(broadcast, manner(), lambda: left.append("unread")).close()
    broadcast.close()
    assert list(live(broadcast, manner())) == []
    with pytest.raises(SourceLost, match="no picture"):
        live(broadcast, manner(), lambda: left.append("empty")).begin()
    assert left == ["read", "unread", "empty"]


def test_a_viewer_who_finds_no_place_leaves_nothing_behind() -> None:
    """What was taken for it is let go of before the error is passed on."""
    audience = Audience(1, None, lambda: None)
    broadcast = Broadcast()
    broadcast.publish(frame(1))
    let_go: list[int] = []
    first = audience.seat({}, broadcast.feed, manner(), ExitStack())
    held = ExitStack()
    held.callback(let_go.append, 1)
    with pytest.raises(Unavailable):
        audience.seat({}, broadcast.feed, manner(), held)
    assert (let_go, audience.count, broadcast.viewers) == ([1], 1, 1)
    first.close()
    assert (audience.count, broadcast.viewers) == (0, 0)


def test_an_old_picture_is_not_the_first_one() -> None:
    """With `fresh`, a viewer who comes waits for the next picture rather than see one of long ago."""
    broadcast = Broadcast()
    broadcast.publish(frame(1))
    time.sleep(0.15)
    assert number_of(next(live(broadcast, manner()))) == 1
    threading.Timer(0.1, broadcast.publish, (frame(2),)).start()
    assert number_of(next(live(broadcast, manner(fresh=0.1)))) == 2


def test_what_the_pacer_held_back_comes_when_nothing_follows() -> None:
    """The last picture of a source that falls silent is shown, though it came too early for the cap."""
    broadcast = Broadcast()
    broadcast.publish(frame(1))
    stream = live(broadcast, manner(fps=2))
    assert number_of(next(stream)) == 1
    broadcast.publish(frame(2))
    assert number_of(next(stream)) == 2
    stream.close()


def test_silence_ends_a_stream() -> None:
    """Nothing new for so long: the iterator ends, and the viewer may come back."""
    broadcast = Broadcast()
    broadcast.publish(frame(1))
    assert len(list(live(broadcast, manner(silence=0.5)))) == 1


def test_listeners_hear_of_news_and_of_the_end() -> None:
    """Each is called once a value and at the close, until it is taken off."""
    broadcast = Broadcast()
    heard: list[int] = []

    def listener() -> None:
        heard.append(1)

    broadcast.listen(listener)
    broadcast.publish(frame(1))
    broadcast.close()
    assert len(heard) == 2
    broadcast.unlisten(listener)
    broadcast.publish(frame(2))
    assert len(heard) == 2


def test_the_rate_follows_what_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ticks a second lately; a silence brings it down."""
    clock = SimpleNamespace(now=1000.0)
    monkeypatch.setattr("mesh.rate.time", SimpleNamespace(monotonic=lambda: clock.now))
    rate = Rate()
    assert rate.per_second == 0
    for _ in range(11):
        rate.tick()
        clock.now += 0.02
    assert 0.8 * 50 < rate.per_second < 1.25 * 50
    clock.now += 1
    assert rate.per_second < 0.4 * 50
