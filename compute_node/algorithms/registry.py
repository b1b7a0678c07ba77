"""Finds algorithms by name: Fogline's own, and those of other packages by the entry point group `fogline.algorithms`.

An algorithm's module is imported when it is loaded, not before. A plug-in is a function that takes a `LoadContext` and
returns an `Algorithm`.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from compute_node.algorithms.base import Algorithm, Image, Options
from mesh.errors import NotFound, SetupProblem

GROUP = "fogline.algorithms"
BUILT_IN = {
    "yolo": "compute_node.algorithms.yolo",
    "ssd": "compute_node.algorithms.ssd",
    "haar": "compute_node.algorithms.haar",
    "hog": "compute_node.algorithms.hog",
    "motion": "compute_node.algorithms.motion",
    "qr": "compute_node.algorithms.qr",
    "echo": "compute_node.algorithms.echo",
}
"""Name → module, whose `load(context)` makes the algorithm. In the order in which a node loads and lists them."""

MEASURE_SECONDS = 1.0  # spent on measuring one algorithm at a node's start
MEASURE_MOST = 60  # pictures; a fast algorithm needs no whole second
MEASURE_SIZE = (720, 1280)  # height, width of the picture: what most cameras give


@dataclass(frozen=True, slots=True)
class LoadContext:
    """What an algorithm may want to know when it is loaded.

    data: the data folder (`ModelStore(data)`). model: what `yolo` shall run; the catalogue's default when None or
    empty. engine: `auto`, `openvino`, `onnxruntime`, or one with a device such as `openvino:gpu`.
    """

    data: Path
    model: str | None = None
    engine: str = "auto"


def _plugins() -> dict[str, importlib.metadata.EntryPoint]:
    return {point.name: point for point in importlib.metadata.entry_points(group=GROUP)}


def names() -> list[str]:
    """Every algorithm that could be loaded here: Fogline's own first, then other packages' by name."""
    return [*BUILT_IN, *sorted(set(_plugins()) - set(BUILT_IN))]


def load(name: str, context: LoadContext) -> Algorithm:
    """Load the algorithm `name`. Takes up to some seconds.

    Raises NotFound that lists the known, or another FoglineError that says why it cannot be loaded.
    """
    if name in BUILT_IN:
        factory: Callable[[LoadContext], Algorithm] = importlib.import_module(BUILT_IN[name]).load
        return factory(context)
    point = _plugins().get(name)
    if point is None:
        raise NotFound.among("algorithm", name, names())
    try:
        factory = point.load()
    except Exception as error:  # somebody else's module may raise anything while it is imported
        raise SetupProblem(f"the plug-in {point.value} for {name!r} cannot be imported: {error}") from error
    return factory(context)


def measure_fps(algorithm: Algorithm, seconds: float = MEASURE_SECONDS) -> float:
    """Pictures a second that `algorithm` does in one stream of 720p; takes `seconds` and at most one picture more."""
    picture = _measuring_picture()
    detect = algorithm.detector()
    detect(picture, Options())  # the first call allocates
    started = time.perf_counter()
    count = 0
    while count < MEASURE_MOST:
        detect(picture, Options())
        count += 1
        if time.perf_counter() - started >= seconds:
            break
    return count / max(time.perf_counter() - started, 1e-6)


def _measuring_picture() -> Image:
    """720p with gradients and blocks: neither flat, which some algorithms skip over, nor noise."""
    height, width = MEASURE_SIZE
    ys, xs = np.mgrid[0:height, 0:width]
    planes = [xs * 255 // width, ys * 255 // height, ((xs // 80 + ys // 80) % 2) * 160 + 40]
    return np.ascontiguousarray(np.stack(planes, axis=-1), np.uint8)
