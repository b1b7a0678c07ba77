"""What a compute node counts and times, for Prometheus."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from mesh import machine_metrics

STAGES = ("decode", "queue", "inference", "draw", "encode", "send")
"""What a frame goes through; `queue` is the wait for a turn."""
# Seconds. A stage takes from half a millisecond (drawing) to seconds (a large model on a small computer).
_STAGES = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
_AGES = (0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1.0, 2.5, 5.0)


class Metrics:
    """The node's metrics, in a registry of their own. Any thread may call."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        machine_metrics.add(self.registry)
        stage = Histogram(
            "fogline_compute_stage_seconds",
            "Time per frame and stage",
            ["stage"],
            buckets=_STAGES,
            registry=self.registry,
        )
        # Looking a child up by its labels costs more than the observation.
        self.stages = {name: stage.labels(name) for name in STAGES}
        self.offered = Counter(
            "fogline_compute_frames_in", "Camera frames that pipelines could have searched", registry=self.registry
        )
        self._refused = Counter(
            "fogline_compute_frames_refused",
            "Pictures of cameras that were passed over",
            ["reason"],
            registry=self.registry,
        )
        self._dropped = Counter(
            "fogline_compute_frames_dropped", "Camera frames that were not searched", ["reason"], registry=self.registry
        )
        self.gated = Counter(
            "fogline_compute_frames_gated", "Frames that repeated the last result", registry=self.registry
        )
        self.published = Counter("fogline_compute_frames_published", "Annotated frames made", registry=self.registry)
        self.out = Counter("fogline_compute_frames_out", "Frames searched, or repeated", registry=self.registry)
        self.age = Histogram(
            "fogline_compute_frame_age_seconds", "From capture to publication", buckets=_AGES, registry=self.registry
        )
        self.stills = Histogram(
            "fogline_compute_still_seconds",
            "Time per single picture drawn for who asked for a size of it",
            buckets=_STAGES,
            registry=self.registry,
        )
        self.viewers = Gauge("fogline_compute_viewers", "Viewers of streams now", registry=self.registry)
        self.evicted = Counter(
            "fogline_compute_viewers_evicted", "Viewers cut because they took nothing", registry=self.registry
        )
        self.pipelines = Gauge("fogline_compute_pipelines", "Pipelines running now", registry=self.registry)
        self.slots = Gauge("fogline_compute_slots", "Sessions served at once at most", registry=self.registry)
        self.slots_used = Gauge("fogline_compute_slots_used", "Slots that are taken now", registry=self.registry)
        self.refused = Counter(
            "fogline_compute_pictures_refused", "Pictures sent to be searched that were refused", registry=self.registry
        )

    def passed_over(self, reason: str, frames: int) -> None:
        """A camera's pictures that were not taken for frames."""
        self._refused.labels(reason).inc(frames)

    def dropped(self, reason: str, frames: int) -> None:
        self._dropped.labels(reason).inc(frames)
