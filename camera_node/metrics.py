"""What a camera node counts and times, for Prometheus."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import CounterMetricFamily, Metric

from mesh import machine_metrics
from mesh.stream import Outflow

# Seconds. A thumbnail takes half a millisecond, 4K on a small computer a quarter of a second.
_ENCODE = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5)
_STAGES = (0.0001, *_ENCODE, 1.0, 2.5)


class _Sent:
    """Reads a stream's own counts when somebody asks for the metrics: counting twice would cost every frame."""

    def __init__(self, outflow: Outflow) -> None:
        self._outflow = outflow

    def collect(self) -> Iterator[Metric]:
        yield CounterMetricFamily(
            "fogline_camera_frames_sent", "Frames given to viewers, all viewers together", value=self._outflow.sent
        )
        dropped = CounterMetricFamily(
            "fogline_camera_frames_dropped", "Frames that a viewer missed, all together", labels=["reason"]
        )
        dropped.add_metric(["viewer busy"], self._outflow.skipped)
        yield dropped


class ProcessMetrics:
    """What is counted for all cameras of a process together, beside the metrics of its own camera. Any thread may call.

    hosted: how many added cameras run now.
    """

    def __init__(self, registry: CollectorRegistry, hosted: Callable[[], float]) -> None:
        machine_metrics.add(registry)
        self.evicted = Counter(
            "fogline_camera_viewers_evicted",
            "Viewers that were cut because they took nothing for ten seconds",
            registry=registry,
        )
        running = Gauge("fogline_camera_hosted", "Added cameras that this node runs now", registry=registry)
        running.set_function(hosted)


class Metrics:
    """One camera's metrics, in a registry of their own. Any thread may call."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.captured = Counter(
            "fogline_camera_frames_captured", "Frames taken from the source and published", registry=self.registry
        )
        self._refused = Counter(
            "fogline_camera_frames_refused",
            "Pictures of the source that were not published",
            ["reason"],
            registry=self.registry,
        )
        self.lost = Counter(
            "fogline_camera_source_lost", "Times that the source was lost and opened again", registry=self.registry
        )
        self.hung = Counter(
            "fogline_camera_source_hung", "Times that a call into the source did not come back", registry=self.registry
        )
        self.no_signal = Gauge(
            "fogline_camera_no_signal", "1 while there is no picture, else 0", registry=self.registry
        )
        self._viewers = Gauge("fogline_camera_viewers", "Viewers of the stream now", registry=self.registry)
        self._fps = Gauge(
            "fogline_camera_capture_fps", "Frames a second over the last three seconds", registry=self.registry
        )
        self._encode = Histogram(
            "fogline_camera_encode_seconds",
            "Time to make one JPEG: of a picture that came as none (source), or of a size or quality that was asked"
            " for (variant)",
            ["what"],
            buckets=_ENCODE,
            registry=self.registry,
        )

        self._stage = Histogram(
            "fogline_camera_stage_seconds",
            "Time per frame: from its stamp to publication (capture), to make a JPEG (encode), from publication until"
            " every viewer who keeps up has it (send)",
            ["stage"],
            buckets=_STAGES,
            registry=self.registry,
        )

    def refused(self, reason: str, pictures: int = 1) -> None:
        self._refused.labels(reason).inc(pictures)

    def stage(self, stage: str, seconds: float) -> None:
        """One frame took `seconds` in `stage`: capture, encode or send."""
        self._stage.labels(stage).observe(max(0.0, seconds))

    def watch(self, viewers: Callable[[], float], fps: Callable[[], float], outflow: Outflow) -> None:
        """Read these when somebody asks for the metrics. Called once."""
        self._viewers.set_function(viewers)
        self._fps.set_function(fps)
        self.registry.register(_Sent(outflow))
        outflow.told = lambda seconds: self.stage("send", seconds)

    @contextmanager
    def encoding(self, what: str) -> Iterator[None]:
        """Time what runs inside."""
        began = time.perf_counter()
        yield
        seconds = time.perf_counter() - began
        self._encode.labels(what).observe(seconds)
        self.stage("encode", seconds)
