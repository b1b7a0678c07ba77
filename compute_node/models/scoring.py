"""How good detections are: average precision at an overlap of 0.5, and precision and recall at one threshold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from compute_node.algorithms.base import Detection

OVERLAP = 0.5
Boxes = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Truth:
    """One thing that people drew into a picture. box: x_min, y_min, x_max, y_max in pixels."""

    label: str
    box: tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class Rates:
    """precision: share of the boxes that are right. recall: share of the things that were found."""

    precision: float
    recall: float


def read_truths(file: Path, labels: Sequence[str], width: int, height: int) -> list[Truth]:
    """A YOLO label file: class, centre x, centre y, width, height as fractions, one thing a line."""
    truths = []
    for line in file.read_text().splitlines():
        number, *fractions = line.split()
        x, y, wide, high = (float(f) for f in fractions)
        corners = (x - wide / 2) * width, (y - high / 2) * height, (x + wide / 2) * width, (y + high / 2) * height
        truths.append(Truth(labels[int(number)], corners))
    return truths


def overlaps(box: Sequence[float], others: Boxes) -> NDArray[np.float64]:
    """Intersection over union of `box` with each of `others` [N, 4]."""
    left_top = np.maximum(others[:, :2], box[:2])
    right_bottom = np.minimum(others[:, 2:], box[2:])
    inner = np.prod(np.clip(right_bottom - left_top, 0, None), axis=1)
    areas = np.prod(others[:, 2:] - others[:, :2], axis=1)
    union = areas + (box[2] - box[0]) * (box[3] - box[1]) - inner
    result: NDArray[np.float64] = inner / np.maximum(union, 1e-9)
    return result


def _matches(
    found: Mapping[str, Sequence[Detection]], truths: Mapping[str, Sequence[Truth]], label: str
) -> tuple[NDArray[np.bool_], int]:
    """Of all detections of `label` in all pictures, best first, which are right; and how many things there are.

    Each thing counts once: a second box on it is wrong.
    """
    boxes = {name: np.array([t.box for t in many if t.label == label]) for name, many in truths.items()}
    taken = {name: np.zeros(len(many), bool) for name, many in boxes.items()}
    ranked = sorted(
        ((d.confidence, name, d.box) for name, many in found.items() for d in many if d.label == label),
        key=lambda row: -row[0],
    )
    right = np.zeros(len(ranked), bool)
    for rank, (_, name, box) in enumerate(ranked):
        if not len(boxes[name]):
            continue
        overlap = np.where(taken[name], 0.0, overlaps(box, boxes[name]))
        best = int(overlap.argmax())
        if overlap[best] >= OVERLAP:
            right[rank] = taken[name][best] = True
    return right, sum(len(many) for many in boxes.values())


def average_precision(
    found: Mapping[str, Sequence[Detection]], truths: Mapping[str, Sequence[Truth]], label: str
) -> float:
    """The area under the precision-recall curve of one label, precision made non-increasing, every point counted."""
    right, total = _matches(found, truths, label)
    if not total:
        return float("nan")
    hits = np.cumsum(right)
    recall = np.concatenate([[0.0], hits / total, [1.0]])
    precision = np.concatenate([[1.0], hits / np.arange(1, len(right) + 1), [0.0]])
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    return float(np.sum((recall[1:] - recall[:-1]) * envelope[1:]))


def mean_average_precision(found: Mapping[str, Sequence[Detection]], truths: Mapping[str, Sequence[Truth]]) -> float:
    """The mean of `average_precision` over the labels that occur in `truths`."""
    labels = {t.label for many in truths.values() for t in many}
    return float(np.mean([average_precision(found, truths, label) for label in labels]))


def rates(found: Mapping[str, Sequence[Detection]], truths: Mapping[str, Sequence[Truth]], least: float) -> Rates:
    """Precision and recall over all labels, of the detections with a confidence of at least `least`."""
    shown = {name: [d for d in many if d.confidence >= least] for name, many in found.items()}
    labels = {d.label for many in shown.values() for d in many} | {t.label for many in truths.values() for t in many}
    right = boxes = things = 0
    for label in labels:
        hits, total = _matches(shown, truths, label)
        right, boxes, things = right + int(hits.sum()), boxes + len(hits), things + total
    return Rates(right / max(boxes, 1), right / max(things, 1))
