"""RTSP cameras: their pictures, their reasons, and their coming back."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from camera_node import jpeg
from camera_node.intake import Intake
from camera_node.metrics import Metrics
from camera_node.sources.base import SourceOptions
from camera_node.sources.rtsp import RtspSource
from mesh.errors import SourceLost
from tests.camera_node.pictures import array, picture, size
from tests.camera_node.rtsp_server import RtspCamera
from tests.camera_node.viewer import no_signal, parts
from tests.camera_node.web_server import WebCamera, still
from tests.processes import Running, wait_for


@pytest.fixture
def rtsp() -> Iterator[RtspCamera]:
    with RtspCamera([picture(640, 368, seed=n) for n in range(3)]) as camera:
        yield camera


def test_pictures(rtsp: RtspCamera) -> None:
    """Frames arrive within a second or two, look like what was sent, and keep the camera's pace."""
    source = RtspSource(f"rtsp://127.0.0.1:{rtsp.port}/live", SourceOptions())
    metrics = Metrics()
    intake = Intake(90, lambda: metrics.encoding("source"))
    try:
        source.open()
        got = [intake.take(source.read()) for _ in range(3)]
        before = rtsp.sent  # by the camera's own count: a busy machine slows it down as well
        for _ in range(20):
            source.read()
        assert 10 < rtsp.sent - before < 50
    finally:
        source.close()
    first = intake.encode(got[0])
    seen = jpeg.decode_at_least(first, 640, 368).astype(int)
    assert size(first) == (640, 368)
    assert min(np.abs(seen - array(640, 368, seed=n)[:, :, :]).mean() for n in range(3)) < 6
    assert (metrics.registry.get_sample_value("fogline_camera_encode_seconds_count", {"what": "source"}) or 0) == 0, (
        "an RTSP camera's JPEG is passed on without decoding"
    )


def test_reasons(rtsp: RtspCamera) -> None:
    """Why a stream cannot be had is said in words, without the password."""

    def reason(address: str) -> str:
        source = RtspSource(address, SourceOptions())
        with pytest.raises(SourceLost) as error:
            source.open()
        source.close()
        assert "hunter2" not in error.value.detail
        return error.value.detail

    place = f"127.0.0.1:{rtsp.port}"
    assert "no such stream" in reason(f"rtsp://op:hunter2@{place}/other")
    with RtspCamera([picture(64, 64)], password=True) as locked:
        place = f"127.0.0.1:{locked.port}"
        assert "asks for a user name" in reason(f"rtsp://{place}/live")
        assert "does not accept" in reason(f"rtsp://op:hunter2@{place}/live")
        source = RtspSource(f"rtsp://op:secret@{place}/live", SourceOptions())
        source.open()
        source.read()
        source.close()
    assert "refuses connections" in reason(f"rtsp://op:hunter2@{place}/live")


def test_stall_and_strangers(rtsp: RtspCamera, monkeypatch: pytest.MonkeyPatch) -> None:
    """A camera that stops sending, and a server that is no camera, are given up in bounded time."""
    monkeypatch.setattr("camera_node.sources.rtsp.READ_TIMEOUT", 1000)
    monkeypatch.setattr("camera_node.sources.rtsp.OPEN_TIMEOUT", 1500)
    monkeypatch.setattr("camera_node.sources.rtsp._PROBE_TIMEOUT", 0.5)
    source = RtspSource(f"rtsp://127.0.0.1:{rtsp.port}/live", SourceOptions())
    source.open()
    source.read()
    rtsp.stall.set()
    began = time.monotonic()
    with pytest.raises(SourceLost, match="ended or stalled"):
        all(source.read() for _ in itertools.count())  # what had come before is read first, however much it is
    assert time.monotonic() - began < 3
    source.close()
    for behave in (still(lambda _n: picture()), lambda request: request.running(10)):
        with WebCamera(behave) as web:
            source = RtspSource(f"rtsp://127.0.0.1:{web.port}/live", SourceOptions())
            began = time.monotonic()
            with pytest.raises(SourceLost, match="does not speak RTSP"):
                source.open()
            assert time.monotonic() - began < 4
            source.close()


def test_through_the_node(camera: Callable[..., Running]) -> None:
    """The node shows the stream, says why when the camera goes, and shows it again when it is back; the password is
    in no log and no picture's words."""
    web = RtspCamera([picture(640, 368, seed=n) for n in range(3)], password=True).on()
    node = camera(f"rtsp://op:secret@127.0.0.1:{web.port}/live")
    wait_for(lambda: no_signal(node.url) is None, 10, "picture")
    stream = parts(f"{node.url}/stream.jpg", 40)
    numbers = [int(next(stream).headers["x-frame"]) for _ in range(5)]
    web.off()
    reason = wait_for(lambda: no_signal(node.url), 12, "no signal")
    assert "secret" not in reason
    wait_for(lambda: "refuses connections" in (no_signal(node.url) or "") or None, 12, "the reason")
    web.on()
    wait_for(lambda: no_signal(node.url) is None, 15, "picture again")
    for part in stream:
        numbers.append(int(part.headers["x-frame"]))
        if "x-no-signal" not in part.headers and numbers[-1] > numbers[4] + 3:
            break
    web.off()
    assert numbers == sorted(set(numbers))
    assert "secret" not in node.log()
