"""A stream that may not be shown any more: not one further part, whoever sends it."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from mesh.errors import SourceLost
from mesh.multipart import Reader
from mesh.stream import Broadcast, Live, Manner
from tests.mesh.test_handoff import Hall, frame, read_until
from tests.processes import wait_for


@pytest.fixture
def hall() -> Iterator[Hall]:
    """A fan-out whose viewers' streams are over as soon as `ended` is set."""
    one = Hall()
    yield one
    one.audience.close()


def rest(viewer: socket.socket) -> bytes:
    """What still comes until the connection is closed."""
    return read_until(viewer, b"no such bytes")


def test_the_fan_out_asks_for_every_part(hall: Hall) -> None:
    """What is published after the end reaches nobody, however soon it comes."""
    broadcast = Broadcast()
    viewers = [hall.enter(broadcast.feed) for _ in range(3)]
    wait_for(lambda: hall.fanout.connections == 3, 5, "viewers")
    broadcast.publish(frame(1))
    for viewer in viewers:
        read_until(viewer, b"X-Frame: 1")
    time.sleep(0.05)
    hall.ended = True
    broadcast.publish(frame(2))
    assert all(b"X-Frame: 2" not in rest(viewer) for viewer in viewers)
    wait_for(lambda: hall.audience.count == 0, 5, "empty hall")


def test_a_viewer_who_is_behind_gets_no_rest(hall: Hall) -> None:
    """The part that was under way stays half: a picture that is late by the length of a stop must not be seen."""
    broadcast = Broadcast()
    viewer = hall.enter(broadcast.feed)
    wait_for(lambda: hall.fanout.connections == 1, 5, "viewer")
    size = 30_000_000  # more than all buffers between the two hold
    broadcast.publish(frame(1, size))
    data = viewer.recv(1000)
    hall.ended = True
    data += rest(viewer)
    assert len(data) < size
    assert not list(Reader().feed(data.removeprefix(b"HEAD\r\n\r\n")))


def test_a_viewer_who_waits_for_its_turn_gets_nothing(hall: Hall) -> None:
    """A part that the viewer's own frame rate held back is not made up for after the end."""
    broadcast = Broadcast()
    viewer = hall.enter(broadcast.feed, fps=2)
    wait_for(lambda: hall.fanout.connections == 1, 5, "viewer")
    broadcast.publish(frame(1))
    read_until(viewer, b"X-Frame: 1")
    broadcast.publish(frame(2))
    time.sleep(0.05)
    hall.ended = True
    assert b"X-Frame: 2" not in rest(viewer)


def test_a_viewers_own_thread_asks_for_every_part() -> None:
    """It waits for something new, and looks once more before it passes that on."""
    broadcast = Broadcast()
    ended = threading.Event()
    with ExitStack() as held:
        manner = Manner(ended=ended.is_set, lost=lambda: SourceLost("nothing came"))
        live = Live(broadcast.feed, manner, left=held.close)
        got: list[bytes] = []
        thread = threading.Thread(target=lambda: got.extend(live))
        thread.start()
        broadcast.publish(frame(1))
        wait_for(lambda: len(got) == 1, 5, "first part")
        time.sleep(0.05)  # by now it waits for the next one
        ended.set()
        broadcast.publish(frame(2))
        thread.join(5)
    assert len(got) == 1
