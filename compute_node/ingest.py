"""Frames from a camera node: one persistent MJPEG pull a camera, shared by every pipeline on it."""

from __future__ import annotations

import http.client
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from urllib.parse import urlsplit

from compute_node.order import Order
from compute_node.picture import Picture, Wishes
from mesh import tls
from mesh.backoff import Backoff
from mesh.credentials import Credentials, Nobody
from mesh.errors import FoglineError, SourceLost
from mesh.frame import Frame, Newest, Stamps
from mesh.logs import logger
from mesh.multipart import MAX_PART, Part, Reader, Skipped, boundary_of
from mesh.networks import ANYWHERE, Outside
from mesh.picture import inspect, whole_jpeg
from mesh.proof import Call, target
from mesh.rate import Rate
from mesh.version import VERSION
from mesh.wire import CameraAddress

CONNECT_TIMEOUT = 3.0  # seconds
STALL_TIMEOUT = 5.0  # seconds without a byte after which the camera counts as lost: a still one sends a frame a second
RETRY_CEILING = 3.0  # seconds between two tries: a camera that is started again is seen again; on a LAN that is cheap
PATIENCE = 15.0  # seconds in which one picture must be whole: a camera that trickles is as good as lost
POLL_PERIOD = 0.1  # seconds between two stills of a camera that offers no stream
_CHUNK = 256 * 1024  # bytes read at once at most
log = logger(__name__)


class Ingest:
    """Reads one camera until `stop`. `frames` holds the newest frame; `problem` says why none comes, else None.

    Connects again for ever. A frame is checked by its header before it is published; nothing is decoded here: the
    pipelines that take a picture share one decoding, at the size that `wishes` tells.
    credentials: shown to a camera of our own, anew with each request. refused: hears of every picture that is not
    published, with the reason and how many. Called in a thread of its own.
    """

    def __init__(
        self,
        camera: CameraAddress,
        refused: Callable[[str, int], None] = lambda _reason, _many: None,
        credentials: Credentials | None = None,
    ) -> None:
        self.camera = camera
        self._credentials: Credentials = Nobody() if credentials is None or camera.original else credentials
        self.frames: Newest[Picture] = Newest()
        self.wishes = Wishes()
        self.rate = Rate()
        self.taken = 0  # frames published since the start
        self.reconnects = 0
        self.refused: dict[str, int] = {}
        self.problem: str | None = "connecting"
        self._tell_refused = refused
        self._stopping = threading.Event()
        self._connection: http.client.HTTPConnection | None = None
        self._socket: socket.socket | None = None
        self._order = Order()
        self._thread = threading.Thread(target=self._run, name=f"ingest {camera.name}", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End, a read that is under way included; does not wait."""
        self._stopping.set()
        self.frames.close()
        if self._socket is not None:
            with suppress(OSError):  # it went by itself
                self._socket.shutdown(socket.SHUT_RDWR)

    def _run(self) -> None:
        backoff = Backoff(ceiling=RETRY_CEILING)
        while not self._stopping.is_set():
            before = self.taken
            try:
                self._read()
                reason = "the camera node ended the stream"
            except FoglineError as error:
                reason = error.detail
            except (OSError, http.client.HTTPException, ValueError) as error:
                # ValueError: an address that no resolver takes. The thread must live, or nobody hears of it.
                reason = _words(error)
            finally:
                self._close()
            if self._stopping.is_set():
                return
            if self.taken > before:
                backoff.reset()
            if self.problem is None or self.problem == "connecting":
                log.warning("camera lost; connecting again", camera=self.camera.name, reason=reason)
            self.problem = reason
            self.reconnects += 1
            self._stopping.wait(backoff.delay())

    def _close(self) -> None:
        connection, self._connection, self._socket = self._connection, None, None
        if connection is not None:
            connection.close()

    def _read(self) -> None:
        answer = self._get("stream.jpg")
        kind = answer.getheader("Content-Type", "")
        try:
            if answer.status == 200 and kind.lower().startswith("multipart/"):
                self._pull(answer, Reader(boundary_of(kind)))
                return
        finally:
            answer.close()
        if answer.status not in (200, 404, 405, 406, 501):
            raise SourceLost(self._words(answer.status))
        self._close()  # what it sent instead of a stream may have no end
        self._poll()

    def _get(self, path: str) -> http.client.HTTPResponse:
        """Ask for `path`, on the open connection if there is one."""
        url = urlsplit(self.camera.url)
        fresh = self._connection is None or self._connection.sock is None
        if self._connection is None:
            self._connection = tls.connection(self.camera.url, CONNECT_TIMEOUT)
        if fresh:
            self._connection.timeout = CONNECT_TIMEOUT
            # A node that is not what it seems may say that it is where only this machine can go.
            self._connection._create_connection = _connected  # type: ignore[attr-defined]
            self._connection.connect()
            self._socket = self._connection.sock
            self._socket.settimeout(STALL_TIMEOUT)
        shown = self._credentials.headers(Call("GET", target(f"/{path}"), self.camera.node_id), b"")
        headers = {"User-Agent": f"fogline/{VERSION}"} | shown
        self._connection.request("GET", f"{url.path.rstrip('/')}/{path}", headers=headers)
        return self._connection.getresponse()

    def _words(self, status: int) -> str:
        """What an answer with this status says of the camera."""
        if status in (401, 403):
            return f"the camera node at {self.camera.url} does not let this node in ({status}); it tries again"
        return f"the camera node at {self.camera.url} answered {status}"

    def _pull(self, answer: http.client.HTTPResponse, reader: Reader) -> None:
        told = Skipped()
        try:
            for part in self._parts(answer, reader):
                if self._stopping.is_set():
                    return
                self._take(part.body, part.headers)
                self._count(reader.skipped, told)
        finally:
            self._count(reader.skipped, told)

    def _parts(self, answer: http.client.HTTPResponse, reader: Reader) -> Iterator[Part]:
        connection = self._socket
        if answer.chunked or connection is None or isinstance(connection, ssl.SSLSocket):
            due = time.monotonic() + PATIENCE
            while data := answer.read1(_CHUNK):
                for part in reader.feed(data):
                    due = time.monotonic() + PATIENCE
                    yield part
                if time.monotonic() > due:
                    raise TimeoutError
            return
        # What came together with the headers waits in http.client's buffer; the rest is read past it.
        yield from reader.feed(answer.fp.peek())
        connection.settimeout(None)
        limit = struct.pack("ll", int(STALL_TIMEOUT), 0)
        # The kernel keeps the time: Python's own time limit would cost a call more each time, and whole bodies at once.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, limit)
        yield from reader.receive(connection, PATIENCE)

    def _poll(self) -> None:
        """Stills one after another, over one connection as long as the camera keeps it."""
        while not self._stopping.is_set():
            began = time.monotonic()
            again = self._connection is not None and self._connection.sock is not None
            try:
                answer = self._get("image.jpg")
            except (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError):
                self._close()
                if not again:
                    raise
                continue  # a kept connection may be closed just as it is used again
            body = answer.read(MAX_PART + 1)
            if answer.status != 200:
                raise SourceLost(self._words(answer.status))
            if len(body) > MAX_PART:
                self._close()  # the rest of it is still to come
            self._take(body, {name.lower(): value for name, value in answer.getheaders()})
            self._stopping.wait(max(0.0, POLL_PERIOD - (time.monotonic() - began)))

    def _take(self, jpeg: bytes, headers: dict[str, str]) -> None:
        try:
            picture = inspect(jpeg)
        except FoglineError as error:
            self._refuse("unusable", 1, error.detail)
            return
        if picture.format != "jpeg" or not whole_jpeg(jpeg):
            self._refuse("cut off", 1, "the camera node sends pictures that are cut off")
            return
        stamps = Stamps.parse(headers)
        sequence = self._order.number(stamps, time.monotonic())
        if sequence is None:
            self._refuse("old", 1, None)
            return
        self.taken += 1
        self.rate.tick()
        self.problem = stamps.no_signal
        frame = Frame(
            jpeg=jpeg,
            sequence=sequence,
            captured_at=stamps.captured_at or time.time(),
            width=picture.width,
            height=picture.height,
            no_signal=stamps.no_signal,
        )
        self.frames.put(Picture(frame, self.wishes))

    def _refuse(self, reason: str, many: int, words: str | None) -> None:
        self.refused[reason] = self.refused.get(reason, 0) + many
        self._tell_refused(reason, many)
        if words is not None:
            self.problem = f"the camera node sends no usable pictures: {words}"

    def _count(self, skipped: Skipped, told: Skipped) -> None:
        """Count what the reader passed over since the last time."""
        if skipped == told:
            return
        for name, reason in (("empty", "empty"), ("too_large", "too large"), ("bad_headers", "bad headers")):
            if more := getattr(skipped, name) - getattr(told, name):
                self._refuse(reason, more, None)
                setattr(told, name, getattr(skipped, name))
        if skipped.garbage_bytes > told.garbage_bytes:
            self._refuse("garbage", 1, None)
            told.garbage_bytes = skipped.garbage_bytes


class Ingests:
    """The ingests of this node, one a camera, counted by who uses them. Any thread may call. credentials: of the node,
    None for one that shows none."""

    def __init__(self, credentials: Credentials | None = None) -> None:
        self._credentials = credentials
        self._lock = threading.Lock()
        self._running: dict[CameraAddress, tuple[Ingest, int]] = {}

    def take(self, camera: CameraAddress, refused: Callable[[str, int], None]) -> Ingest:
        """The ingest of `camera`, started if nobody uses it yet. Give it back with `leave`. refused: see `Ingest`."""
        with self._lock:
            ingest, users = self._running.get(camera) or (Ingest(camera, refused, self._credentials), 0)
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


def _connected(place: tuple[str, int], seconds: float, _source: object = None) -> socket.socket:
    try:
        return ANYWHERE.connect(*place, seconds)
    except Outside as outside:
        raise SourceLost(f"the camera node's address {outside.detail}") from None


def _words(error: Exception) -> str:
    if isinstance(error, ConnectionRefusedError):
        return "the camera node refuses connections: is it running?"
    if isinstance(error, (TimeoutError, BlockingIOError)):  # the latter when the kernel kept the time
        return "the camera node does not answer"
    return f"connection to the camera node lost ({error or type(error).__name__})"
