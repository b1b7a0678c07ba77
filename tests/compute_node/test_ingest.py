"""Reading a camera node: stalls, restarts, stills, and what is passed over."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import cv2
import numpy as np
import pytest

from compute_node import ingest as module
from compute_node.ingest import Ingest
from compute_node.order import BELIEVED, Order
from mesh.frame import Frame, Stamps
from mesh.multipart import BOUNDARY, part
from mesh.wire import CameraAddress
from tests.processes import wait_for
from tests.rogue import RogueCamera

JPEG = cv2.imencode(".jpg", np.full((48, 64, 3), 90, np.uint8))[1].tobytes()
START = 1700000000.0


@contextmanager
def reading(url: str) -> Iterator[Ingest]:
    ingest = Ingest(CameraAddress(node_id="a", name="a", url=url))
    try:
        yield ingest
    finally:
        ingest.stop()
        ingest._thread.join(5)
        assert not ingest._thread.is_alive(), "a read under way outlived its end"


def numbered(first: int, last: int) -> Iterator[bytes]:
    for number in range(first, last + 1):
        yield part(Frame(JPEG, number, START + number, 64, 48))
        time.sleep(0.005)


def rest() -> None:
    """The camera keeps the connection open and sends nothing."""
    time.sleep(3)


def test_an_address_that_no_resolver_takes_becomes_a_reason() -> None:
    """The thread that reads a camera outlives it, says why, and goes on trying."""
    with reading(f"http://{'a' * 80}:5000") as ingest:
        wait_for(lambda: ingest.problem != "connecting", 5, "reason")
        wait_for(lambda: ingest.reconnects >= 2, 5, "second try")


def test_a_stall_is_said_and_connected_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Within the limit, in words; frames of the new connection come with their camera's numbers."""
    monkeypatch.setattr(module, "STALL_TIMEOUT", 1.0)
    calls: list[float] = []
    read = threading.Event()  # the words for the stall: they stand until frames come again

    def chunks() -> Iterator[bytes]:
        calls.append(time.monotonic())
        if len(calls) == 1:
            yield from numbered(1, 5)
            time.sleep(10)
        read.wait(5)
        yield from numbered(100, 110)
        while True:  # the last one again and again, which is passed over: silence would be the next stall
            yield from numbered(110, 110)

    with RogueCamera(chunks) as camera, reading(camera.url) as ingest:
        wait_for(lambda: ingest.taken == 5, 5, "first frames")
        wait_for(lambda: ingest.problem == "the camera node does not answer", 3, "words for the stall")
        read.set()
        picture = wait_for(lambda: newest(ingest, 110), 5, "frames of the second connection")
        assert picture.sequence == 110
        assert ingest.problem is None
        assert calls[1] - calls[0] < 5


def newest(ingest: Ingest, sequence: int) -> Frame | None:
    picture, _ = ingest.frames.get()
    return picture.frame if picture is not None and picture.frame.sequence == sequence else None


def test_an_old_frame_is_never_shown_as_new() -> None:
    """A camera that repeats its last frames: they are passed over and counted, and newer ones go on."""

    def chunks() -> Iterator[bytes]:
        yield from numbered(1, 6)
        yield from numbered(3, 6)
        yield from numbered(7, 8)
        rest()

    told: list[str] = []
    with RogueCamera(chunks) as camera:
        ingest = Ingest(CameraAddress(node_id="a", name="a", url=camera.url), lambda reason, _many: told.append(reason))
        wait_for(lambda: newest(ingest, 8), 5, "last frame")
        ingest.stop()
        assert ingest.taken == 8
        assert ingest.refused == {"old": 4}
        assert told == ["old"] * 4


def test_the_order_of_a_restarted_camera_is_believed() -> None:
    """Numbers begin anew and time goes on: at once. With its clock set back: once its old frames have been the only
    ones for a while. Ours only go up, and gaps stay."""
    order = Order()

    def came(sequence: int, at: float, now: float) -> int | None:
        return order.number(Stamps(captured_at=at, sequence=sequence), now)

    assert [came(10, 100.0, 0), came(12, 101.0, 1), came(12, 101.0, 1), came(11, 100.5, 1)] == [10, 12, None, None]
    assert [came(1, 102.0, 2), came(2, 103.0, 3), came(5, 104.0, 4)] == [13, 14, 17]
    back = [came(number, 10.0 + number / 10, 5 + number / 10) for number in range(1, 5)]
    assert back == [None] * 4
    first = came(40, 14.0, 5.1 + BELIEVED)
    second = came(41, 14.1, 5.2 + BELIEVED)
    assert first is not None
    assert first > 17
    assert second == first + 1
    assert [order.number(Stamps(), 9.0), order.number(Stamps(), 9.1)] == [first + 2, first + 3]


def test_everything_that_is_passed_over_is_counted_by_reason() -> None:
    """And every good frame between comes through, on one connection."""
    head = f"--{BOUNDARY}\r\nContent-Type: image/jpeg\r\n".encode()

    def wrapped(body: bytes) -> bytes:
        return head + f"Content-Length: {len(body)}\r\n\r\n".encode() + body + b"\r\n"

    nasty = [
        b"noise" * 9 + b"\r\n",
        wrapped(b""),
        wrapped(b"no picture"),
        wrapped(JPEG[:300]),
        wrapped(b"\0" * 30_000_000),
    ]

    def chunks() -> Iterator[bytes]:
        for number, bad in enumerate(nasty, start=1):
            yield part(Frame(JPEG, number, START + number, 64, 48))
            yield bad
        yield from numbered(9, 10)  # what came before a frame is counted once that frame is taken
        rest()

    with RogueCamera(chunks) as camera, reading(camera.url) as ingest:
        wait_for(lambda: newest(ingest, 10), 20, "last frame")
        assert ingest.taken == len(nasty) + 2
        assert ingest.refused == {"garbage": 1, "empty": 1, "unusable": 1, "cut off": 1, "too large": 1}
        assert camera.connections == 1
        assert ingest.problem is None


class Web:
    """A web server whose answers a test gives: `answer(handler)`; counts its connections."""

    def __init__(self, answer: Callable[[BaseHTTPRequestHandler], None]) -> None:
        web = self
        self.connections = 0

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self) -> None:
                super().setup()
                web.connections += 1

            def do_GET(self) -> None:
                try:
                    answer(self)
                except OSError:
                    self.close_connection = True

            def log_message(self, *_arguments: object) -> None:
                """Nothing: the test says what matters."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Web:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self._server.shutdown()
        self._server.server_close()


def test_a_camera_without_a_stream_is_polled_over_one_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    """One connection for the question about a stream, one for all stills."""
    monkeypatch.setattr(module, "POLL_PERIOD", 0.01)

    def answer(handler: BaseHTTPRequestHandler) -> None:
        still = handler.path == "/image.jpg"
        body = JPEG if still else b"nothing here"
        handler.send_response(200 if still else 404)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    with Web(answer) as web, reading(web.url) as ingest:
        wait_for(lambda: ingest.taken >= 20, 10, "twenty stills")
        assert ingest.problem is None
        assert web.connections == 2


def test_a_stream_in_chunks_is_read() -> None:
    """As servers that speak HTTP/1.1 may send it."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Type", f"multipart/x-mixed-replace; boundary={BOUNDARY}")
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        for data in numbered(1, 20):
            for piece in (data[:100], data[100:]):
                handler.wfile.write(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
        rest()

    with Web(answer) as web, reading(web.url) as ingest:
        wait_for(lambda: newest(ingest, 20), 10, "last frame")
        assert ingest.taken == 20
        assert ingest.refused == {}
