"""Between a picture and a model's input: fitting it in, and bringing boxes back."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from compute_node.models.record import Resize

MOST_CANDIDATES = 1000  # boxes that enter suppression; a low threshold may let thousands through
MOST_BOXES = 300  # boxes that leave it, as COCO's own evaluation has at most 100
OVERLAP = 0.45  # intersection over union from which two boxes of a class are one thing

Picture = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Fit:
    """Where a picture lies inside the input: input = picture × scale + offset, per axis, in pixels."""

    scale_x: float
    scale_y: float
    left: int
    top: int
    width: int
    height: int

    def back(self, boxes: NDArray[np.float32]) -> NDArray[np.int32]:
        """Boxes [M, 4] in input pixels as whole pixels of the picture, inside it."""
        moved = boxes - np.array([self.left, self.top, self.left, self.top], np.float32)
        moved /= np.array([self.scale_x, self.scale_y, self.scale_x, self.scale_y], np.float32)
        limits = np.array([self.width, self.height, self.width, self.height], np.float32)
        return np.rint(np.clip(moved, 0, limits)).astype(np.int32)


class Fitter:
    """Scales pictures into one input buffer, which the next call overwrites. One thread at a time."""

    def __init__(self, input_hw: tuple[int, int], resize: Resize, pad: int) -> None:
        self._hw = input_hw
        self._resize = resize
        self._buffer = np.full((*input_hw, 3), pad, np.uint8)
        self._pad = pad
        self._seen: tuple[int, int] | None = None
        self._fit: Fit | None = None

    def __call__(self, image: Picture, size: tuple[int, int] | None = None) -> tuple[Picture, Fit]:
        """The input uint8 [H, W, 3] that holds `image`, and where the picture of `size` (width, height) lies in it:
        `image` may be that picture scaled down. None for its own size."""
        height, width = image.shape[:2]
        size = size or (width, height)
        if self._fit is None or self._seen != size:
            self._fit = self._place(size[1], size[0])
            self._seen = size
            self._buffer[:] = self._pad
        fit = self._fit
        inner = self.needs(*size)
        into = self._buffer[fit.top : fit.top + inner[1], fit.left : fit.left + inner[0]]
        if inner == (width, height):
            into[:] = image
        else:
            cv2.resize(image, inner, dst=into, interpolation=cv2.INTER_LINEAR)
        return self._buffer, fit

    def needs(self, width: int, height: int) -> tuple[int, int]:
        """Width and height that a picture of `width` × `height` pixels has inside the input."""
        fit = self._place(height, width)
        return max(1, round(width * fit.scale_x)), max(1, round(height * fit.scale_y))

    def _place(self, height: int, width: int) -> Fit:
        rows, columns = self._hw
        if self._resize == "stretch":
            return Fit(columns / width, rows / height, 0, 0, width, height)
        scale = min(columns / width, rows / height)
        left = top = 0
        if self._resize == "letterbox":
            left = (columns - max(1, round(width * scale))) // 2
            top = (rows - max(1, round(height * scale))) // 2
        return Fit(scale, scale, left, top, width, height)


def suppress(
    boxes: NDArray[np.float32],
    scores: NDArray[np.float32],
    classes: NDArray[np.intp],
    *,
    overlap: float = OVERLAP,
) -> NDArray[np.intp]:
    """Which of the boxes [M, 4] stay when each class keeps the best of those that overlap; best first."""
    order = np.argsort(-scores, kind="stable")[:MOST_CANDIDATES]
    if len(order) < 2:
        return order
    boxes, classes = boxes[order], classes[order]
    # Moving each class to a place of its own lets one pass serve all classes.
    span = float(boxes.max() - boxes.min()) + 1
    moved = boxes + (classes * span).astype(np.float32)[:, None]
    sized = np.concatenate([moved[:, :2], moved[:, 2:] - moved[:, :2]], axis=1)
    # OpenCV takes arrays here, though its annotations speak of lists.
    kept = cv2.dnn.NMSBoxes(sized.astype(np.float64), scores[order], 0.0, overlap)  # type: ignore[arg-type]
    return order[np.asarray(kept, np.intp).reshape(-1)[:MOST_BOXES]]
