"""OpenCV, set up before its first import: it reads some of its settings only then.

Every module of this package that needs OpenCV takes it from here.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

# Its own messages would repeat our reasons in the wrong form, and may show a source's password.
os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")
os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
# Seconds that a V4L2 read waits for a frame; OpenCV's own 10 are longer than a viewer should look at an old picture.
os.environ.setdefault("OPENCV_VIDEOIO_V4L_SELECT_TIMEOUT", "5")

import cv2

__all__ = ["as_a_file", "as_live", "cv2"]

_OPTIONS = "OPENCV_FFMPEG_CAPTURE_OPTIONS"  # OpenCV takes FFmpeg's options in no other way, for all that is opened next
# UDP loses packets on a busy network, and every loss smears until the next key frame. Nothing is kept back to smooth
# the rate: the newest frame is the one that counts.
_LIVE = "rtsp_transport;tcp|fflags;nobuffer|flags;low_delay|max_delay;0|reorder_queue_size;0"
_opening = threading.Lock()


def as_live() -> None:
    """What is opened next is a live stream; options that somebody has set stand."""
    with _opening:
        os.environ.setdefault(_OPTIONS, _LIVE)


@contextmanager
def as_a_file() -> Iterator[None]:
    """What is opened meanwhile is a file: with the options for live streams its first frames would be left out."""
    with _opening:
        live = os.environ.get(_OPTIONS) == _LIVE
        if live:
            del os.environ[_OPTIONS]
        try:
            yield
        finally:
            if live:  # another camera may be about to be opened
                os.environ[_OPTIONS] = _LIVE
