"""How each session does on this node, for Prometheus. There are as many as slots, and what ended is told no more."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from compute_node.figures import AGE
from compute_node.pipeline import Pipeline
from compute_node.sessions import Session

_WHICH = ("session", "camera", "algorithm")


class SessionMetrics(Collector):
    """Asks when it is scraped. served: the sessions in force, each with what runs of it."""

    def __init__(self, served: Callable[[], list[tuple[Session, Pipeline | None]]]) -> None:
        self._served = served

    def collect(self) -> Iterable[Metric]:
        fps = _gauge("fps", "Results a second over the last three seconds")
        viewers = _gauge("viewers", "Viewers now")
        age = _gauge("age_seconds", "From capture to the result, of the last 256 results", "percentile")
        problem = _gauge("problem", "1 while it gives nothing, for a reason that it shows")
        frames = CounterMetricFamily(
            "fogline_compute_session_frames",
            "Camera frames by what became of them: in (all), searched, gated, drawn, dropped",
            labels=(*_WHICH, "what"),
        )
        for session, pipeline in self._served():
            order = session.assignment
            which = order.session_id, order.camera.name, order.algorithm
            viewers.add_metric(which, session.viewers)
            stats = pipeline.stats(order.session_id, session.viewers) if pipeline else None
            fps.add_metric(which, stats.fps if stats else 0.0)
            problem.add_metric(which, bool(session.problem or (stats and stats.problem)))
            if stats is None:
                continue
            for what in ("in", "searched", "gated", "drawn"):
                frames.add_metric((*which, what), stats.frames.get(what, 0))
            frames.add_metric((*which, "dropped"), sum(stats.dropped.values()))
            if (times := stats.stages.get(AGE)) is not None:
                age.add_metric((*which, "50"), times.p50 / 1000)
                age.add_metric((*which, "99"), times.p99 / 1000)
        yield from (fps, viewers, problem, age, frames)


def _gauge(name: str, meaning: str, *more: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"fogline_compute_session_{name}", meaning, labels=(*_WHICH, *more))
