"""`hog`: people by OpenCV's own histogram of oriented gradients (Dalal and Triggs), as in the original's cluster."""

from __future__ import annotations

import cv2
import numpy as np
from imutils.object_detection import non_max_suppression

from compute_node.algorithms.base import Algorithm, AlgorithmInfo, Detection, Detector, Image, Options
from compute_node.algorithms.registry import LoadContext
from mesh.errors import SetupProblem

LABEL = "person"
WIDTH = 400  # pixels to which wider pictures are scaled, as in the original: people of 128 px and more in it are found
SMALLEST = (128, 64)  # height, width of the window that the detector slides over the picture
STRIDE, PADDING, SCALE_STEP = (4, 4), (8, 8), 1.05  # as in the original: a stride of 8 costs a third and finds a third
OVERLAP = 0.65  # of two boxes, from which they are one person
SURE_WEIGHT = 2.0  # distance from the dividing plane from which a person is as good as sure
LEAST = 0.25  # default confidence: a distance of 0.5


class _HogDetector:
    """One descriptor each, because OpenCV's is not made for many threads. One thread at a time."""

    def __init__(self) -> None:
        self._hog = cv2.HOGDescriptor()
        self._hog.setSVMDetector(np.array(cv2.HOGDescriptor.getDefaultPeopleDetector(), np.float32))

    def __call__(self, image: Image, options: Options) -> list[Detection]:
        if options.labels and LABEL not in options.labels:
            return []
        height, width = image.shape[:2]
        scale = min(1.0, WIDTH / width)
        small = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA) if scale < 1 else image
        if small.shape[0] < SMALLEST[0] or small.shape[1] < SMALLEST[1]:
            return []
        boxes, weights = self._hog.detectMultiScale(small, winStride=STRIDE, padding=PADDING, scale=SCALE_STEP)
        least = LEAST if options.confidence is None else options.confidence
        confidences = np.clip(np.ravel(weights) / SURE_WEIGHT, 0.0, 1.0)
        keep = confidences >= least
        confidences = confidences[keep]
        corners = np.reshape(boxes, (-1, 4)).astype(np.float64)[keep]
        corners[:, 2:] += corners[:, :2]
        if not len(corners):
            return []
        # imutils gives the boxes back without saying which they were: the score is found again by the box.
        scores = {
            tuple(box): float(score) for box, score in zip(corners.astype(int).tolist(), confidences, strict=True)
        }
        kept = non_max_suppression(corners, probs=confidences, overlapThresh=OVERLAP)
        found = []
        for box in np.asarray(kept).astype(int).tolist():
            scaled = np.clip(np.rint(np.array(box) / scale), 0, [width, height, width, height]).astype(int)
            x_min, y_min, x_max, y_max = scaled.tolist()
            found.append(Detection(LABEL, round(scores.get(tuple(box), least), 4), (x_min, y_min, x_max, y_max)))
        return sorted(found, key=lambda d: -d.confidence)


class Hog:
    """See `Algorithm`."""

    info = AlgorithmInfo(id="hog", name="HOG people", category="persondetection", labels=(LABEL,))

    def __init__(self) -> None:
        if not hasattr(cv2, "HOGDescriptor"):
            raise SetupProblem("this OpenCV has no HOG (version 5 dropped it): install opencv-python-headless<5")

    def detector(self) -> Detector:
        return _HogDetector()

    def close(self) -> None:
        """Holds nothing: the descriptors belong to the detectors."""


def load(_context: LoadContext) -> Algorithm:
    return Hog()
