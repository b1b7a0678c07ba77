"""Detections without pixels: events from four cameras, against the raw engine."""

from __future__ import annotations

import math
from collections.abc import Sequence

from bench import detectors
from bench.annotated import annotated
from bench.cluster import mesh, models
from bench.figures import Sample, Target, ratio
from bench.scenarios.endtoend import ABUNDANCE, RAW_SECONDS, SECONDS, TINY
from bench.session import Bench

NAME = "detections"
TITLE = "detections alone (events, nothing drawn) of four cameras ÷ raw engine rate"
CAMERAS = 4


def run(bench: Bench) -> list[Sample]:
    samples = []
    file = models(bench) / "models" / TINY / "model.onnx"
    for number in range(bench.rounds):
        raw = detectors.raw(bench, file, bench.seconds(RAW_SECONDS))
        samples.append(Sample("raw engine", TINY, number, raw))
        with mesh(bench, cameras=CAMERAS, fps=math.ceil(ABUNDANCE * raw["fps"] / CAMERAS)) as built:
            values = annotated(bench, built, range(CAMERAS), SECONDS, pixels=False)
        bench.say(f"round {number + 1}: {values['fps']:.1f} of {raw['fps']:.1f} fps")
        samples.append(Sample("fogline 4", TINY, number, values))
    return samples


def targets(samples: Sequence[Sample]) -> list[Target]:
    rounds = ratio(samples, "fps", ("fogline 4", TINY), ("raw engine", TINY))
    return [Target("detections without pixels ÷ raw engine, 4 cameras", rounds, at_least=0.9)] if rounds else []
