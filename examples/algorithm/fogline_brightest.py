"""An algorithm of your own: finds the brightest spot of a picture, such as a welding arc or a lamp."""

import cv2

from compute_node.algorithms import LoadContext
from compute_node.algorithms.base import Algorithm, AlgorithmInfo, Detection, Detector, Image, Options

SHARE = 0.95  # of the brightest value: what is at least so bright belongs to the spot


class Brightest:
    info = AlgorithmInfo(id="brightest", name="Brightest spot", category="inspection", labels=("bright",))

    def detector(self) -> Detector:
        return detect

    def close(self) -> None:
        """Holds nothing."""


def detect(image: Image, options: Options) -> list[Detection]:
    grey = cv2.GaussianBlur(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), (0, 0), 3)
    _, peak, _, (x, y) = cv2.minMaxLoc(grey)
    _, _, spots, _ = cv2.connectedComponentsWithStats((grey >= SHARE * peak).astype("uint8"))
    for left, top, width, height, _ in spots[1:]:  # the first is everything else
        if left <= x < left + width and top <= y < top + height and peak / 255 >= (options.confidence or 0.5):
            box = (int(left), int(top), int(left + width), int(top + height))
            return [Detection("bright", peak / 255, box)]
    return []


def load(_context: LoadContext) -> Algorithm:
    return Brightest()
