"""How the mesh does, for Prometheus: nodes, sessions and what happened to them, as the store has them.

Every replica tells the same numbers, and they outlive a restart. Prometheus marks all that it reads here with the
registry's own `node` and `site`; so those of the node that a figure is about are called otherwise.
"""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Iterable, Iterator
from contextlib import suppress

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from mesh.errors import RegistryAway
from registry import standing
from registry.listing import Snapshots, View
from registry.store import NodeRecord, SessionRecord, Snapshot
from registry.targets import site_of

CLOCK_SECONDS = 1.0  # by which a node's clock may be off without being named, as on the pages
MOST_NAMED = 200  # nodes that are named one by one for being lost, or off: when there are more, it is the network
# How a node that is dead went when it was not lost: it said so itself, or an admin did.
LEFT = ("left the mesh", "it was revoked", "its host was revoked")
_NAMED = ("name", "id", "kind", "at_site")

_COUNTS = {
    "placements": "Sessions given to a node, moves included",
    "joins": "Requests that joined a session",
    "refusals": "Requests that found no free slot",
    "beats": "Heartbeats taken",
    "registrations": "Manifests taken",
    "nodes_suspected": "Nodes whose lease ended",
    "nodes_died": "Nodes that were given up",
    "nodes_left": "Nodes that left by themselves",
    "sessions_ended": "Sessions that ended",
    "adoptions": "Sessions known again from the node that serves them",
    "ejections": "Nodes left out for a while, for missing frames",
    "preservations": "Times that so many nodes vanished at once that the network was suspected",
}


class StoreCollector(Collector):
    """Reads nodes, sessions and counts when it is scraped."""

    def __init__(self, snapshots: Snapshots) -> None:
        self._snapshots = snapshots

    def describe(self) -> Iterable[Metric]:
        return []  # registering must not read the store

    def collect(self) -> Iterable[Metric]:
        view: View | None = None
        with suppress(RegistryAway):  # what follows says so
            view = self._snapshots.current(self._snapshots.view(), 0.0)
        stale = view is None or view.stale
        yield _gauge("stale", "1 while Redis is away and the lists are old", stale)
        yield _gauge("redis_up", "1 while Redis answers", not stale)
        if view is None:
            return
        snapshot = view.snapshot
        yield _gauge("preserving", "1 while the network is suspected", snapshot.preserving is not None)
        yield from _of_nodes(snapshot)
        yield from _of_sessions(snapshot.sessions)
        yield from _of_counts(snapshot.counts)


def _of_nodes(snapshot: Snapshot) -> Iterator[Metric]:
    states: Tally[tuple[str, str]] = Tally()
    slots: Tally[str] = Tally()
    free: Tally[str] = Tally()
    all_slots = all_free = 0
    signal = _labelled("camera_signal", "1 while a camera has a picture, else 0", ("camera", "camera_id", "at_site"))
    lost = _labelled("node_lost", "Nodes that are gone: 1 without a word, 0 when they left; for 15 minutes", _NAMED)
    skew = _labelled("node_clock_skew_seconds", "By how much clocks are ahead, of nodes that are a second off", _NAMED)
    for node in snapshot.nodes:
        state, _ = standing.state_of(node)
        states[node.kind, state] += 1
        if node.dead_at is not None or node.suspect_at is not None:
            if len(lost.samples) < MOST_NAMED:
                lost.add_metric(_name(node), not node.dead_reason.startswith(LEFT))
            continue
        if abs(node.load.clock_skew or 0.0) > CLOCK_SECONDS and len(skew.samples) < MOST_NAMED:
            skew.add_metric(_name(node), node.load.clock_skew or 0.0)
        if node.original:
            continue
        if node.kind == "camera":
            if node.document.get("source") != "none":  # it only runs others
                signal.add_metric((node.name, node.node_id, site_of(node)), node.load.no_signal is None)
            continue
        spare = node.free_slots if state == "ready" else 0
        all_slots += node.slots
        all_free += spare
        for algorithm in node.algorithms:
            slots[algorithm] += node.slots
            free[algorithm] += spare
    nodes = _labelled("nodes", "Nodes by kind and state", ("kind", "state"))
    for kind_and_state, number in sorted(states.items()):
        nodes.add_metric(kind_and_state, number)
    yield nodes
    yield _gauge("mesh_slots", "Slots of all compute nodes", all_slots)
    yield _gauge("mesh_slots_free", "Slots that could be given to a session now", all_free)
    yield _by("slots", "Slots of the nodes that have an algorithm; many have several", "algorithm", slots)
    yield _by("slots_free", "Free slots of the nodes that have an algorithm", "algorithm", free)
    yield from (signal, lost, skew)


def _of_sessions(sessions: Iterable[SessionRecord]) -> Iterator[Metric]:
    known = list(sessions)
    yield _by("sessions", "Sessions by state", "state", Tally(session.state for session in known))
    going = [session for session in known if session.state != "ended"]
    waiting = sum(session.node is None for session in going)
    yield _gauge("sessions_waiting", "Sessions that wait for a free slot", waiting)
    dark = sum(bool(session.problem) or session.camera_gone is not None for session in going)
    yield _gauge("sessions_troubled", "Sessions that give nothing now, for a reason that they show", dark)
    yield _gauge("viewers", "Viewers of all sessions", sum(session.viewers for session in going))


def _of_counts(counts: dict[str, int]) -> Iterator[Metric]:
    for name, meaning in _COUNTS.items():
        counter = CounterMetricFamily(f"fogline_registry_{name}", meaning)
        counter.add_metric([], counts.get(name, 0))
        yield counter
    moves = CounterMetricFamily("fogline_registry_moves", "Sessions moved to another node", labels=["reason"])
    known = {name.removeprefix("moves: "): number for name, number in counts.items() if name.startswith("moves: ")}
    # Those that version 0.1 counted have no reason.
    known["unknown"] = max(0, counts.get("moves", 0) - sum(known.values()))
    for reason, number in sorted(known.items()):
        moves.add_metric([reason], number)
    yield moves


def _name(node: NodeRecord) -> tuple[str, str, str, str]:
    return node.name, node.node_id, node.kind, site_of(node)


def _gauge(name: str, meaning: str, value: float) -> Metric:
    return GaugeMetricFamily(f"fogline_registry_{name}", meaning, value=float(value))


def _labelled(name: str, meaning: str, labels: tuple[str, ...]) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"fogline_registry_{name}", meaning, labels=labels)


def _by(name: str, meaning: str, label: str, numbers: Tally[str]) -> Metric:
    family = _labelled(name, meaning, (label,))
    for value, number in sorted(numbers.items()):
        family.add_metric((value,), number)
    return family
