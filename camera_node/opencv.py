"""OpenCV, set up before its first import: it reads some of its settings only then.

Every module of this package that needs OpenCV takes it from here.
"""

from __future__ import annotations

import os

# Its own messages would repeat our reasons in the wrong form, and may show a source's password.
os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")
os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
# Seconds that a V4L2 read waits for a frame; OpenCV's own 10 are longer than a viewer should look at an old picture.
os.environ.setdefault("OPENCV_VIDEOIO_V4L_SELECT_TIMEOUT", "5")

import cv2

__all__ = ["cv2"]
