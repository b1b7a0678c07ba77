"""Whether two engines find the same on a picture: a picture to try them on, and how their outputs are compared."""

from __future__ import annotations

import zlib
from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from compute_node.engines.base import Outputs
from compute_node.models.layouts import decode
from compute_node.models.record import Record
from compute_node.models.scoring import overlaps

MOST_COMPARED = 30  # best boxes of the reference
LEAST_OVERLAP = 0.5
MOST_SHIFT = 0.15  # of a score: half precision and INT8 move scores by some hundredths, a broken driver by more
LEAST_SHARE = 0.9  # of the boxes compared that must be found again


def trial_picture(hw: tuple[int, int]) -> NDArray[np.uint8]:
    """A picture with shapes, edges and texture, the same every time: enough to see that a model runs."""
    height, width = hw
    noise = np.random.default_rng(zlib.crc32(b"fogline")).integers(0, 256, (height, width, 3), np.uint8)
    picture = cv2.GaussianBlur(noise, (0, 0), 3)
    cv2.rectangle(picture, (width // 8, height // 4), (width // 2, height * 3 // 4), (40, 60, 200), -1)
    cv2.circle(picture, (width * 3 // 4, height // 2), min(hw) // 5, (220, 200, 90), -1)
    return np.asarray(picture, np.uint8)


def agreement(record: Record) -> Callable[[Outputs, Outputs], str | None]:
    """Compares outputs of the model of `record`: the reference's best boxes must be found by the other engine.

    However low their scores: a picture on which nothing is surely seen still tells engines apart.
    """

    def compare(reference: Outputs, other: Outputs) -> str | None:
        if any(not np.isfinite(output).all() for output in other):
            return "it computes numbers that are none (NaN or infinity)"
        boxes, scores, classes = decode(record.layout, reference, record.input_hw, 0.0)
        theirs, their_scores, their_classes = decode(record.layout, other, record.input_hw, 0.0)
        real = np.flatnonzero((boxes[:, 2:] > boxes[:, :2]).all(axis=1) & np.isfinite(boxes).all(axis=1))
        best = real[np.argsort(-scores[real], kind="stable")[:MOST_COMPARED]]
        if not len(best):
            return None  # nothing to go by, as with a model that suppresses inside and sees nothing here
        found = 0
        for index in best:
            alike = (their_classes == classes[index]) & (np.abs(their_scores - scores[index]) <= MOST_SHIFT)
            near = overlaps(boxes[index].tolist(), theirs[alike].astype(np.float64)) if alike.any() else np.zeros(0)
            found += bool((near >= LEAST_OVERLAP).any())
        if found < LEAST_SHARE * len(best):
            return f"it disagrees with the first CPU engine: finds {found} of its {len(best)} best boxes"
        return None

    return compare
