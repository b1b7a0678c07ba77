"""What an algorithm is: whatever finds something in a picture implements this, Fogline's own and third parties'."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
"""A picture: uint8, height × width × 3, blue-green-red, as OpenCV has it."""


@dataclass(frozen=True, slots=True)
class Detection:
    """One thing found.

    label: what it is; for codes the decoded text.
    confidence: 0 to 1; 1 where the algorithm gives no score.
    box: x_min, y_min, x_max, y_max in pixels of the picture that was given.
    """

    label: str
    confidence: float
    box: tuple[int, int, int, int]


@dataclass(frozen=True, slots=True)
class Options:
    """What a caller may ask of an algorithm. confidence: least score, 0 to 1, None for the algorithm's own default.
    labels: only these, empty for all."""

    confidence: float | None = None
    labels: frozenset[str] = frozenset()


Detector = Callable[[Image, Options], list[Detection]]
"""Finds things in one picture. One thread at a time calls a given detector."""


@dataclass(frozen=True, slots=True)
class AlgorithmInfo:
    """What the manifest says of an algorithm. `id` is its name in URLs; `category` and `family` are the original's
    words (`family` travels as `class`). model: the catalogue's name; None for an algorithm without one. labels: what it
    can report, in order. input: height and width of the model's input in pixels, None when any size goes in as it is.
    engine: where it runs, such as `openvino:cpu`."""

    id: str
    name: str
    category: str
    family: str = "Computer Vision"
    model: str | None = None
    labels: tuple[str, ...] = field(default=())
    input: tuple[int, int] | None = None
    engine: str = "opencv:cpu"


class Algorithm(Protocol):
    """An algorithm that is loaded: one a node, shared by every pipeline and every thread."""

    @property
    def info(self) -> AlgorithmInfo: ...

    def detector(self) -> Detector:
        """A detector for one stream of pictures; one that keeps nothing may be the same each time."""
        ...

    def close(self) -> None:
        """Free what it holds. Nothing calls a detector afterwards."""
        ...
