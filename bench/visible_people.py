"""In how many frames of a video a fully visible person carries a `person` box.

Nobody labelled the video, so two judges that know nothing of each other say where a person is fully visible:

- *detector*: YOLOX-nano, a better detector than the default, sees a person with at least 0.6 whose box keeps 8 pixels
  off the frame's border and is at least a quarter of its height;
- *background*: the difference to the empty room of the first frames (people stand in one place for more than half
  of the video, so its median picture shows them) holds one region that keeps off the border, covers at
  least 3 % of the frame and is at least a quarter of its height. It knows no people at all, so it also counts frames
  in which every detector fails; it also counts things that move and are none.

A frame is won when a `person` box overlaps the judge's box by at least half (intersection over union), and, more
leniently, when it carries any `person` box at all.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from compute_node.algorithms.base import Detector, Image, Options
from compute_node.models.scoring import overlaps

BORDER = 8  # pixels
LEAST_HEIGHT = 0.25  # of the frame
LEAST_AREA = 0.03  # of the frame, for the background's judge
JUDGE_CONFIDENCE = 0.6
EMPTY_FRAMES = 50  # at the start of the video, in which nobody is there yet
DIFFERENCE = 30  # grey levels
Box = tuple[int, int, int, int]


@dataclass(slots=True)
class Count:
    """Frames in which a judge sees a whole person; of these, those with a box on it, and those with any box."""

    frames: int = 0
    on_it: int = 0
    any_box: int = 0

    def add(self, whole: Box, people: list[Box]) -> None:
        self.frames += 1
        self.any_box += bool(people)
        self.on_it += bool(people) and bool(overlaps(whole, np.array(people, float)).max() >= 0.5)


def frames_of(video: Path) -> Iterator[Image]:
    """Every frame of `video`."""
    capture = cv2.VideoCapture(str(video))
    try:
        while True:
            ok, frame = capture.read()
            if not ok:
                break
            yield np.asarray(frame, np.uint8)
    finally:
        capture.release()


def _whole(box: Box, shape: tuple[int, ...]) -> bool:
    height, width = shape[:2]
    left, top, right, bottom = box
    clear = left >= BORDER and top >= BORDER and right <= width - BORDER and bottom <= height - BORDER
    return clear and bottom - top >= LEAST_HEIGHT * height


class BackgroundJudge:
    """Where one region differs from the empty room."""

    def __init__(self, video: Path) -> None:
        empty = itertools.islice(frames_of(video), EMPTY_FRAMES)
        greys = [cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY) for frame in empty]
        self._room = np.median(np.stack(greys), axis=0).astype(np.uint8)
        self._kernel = np.ones((15, 15), np.uint8)

    def __call__(self, frame: Image) -> Box | None:
        change = cv2.absdiff(cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY), self._room)
        mask = cv2.threshold(cv2.medianBlur(change, 5), DIFFERENCE, 255, cv2.THRESH_BINARY)[1]
        mask = cv2.morphologyEx(mask, cv2.MORPH_CLOSE, self._kernel)
        count, _, stats, _ = cv2.connectedComponentsWithStats(mask)
        if count < 2:
            return None
        largest = 1 + int(stats[1:, cv2.CC_STAT_AREA].argmax())
        left, top, wide, high, area = (int(n) for n in stats[largest])
        box = (left, top, left + wide, top + high)
        return box if area >= LEAST_AREA * mask.size and _whole(box, frame.shape) else None


def count_people(video: Path, detect: Detector, judge: Detector | None, options: Options) -> dict[str, Count]:
    """Counts by judge. detect: what is examined, with `options`. judge: the better detector, where there is one."""
    background = BackgroundJudge(video)
    counts = {"background": Count()} | ({"detector": Count()} if judge else {})
    wanted = Options(JUDGE_CONFIDENCE, frozenset({"person"}))
    for frame in frames_of(video):
        people = [d.box for d in detect(frame, options) if d.label == "person"]
        region = background(frame)
        if region:
            counts["background"].add(region, people)
        if judge:
            whole = [d.box for d in judge(frame, wanted) if _whole(d.box, frame.shape)]
            if whole:
                counts["detector"].add(whole[0], people)
    return counts
