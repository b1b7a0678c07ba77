"""Watching annotated streams, or detections, of a mesh."""

from __future__ import annotations

from collections.abc import Iterable

from bench.cluster import Mesh
from bench.figures import Values
from bench.session import Bench
from bench.swarm import watch

WARM = 4.0  # seconds: an engine may prepare another variant once several cameras are served


def annotated(
    bench: Bench,
    built: Mesh,
    cameras: Iterable[int],
    seconds: float,
    *,
    algorithm: str = "yolo",
    pixels: bool = True,
    warm: float = WARM,
) -> Values:
    """One viewer on each camera. pixels: of the annotated picture; else of the detections alone."""
    sessions = [built.session(camera, algorithm) for camera in cameras]
    urls = [session["stream_url" if pixels else "detections_url"] for session in sessions]
    servers = [built.compute, built.camera_process]
    warm = 1.5 if bench.quick else warm
    seen = watch(bench, [(url, 1) for url in urls], bench.seconds(seconds), servers=servers, warm=warm)
    rates = [target["frames"] / seen.seconds for target in seen.targets]
    ages = [target["age_ms"] for target in seen.targets]
    return {
        "fps": seen.fps,
        "fps_min": min(rates),
        "fps_max": max(rates),
        "fairness": fairness(rates),
        "age_p50_ms": _mean([age["p50"] for age in ages]),
        "age_p99_ms": max(age["p99"] for age in ages),
        "inference_ms": _mean([target["inference_ms"]["p50"] for target in seen.targets]),
        "compute_cores": seen.cpu[0],
        "camera_cores": seen.cpu[1],
        "swarm_cores": seen.swarm_cpu,
        "memory_mb": built.compute.memory_mb(),
        "disordered": float(sum(target["disordered"] for target in seen.targets)),
    }


def fairness(rates: list[float]) -> float:
    """Jain's index: 1 when all get the same, 1 / n when one gets everything."""
    squares = sum(rate * rate for rate in rates)
    return sum(rates) ** 2 / (len(rates) * squares) if squares else 0.0


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)
