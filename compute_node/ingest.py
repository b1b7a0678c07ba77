"""Frames from a camera node: one persistent MJPEG pull a camera, shared by every pipeline on it."""

from __future__ import annotations

import http.client
import threading
import time
from dataclasses import dataclass
from urllib.parse import urlsplit

from mesh.backoff import Backoff
from mesh.errors import FoglineError, SourceLost
from mesh.frame import Frame, Newest, Stamps
from mesh.logs import logger
from mesh.multipart import MAX_PART, Reader, boundary_of
from mesh.picture import inspect, whole_jpeg
from mesh.version import VERSION
from mesh.wire import CameraAddress

CONNECT_TIMEOUT = 3.0  # seconds
STALL_TIMEOUT = (
    5.0  # seconds without a byte before the connection counts as lost: a still camera sends one frame a second
)
POLL_PERIOD = 0.1  # seconds between two stills of a camera that offers no stream
_CHUNK = 256 * 1024  # bytes read at once at most
log = logger(__name__)


@dataclass
class IngestCounts:
    """Frames taken, and pictures refused by reason, since the start."""

    frames: int = 0
    refused: int = 0
    reconnects: int = 0


class Ingest:
    """Reads one camera until `stop`. `frames` holds the newest frame; `problem` says why none comes, else None.

    Connects again for ever. A frame is checked by its header before it is published; nothing is decoded here.
    """

    def __init__(self, camera: CameraAddress) -> None:
        self.camera = camera
        self.frames: Newest[Frame] = Newest()
        self.counts = IngestCounts()
        self.problem: str | None = "connecting"
        self._stopping = threading.Event()
        self._connection: http.client.HTTPConnection | None = None
        self._last_sequence = 0
        self._thread = threading.Thread(target=self._run, name=f"ingest {camera.name}", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End; does not wait for a read that is under way."""
        self._stopping.set()
        self.frames.close()

    def _run(self) -> None:
        backoff = Backoff()
        while not self._stopping.is_set():
            before = self.counts.frames
            try:
                self._read()
                reason = "the camera node ended the stream"
            except FoglineError as error:
                reason = error.detail
            except (OSError, http.client.HTTPException, ValueError) as error:
                # ValueError: an address that no resolver takes. The thread must live, or nobody hears of it.
                reason = _words(error)
            finally:
                if self._connection is not None:
                    self._connection.close()
            if self._stopping.is_set():
                return
            if self.counts.frames > before:
                backoff.reset()
            if self.problem is None or self.problem == "connecting":
                log.warning("camera lost; connecting again", camera=self.camera.name, reason=reason)
            self.problem = reason
            self.counts.reconnects += 1
            self._stopping.wait(backoff.delay())

    def _read(self) -> None:
        answer = self._get("stream.jpg")
        kind = answer.getheader("Content-Type", "")
        if answer.status == 200 and kind.lower().startswith("multipart/"):
            self._pull(answer, boundary_of(kind))
        elif answer.status in (200, 404, 405, 406, 501):
            self._poll()
        else:
            raise SourceLost(f"the camera node at {self.camera.url} answered {answer.status}")

    def _get(self, path: str) -> http.client.HTTPResponse:
        url = urlsplit(self.camera.url)
        kind = http.client.HTTPSConnection if url.scheme == "https" else http.client.HTTPConnection
        if self._connection is not None:
            self._connection.close()
        self._connection = kind(url.hostname or "", url.port, timeout=CONNECT_TIMEOUT)
        self._connection.connect()
        self._connection.sock.settimeout(STALL_TIMEOUT)
        self._connection.request("GET", f"{url.path.rstrip('/')}/{path}", headers={"User-Agent": f"fogline/{VERSION}"})
        return self._connection.getresponse()

    def _pull(self, answer: http.client.HTTPResponse, boundary: str | None) -> None:
        reader = Reader(boundary)
        while not self._stopping.is_set():
            data = answer.read1(_CHUNK)
            if not data:
                return
            for part in reader.feed(data):
                self._take(part.body, part.headers)

    def _poll(self) -> None:
        while not self._stopping.is_set():
            began = time.monotonic()
            answer = self._get("image.jpg")
            body = answer.read(MAX_PART + 1)
            if answer.status != 200:
                raise SourceLost(f"the camera node at {self.camera.url} answered {answer.status}")
            self._take(body, {name.lower(): value for name, value in answer.getheaders()})
            self._stopping.wait(max(0.0, POLL_PERIOD - (time.monotonic() - began)))

    def _take(self, jpeg: bytes, headers: dict[str, str]) -> None:
        try:
            picture = inspect(jpeg)
            if picture.format != "jpeg" or not whole_jpeg(jpeg):
                raise SourceLost("the camera node sends pictures that are cut off")
        except FoglineError as error:
            self.counts.refused += 1
            self.problem = f"the camera node sends no usable pictures: {error.detail}"
            return
        stamps = Stamps.parse(headers)
        # A camera that restarts counts from 0 again, an original one does not count: ours must only go up.
        sequence = (
            stamps.sequence if stamps.sequence and stamps.sequence > self._last_sequence else self._last_sequence + 1
        )
        self._last_sequence = sequence
        self.counts.frames += 1
        self.problem = stamps.no_signal
        self.frames.put(
            Frame(
                jpeg=jpeg,
                sequence=sequence,
                captured_at=stamps.captured_at or time.time(),
                width=picture.width,
                height=picture.height,
                no_signal=stamps.no_signal,
            )
        )


class Ingests:
    """The ingests of this node, one a camera, counted by who uses them. Any thread may call."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: dict[CameraAddress, tuple[Ingest, int]] = {}

    def take(self, camera: CameraAddress) -> Ingest:
        """The ingest of `camera`, started if nobody uses it yet. Give it back with `leave`."""
        with self._lock:
            ingest, users = self._running.get(camera) or (Ingest(camera), 0)
            self._running[camera] = (ingest, users + 1)
            return ingest

    def leave(self, camera: CameraAddress) -> None:
        with self._lock:
            ingest, users = self._running[camera]
            if users > 1:
                self._running[camera] = (ingest, users - 1)
            else:
                del self._running[camera]
                ingest.stop()


def _words(error: Exception) -> str:
    if isinstance(error, ConnectionRefusedError):
        return "the camera node refuses connections: is it running?"
    if isinstance(error, TimeoutError):
        return "the camera node does not answer"
    return f"connection to the camera node lost ({error or type(error).__name__})"
