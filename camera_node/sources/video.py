"""A video file, in real time and from the start again at its end."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Any

import numpy as np

from camera_node.opencv import as_a_file, cv2
from camera_node.sources.base import Captured, SourceOptions
from camera_node.sources.pace import Pace
from mesh.errors import SourceLost
from mesh.limits import MAX_FPS

USUAL_FPS = 25.0  # for a file that says nothing sensible
MOST_SKIPPED = 250  # frames passed over at once: after a computer's sleep the film need not catch up hours


class VideoSource:
    """See `Source`. Reads what OpenCV's FFmpeg reads."""

    def __init__(self, text: str, options: SourceOptions) -> None:
        self._path = Path(text)
        self._fps = options.fps
        self._video: Any = None
        self._pace = Pace(USUAL_FPS)
        self._given = 0

    def open(self) -> None:
        if not self._path.exists():
            raise SourceLost(f"there is no file {self._path}: check the path, or choose another --source")
        try:
            with self._path.open("rb") as file:
                empty = not file.read(1)
        except OSError as error:
            raise SourceLost(f"{self._path} cannot be read ({error.strerror}): check its permissions") from None
        if empty:
            raise SourceLost(f"{self._path} is empty")
        self._begin()
        fps = self._video.get(cv2.CAP_PROP_FPS)
        own = fps if math.isfinite(fps) and 0 < fps <= MAX_FPS else USUAL_FPS
        self._pace = Pace(self._fps or own)

    def read(self) -> Captured:
        self._skip(min(self._pace.wait(), MOST_SKIPPED))
        ok, image = self._video.read()
        if not ok:
            if self._given == 0:
                raise SourceLost(f"no frame of {self._path} can be decoded: is it a video, is it whole?")
            self._begin()
            ok, image = self._video.read()
            if not ok:
                raise SourceLost(f"{self._path} can no longer be read")
        self._given += 1
        return Captured(time.time(), image=np.asarray(image, np.uint8))

    def _skip(self, frames: int) -> None:
        """Pass over as many frames as real time has, across the film's end too."""
        begun = False
        while frames:
            if self._video.grab():
                begun, frames = False, frames - 1
            elif begun or not self._given:
                return  # there is none: the read that follows says so
            else:
                self._begin()
                begun = True

    def close(self) -> None:
        if self._video is not None:
            self._video.release()

    def _begin(self) -> None:
        """Open anew: seeking to the start fails in many containers."""
        self.close()
        with as_a_file():
            self._video = cv2.VideoCapture(str(self._path), cv2.CAP_FFMPEG)
        if not self._video.isOpened():
            raise SourceLost(f"{self._path} is not a video that FFmpeg reads: convert it to MP4 (H.264)")
