"""`fogline models quantize`: an INT8 variant as a model of its own, and whether it may become the default.

The gate: on labelled pictures that calibration never saw it must lose no more mAP50 than was allowed, and be faster.
"""

from __future__ import annotations

import itertools
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from compute_node.algorithms import LoadContext, load
from compute_node.algorithms.base import Algorithm, Detection, Options
from compute_node.engines.choice import rate
from compute_node.models import InstalledModel, ModelStore
from compute_node.models.boxes import Fitter
from compute_node.models.int8 import METHOD, quantize
from compute_node.models.labelled import Labelled, Split, read_split
from compute_node.models.record import MODEL_FILE, RECORD_FILE, Int8, sha256_of
from compute_node.models.scoring import OVERLAP, Truth, mean_average_precision, overlaps
from mesh.errors import Conflict, InvalidInput

SUFFIX = "-int8"
MAX_LOSS = 0.02  # of mAP50: what the noise of a hundred pictures hides anyway
LEAST_SCORE = 0.001  # confidence down to which boxes count for the average precision
LEAST_SPEEDUP = 1.05  # less is noise, and not worth another set of errors
ROUNDS, ROUND_SECONDS = 5, 0.5  # of the speeds, in turns
MOST_TIMED = 8  # evaluation pictures kept in memory for the speeds

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Result:
    """The variant, and the pictures that were used and left out. engines: where the source and the variant ran, each
    on the fastest of this machine, as a node runs them."""

    model: InstalledModel
    split: Split
    engines: tuple[str, str]

    @property
    def figures(self) -> Int8:
        figures = self.model.record.int8
        if figures is None:
            raise Conflict(f"{self.model.name} was replaced meanwhile by a model that is no INT8 variant")
        return figures


def make_int8(data: Path, name: str, folder: Path, *, max_loss: float = MAX_LOSS, say: Say = lambda _: None) -> Result:
    """Install the INT8 variant of the installed model `name`, measured on the labelled pictures of `folder`.

    It is called NAME-int8 and takes the place of an earlier one. `say` hears what is being done. Raises NotFound where
    the model is not installed, InvalidInput for a folder that cannot be used, ModelRefused where the model cannot be
    quantized, SetupProblem where an engine or the disk fails.
    """
    if not 0 <= max_loss <= 1:
        raise InvalidInput(f"a loss of {max_loss} is not within 0…1", field="max_loss")
    store = ModelStore(data)
    source = store.open(name)
    if source.record.int8 is not None:
        raise InvalidInput(f"{name} is INT8 already, made of {source.record.int8.source}", field="name")
    say("reading the labelled pictures")
    split = read_split(folder, source.record.labels)
    say(f"calibrating on {len(split.calibration)} pictures")
    variant = _install(store, source, split)
    say(f"judging on {len(split.evaluation)} others")
    before, after = (load("yolo", LoadContext(data, model.name)) for model in (source, variant))
    try:
        engines = (before.info.engine, after.info.engine)
        figures = _judged(variant, before, after, split, max_loss=max_loss, say=say)
    finally:
        before.close()
        after.close()
    return Result(store.amend(msgspec.structs.replace(variant.record, int8=figures)), split, engines)


def _install(store: ModelStore, source: InstalledModel, split: Split) -> InstalledModel:
    record = source.record
    name = f"{source.name}{SUFFIX}"

    def fill(bench: Path) -> None:
        quantize(source.path, bench / MODEL_FILE, lambda: _inputs(source, split.calibration))
        made = msgspec.structs.replace(
            record,
            name=name,
            title=f"{record.title}, INT8",
            source=f"{source.name} on this machine",
            verified=False,
            sha256=sha256_of(bench / MODEL_FILE),
            files={},
            int8=Int8(
                source=source.name,
                source_sha256=record.sha256,
                method=METHOD,
                made_at=round(time.time()),
                calibration=len(split.calibration),
                evaluation=len(split.evaluation),
            ),
        )
        (bench / RECORD_FILE).write_bytes(msgspec.json.format(msgspec.json.encode(made)))

    return store.install(name, fill)


def _inputs(model: InstalledModel, pictures: Sequence[Labelled]) -> Iterator[NDArray[np.uint8]]:
    """Each picture as it goes into the model."""
    preparation = model.record.preparation
    fit = Fitter(model.record.input_hw, preparation.resize, preparation.pad)
    for one in pictures:
        yield fit(one.picture())[0].copy()


def _judged(
    variant: InstalledModel, before: Algorithm, after: Algorithm, split: Split, *, max_loss: float, say: Say
) -> Int8:
    """The variant's figures, with the reason why it may not be the default, if there is one."""
    made = variant.record.int8
    assert made is not None, "`_install` wrote it"
    least = variant.record.confidence
    truths: dict[str, list[Truth]] = {}
    ours: dict[str, list[Detection]] = {}
    theirs: dict[str, list[Detection]] = {}
    detect_before, detect_after = before.detector(), after.detector()
    for one in split.evaluation:
        picture = one.picture()
        name = one.path.name
        truths[name] = one.truths(split.classes, picture.shape[1], picture.shape[0])
        ours[name] = detect_before(picture, Options(LEAST_SCORE))
        theirs[name] = detect_after(picture, Options(LEAST_SCORE))
    share, shift = agreement(ours, theirs, least)
    say("measuring the speed of both, in turns")
    fps_before, fps_after = _speeds(before, after, split.evaluation[:MOST_TIMED])
    figures = msgspec.structs.replace(
        made,
        map50_before=round(mean_average_precision(ours, truths), 4),
        map50_after=round(mean_average_precision(theirs, truths), 4),
        agreement=round(share, 4),
        score_shift=round(shift, 4),
        fps_before=round(fps_before, 1),
        fps_after=round(fps_after, 1),
        max_loss=max_loss,
    )
    return msgspec.structs.replace(figures, refused=_refusal(figures))


def _refusal(figures: Int8) -> str:
    """Why the variant may not be the default; empty where it may."""
    reasons = []
    if figures.loss > figures.max_loss:
        reasons.append(f"it loses {figures.loss:.3f} of mAP50, more than the {figures.max_loss:g} allowed")
    if figures.speedup < LEAST_SPEEDUP:
        reasons.append(f"it is not faster here ({figures.speedup:.2f} × the speed)")
    return " and ".join(reasons)


def agreement(
    before: Mapping[str, Sequence[Detection]], after: Mapping[str, Sequence[Detection]], least: float
) -> tuple[float, float]:
    """Of the boxes in `before` with a confidence of at least `least`: the share that `after` finds too (same label,
    overlap of at least a half, at least `least`), and the mean change of the scores of those. Each box counts once.
    """
    wanted = 0
    shifts: list[float] = []
    for name, boxes in before.items():
        rest = [other for other in after.get(name, []) if other.confidence >= least]
        for box in sorted((b for b in boxes if b.confidence >= least), key=lambda b: -b.confidence):
            wanted += 1
            alike = [other for other in rest if other.label == box.label]
            if not alike:
                continue
            near = overlaps(box.box, np.array([other.box for other in alike], np.float64))
            if near.max() >= OVERLAP:
                match = alike[int(near.argmax())]
                rest.remove(match)
                shifts.append(match.confidence - box.confidence)
    return (len(shifts) / wanted if wanted else 1.0), (float(np.mean(shifts)) if shifts else 0.0)


def _speeds(before: Algorithm, after: Algorithm, some: Sequence[Labelled]) -> tuple[float, float]:
    """Pictures a second of each with every core busy, as a node with several cameras runs them: medians of turns."""
    pictures = [one.picture() for one in some]
    measured: tuple[list[float], list[float]] = ([], [])
    for _ in range(ROUNDS):
        for algorithm, results in zip((before, after), measured, strict=True):
            results.append(rate(_each(algorithm, pictures), os.cpu_count() or 1, ROUND_SECONDS))
    return float(np.median(measured[0])), float(np.median(measured[1]))


def _each(algorithm: Algorithm, pictures: Sequence[NDArray[np.uint8]]) -> Callable[[], object]:
    """Searches the pictures one after another, in each thread by a detector of its own."""
    own = threading.local()

    def search() -> None:
        if not hasattr(own, "detect"):
            own.detect, own.pictures = algorithm.detector(), itertools.cycle(pictures)
        own.detect(next(own.pictures), Options())

    return search
