"""Annotated pictures a second through the real services, against the raw engine, the original and ultralytics."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bench import detectors
from bench.annotated import WARM, annotated
from bench.cluster import FASTEST, FP32, mesh, models
from bench.figures import Sample, Target, Values, ratio
from bench.processes import Failed, Missing
from bench.session import Bench

NAME = "endtoend"
TITLE = "annotated fps for 1 and 4 cameras at 720p ÷ raw engine, ÷ the original's loop, ÷ ultralytics"
SECONDS = 8.0
SLOW_SECONDS = 15.0  # for a model of a few frames a second
SLOW_WARM = 12.0
RAW_SECONDS = 2.0  # of each way to call an engine
ABUNDANCE = 1.4  # frames that the cameras give for each that the engine could take
LEAST_FPS = 30.0
FULL, QUANTIZED = "yolov3", "yolov3 INT8"
TINY, BEST = "yolov3-tiny", "yolov3-tiny bf16"
YOLOV8, YOLOV8_BEST = "yolov8n", "yolov8n bf16"


@dataclass(frozen=True)
class Match:
    """One model and those that run it. name: installs the model where needed and gives its name here. cameras: with
    how many ours is measured. others: contestant → measurement. slow: a few frames a second, which take longer to
    count, and an engine that takes longer to prepare. best: in the fastest precision that the node measures, which is
    bfloat16 where the CPU has it, and so is the raw rate; else both in FP32."""

    title: str
    name: Callable[[Bench], str]
    cameras: tuple[int, ...]
    others: dict[str, Callable[[Bench, float], Values]]
    slow: bool = False
    best: bool = False

    @property
    def seconds(self) -> float:
        return SLOW_SECONDS if self.slow else SECONDS

    @property
    def warm(self) -> float:
        return SLOW_WARM if self.slow else WARM


def _stream(bench: Bench, seconds: float) -> Values:
    return detectors.ultralytics(bench, seconds, stream=True)


def _frames(bench: Bench, seconds: float) -> Values:
    return detectors.ultralytics(bench, seconds, stream=False)


MATCHES = (
    Match(TINY, lambda _bench: TINY, (1, 4), {}),
    Match(BEST, lambda _bench: TINY, (4,), {}, best=True),
    Match(FULL, detectors.installed_yolov3, (4,), {"original": detectors.original}, slow=True),
    Match(QUANTIZED, lambda bench: detectors.quantized(bench, detectors.installed_yolov3(bench)), (4,), {}, slow=True),
    Match(YOLOV8, detectors.installed_yolov8n, (4,), {}),
    Match(
        YOLOV8_BEST, detectors.installed_yolov8n, (1, 4),
        {"ultralytics stream": _stream, "ultralytics, frames for free": _frames}, best=True,
    ),
)  # fmt: skip


def run(bench: Bench) -> list[Sample]:
    samples: list[Sample] = []
    absent: set[str] = set()
    bench.note("yolov3 and yolov8n have seeded random weights: their real ones can be had from no package index")
    for number in range(bench.rounds):
        for match in MATCHES[:1] if bench.quick else MATCHES:
            if match.title in absent:
                continue
            try:
                samples += _play(bench, match, number)
            except Missing as why:
                absent.add(match.title)
                bench.note(f"{match.title} is left out: {why}")
            except Failed as why:
                bench.note(f"{match.title} failed in round {number + 1}: {why}")
    return samples


def _play(bench: Bench, match: Match, number: int) -> list[Sample]:
    model = match.name(bench)
    file = models(bench) / "models" / model / "model.onnx"
    raw = detectors.raw(bench, file, bench.seconds(RAW_SECONDS), "bf16" if match.best else "f32")
    found = [Sample("raw engine", match.title, number, raw)]
    best = found[0].values["fps"]
    bench.say(f"round {number + 1} {match.title}: raw engine {best:.1f} fps")
    for cameras in match.cameras:
        fps = max(LEAST_FPS, math.ceil(ABUNDANCE * best / cameras))
        with mesh(bench, cameras=cameras, fps=fps, model=model, engine=FASTEST if match.best else FP32) as built:
            values = annotated(bench, built, range(cameras), match.seconds, warm=match.warm)
        bench.say(
            f"round {number + 1} {match.title}: fogline {cameras} cameras {values['fps']:.1f} fps, "
            f"{values['fps'] / best:.2f} of raw"
        )
        found.append(Sample(f"fogline {cameras}", match.title, number, values))
    for who, measure in match.others.items():
        values = measure(bench, bench.seconds(match.seconds))
        bench.say(f"round {number + 1} {match.title}: {who} {values['fps']:.2f} fps")
        found.append(Sample(who, match.title, number, values))
    return found


def targets(samples: Sequence[Sample]) -> list[Target]:
    asked = (
        ("annotated fps ÷ raw engine, 4 cameras, FP32", ("fogline 4", TINY), ("raw engine", TINY), 0.82),
        ("the same in bfloat16, an engine twice as fast", ("fogline 4", BEST), ("raw engine", BEST), 0.82),
        ("the same, yolov8n in FP32", ("fogline 4", YOLOV8), ("raw engine", YOLOV8), 0.82),
        ("÷ the original's loop, the same YOLOv3 in FP32", ("fogline 4", FULL), ("original", FULL), 2.0),
        ("÷ the original's loop, YOLOv3 in INT8", ("fogline 4", QUANTIZED), ("original", FULL), 4.0),
        ("÷ the original's loop, each side's default", ("fogline 4", BEST), ("original", FULL), 12.0),
        ("÷ ultralytics on its OpenVINO export", ("fogline 4", YOLOV8_BEST), ("ultralytics stream", YOLOV8_BEST), 1.2),
        (
            "÷ ultralytics, frames for free",
            ("fogline 4", YOLOV8_BEST),
            ("ultralytics, frames for free", YOLOV8_BEST),
            1.2,
        ),
    )
    return [
        Target(what, rounds, at_least=least)
        for what, above, below, least in asked
        if (rounds := ratio(samples, "fps", above, below))
    ]
