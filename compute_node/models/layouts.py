"""Tells the output layouts of detectors apart, and reads boxes out of them.

| kind | outputs | boxes |
|---|---|---|
| `yolov5` | [1, A, 5+C], A = several boxes a cell; Darknet's too | centre, size in pixels; objectness × class |
| `yolox` | [1, A, 5+C], A = one box a cell | the same once added to the grid, or decoded inside |
| `yolov8` | [1, 4+C, A] | centre, size in pixels; class scores |
| `end2end` | [1, K, 6] | corners in pixels, score, class; suppressed inside |
| `ssd` | boxes [1, N, 4] or [1, N, 1, 4], scores [1, N, C] | corners as fractions |
| `tfod` | boxes [1, K, 4], classes and scores [1, K], count [1] | corners as fractions; suppressed inside |
| `fastestdet` | [1, 5+C, H/16, W/16] | offsets and sizes as fractions, one box a cell |

What fits none of them is refused with the shapes that were seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compute_node.models.record import Kind, Layout, Overrides, Preparation
from mesh.errors import ModelRefused

Array = NDArray[Any]
Candidates = tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.intp]]
"""Boxes [M, 4] as x_min, y_min, x_max, y_max in input pixels, scores [M], class numbers [M]."""

PYRAMIDS = ((8, 16, 32), (8, 16, 32, 64), (16, 32))  # strides of the grids: usual, for large inputs, tiny
BOXES_A_CELL = 3  # of every YOLO with anchors since v3
MOST_END2END = 1000  # rows of a model that suppresses by itself; real ones have 100 or 300
FASTESTDET_STRIDE = 16
FAR = 16  # inputs away from the picture: further out no arithmetic in float32 is exact any more
FASTESTDET_OBJECT_POWER, FASTESTDET_CLASS_POWER = 0.6, 0.4  # its own score: objectness^0.6 × class^0.4

PREPARATIONS: dict[Kind, Preparation] = {
    "yolov5": Preparation(),
    "yolov8": Preparation(),
    "end2end": Preparation(),
    "yolox": Preparation(resize="corner", order="bgr", scale=1.0),
    "ssd": Preparation(resize="stretch", scale=1.0),
    "tfod": Preparation(resize="stretch", scale=1.0),
    "fastestdet": Preparation(resize="stretch", order="bgr"),
}
"""How each kind's models are usually trained; a catalogue entry or an import may say otherwise."""


CONFIDENCES: dict[Kind, float] = {"ssd": 0.4, "tfod": 0.4, "fastestdet": 0.6}
"""Default least score where a kind's scores run higher than others' (docs/accuracy.md)."""
USUAL_CONFIDENCE = 0.35


def preparation_for(kind: Kind, overrides: Overrides) -> Preparation:
    """The usual preparation of `kind` with what `overrides` says instead."""
    usual = PREPARATIONS[kind]
    return Preparation(
        resize=overrides.resize or usual.resize,
        pad=usual.pad if overrides.pad is None else overrides.pad,
        order=overrides.order or usual.order,
        scale=usual.scale if overrides.scale is None else overrides.scale,
        mean=usual.mean if overrides.mean is None else overrides.mean,
    )


def _cells(input_hw: tuple[int, int], strides: Sequence[int]) -> int:
    return sum(-(-input_hw[0] // s) * -(-input_hw[1] // s) for s in strides)


def _grids(input_hw: tuple[int, int]) -> dict[str, set[int]]:
    """The numbers of rows that each way of covering `input_hw` gives: one box a cell, or several."""
    once = {_cells(input_hw, strides) for strides in PYRAMIDS}
    return {"once": once, "several": {n * BOXES_A_CELL for n in once} - once}


def recognise(outputs: Sequence[Array], input_hw: tuple[int, int], overrides: Overrides) -> Layout:
    """The layout of what a model gave for one picture. Raises ModelRefused with the shapes where none fits."""
    shapes = [tuple(o.shape) for o in outputs]
    found = _recognise_one(shapes[0], input_hw, overrides) if len(shapes) == 1 else _recognise_many(outputs, overrides)
    if found is None:
        seen = ", ".join(str(list(s)) for s in shapes) or "none"
        raise ModelRefused(
            f"no known detector layout fits the outputs {seen} at an input of {input_hw[0]}×{input_hw[1]}; "
            "known: YOLOv5, YOLOX, YOLOv8/11, end-to-end [1, K, 6], SSD boxes + scores, TF-OD, FastestDet",
            outputs=[list(s) for s in shapes],
        )
    return found


def _recognise_one(shape: tuple[int, ...], input_hw: tuple[int, int], overrides: Overrides) -> Layout | None:
    if len(shape) == 4 and shape[0] == 1 and shape[1] > 5:
        cells = (-(-input_hw[0] // FASTESTDET_STRIDE), -(-input_hw[1] // FASTESTDET_STRIDE))
        return Layout("fastestdet", shape[1] - 5) if shape[2:] == cells else None
    if len(shape) != 3 or shape[0] != 1:
        return None
    _, rows, columns = shape
    grids = _grids(input_hw)
    either = grids["once"] | grids["several"]
    kind: Kind | None = overrides.kind
    if kind is None:
        if columns > 5 and rows in grids["once"]:
            kind = "yolox"
        elif columns > 5 and rows in grids["several"]:
            kind = "yolov5"
        elif rows > 4 and columns in either:
            kind = "yolov8"
        elif columns == 6 and rows <= MOST_END2END:
            kind = "end2end"
    if kind in ("yolov5", "yolox") and columns > 5:
        return Layout(kind, columns - 5)
    if kind == "yolov8" and rows > 4:
        return Layout(kind, rows - 4)
    if kind == "end2end" and columns == 6:
        return Layout(kind, 0)
    return None


def _recognise_many(outputs: Sequence[Array], overrides: Overrides) -> Layout | None:
    order = overrides.boxes or "yxyx"
    squeezed = [_without_ones(o) for o in outputs]
    boxes = [i for i, o in enumerate(squeezed) if o.ndim == 2 and o.shape[1] == 4]
    # Scores of four classes look like boxes; only boxes come as [1, N, 1, 4].
    boxes.sort(key=lambda i: -outputs[i].ndim)
    if not boxes:
        return None
    count = squeezed[boxes[0]].shape[0]
    if len(outputs) == 2:
        other = 1 - boxes[0]
        scores = squeezed[other]
        if scores.ndim == 2 and scores.shape[0] == count:
            return Layout("ssd", scores.shape[1], boxes=order, outputs=(boxes[0], other))
        return None
    flat = [i for i, o in enumerate(outputs) if o.shape == (1, count)]
    if len(outputs) == 4 and len(flat) == 2 and len(boxes) == 1:
        # Class numbers are whole; scores are not, and never above one. All zeros (nothing found) look like classes.
        first, second = flat
        looks_whole = [bool((outputs[i] == np.round(outputs[i])).all()) and outputs[i].max() >= 1 for i in flat]
        classes, scores_at = (second, first) if looks_whole[1] and not looks_whole[0] else (first, second)
        return Layout("tfod", 0, boxes=order, outputs=(boxes[0], classes, scores_at))
    return None


def _without_ones(array: Array) -> Array:
    """[1, N, 4] or [1, N, 1, 4] as [N, 4]; anything else unchanged but for the batch."""
    if array.ndim == 4 and array.shape[0] == 1 and array.shape[2] == 1:
        return array[0, :, 0]
    return array[0] if array.ndim and array.shape[0] == 1 else array


def yolox_is_decoded(output: Array, input_hw: tuple[int, int]) -> bool:
    """Whether a YOLOX output's centres lie across the picture: raw offsets stay within a few cells of zero."""
    return bool(np.abs(output[0, :, :2]).max() > max(input_hw) / 4)


def decode(layout: Layout, outputs: Sequence[Array], input_hw: tuple[int, int], least: float) -> Candidates:
    """Everything in `outputs` that scores at least `least`, not yet suppressed. Never raises on odd values:
    boxes that are not finite are left out."""
    boxes, scores, classes = _DECODERS[layout.kind](layout, outputs, input_hw, least)
    good = np.isfinite(boxes).all(axis=1) & np.isfinite(scores)
    if not good.all():
        boxes, scores, classes = boxes[good], scores[good], classes[good]
    boxes = np.clip(boxes, -FAR * max(input_hw), FAR * max(input_hw))
    return boxes.astype(np.float32, copy=False), scores.astype(np.float32, copy=False), classes


def _corners(centred: Array) -> Array:
    """Centre and size [M, 4] as corners."""
    half = centred[:, 2:4] / 2
    return np.concatenate([centred[:, :2] - half, centred[:, :2] + half], axis=1)


def _best(scores: Array) -> tuple[Array, NDArray[np.intp]]:
    """The best class of each row [M, C], and its score."""
    classes = scores.argmax(axis=1)
    return np.take_along_axis(scores, classes[:, None], axis=1)[:, 0], classes


def _decode_yolov5(layout: Layout, outputs: Sequence[Array], _hw: tuple[int, int], least: float) -> Candidates:
    rows = outputs[layout.outputs[0]][0]
    rows = rows[rows[:, 4] >= least]  # a class probability is at most one: the product cannot be higher
    scores, classes = _best(rows[:, 5:])
    scores = scores * rows[:, 4]
    keep = scores >= least
    return _corners(rows[keep, :4]), scores[keep], classes[keep]


@lru_cache(maxsize=32)
def _yolox_grid(input_hw: tuple[int, int], rows: int) -> tuple[Array, Array]:
    """Cell corners [A, 2] in cells and strides [A, 1] in pixels, in the order of YOLOX's rows."""
    strides = next(s for s in PYRAMIDS if _cells(input_hw, s) == rows)
    cells, steps = [], []
    for stride in strides:
        height, width = -(-input_hw[0] // stride), -(-input_hw[1] // stride)
        ys, xs = np.divmod(np.arange(height * width), width)
        cells.append(np.stack([xs, ys], -1))
        steps.append(np.full((height * width, 1), stride))
    return np.concatenate(cells).astype(np.float32), np.concatenate(steps).astype(np.float32)


def _decode_yolox(layout: Layout, outputs: Sequence[Array], hw: tuple[int, int], least: float) -> Candidates:
    if layout.decoded:
        return _decode_yolov5(layout, outputs, hw, least)
    rows = outputs[layout.outputs[0]][0]
    cells, strides = _yolox_grid(hw, len(rows))
    likely = rows[:, 4] >= least
    rows, cells, strides = rows[likely], cells[likely], strides[likely]
    scores, classes = _best(rows[:, 5:])
    scores = scores * rows[:, 4]
    with np.errstate(over="ignore"):  # a size beyond float32 becomes infinite, and `decode` leaves it out
        centred = np.concatenate([(rows[:, :2] + cells) * strides, np.exp(rows[:, 2:4]) * strides], axis=1)
    keep = scores >= least
    return _corners(centred[keep]), scores[keep], classes[keep]


def _decode_yolov8(layout: Layout, outputs: Sequence[Array], _hw: tuple[int, int], least: float) -> Candidates:
    columns = outputs[layout.outputs[0]][0]
    best = columns[4:].max(axis=0)
    keep = np.flatnonzero(best >= least)
    return _corners(columns[:4, keep].T), best[keep], columns[4:, keep].argmax(axis=0)


def _decode_end2end(layout: Layout, outputs: Sequence[Array], _hw: tuple[int, int], least: float) -> Candidates:
    rows = outputs[layout.outputs[0]][0]
    rows = rows[rows[:, 4] >= least]
    return rows[:, :4], rows[:, 4], _class_numbers(rows[:, 5])


def _class_numbers(values: Array) -> NDArray[np.intp]:
    numbers: NDArray[np.intp] = np.clip(np.nan_to_num(values), 0, 1 << 20).astype(np.intp)
    return numbers


def _fractions_to_pixels(boxes: Array, order: str, hw: tuple[int, int]) -> Array:
    if order == "yxyx":
        boxes = boxes[:, [1, 0, 3, 2]]
    return boxes * np.array([hw[1], hw[0], hw[1], hw[0]], np.float32)


def _decode_ssd(layout: Layout, outputs: Sequence[Array], hw: tuple[int, int], least: float) -> Candidates:
    boxes, table = (_without_ones(outputs[i]) for i in layout.outputs[:2])
    first = 1 if layout.background else 0
    best = table[:, first:].max(axis=1)
    keep = np.flatnonzero(best >= least)
    return (
        _fractions_to_pixels(boxes[keep], layout.boxes, hw),
        best[keep],
        table[keep, first:].argmax(axis=1),
    )


def _decode_tfod(layout: Layout, outputs: Sequence[Array], hw: tuple[int, int], least: float) -> Candidates:
    boxes, numbers, scores = (outputs[i][0] for i in layout.outputs[:3])
    keep = scores >= least
    # TF-OD counts classes from 1; 0 is the background.
    classes = np.maximum(_class_numbers(numbers[keep]) - 1, 0)
    return _fractions_to_pixels(boxes[keep], layout.boxes, hw), scores[keep], classes


def _decode_fastestdet(layout: Layout, outputs: Sequence[Array], hw: tuple[int, int], least: float) -> Candidates:
    planes = outputs[layout.outputs[0]][0]
    _, height, width = planes.shape
    flat = planes.reshape(planes.shape[0], -1)
    best = flat[5:].max(axis=0)
    scores = np.maximum(flat[0], 0) ** FASTESTDET_OBJECT_POWER * np.maximum(best, 0) ** FASTESTDET_CLASS_POWER
    keep = np.flatnonzero(scores >= least)
    chosen = flat[:, keep]
    ys, xs = np.divmod(keep, width)
    centre = np.stack([(np.tanh(chosen[1]) + xs) / width, (np.tanh(chosen[2]) + ys) / height], -1)
    size = 1 / (1 + np.exp(-chosen[3:5].T))
    pixels = np.array([hw[1], hw[0], hw[1], hw[0]], np.float32)
    boxes = _corners(np.concatenate([centre, size], axis=1)) * pixels
    return boxes, scores[keep], chosen[5:].argmax(axis=0)


_DECODERS = {
    "yolov5": _decode_yolov5,
    "yolox": _decode_yolox,
    "yolov8": _decode_yolov8,
    "end2end": _decode_end2end,
    "ssd": _decode_ssd,
    "tfod": _decode_tfod,
    "fastestdet": _decode_fastestdet,
}
SUPPRESSED_INSIDE: frozenset[Kind] = frozenset({"end2end", "tfod"})
