"""`motion`: what moves before a still camera, by the difference to a slowly learned background."""

from __future__ import annotations

import cv2
import numpy as np

from compute_node.algorithms.base import Algorithm, AlgorithmInfo, Detection, Detector, Image, Options
from compute_node.algorithms.registry import LoadContext

LABEL = "motion"
WIDTH = 320  # pixels to which pictures are scaled: a quarter of 720p's, and noise averages out
LEARNING = 0.05  # of each new picture that becomes background; what stands still for some seconds vanishes
DIFFERENCE = 25  # grey levels out of 255 that count as a change: above a webcam's noise, below a shadow's edge
LEAST_AREA = 0.001  # of the picture: smaller regions are noise
JOIN = 9  # pixels of the scaled picture: gaps up to this between parts of one thing are closed
FLASH = 0.6  # of the picture: when more changes at once the light or the camera did, and the background starts anew
MOST = 50  # regions reported
SURE_CONTRAST = 100.0  # mean grey levels of change that make a region as good as sure


class _MotionDetector:
    """Keeps the background of its stream. One thread at a time."""

    def __init__(self) -> None:
        self._background: np.ndarray[tuple[int, ...], np.dtype[np.float32]] | None = None
        self._kernel = cv2.getStructuringElement(cv2.MORPH_RECT, (JOIN, JOIN))

    def __call__(self, image: Image, options: Options) -> list[Detection]:
        height, width = image.shape[:2]
        scale = min(1.0, WIDTH / width)
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        grey = cv2.cvtColor(cv2.resize(image, size, interpolation=cv2.INTER_AREA), cv2.COLOR_BGR2GRAY)
        grey = cv2.GaussianBlur(grey, (5, 5), 0)
        if self._background is None or self._background.shape != grey.shape:
            self._background = grey.astype(np.float32)
            return []
        change = cv2.absdiff(grey, cv2.convertScaleAbs(self._background))
        mask = cv2.threshold(change, DIFFERENCE, 255, cv2.THRESH_BINARY)[1]
        if cv2.countNonZero(mask) > FLASH * mask.size:
            self._background = grey.astype(np.float32)
            return []
        cv2.accumulateWeighted(grey, self._background, LEARNING)
        if options.labels and LABEL not in options.labels:
            return []
        return self._regions(cv2.morphologyEx(mask, cv2.MORPH_CLOSE, self._kernel), change, image, options)

    def _regions(
        self, mask: cv2.typing.MatLike, change: cv2.typing.MatLike, image: Image, options: Options
    ) -> list[Detection]:
        height, width = image.shape[:2]
        rows, columns = mask.shape[:2]
        found = []
        count, labels, stats, _ = cv2.connectedComponentsWithStats(mask)
        largest = np.argsort(-stats[1:count, cv2.CC_STAT_AREA])[:MOST] + 1
        for number in largest.tolist():
            left, top, wide, high, area = stats[number].tolist()
            if area < LEAST_AREA * mask.size:
                break  # they come by size
            inside = (slice(top, top + high), slice(left, left + wide))
            contrast = float(change[inside][labels[inside] == number].mean())
            confidence = round(min(1.0, contrast / SURE_CONTRAST), 4)
            if options.confidence is not None and confidence < options.confidence:
                continue
            box = (
                left * width // columns,
                top * height // rows,
                min(width, -(-(left + wide) * width // columns)),
                min(height, -(-(top + high) * height // rows)),
            )
            found.append(Detection(LABEL, confidence, box))
        return found


class Motion:
    """See `Algorithm`."""

    info = AlgorithmInfo(id="motion", name="Motion", category="motiondetection", labels=(LABEL,))

    def detector(self) -> Detector:
        return _MotionDetector()

    def close(self) -> None:
        """Holds nothing: backgrounds belong to the detectors."""


def load(_context: LoadContext) -> Algorithm:
    return Motion()
