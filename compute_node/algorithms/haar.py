"""`haar`: faces by OpenCV's own cascade of Haar features (Viola and Jones), as in the original's cluster.

Of OpenCV's frontal cascades `alt2` does best: one face in 30 pictures of different sizes and backgrounds was found 30
times with no false box beside it (`default`: 30 and 4), and once falsely in 24 COCO pictures without people (5 times).
Equalising the histogram first, as is often advised, loses up to half of the faces on plain backgrounds.
"""

from __future__ import annotations

import math
from pathlib import Path

import cv2
import numpy as np

from compute_node.algorithms.base import Algorithm, AlgorithmInfo, Detection, Detector, Image, Options
from compute_node.algorithms.registry import LoadContext
from mesh.errors import SetupProblem

LABEL = "face"
CASCADE = "haarcascade_frontalface_alt2.xml"
LONGEST_SIDE = 640  # pixels; a face that is too small then cannot be told from texture anyway
SCALE_STEP = 1.1  # between two sizes at which faces are sought; OpenCV's usual
NEIGHBOURS = 5  # hits that must agree; with 3 there are false faces, and no more real ones
SMALLEST = 24  # pixels of the scaled picture: the size that the cascade was trained with
HITS_SCALE = 10.0  # agreeing hits at which the confidence is 0.63; real faces get some 30 (0.95), others 5 to 8


def _cascade() -> cv2.CascadeClassifier:
    folder = getattr(getattr(cv2, "data", None), "haarcascades", None)
    if folder is None or not hasattr(cv2, "CascadeClassifier"):
        raise SetupProblem(
            "this OpenCV has no Haar cascades (version 5 dropped them): install opencv-python-headless<5"
        )
    cascade = cv2.CascadeClassifier(str(Path(folder) / CASCADE))
    if cascade.empty():
        raise SetupProblem(f"OpenCV's {CASCADE} is missing in {folder}: install opencv-python-headless again")
    return cascade


class _HaarDetector:
    """One classifier each, because OpenCV's keeps state while it looks. One thread at a time."""

    def __init__(self) -> None:
        self._cascade = _cascade()

    def __call__(self, image: Image, options: Options) -> list[Detection]:
        if options.labels and LABEL not in options.labels:
            return []
        height, width = image.shape[:2]
        scale = min(1.0, LONGEST_SIDE / max(height, width))
        grey = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
        if scale < 1:
            grey = cv2.resize(grey, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        if min(grey.shape[:2]) < SMALLEST:
            return []
        boxes, agreeing = self._cascade.detectMultiScale2(
            grey,
            scaleFactor=SCALE_STEP,
            minNeighbors=NEIGHBOURS,
            minSize=(SMALLEST, SMALLEST),
        )
        found = []
        for (left, top, wide, high), hits in zip(np.reshape(boxes, (-1, 4)), np.ravel(agreeing), strict=True):
            confidence = round(1 - math.exp(-float(hits) / HITS_SCALE), 4)
            if options.confidence is not None and confidence < options.confidence:
                continue
            corners = np.array([left, top, left + wide, top + high]) / scale
            x_min, y_min, x_max, y_max = (
                np.clip(np.rint(corners), 0, [width, height, width, height]).astype(int).tolist()
            )
            found.append(Detection(LABEL, confidence, (x_min, y_min, x_max, y_max)))
        return sorted(found, key=lambda d: -d.confidence)


class Haar:
    """See `Algorithm`."""

    info = AlgorithmInfo(id="haar", name="HAAR Cascade", category="facialrecognition", labels=(LABEL,))

    def __init__(self) -> None:
        _cascade()  # says at once what is missing

    def detector(self) -> Detector:
        return _HaarDetector()

    def close(self) -> None:
        """Holds nothing: the classifiers belong to the detectors."""


def load(_context: LoadContext) -> Algorithm:
    return Haar()
