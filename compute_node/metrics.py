"""What a compute node counts and times, for Prometheus."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

# Seconds. A stage takes from half a millisecond (drawing) to seconds (a large model on a small computer).
_STAGES = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
_AGES = (0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1.0, 2.5, 5.0)


class Metrics:
    """The node's metrics, in a registry of their own. Any thread may call."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._stage = Histogram(
            "fogline_compute_stage_seconds",
            "Time per frame and stage",
            ["stage"],
            buckets=_STAGES,
            registry=self.registry,
        )
        self._dropped = Counter(
            "fogline_compute_frames_dropped", "Camera frames that were not searched", ["reason"], registry=self.registry
        )
        self.published = Counter("fogline_compute_frames_published", "Annotated frames made", registry=self.registry)
        self.age = Histogram(
            "fogline_compute_frame_age_seconds", "From capture to publication", buckets=_AGES, registry=self.registry
        )
        self.viewers = Gauge("fogline_compute_viewers", "Viewers of streams now", registry=self.registry)
        self.evicted = Counter(
            "fogline_compute_viewers_evicted", "Viewers cut because they took nothing", registry=self.registry
        )
        self.pipelines = Gauge("fogline_compute_pipelines", "Pipelines running now", registry=self.registry)
        self.slots = Gauge("fogline_compute_slots", "Sessions served at once at most", registry=self.registry)
        self.refused = Counter(
            "fogline_compute_pictures_refused", "Pictures sent to be searched that were refused", registry=self.registry
        )

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        """Time what runs inside as `stage`."""
        began = time.perf_counter()
        yield
        self._stage.labels(stage).observe(time.perf_counter() - began)

    def dropped(self, reason: str, frames: int) -> None:
        self._dropped.labels(reason).inc(frames)
