"""The camera node's calls, on a node in a process of its own."""

from __future__ import annotations

import itertools
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import requests

from tests.camera_node.conftest import camera_node, three_pictures
from tests.camera_node.pictures import picture, size
from tests.camera_node.viewer import metric, no_signal, parts
from tests.camera_node.web_server import WebCamera, mjpeg
from tests.processes import Running, wait_for


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pictures of `node`."""
    return three_pictures(tmp_path_factory.mktemp("service") / "pictures")


@pytest.fixture(scope="module")
def node(folder: Path) -> Iterator[Running]:
    """A camera with pictures of 640 × 360 at 10 a second, for all tests here."""
    with camera_node(folder.parent, str(folder), "--fps", "10", "--name", "line & 3") as running:
        wait_for(lambda: no_signal(running.url) is None, 5, "picture")
        yield running


WRONG = [
    *((name, value) for name in ("width", "height") for value in ("0", "-1", "8193", "1.5", "wide", "nan")),
    *(("quality", value) for value in ("0", "101", "-5", "best")),
    *(("downsample", value) for value in ("0", "-2", "65", "x")),
]


def test_calls(node: Running, folder: Path) -> None:
    """Pictures, stamps, parameters right and wrong, and what every service has."""
    answer = requests.get(f"{node.url}/image.jpg", timeout=5)
    assert answer.content in {file.read_bytes() for file in folder.iterdir()}, "passed on byte for byte"
    assert answer.headers["Content-Type"] == "image/jpeg"
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert answer.headers["Cache-Control"] == "no-store"
    assert abs(float(answer.headers["X-Timestamp"]) - time.time()) < 5
    assert int(answer.headers["X-Frame"]) > 0
    assert "X-No-Signal" not in answer.headers

    head = requests.head(f"{node.url}/image.jpg", timeout=5)
    assert (head.status_code, head.content) == (200, b"")
    assert "X-Frame" in head.headers
    head = requests.head(f"{node.url}/stream.jpg", timeout=5)
    assert head.headers["Content-Type"].startswith("multipart/x-mixed-replace")
    assert metric(node.url, "fogline_camera_viewers") == 0

    for query, expected in (
        ("width=320", (320, 180)),
        ("height=90&width=", (160, 90)),
        ("height=480&width=640&downsample=", (640, 360)),
        ("downsample=4", (160, 90)),
        ("quality=10", (640, 360)),
        ("width=8192", (640, 360)),
        ("nonsense=1", (640, 360)),
    ):
        assert size(requests.get(f"{node.url}/image.jpg?{query}", timeout=5).content) == expected, query

    for path, wrong in (("image.jpg", WRONG), ("stream.jpg", [*WRONG, ("fps", "0"), ("fps", "-1"), ("fps", "241")])):
        for name, value in wrong:
            answer = requests.get(f"{node.url}/{path}?{name}={value}", timeout=5)
            assert answer.status_code == 422, (path, name, value)
            assert answer.headers["Content-Type"] == "application/problem+json"
            assert answer.json()["field"] == name
    for value in ("nan", "inf", "-inf", "99999999999999999999999999"):
        answer = requests.get(f"{node.url}/stream.jpg?fps={value}&width={value}", timeout=5)
        assert answer.status_code == 422, value

    page = requests.get(node.url, timeout=5)
    assert "stream.jpg" in page.text
    assert "line &amp; 3" in page.text
    assert "640 × 360" in page.text
    assert requests.get(f"{node.url}/healthz", timeout=5).json()["status"] == "ok"
    assert requests.get(f"{node.url}/readyz", timeout=5).ok
    described = requests.get(f"{node.url}/openapi.json", timeout=5).json()
    assert {"/", "/image.jpg", "/stream.jpg", "/healthz", "/metrics"} <= set(described["paths"])
    assert requests.get(f"{node.url}/nothing", timeout=5).status_code == 404


def test_every_picture_comes_once_and_in_order(camera: Callable[..., Running]) -> None:
    """The camera takes each when the viewer has the one before, or after two seconds: a node that is late leaves out
    what it had no time for."""
    may = threading.Semaphore(1)

    def pictures(number: int) -> bytes:
        may.acquire(timeout=2)
        return picture(seed=number)

    with WebCamera(mjpeg(pictures)) as web:
        node = camera(f"http://{web.host}/")
        wait_for(lambda: no_signal(node.url) is None, 5, "picture")
        got = []
        for part in itertools.islice(parts(f"{node.url}/stream.jpg", 30), 8):
            got.append(part)
            may.release()
    first = [picture(seed=number) for number in range(30)].index(got[0].body)
    assert [part.body for part in got] == [picture(seed=first + number) for number in range(8)]
    numbers = [int(part.headers["x-frame"]) for part in got]
    assert numbers == list(range(numbers[0], numbers[0] + 8))


def test_stream(node: Running, folder: Path) -> None:
    """The stream passes on the pictures as they are; fps caps it, and a size is honoured."""
    originals = {file.read_bytes() for file in folder.iterdir()}
    assert {part.body for part in itertools.islice(parts(f"{node.url}/stream.jpg"), 8)} == originals

    began = time.monotonic()
    slow = list(itertools.islice(parts(f"{node.url}/stream.jpg?fps=4&height=90&width="), 5))
    assert time.monotonic() - began > 0.9
    assert {size(part.body) for part in slow} == {(160, 90)}


def test_before_the_first_picture(camera: Callable[..., Running]) -> None:
    """A source that only listens blocks nothing: the node answers, and soon with a picture that says what it does."""
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        node = camera(f"http://127.0.0.1:{silent.getsockname()[1]}/x")
        assert "connecting" in wait_for(lambda: no_signal(node.url), 6, "picture")


def test_encoded_once_for_many_viewers(camera: Callable[..., Running]) -> None:
    """Twelve viewers of one size cost one encoding a frame, those of the whole picture none."""
    with WebCamera(mjpeg(lambda n: picture(640, 360, seed=n), fps=10)) as web:
        node = camera(f"http://{web.host}/")
        wait_for(lambda: no_signal(node.url) is None, 5, "picture")
        captured = metric(node.url, "fogline_camera_frames_captured_total")
        small = [parts(f"{node.url}/stream.jpg?width=160", 30) for _ in range(12)]
        whole = [parts(f"{node.url}/stream.jpg", 30) for _ in range(4)]
        seen = {next(stream).headers["x-frame"] for stream in small}
        for stream in whole:
            next(stream)
        assert metric(node.url, "fogline_camera_viewers") == 16
        for _ in range(15):
            seen |= {next(stream).headers["x-frame"] for stream in small}
            for stream in whole:
                next(stream)
        # Since before the first of them: what was captured while one figure is asked for after the other counts, too.
        encoded = metric(node.url, "fogline_camera_encode_seconds_count", what="variant")
        captured = metric(node.url, "fogline_camera_frames_captured_total") - captured
        assert 16 <= len(seen) <= encoded <= captured + 1
        assert metric(node.url, "fogline_camera_encode_seconds_count", what="source") == 0
        for stream in (*small, *whole):
            stream.close()  # type: ignore[attr-defined]
        wait_for(lambda: metric(node.url, "fogline_camera_viewers") == 0, 5, "viewers gone")


def _stalled(node: Running, viewers: int) -> list[socket.socket]:
    """Viewers that ask for the stream and read nothing."""
    opened = []
    for _ in range(viewers):
        viewer = socket.socket()
        viewer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        viewer.connect(("127.0.0.1", node.port))
        viewer.sendall(b"GET /stream.jpg HTTP/1.1\r\nHost: localhost\r\n\r\n")
        opened.append(viewer)
    return opened


def test_viewers_that_never_read(camera: Callable[..., Running]) -> None:
    """They leave threads for the others, one more viewer is told to come back later, they are cut in the end without
    holding up anybody, and the node stops in time with them on the line."""
    pictures = [picture(1280, 720, seed=n) for n in range(20)]  # made before: they have to fill what the kernel buffers
    with WebCamera(mjpeg(lambda n: pictures[n % 20], fps=20)) as web:
        node = camera(f"http://{web.host}/", "--threads", "12", "--fanout", "threads")
        wait_for(lambda: no_signal(node.url) is None, 5, "picture")
        good = parts(f"{node.url}/stream.jpg", 90)
        next(good)
        idle = _stalled(node, 3)
        wait_for(lambda: metric(node.url, "fogline_camera_viewers") == 4, 5, "four viewers")
        for viewer in _stalled(node, 6):
            answer = viewer.recv(200)
            assert b"503" in answer.split(b"\r\n")[0]
            viewer.close()
        refused = requests.get(f"{node.url}/stream.jpg", timeout=5)
        assert refused.status_code == 503
        assert refused.headers["Retry-After"]

        worst = 0.0
        deadline = time.monotonic() + 60  # the kernel's buffers fill as slowly as a busy machine's pictures come
        while metric(node.url, "fogline_camera_viewers_evicted_total") < 3 and time.monotonic() < deadline:
            began = time.monotonic()
            assert requests.get(f"{node.url}/healthz", timeout=5).ok
            worst = max(worst, time.monotonic() - began)
            next(good)
        assert metric(node.url, "fogline_camera_viewers_evicted_total") == 3
        wait_for(lambda: metric(node.url, "fogline_camera_viewers") == 1, 5, "the good viewer alone")
        assert worst < 1.0
        for viewer in idle:
            viewer.close()
        idle = _stalled(node, 3)
        wait_for(lambda: metric(node.url, "fogline_camera_viewers") == 4, 5, "four viewers again")
        assert node.stop() < 3.5
        for viewer in idle:
            viewer.close()


def test_port_taken(start: Callable[..., Running], node: Running) -> None:
    """A port that was asked for and is taken is said in one sentence."""
    second = start("camera", "--source", "demo:", "--port", str(node.port))
    assert second.process.wait(20) == 1
    assert f"port {node.port} on 127.0.0.1 is taken" in second.log()
    assert "Traceback" not in second.log()


def test_setup_problems(start: Callable[..., Running]) -> None:
    """What can never work is said at once, in one sentence that names the option."""
    for arguments, words in (
        (("--source", "rstp://10.0.0.5/x"), "unknown kind of source 'rstp:'"),
        (("--name", "a<b>"), "--name (FOGLINE_NAME)"),
        (("--quality", "0"), "--quality (FOGLINE_QUALITY)"),
        (("--registry", "10.0.0.5"), "--registry (FOGLINE_REGISTRY)"),
    ):
        node = start("camera", *(() if "--source" in arguments else ("--source", "0")), *arguments)
        assert node.process.wait(20) == 1
        assert words in node.log()
        assert "Traceback" not in node.log()


def test_logs_are_lines_of_json(node: Running) -> None:
    """Every line that the node writes is a JSON object with the camera's name."""
    lines = [line for line in node.log().splitlines() if line]
    assert lines
    assert {json.loads(line)["service"] for line in lines} == {"camera"}
