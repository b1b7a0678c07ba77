"""`demo:` a camera without a camera: a picture that wanders over a wall of real photographs.

The photographs are those under DATA/media/demo/, fetched at set-up. They hang at sizes at which ordinary detectors
find what is on them, and the walk never leaves all of them: a first run shows boxes, always.
"""

from __future__ import annotations

import math
import time
from pathlib import Path

import numpy as np

from camera_node.opencv import cv2
from camera_node.sources.base import Captured, Image, SourceOptions
from camera_node.sources.pace import Pace
from mesh.errors import SourceLost

WIDTH, HEIGHT = 1280, 720  # pixels of a frame
FPS = 15.0  # frames per second: fluent, and a third of a slow computer's core
LAP = 40.0  # seconds there and back: 60 pixels a second at most, slow enough for the eye and the detector
# In fractions of the frame's height, measured with the default model: it wants things at a quarter to two thirds.
FIRST_HEIGHT, OTHER_HEIGHT = 512 / 720, 400 / 720
GAP = 80 / 720
WALL_HEIGHT = 900 / 720
RISE = (30 / 720, 150 / 720)  # how far down from the wall's top the frame's top wanders
WALL = (90, 90, 90)
_KINDS = (".png", ".jpg", ".jpeg")


class DemoSource:
    """See `Source`. Photographs hang in the order of their names, the first one larger."""

    def __init__(self, _text: str, options: SourceOptions) -> None:
        self._folder = options.data / "media" / "demo"
        self._width = options.width or round((options.height or HEIGHT) * WIDTH / HEIGHT)
        self._height = options.height or round(self._width * HEIGHT / WIDTH)
        self._pace = Pace(options.fps or FPS)
        self._wall: Image = np.zeros((0, 0, 3), np.uint8)
        self._began = 0.0

    def open(self) -> None:
        self._wall = wall(_photographs(self._folder), self._width, self._height)
        self._began = time.monotonic()

    def read(self) -> Captured:
        self._pace.wait()
        turn = 2 * math.pi * (time.monotonic() - self._began) / LAP
        rows, columns = self._wall.shape[:2]
        top, bottom = (fraction * self._height for fraction in RISE)
        left = round((columns - self._width) * (0.5 - 0.5 * math.cos(turn)))
        above = round(top + (min(bottom, rows - self._height) - top) * (0.5 - 0.5 * math.cos(2 * turn)))
        return Captured(time.time(), image=self._wall[above : above + self._height, left : left + self._width])

    def close(self) -> None:
        return None


def wall(photographs: list[Image], width: int, height: int) -> Image:
    """The photographs side by side on a plain wall, scaled for frames of `width` × `height` pixels."""
    gap = round(GAP * height)
    hung: list[Image] = []
    for number, photograph in enumerate(photographs):
        rows = round((FIRST_HEIGHT if number == 0 else OTHER_HEIGHT) * height)
        columns = max(1, round(photograph.shape[1] * rows / photograph.shape[0]))
        method = cv2.INTER_AREA if rows < photograph.shape[0] else cv2.INTER_CUBIC
        hung.append(np.asarray(cv2.resize(photograph, (columns, rows), interpolation=method), np.uint8))
    needed = sum(p.shape[1] for p in hung) + gap * (len(hung) + 1)
    canvas: Image = np.full((round(WALL_HEIGHT * height), max(needed, width), 3), WALL, np.uint8)
    at = gap + (canvas.shape[1] - needed) // 2
    for photograph in hung:
        rows, columns = photograph.shape[:2]
        above = (canvas.shape[0] - rows) // 2
        canvas[above : above + rows, at : at + columns] = photograph
        at += columns + gap
    return canvas


def _photographs(folder: Path) -> list[Image]:
    found = []
    for file in sorted(folder.glob("*")) if folder.is_dir() else ():
        if file.suffix.lower() in _KINDS:
            # imdecode, for imread fails silently on paths that are not ASCII on some systems.
            image = cv2.imdecode(np.frombuffer(file.read_bytes() or b"-", np.uint8), cv2.IMREAD_COLOR)
            if image is not None:
                found.append(np.asarray(image, np.uint8))
    if not found:
        raise SourceLost(
            f"the demo's photographs are not in {folder}: run `./fogline models pull demo`, or choose another --source"
        )
    return found
