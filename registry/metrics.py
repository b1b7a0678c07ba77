"""What one registry process counts of itself, for Prometheus; `registry.store_metrics` tells of the mesh."""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Iterable

import prometheus_client
from prometheus_client.core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector


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
