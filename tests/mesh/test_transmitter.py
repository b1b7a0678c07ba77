"""Beats by datagram to a registry that is slow or silent."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from functools import partial
from itertools import pairwise

import pytest

from mesh import datagram
from mesh.datagram import AnswerDatagram, BeatDatagram
from mesh.lease import Lease
from mesh.transmitter import Transmitter
from mesh.wire import Beat, Datagrams
from tests.processes import wait_for

KEY = bytes(32)
SECONDS = 0.4  # between two beats


class SlowRegistry:
    """Answers each beat `delay` seconds after it came, None for never, but for the next `lost` ones. seconds: between
    two beats, as it tells the node."""

    def __init__(self) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.delay: float | None = 0.0
        self.seconds = SECONDS
        self.lost = 0
        self.beats: list[BeatDatagram] = []
        self.answered = 0
        self.stopped = threading.Event()
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        while not self.stopped.is_set():
            received, address = self.socket.recvfrom(2048)
            beat = datagram.open_beat(received, lambda _beat: KEY)
            if beat is not None:
                self.beats.append(beat)
                if self.lost:
                    self.lost -= 1
                elif self.delay is not None:
                    threading.Timer(self.delay, self._answer, (beat, address)).start()

    def _answer(self, beat: BeatDatagram, address: tuple[str, int]) -> None:
        answer = AnswerDatagram(
            node_id="n",
            echo=beat.number,
            stamp=1,
            orders=0,
            lease_seconds=3 * self.seconds,
            seconds=self.seconds,
            says="renewed",
        )
        self.answered += 1
        self.socket.sendto(datagram.seal(answer, KEY), address)

    def close(self) -> None:
        self.stopped.set()
        self.socket.sendto(b"", self.socket.getsockname())


class Sending:
    """A transmitter that beats to a slow registry."""

    def __init__(self) -> None:
        self.registry = SlowRegistry()
        self.lease = Lease()
        self.lost = threading.Event()
        self.transmitter = Transmitter("n", lambda: Beat(boot_id="b"), self.lease, lambda _seconds: None, self.lost.set)
        port = self.registry.socket.getsockname()[1]
        self.transmitter.aim("127.0.0.1", Datagrams(port=port, key=KEY.hex()), several=False)


@pytest.fixture
def sending() -> Iterator[Sending]:
    one = Sending()
    yield one
    one.transmitter.stop()
    one.registry.close()


def test_a_slow_registry_gets_no_more_beats_than_a_quick_one(sending: Sending) -> None:
    """One for each answer: sent twice, they would keep it slow."""
    registry = sending.registry
    wait_for(lambda: registry.answered >= 2, 5, "answers")
    registry.delay = 0.7 * SECONDS
    wait_for(lambda: len(registry.beats) > registry.answered, 5, "a beat that waits")
    before, answered = len(registry.beats), registry.answered
    wait_for(lambda: registry.answered >= answered + 6, 10, "six slow answers")
    assert len(registry.beats) - before <= 8
    assert sending.transmitter.healthy
    assert sending.lease.held


def test_a_lost_beat_is_made_up_for_before_anybody_worries(sending: Sending) -> None:
    """Where answers are quick: when a single beat or its answer is lost, the node counts on datagrams still."""
    registry = sending.registry
    registry.seconds = 1.0  # a quarter of which may pass on a busy machine until the second try is answered
    for _ in range(3):
        registry.answered = 0
        wait_for(lambda: registry.answered >= 2, 5, "answers")
        registry.lost = 1
        wait_for(lambda: registry.lost == 0, 5, "a lost beat")
    registry.answered = 0
    wait_for(lambda: registry.answered >= 2, 5, "answers")
    assert not sending.lost.is_set()


def test_a_silent_registry_is_asked_ever_more_seldom(sending: Sending) -> None:
    """And whoever listens is told that another way is needed."""
    registry = sending.registry
    wait_for(lambda: registry.answered >= 2, 5, "answers")
    registry.delay = None
    times: list[float] = []
    while len(times) < 5:
        beats = len(registry.beats) + 1
        wait_for(partial(_has, registry, beats), 5, "a beat")
        times.append(time.monotonic())
    pauses = [after - before for before, after in pairwise(times)]
    assert sending.lost.is_set()
    assert not sending.transmitter.healthy
    assert pauses[-1] > 1.3 * pauses[0]


def _has(registry: SlowRegistry, beats: int) -> bool:
    return len(registry.beats) >= beats
