"""A camera on this machine, by Video4Linux: its own JPEGs where it makes any, else decoded frames."""

from __future__ import annotations

import errno
import os
import time
from pathlib import Path
from typing import Any

import numpy as np

from camera_node import jpeg
from camera_node.opencv import cv2
from camera_node.sources.base import Captured, SourceOptions
from mesh.errors import SourceLost

_MJPG = "MJPG"
_BUFFERS = 2  # frames that the driver may hold back: one being filled, one being read
_REMEDIES = {
    errno.EACCES: "this user may not open it: add the user to the group `video` and sign in anew, or in a container"
    " pass --device and --group-add video",
    errno.EPERM: "this user may not open it: add the user to the group `video`, or in a container pass --device",
    errno.EBUSY: "another program uses it: close that one",
    errno.ENODEV: "the camera was unplugged: plug it in again",
    errno.ENXIO: "the camera was unplugged: plug it in again",
}


class V4l2Source:
    """See `Source`. `text` is the device's path."""

    def __init__(self, text: str, options: SourceOptions) -> None:
        self._device = text
        self._options = options
        self._camera: Any = None
        self._compressed = False

    def open(self) -> None:
        self._check()
        # The device's path in both cases: OpenCV takes a number for its own count of devices.
        self._camera = camera = cv2.VideoCapture(self._device, cv2.CAP_V4L2)
        if not camera.isOpened():
            raise SourceLost(
                f"{self._device} gives no video: another program may use it, or it is a camera's second, video-less"
                f" device; devices here: {_devices()}"
            )
        # The compressed format first: over USB 2 only it carries 720p at 30 frames a second.
        camera.set(cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*_MJPG))
        for prop, value in (
            (cv2.CAP_PROP_FRAME_WIDTH, self._options.width),
            (cv2.CAP_PROP_FRAME_HEIGHT, self._options.height),
            (cv2.CAP_PROP_FPS, self._options.fps),
            (cv2.CAP_PROP_BUFFERSIZE, _BUFFERS),
        ):
            if value:
                camera.set(prop, value)
        self._compressed = int(camera.get(cv2.CAP_PROP_FOURCC)) == cv2.VideoWriter.fourcc(*_MJPG)
        if self._compressed:
            # Gives the camera's bytes as they are. Not every version of OpenCV can: then frames come decoded.
            self._compressed = bool(camera.set(cv2.CAP_PROP_CONVERT_RGB, 0))

    def read(self) -> Captured:
        ok, image = self._camera.read()
        now = time.time()
        if not ok or image is None:
            self._check()
            raise SourceLost(f"{self._device} gives no more frames: check its cable")
        if self._compressed and image.size == max(image.shape):
            # Some drivers fill up the rest of their buffer with zeros behind the picture.
            return Captured(now, data=jpeg.with_tables(image.tobytes().rstrip(b"\0")))
        return Captured(now, image=np.asarray(image, np.uint8))

    def close(self) -> None:
        if self._camera is not None:
            self._camera.release()

    def _check(self) -> None:
        """Open it as a plain file, which tells what is wrong; OpenCV only says that something is."""
        try:
            os.close(os.open(self._device, os.O_RDWR | os.O_NONBLOCK))
        except FileNotFoundError:
            raise SourceLost(
                f"there is no {self._device}: plug the camera in, or choose another --source; devices here:"
                f" {_devices()}"
            ) from None
        except OSError as error:
            remedy = _REMEDIES.get(error.errno or 0, error.strerror or "it cannot be opened")
            raise SourceLost(f"{self._device}: {remedy}") from None


def _devices() -> str:
    return ", ".join(sorted(str(device) for device in Path("/dev").glob("video*"))) or "none"
