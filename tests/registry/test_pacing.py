"""How often nodes are told to beat, for fleets of every size."""

from __future__ import annotations

import time

import pytest

from mesh.wire import Datagrams
from registry import pacing as module
from registry.pacing import Pacing, Tempo
from registry.settings import RegistrySettings

SETTINGS = RegistrySettings()
HERE = Datagrams(port=5050, key="00")


class Receiver:
    """Hears the nodes that a test names."""

    def __init__(self) -> None:
        self.heard: set[str] = set()

    def hears(self, node_id: str) -> bool:
        return node_id in self.heard

    def datagrams(self, _node_id: str, _boot_id: str) -> Datagrams:
        return HERE


@pytest.mark.parametrize(
    ("nodes", "lease", "seconds", "full"),
    [(3, 3, 1, 5), (500, 3, 1, 5), (1000, 3, 1, 10), (10_000, 3, 1, 100), (50_000, 15, 5, 500)],
)
def test_the_pace_of_datagrams(nodes: int, lease: float, seconds: float, full: float) -> None:
    """A second up to 10,000 nodes; full beats are a hundred a second at most."""
    receiver = Receiver()
    receiver.heard.add("n")
    pacing = Pacing(SETTINGS, Tempo(SETTINGS, lambda: nodes), receiver)
    given, pace = pacing.beat("n", "b")
    assert (given, pace.seconds, pace.full_seconds, pace.datagrams) == (lease, seconds, full, HERE)


@pytest.mark.parametrize(("nodes", "seconds"), [(1, 1), (250, 1), (1000, 4)])
def test_the_pace_of_http(nodes: int, seconds: float) -> None:
    """Those whose datagrams do not get through are counted, whatever the fleet's size: 250 beats a second at most."""
    receiver = Receiver()
    pacing = Pacing(SETTINGS, Tempo(SETTINGS, lambda: 10_000), receiver)
    for number in range(nodes):
        lease, pace = pacing.beat(f"n{number}", "b")
    assert (pace.seconds, lease) == (seconds, 3 * seconds)
    assert pace.datagrams == HERE  # they are to try
    receiver.heard.add("n0")
    assert pacing.beat("n0", "b")[1].seconds == 1


def test_beats_that_wait_for_answers_slow_the_fleet(monkeypatch: pytest.MonkeyPatch) -> None:
    """A moment's pause does not, a lasting one does, within bounds; after it the pace comes back by and by."""
    monkeypatch.setattr(module, "RECOVERY", 0.0)
    tempo = Tempo(SETTINGS, lambda: 3)
    tempo.lagged(0.5)
    assert tempo.by_datagram() == (3, 1)
    for _ in range(50):
        tempo.lagged(0.6)
    lease, seconds = tempo.by_datagram()
    assert (lease, seconds, tempo.full_seconds()) == pytest.approx((6, 2, 10), rel=0.01)
    assert tempo.by_http(1)[1] == pytest.approx(2, rel=0.01)
    for _ in range(50):
        tempo.lagged(60.0)
    assert tempo.by_datagram() == (12, 4)
    for _ in range(50):
        tempo.lagged(0.0)
    assert tempo.by_datagram() == (12, 4)
    monkeypatch.setattr(module, "RECOVERY", 1000.0)
    time.sleep(0.01)
    assert tempo.by_datagram() == (3, 1)


def test_without_datagrams_no_pace_is_given_for_them() -> None:
    """Nor are full beats told from others."""
    pacing = Pacing(SETTINGS, Tempo(SETTINGS, lambda: 3), None)
    lease, pace = pacing.registration("n", "b", original=False)
    assert (lease, pace.seconds, pace.full_seconds, pace.datagrams) == (3, 1, 0, None)


def test_the_originals_devices_have_their_own_lease() -> None:
    """They do not beat at all."""
    pacing = Pacing(SETTINGS, Tempo(SETTINGS, lambda: 3), Receiver())
    lease, pace = pacing.registration("n", "b", original=True)
    assert lease == SETTINGS.original_seconds
    assert pace.datagrams is None


def test_a_wipe_does_not_make_everybody_come_at_once() -> None:
    """The size that the fleet had a moment ago decides, for nobody is listed now; few nodes need not wait."""
    size = 9000
    tempo = Tempo(SETTINGS, lambda: size)
    assert tempo.spread() == 6
    assert tempo.spread(0.01) == 0
    size = 0
    assert tempo.spread() == 6
    assert tempo.full_spread(0.4) == 9  # full beats, for new orders
    assert tempo.full_spread(0.01) == 0
    assert Tempo(SETTINGS, lambda: 200).spread() == 0
