"""From 1 to 16 cameras at 30 fps on one compute node: rates, fairness, ages."""

from __future__ import annotations

from collections.abc import Sequence

from bench.annotated import annotated
from bench.cluster import mesh
from bench.figures import Sample, Target, each_round, value
from bench.session import Bench

NAME = "overload"
TITLE = "1 to 16 cameras at 30 fps on one compute node: fps a camera, fairness, age"
CAMERAS = (1, 2, 4, 8, 16)
FPS = 30.0
SECONDS = 8.0


def run(bench: Bench) -> list[Sample]:
    samples = []
    for number in range(bench.rounds):
        for count in (1, 4) if bench.quick else CAMERAS:
            with mesh(bench, cameras=count, fps=FPS) as built:
                values = annotated(bench, built, range(count), SECONDS)
            bench.say(
                f"round {number + 1} {count:>2} cameras: {values['fps']:.1f} fps, fairness {values['fairness']:.3f}"
            )
            samples.append(Sample("fogline", f"{count} cameras", number, values))
    return samples


def targets(samples: Sequence[Sample]) -> list[Target]:
    found = []
    for count in CAMERAS[1:]:
        fair = each_round(samples, lambda n, c=count: value(samples, "fogline", f"{c} cameras", n, "fairness"))  # type: ignore[misc]
        if fair:
            found.append(Target(f"Jain's fairness of {count} cameras", fair, at_least=0.98))
    return found
