"""What an algorithm is: whatever finds something in a picture implements this, Fogline's own and third parties'."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

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
"""Finds things in one picture. One thread at a time calls a given detector. The picture is shared with others: it
cannot be written to."""


@runtime_checkable
class ScaledDetector(Protocol):
    """A detector that sees as much in a smaller picture: it spares most of the decoding. Entirely optional.

    A detector that has these two methods beside its call is asked for what it needs, and gets the camera's frame at
    that size or larger.
    """

    def needs(self, width: int, height: int) -> tuple[int, int]:
        """The least width and height at which a frame of `width` × `height` pixels may come."""
        ...

    def search(self, image: Image, size: tuple[int, int], options: Options) -> list[Detection]:
        """As the plain call, of a frame of `size` (width, height) that came as the perhaps smaller `image`. Boxes are
        in pixels of the frame."""
        ...


class _Whole:
    """A detector that wants whole frames, asked like one that does not mind smaller ones."""

    def __init__(self, detector: Detector) -> None:
        self._detector = detector

    def needs(self, width: int, height: int) -> tuple[int, int]:
        return width, height

    def search(self, image: Image, _size: tuple[int, int], options: Options) -> list[Detection]:
        return self._detector(image, options)


def scaled(detector: Detector) -> ScaledDetector:
    """Any detector as a `ScaledDetector`: itself where it is one, else one that needs whole frames."""
    return detector if isinstance(detector, ScaledDetector) else _Whole(detector)


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
