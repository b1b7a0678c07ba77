"""What every service tells Prometheus of its process and its machine."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from mesh import vitals


def add(registry: CollectorRegistry) -> None:
    """Tell in `registry`, once for a process, what the process takes and how the machine fares."""
    ProcessCollector(namespace="fogline", registry=registry)
    registry.register(_Machine())


class _Machine(Collector):
    """Tells what the last sample said, and asks for the next: see mesh.vitals. What a machine does not tell is left
    out."""

    def describe(self) -> Iterable[Metric]:
        return []  # registering must not begin to measure

    def collect(self) -> Iterable[Metric]:
        now = vitals.now()
        if now.ram_percent is None:  # nothing is known yet
            return
        for name, meaning, value, divisor in (
            ("cpu_ratio", "Use of all cores, 0 to 1", now.cpu_percent, 100),
            ("memory_ratio", "Use of the memory, 0 to 1", now.ram_percent, 100),
            ("accelerator_ratio", "Use of the busiest accelerator, 0 to 1", now.accelerator_percent, 100),
            ("temperature_celsius", "Of the hottest processor or accelerator", now.temperature, 1),
        ):
            if value is not None:
                yield GaugeMetricFamily(f"fogline_machine_{name}", meaning, value=value / divisor)
