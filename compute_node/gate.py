"""The motion gate: tells whether a picture is worth a search, by a small grey one."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from compute_node.algorithms.base import Image

ANYWAY = 5.0  # seconds after which a still scene is searched all the same
CHANGE = 6.0  # grey levels of 255, of an area's mean: a still room with a noisy sensor gives up to 5, a person 100
AREA = 3  # side of that area in pixels of the grey picture: 24 pixels of 720p


class MotionGate:
    """Compares pictures with the one that was searched last, so that slow changes add up. One thread at a time.

    What moves is seen when the mean of some area of 3 × 3 changes: noise of single pixels, of which a grey pixel is
    the mean of up to 64, cancels out.
    """

    def __init__(self) -> None:
        self._searched: NDArray[np.float32] | None = None
        self._latest: NDArray[np.float32] | None = None
        self._searched_at = 0.0

    def still(self, grey: Image, now: float) -> bool:
        """Whether nothing has moved since the last search and that was within `ANYWAY` seconds of `now` (monotonic
        seconds). grey: uint8 rows × columns × 1."""
        flat = grey.reshape(grey.shape[:2]).astype(np.float32)
        self._latest = np.asarray(cv2.blur(flat, (AREA, AREA)), np.float32)
        before = self._searched
        if before is None or before.shape != self._latest.shape or now - self._searched_at >= ANYWAY:
            return False
        return bool(cv2.norm(before, self._latest, cv2.NORM_INF) < CHANGE)

    def searched(self, now: float) -> None:
        """The picture that was last looked at has been searched."""
        self._searched, self._searched_at = self._latest, now
