"""What Prometheus is told of the mesh, whatever store it is in."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, generate_latest

from registry.listing import Snapshots
from registry.mirror import Mirror
from registry.store_metrics import StoreCollector
from tests.registry.store.trial import LEASE, Trial


class Figures:
    """Read as Prometheus does; `[name]` is the value of the series that is written so, None when there is none."""

    def __init__(self, trial: Trial) -> None:
        mirror = Mirror(trial.store)
        self._mirror = mirror
        self._registry = CollectorRegistry()
        self._registry.register(StoreCollector(Snapshots(trial.store, mirror)))

    def __getitem__(self, name: str) -> float | None:
        self._mirror.read_anew()
        for line in generate_latest(self._registry).decode().splitlines():
            series, _, value = line.rpartition(" ")
            if series == f"fogline_registry_{name}":
                return float(value)
        return None


def test_slots_are_counted_for_the_mesh_and_for_each_algorithm(trial: Trial) -> None:
    """Free are those that could be given away now: none of a node that drains."""
    figures = Figures(trial)
    trial.compute("a", slots=2)
    trial.compute("b", slots=3)
    trial.open("s1")
    assert (figures["mesh_slots"], figures["mesh_slots_free"]) == (5, 4)
    assert (figures['slots{algorithm="yolo"}'], figures['slots_free{algorithm="yolo"}']) == (5, 4)
    trial.store.drain("b", True)
    trial.live(1)
    assert figures["mesh_slots"] == 5
    assert figures["mesh_slots_free"] in (1, 2)
    assert figures["sessions_waiting"] == 0
    trial.ask("s2", wait=True)
    trial.ask("s3", wait=True)
    trial.ask("s4", wait=True)
    assert figures["mesh_slots_free"] == 0
    waiting = figures["sessions_waiting"]
    assert waiting is not None
    assert waiting >= 1
    assert figures["redis_up"] == 1


def test_moves_are_counted_by_what_led_to_them(trial: Trial) -> None:
    """A viewer's complaint, a drain, a restart, a death, a slot that became free: the sum is all moves."""
    figures = Figures(trial)
    for name in ("a", "b"):
        trial.compute(name, slots=1)
    trial.open("s1")
    trial.serve("a")
    trial.failover("s1", "viewer")
    assert figures['moves_total{reason="no frames"}'] == 1
    trial.reached("a")
    trial.serve("b")
    trial.store.drain("b", True)
    trial.live(1)
    assert trial.session("s1").node == "a"
    assert figures['moves_total{reason="draining"}'] == 1
    trial.store.drain("b", False)
    trial.compute("a", slots=1, boot_id="second")
    assert trial.session("s1").node == "b"
    assert figures['moves_total{reason="restart"}'] == 1
    trial.silent.add("a")
    trial.live(2 * LEASE + 1)
    trial.silent.add("b")
    trial.live(2 * LEASE + 1)
    assert figures["sessions_waiting"] == 1
    trial.compute("c", slots=1)
    trial.live(1)
    assert trial.session("s1").node == "c"
    assert figures['moves_total{reason="slot free"}'] == 1
    trial.compute("d", slots=1)
    trial.serve("c")
    trial.silent.add("c")
    trial.live(2 * LEASE + 1)
    assert trial.session("s1").node == "d"
    assert figures['moves_total{reason="gone"}'] == 1
    assert figures['moves_total{reason="unknown"}'] == 0


def test_a_node_that_is_lost_is_named_and_one_that_left_is_told_apart(trial: Trial) -> None:
    """By name and site, from its silence until it is back; who said goodbye is gone, too, and not lost."""
    figures = Figures(trial)
    trial.compute("press", labels={"site": "plant-2"})
    trial.compute("paint")
    lost = 'node_lost{at_site="plant-2",id="press",kind="compute",name="press"}'
    assert figures[lost] is None
    trial.silent.add("press")
    trial.live(LEASE + 0.5)
    assert figures[lost] == 1
    trial.live(2 * LEASE)
    assert (figures[lost], figures['nodes{kind="compute",state="dead"}']) == (1, 1)
    trial.silent.clear()
    trial.register("press")
    trial.reached("press")
    assert figures[lost] is None
    trial.store.leave("press", "left the mesh")
    assert figures[lost] == 0
    trial.store.leave("paint", "it was revoked by anna")
    assert figures['node_lost{at_site="",id="paint",kind="compute",name="paint"}'] == 0


def test_a_camera_tells_whether_it_has_a_picture(trial: Trial) -> None:
    """One by one; a node that only runs others has none to have, and a clock that is off is named."""
    figures = Figures(trial)
    trial.camera("line-3", labels={"site": "plant-2"})
    trial.camera("host", source="none")
    signal = 'camera_signal{at_site="plant-2",camera="line-3",camera_id="line-3"}'
    trial.beat("line-3", clock_skew=0.9)
    assert figures[signal] == 1
    trial.beat("line-3", no_signal="the cable is out", clock_skew=-7.5)
    assert figures[signal] == 0
    skew = 'node_clock_skew_seconds{at_site="plant-2",id="line-3",kind="camera",name="line-3"}'
    assert figures[skew] == -7.5
    trial.beat("line-3")
    assert (figures[signal], figures[skew]) == (1, None)
    assert figures['camera_signal{at_site="",camera="host",camera_id="host"}'] is None
