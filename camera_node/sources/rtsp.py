"""An RTSP camera, through OpenCV's FFmpeg: over TCP, with as little delay as FFmpeg can."""

from __future__ import annotations

import re
import socket
import ssl
import time
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from camera_node.opencv import as_live, cv2
from camera_node.sources.base import Captured, SourceOptions
from camera_node.sources.relay import Relay
from camera_node.sources.url import CONNECT_TIMEOUT, Address, reach, take_apart
from mesh.errors import SourceLost
from mesh.networks import Networks
from mesh.picture import MAX_PIXELS

OPEN_TIMEOUT, READ_TIMEOUT = 10_000, 5_000  # milliseconds: a camera may wait for its next key frame before it sends
PORTS = {"rtsp": 554, "rtsps": 322}
_PROBE_TIMEOUT = 3.0  # seconds
_PROBE_ANSWER = 4096  # bytes


class RtspSource:
    """See `Source`. Frames come decoded, but those of a camera that sends JPEG (RFC 2435) as the JPEG that they are."""

    def __init__(self, text: str, options: SourceOptions) -> None:
        self._text = text
        self._networks = options.networks
        self._verify = options.verify
        self._stream: Any = None
        self._relay: Relay | None = None
        self._compressed = False

    def open(self) -> None:
        address = take_apart(self._text)
        scheme = self._text.partition(":")[0].lower()
        port = address.port or PORTS[scheme]
        connection = reach(address.host, port, self._networks)
        source = self._text
        if self._networks is None:
            connection.close()  # FFmpeg makes its own
        else:
            if scheme == "rtsps":
                connection = _secured(connection, address.host, port, self._verify)
            self._relay = Relay(connection)
            source = _at(self._text, self._relay.port)
        as_live()
        self._stream = cv2.VideoCapture(
            source,
            cv2.CAP_FFMPEG,
            [
                *(cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, OPEN_TIMEOUT),
                *(cv2.CAP_PROP_READ_TIMEOUT_MSEC, READ_TIMEOUT),
                *(cv2.CAP_PROP_N_THREADS, 1),  # each further thread would hold a frame back
            ],
        )
        if not self._stream.isOpened():
            if self._relay is not None and self._relay.problem is not None:
                raise SourceLost(f"{address.host}:{port} {self._relay.problem}")
            raise SourceLost(_why(address, port, self._networks))
        width, height = (self._stream.get(one) for one in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT))
        if width * height > MAX_PIXELS:
            raise SourceLost(
                f"the stream's pictures are {width:.0f} × {height:.0f} pixels; at most {MAX_PIXELS:,} are taken"
            )
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
        if self._relay is not None:
            self._relay.close()


def _at(text: str, port: int) -> str:
    """The address `text`, with its user and password, at a relay on this machine."""
    parts = urlsplit(text)
    user, at, _ = parts.netloc.rpartition("@")
    return parts._replace(scheme="rtsp", netloc=f"{user}{at}127.0.0.1:{port}", fragment="").geturl()


def _secured(connection: socket.socket, host: str, port: int, verify: bool) -> socket.socket:
    """The connection under TLS. Raises SourceLost when the other side is not who its name says."""
    context = ssl.create_default_context()
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    try:
        connection.settimeout(CONNECT_TIMEOUT)
        return context.wrap_socket(connection, server_hostname=host)
    except ssl.SSLCertVerificationError:
        connection.close()
        raise SourceLost(
            f"{host}:{port} has a certificate that cannot be checked; if it signed its own, let it go unchecked:"
            " verify: false of the added camera"
        ) from None
    except OSError:
        connection.close()
        raise SourceLost(f"{host}:{port} does not speak TLS: is it rtsp:// instead of rtsps://?") from None


def _why(address: Address, port: int, networks: Networks | None) -> str:
    """Why FFmpeg could not open the stream, by asking the camera once more: OpenCV keeps the reason for itself."""
    place = f"{address.host}:{port}"
    status = _ask(address, port, networks)
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


def _ask(address: Address, port: int, networks: Networks | None) -> int | None:
    """The status with which the camera answers a DESCRIBE without a password; None for no RTSP answer."""
    try:
        with reach(address.host, port, networks) as connection:
            connection.settimeout(_PROBE_TIMEOUT)
            connection.sendall(f"DESCRIBE {address.url} RTSP/1.0\r\nCSeq: 1\r\n\r\n".encode("ascii", "replace"))
            found = re.match(rb"RTSP/1\.\d (\d{3})", connection.recv(_PROBE_ANSWER))
    except (OSError, SourceLost):
        return None
    return int(found.group(1)) if found else None
