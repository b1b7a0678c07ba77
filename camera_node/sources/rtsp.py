"""An RTSP camera, through OpenCV's FFmpeg: over TCP, with as little delay as FFmpeg can."""

from __future__ import annotations

import os
import re
import time
from typing import Any

import numpy as np

from camera_node.opencv import cv2
from camera_node.sources.base import Captured, SourceOptions
from camera_node.sources.url import Address, reach, take_apart
from mesh.errors import SourceLost

OPEN_TIMEOUT, READ_TIMEOUT = 10_000, 5_000  # milliseconds: a camera may wait for its next key frame before it sends
PORTS = {"rtsp": 554, "rtsps": 322}
_PROBE_TIMEOUT = 3.0  # seconds
_PROBE_ANSWER = 4096  # bytes
# UDP loses packets on a busy network, and every loss smears until the next key frame. Nothing is kept back to smooth
# the rate: the newest frame is the one that counts.
_FFMPEG = "rtsp_transport;tcp|fflags;nobuffer|flags;low_delay|max_delay;0|reorder_queue_size;0"
_VARIABLE = "OPENCV_FFMPEG_CAPTURE_OPTIONS"


class RtspSource:
    """See `Source`. Frames come decoded, but those of a camera that sends JPEG (RFC 2435) as the JPEG that they are."""

    def __init__(self, text: str, _options: SourceOptions) -> None:
        self._text = text
        self._stream: Any = None
        self._compressed = False

    def open(self) -> None:
        address = take_apart(self._text)
        port = address.port or PORTS[self._text.partition(":")[0].lower()]
        reach(address.host, port).close()
        os.environ.setdefault(_VARIABLE, _FFMPEG)  # OpenCV takes FFmpeg's options in no other way
        self._stream = cv2.VideoCapture(
            self._text,
            cv2.CAP_FFMPEG,
            [
                *(cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, OPEN_TIMEOUT),
                *(cv2.CAP_PROP_READ_TIMEOUT_MSEC, READ_TIMEOUT),
                *(cv2.CAP_PROP_N_THREADS, 1),  # each further thread would hold a frame back
            ],
        )
        if not self._stream.isOpened():
            raise SourceLost(_why(address, port))
        motion_jpeg = int(self._stream.get(cv2.CAP_PROP_FOURCC)) == cv2.VideoWriter.fourcc(*"MJPG")
        self._compressed = motion_jpeg and bool(self._stream.set(cv2.CAP_PROP_FORMAT, -1))

    def read(self) -> Captured:
        ok, image = self._stream.read()
        if not ok or image is None:
            raise SourceLost("the RTSP stream has ended or stalled: is the camera restarting?")
        now = time.time()
        if self._compressed and image.size == max(image.shape):
            return Captured(now, data=image.tobytes())
        return Captured(now, image=np.asarray(image, np.uint8))

    def close(self) -> None:
        if self._stream is not None:
            self._stream.release()


def _why(address: Address, port: int) -> str:
    """Why FFmpeg could not open the stream, by asking the camera once more: OpenCV keeps the reason for itself."""
    place = f"{address.host}:{port}"
    status = _ask(address, port)
    if status == 401:
        if address.user is None:
            return f"{place} asks for a user name and a password: write rtsp://USER:PASSWORD@{place}/…"
        return f"{place} does not accept the user name and password (or has no such stream)"
    if status in (404, 454):
        return f"{place} has no such stream ({status}): look up the path in the camera's manual"
    if status is None:
        return f"{place} does not speak RTSP, or not in time: is the port right?"
    if status >= 400:
        return f"{place} refuses the stream (RTSP status {status})"
    return f"{place} offers the stream, but FFmpeg cannot read it: choose H.264 or JPEG in the camera's settings"


def _ask(address: Address, port: int) -> int | None:
    """The status with which the camera answers a DESCRIBE without a password; None for no RTSP answer."""
    try:
        with reach(address.host, port) as connection:
            connection.settimeout(_PROBE_TIMEOUT)
            connection.sendall(f"DESCRIBE {address.url} RTSP/1.0\r\nCSeq: 1\r\n\r\n".encode("ascii", "replace"))
            found = re.match(rb"RTSP/1\.\d (\d{3})", connection.recv(_PROBE_ANSWER))
    except (OSError, SourceLost):
        return None
    return int(found.group(1)) if found else None
