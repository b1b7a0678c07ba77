"""What the registry counts, for Prometheus.

Nodes, sessions and what happened to them come from the store: every replica shows the same numbers, and they outlive
a restart. Redis's failures are this process's own.
"""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Iterable

import prometheus_client
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from mesh.errors import RegistryAway
from registry import standing
from registry.listing import Snapshots

_COUNTS = {
    "placements": "Sessions given to a node, moves included",
    "moves": "Sessions moved to another node",
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


class RedisErrors:
    """Counts failed calls to Redis by reason. Any thread may call it."""

    def __init__(self, registry: prometheus_client.CollectorRegistry) -> None:
        self._counter = prometheus_client.Counter(
            "fogline_registry_redis_errors",
            "Calls to Redis that failed after all retries",
            ["reason"],
            registry=registry,
        )

    def __call__(self, reason: str) -> None:
        self._counter.labels(reason).inc()


class Watching:
    """How many follow `GET /v1/events` at this process, and how many took nothing and were cut."""

    def __init__(self, registry: prometheus_client.CollectorRegistry) -> None:
        self.now = prometheus_client.Gauge(
            "fogline_registry_watchers", "Watchers of /v1/events at this process", registry=registry
        )
        self.evicted = prometheus_client.Counter(
            "fogline_registry_watchers_evicted", "Watchers cut because they took nothing", registry=registry
        )


class Datagrams(Collector):
    """Beats by datagram and their answers. counts: by what became of each; whoever counts may go on meanwhile."""

    def __init__(self, counts: Tally[str]) -> None:
        self._counts = counts

    def collect(self) -> Iterable[Metric]:
        found = CounterMetricFamily(
            "fogline_registry_datagrams", "Beats by datagram refused, and answers sent", labels=["outcome"]
        )
        for outcome, number in dict(self._counts).items():
            found.add_metric([outcome], number)
        yield found


class StoreCollector(Collector):
    """Reads nodes, sessions and counts when it is scraped."""

    def __init__(self, snapshots: Snapshots) -> None:
        self._snapshots = snapshots

    def describe(self) -> Iterable[Metric]:
        return []  # registering must not read the store

    def collect(self) -> Iterable[Metric]:
        stale = GaugeMetricFamily("fogline_registry_stale", "1 while Redis is away and the lists are old")
        try:
            view = self._snapshots.current(self._snapshots.view(), 0.0)
        except RegistryAway:
            stale.add_metric([], 1)
            yield stale
            return
        stale.add_metric([], int(view.stale))
        yield stale
        preserving = GaugeMetricFamily("fogline_registry_preserving", "1 while the network is suspected")
        preserving.add_metric([], int(view.snapshot.preserving is not None))
        yield preserving
        nodes = GaugeMetricFamily("fogline_registry_nodes", "Nodes by kind and state", labels=["kind", "state"])
        tally = Tally((n.kind, standing.state_of(n)[0]) for n in view.snapshot.nodes)
        for (kind, state), number in sorted(tally.items()):
            nodes.add_metric([kind, state], number)
        yield nodes
        sessions = GaugeMetricFamily("fogline_registry_sessions", "Sessions by state", labels=["state"])
        for session_state, number in sorted(Tally(s.state for s in view.snapshot.sessions).items()):
            sessions.add_metric([session_state], number)
        yield sessions
        for name, meaning in _COUNTS.items():
            counter = CounterMetricFamily(f"fogline_registry_{name}", meaning)
            counter.add_metric([], view.snapshot.counts.get(name, 0))
            yield counter
