"""`echo`: no model; one detection that depends on the picture's size alone. For tests and for trying a mesh."""

from __future__ import annotations

from compute_node.algorithms.base import Algorithm, AlgorithmInfo, Detection, Detector, Image, Options
from compute_node.algorithms.registry import LoadContext

LABEL = "echo"


def detect(image: Image, options: Options) -> list[Detection]:
    """One box over the middle half of the picture, sure of itself."""
    height, width = image.shape[:2]
    if options.labels and LABEL not in options.labels:
        return []
    return [Detection(LABEL, 1.0, (width // 4, height // 4, width - width // 4, height - height // 4))]


class Echo:
    """See `Algorithm`. Keeps nothing, so one detector serves all."""

    info = AlgorithmInfo(id="echo", name="Echo", category="test", labels=(LABEL,), engine="python:cpu")

    def detector(self) -> Detector:
        return detect

    def close(self) -> None:
        """Holds nothing."""


def load(_context: LoadContext) -> Algorithm:
    return Echo()
