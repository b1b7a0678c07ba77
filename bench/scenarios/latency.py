"""Glass to glass: from the stamp of the camera to the last byte of the annotated picture at its viewer."""

from __future__ import annotations

from collections.abc import Sequence

from bench.annotated import annotated
from bench.cluster import mesh
from bench.figures import Sample, Target, each_round, value
from bench.session import Bench

NAME = "latency"
TITLE = "age of annotated pictures at the viewer: one camera, and four at full load"
SECONDS = 10.0
CASES = {"1 camera": (1, 30.0), "4 cameras, full load": (4, 30.0)}


def run(bench: Bench) -> list[Sample]:
    samples = []
    for number in range(bench.rounds):
        for case, (cameras, fps) in CASES.items():
            with mesh(bench, cameras=cameras, fps=fps) as built:
                values = annotated(bench, built, range(cameras), SECONDS)
            values["allowed_ms"] = 1.5 * values["inference_ms"] + 40
            values["p99_over_p50"] = values["age_p99_ms"] / values["age_p50_ms"]
            bench.say(
                f"round {number + 1} {case}: p50 {values['age_p50_ms']:.0f} ms, p99 {values['age_p99_ms']:.0f} ms"
            )
            samples.append(Sample("fogline", case, number, values))
    return samples


def targets(samples: Sequence[Sample]) -> list[Target]:
    found = []

    def spare(number: int) -> float | None:
        age = value(samples, "fogline", "1 camera", number, "age_p50_ms")
        allowed = value(samples, "fogline", "1 camera", number, "allowed_ms")
        return age / allowed if age is not None and allowed else None

    if rounds := each_round(samples, spare):
        found.append(Target("median age, one camera ÷ (1.5 × inference + 40 ms)", rounds, at_most=1))
    for case in CASES:
        rounds = each_round(samples, lambda n, c=case: value(samples, "fogline", c, n, "p99_over_p50"))  # type: ignore[misc]
        if rounds:
            found.append(Target(f"p99 ÷ p50 of the age, {case}", rounds, at_most=2))
    return found
