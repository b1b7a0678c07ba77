"""A real compute node: single pictures, the original's addresses, and what bad cameras and callers do to it."""

from __future__ import annotations

import functools
import io
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import psutil
import pytest
import requests
from PIL import Image

from mesh.frame import Frame
from mesh.multipart import BOUNDARY, part
from tests.mesh.test_picture import jpeg_claiming, png_claiming
from tests.processes import Running, wait_for
from tests.rogue import RogueCamera
from tests.viewers import follow, node, session, watch

Start = Callable[..., Running]


@functools.cache  # cameras show them twenty times a second
def jpeg(width: int = 640, height: int = 480, shade: int = 90) -> bytes:
    return cv2.imencode(".jpg", np.full((height, width, 3), shade, np.uint8))[1].tobytes()


@pytest.fixture(scope="module")
def node_start(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Running, Running]]:
    """One registry and one compute node for the whole file; every test has cameras of its own."""
    from tests.processes import free_port  # noqa: PLC0415

    folder = tmp_path_factory.mktemp("node")
    registry = Running("registry", "--data", str(folder), port=free_port(), log=folder / "r.log")
    compute = Running(
        "compute", "--data", str(folder), "--registry", registry.url, "--algorithms", "echo,motion,qr,haar", "--slots",
        "3", "--threads", "20", port=free_port(), log=folder / "k.log",
    )  # fmt: skip
    try:
        registry.ready()
        compute.ready()
        listed = node(registry, "compute")
        wait_for(lambda: len(node(registry, "compute")["algorithm"]) == 4, 20, "all four algorithms")
        assert listed["slots"] == 3
        yield registry, compute
    finally:
        compute.stop()
        registry.stop()


def test_the_manifest_says_what_truly_loaded(node_start: tuple[Running, Running]) -> None:
    """Every entry has a path in the original's shape and a measured rate."""
    registry, compute = node_start
    listed = node(registry, "compute")
    assert [one["id"] for one in listed["algorithm"]] == ["echo", "motion", "qr", "haar"]
    for one in listed["algorithm"]:
        assert one["path"] == f"{one['id']}/image.jpg"
        assert one["fps"] > 0
    assert listed["url"] == compute.url


def test_how_the_machine_fares_is_listed(node_start: tuple[Running, Running]) -> None:
    """Its memory and processor in use, and that its clock is the registry's, where both are one machine."""
    registry, _ = node_start

    def known() -> dict[str, Any] | None:
        load: dict[str, Any] = node(registry, "compute")["load"]
        return load if {"ram_percent", "cpu_percent", "clock_skew"} <= load.keys() and load["cpu_percent"] else None

    load = wait_for(known, 10, "load")
    assert 0 < load["ram_percent"] < 100
    assert abs(load["clock_skew"]) < 0.5


def test_an_algorithm_that_cannot_load_is_left_out_with_its_reason(start: Start, tmp_path: Path) -> None:
    """A model that is not installed takes only its own algorithm away."""
    registry = start("registry").ready()
    compute = start(
        "compute", "--registry", registry.url, "--algorithms", "yolo,echo,nonsense", "--model", "yolox-nano"
    ).ready()
    wait_for(lambda: "yolo is not offered" in requests.get(compute.url, timeout=5).text, 20, "reason on the page")
    assert [one["id"] for one in node(registry, "compute")["algorithm"]] == ["echo"]
    answer = requests.post(f"{compute.url}/v1/detect/yolo", data=jpeg(), timeout=5)
    assert answer.status_code == 503
    assert "models pull yolox-nano" in answer.json()["detail"]


def test_a_picture_is_searched_as_body_and_as_form(node_start: tuple[Running, Running]) -> None:
    """Raw JPEG, raw PNG and a form give the same detections in the contract's shape."""
    _, compute = node_start
    png = io.BytesIO()
    Image.new("RGB", (640, 480)).save(png, "PNG")
    url = f"{compute.url}/v1/detect/echo"
    answers = [
        requests.post(url, data=jpeg(), headers={"Content-Type": "image/jpeg"}, timeout=5),
        requests.post(url, data=png.getvalue(), headers={"Content-Type": "image/png"}, timeout=5),
        requests.post(url, files={"image": ("a.jpg", jpeg(), "image/jpeg")}, timeout=5),
    ]
    for answer in answers:
        assert answer.status_code == 200, answer.text
        found = answer.json()
        assert (found["algorithm"], found["frame"]["width"], found["frame"]["height"]) == ("echo", 640, 480)
        assert found["objects"] == answers[0].json()["objects"]
    for one in answers[0].json()["objects"]:
        assert set(one) == {"label", "confidence", "box"}


def bomb() -> bytes:
    """A PNG of 500 megapixels of nothing, in 60 KB."""
    return png_claiming(25_000, 20_000) + b"\0" * 60_000


BAD_PICTURES = {
    "nothing": (b"", 415),
    "text": (b"hello" * 100, 415),
    "gif": (b"GIF89a" + b"\0" * 100, 415),
    "half a jpeg": (jpeg()[: len(jpeg()) // 2], 415),
    "a jpeg's header only": (jpeg()[:200], 415),
    "a cut-off png": (b"\x89PNG\r\n\x1a\n" + b"\0" * 50, 415),
    "a png without data": (png_claiming(100, 100), 415),
    "a jpeg that claims 60,000 pixels": (jpeg_claiming(60_000, 60_000), 413),
    "a decompression bomb": (bomb(), 413),
    "20 MB": (b"\xff\xd8" + b"\0" * 20_000_000, 413),
}


@pytest.mark.parametrize(("data", "status"), BAD_PICTURES.values(), ids=BAD_PICTURES.keys())
def test_a_bad_picture_is_refused_in_words_and_costs_no_memory(
    node_start: tuple[Running, Running], data: bytes, status: int
) -> None:
    """By size and header, before decoding; the node lives on."""
    _, compute = node_start
    worker = psutil.Process(compute.process.pid).children()[0]
    before = worker.memory_info().rss
    answer = requests.post(f"{compute.url}/v1/detect/echo", data=data, timeout=20)
    assert answer.status_code == status, answer.text
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.json()["detail"]
    assert worker.memory_info().rss - before < 100_000_000
    assert requests.post(f"{compute.url}/v1/detect/echo", data=jpeg(), timeout=5).status_code == 200


@pytest.mark.parametrize(
    ("path", "status", "words"),
    [
        ("/v1/detect/nonsense", 404, "echo"),
        ("/v1/detect/echo?confidence=2", 422, "confidence"),
        ("/v1/detect/echo?confidence=high", 422, "confidence"),
        ("/v1/detect/haar?labels=zebra", 422, "zebra"),
    ],
)
def test_a_wrong_question_is_answered_with_what_would_be_right(
    node_start: tuple[Running, Running], path: str, status: int, words: str
) -> None:
    """Unknown algorithms list the known ones; wrong parameters are named."""
    _, compute = node_start
    answer = requests.post(f"{compute.url}{path}", data=jpeg(), timeout=5)
    assert answer.status_code == status
    assert words in answer.json()["detail"]


def good_parts(rate: float = 20, first: int = 1) -> Iterator[bytes]:
    for number in range(first, 100_000):
        yield part(Frame(jpeg(shade=number % 200), number, time.time(), 640, 480))
        time.sleep(1 / rate)


def test_the_originals_address_streams_and_refuses_what_is_no_camera(node_start: tuple[Running, Running]) -> None:
    """`/{path}?height=&width=&downsample=&camera=` takes name, id and address of a registered camera, and no other."""
    registry, compute = node_start
    with RogueCamera(good_parts) as camera:
        camera.join(registry, "hall")
        node(registry, "camera", name="hall")
        host = camera.url.removeprefix("http://")
        for name in ("hall", "id-hall", camera.url, host, f"{camera.url}/image.jpg"):
            url = f"{compute.url}/echo/image.jpg?height=&width=320&downsample=1&camera={name}"
            frame = watch(url, 2)[0]
            with Image.open(io.BytesIO(frame.body)) as image:
                assert image.size == (320, 240)
        half = watch(f"{compute.url}/echo/image.jpg?camera=hall&downsample=2", 1)[0]
        with Image.open(io.BytesIO(half.body)) as image:
            assert image.size == (320, 240)
        for stranger in ("http://127.0.0.1:1/", "169.254.169.254", "file:///etc/passwd", "http://[::1", "%00"):
            answer = requests.get(f"{compute.url}/echo/image.jpg?camera={stranger}", timeout=5)
            assert answer.status_code == 404, answer.text
            assert "hall" in answer.json()["detail"]


@pytest.mark.parametrize(
    "query",
    [
        "width=0",
        "width=-5",
        "height=99999",
        "fps=0",
        "fps=-1",
        "fps=nan",
        "downsample=0",
        "width=ten",
        "width=1e999",
        "",
    ],
)
def test_absurd_sizes_and_rates_are_refused(node_start: tuple[Running, Running], query: str) -> None:
    """Each gets a 422 that names the parameter; `camera` is needed."""
    _, compute = node_start
    camera = "camera=hall&" if query else ""
    answer = requests.get(f"{compute.url}/echo/image.jpg?{camera}{query}", timeout=5)
    assert answer.status_code == 422, answer.text
    assert answer.json()["field"] == (query.partition("=")[0] or "camera")


def test_slots_are_kept_for_streams_without_a_session_too(node_start: tuple[Running, Running]) -> None:
    """Direct streams hold slots: the fourth of three is refused with 503, and nothing is overbooked."""
    registry, compute = node_start
    with RogueCamera(good_parts) as camera:
        camera.join(registry, "yard")
        node(registry, "camera", name="yard")
        wait_for(lambda: idle(compute), 20, "end of what other tests left running")
        held = [
            requests.get(f"{compute.url}/echo/image.jpg?camera=yard&width={width}", stream=True, timeout=10)
            for width in (100, 110, 120)
        ]
        assert [one.status_code for one in held] == [200] * 3
        answer = requests.get(f"{compute.url}/echo/image.jpg?camera=yard&width=130", timeout=10)
        assert answer.status_code == 503
        assert answer.headers["Retry-After"]

        wait_for(lambda: registry_sees_full(registry), 5, "word of the direct streams at the registry")
        body = {"camera": "yard", "algorithm": "echo", "width": 140}
        refused = requests.post(f"{registry.url}/v1/sessions", json=body, timeout=5)
        assert refused.status_code == 503
        assert refused.headers["Retry-After"]
        assert "full" in refused.json()["detail"]
        for one in held:
            one.close()
        made = session(registry, "yard", "echo", width=140)
        requests.delete(f"{registry.url}/v1/sessions/{made['session_id']}", timeout=5)


def idle(compute: Running) -> bool:
    """Whether nobody watches anything on the node and nothing runs."""
    text = requests.get(f"{compute.url}/metrics", timeout=5).text
    return "fogline_compute_pipelines 0.0" in text and "fogline_compute_viewers 0.0" in text


def registry_sees_full(registry: Running) -> bool:
    listed = requests.get(f"{registry.url}/v1/nodes?kind=compute", timeout=5).json()["nodes"]
    return [one["state"] for one in listed] == ["full"]


def nasty_parts() -> Iterator[bytes]:
    """Good frames with everything between them that a broken camera may send."""
    good = [part(Frame(jpeg(shade=n), n, time.time(), 640, 480)) for n in range(1, 200)]
    head = f"--{BOUNDARY}\r\nContent-Type: image/jpeg\r\n".encode()

    def wrapped(body: bytes) -> bytes:
        return head + f"Content-Length: {len(body)}\r\n\r\n".encode() + body + b"\r\n"

    nasty = [
        b"garbage\r\n" * 50,
        wrapped(b""),
        wrapped(b"not a picture"),
        wrapped(jpeg()[:1000]),
        wrapped(jpeg_claiming(60_000, 60_000)),
        wrapped(png_claiming(30_000, 30_000)),
        head + b"\r\n" + jpeg() + b"\r\n",  # no length
        # Too large, but soon over: while it comes there is no frame, and after 0.6 s without one viewers are told so.
        head + b"Content-Length: 17000000\r\n\r\n" + b"\0" * 17_000_000 + b"\r\n",
    ]
    for number in range(10_000):
        yield good[number % len(good)]
        yield nasty[number % len(nasty)]
        time.sleep(0.05)


def test_a_camera_that_sends_rubbish_between_frames_is_still_watched(node_start: tuple[Running, Running]) -> None:
    """Broken, huge and bombed pictures are skipped; good ones come through on one connection; memory is flat."""
    registry, compute = node_start
    with RogueCamera(nasty_parts) as camera:
        camera.join(registry, "broken")
        node(registry, "camera", name="broken")
        made = session(registry, "broken", "echo")
        watch(made["stream_url"], 10)
        worker = psutil.Process(compute.process.pid).children()[0]
        before = worker.memory_info().rss
        frames = watch(made["stream_url"], 60, 40)
        assert all("x-no-signal" not in one.headers for one in frames)
        assert camera.connections == 1
        assert worker.memory_info().rss - before < 80_000_000
        requests.delete(f"{registry.url}/v1/sessions/{made['session_id']}", timeout=5)


def test_a_camera_that_stalls_is_shown_as_such_and_connected_again(node_start: tuple[Running, Running]) -> None:
    """Silence on an open connection becomes words within seconds, then a new connection, then frames."""
    registry, _ = node_start
    stalled = threading.Event()

    def stall_once() -> Iterator[bytes]:
        if not stalled.is_set():
            stalled.set()
            for number, data in enumerate(good_parts()):
                yield data
                if number == 10:
                    time.sleep(60)
        yield from good_parts(first=500)

    with RogueCamera(stall_once) as camera:
        camera.join(registry, "sleepy")
        node(registry, "camera", name="sleepy")
        made = session(registry, "sleepy", "echo")
        reasons: list[Any] = []
        for one in follow(made["detections_url"], 40, 40):
            reasons.append(one.get("no_signal"))
        assert any(reasons), reasons
        assert reasons[-1] is None
        assert camera.connections == 2
        requests.delete(f"{registry.url}/v1/sessions/{made['session_id']}", timeout=5)


def test_viewers_that_never_read_leave_room_for_everybody_else(node_start: tuple[Running, Running]) -> None:
    """As many silent viewers as threads would allow and more: they hold no thread, and the node answers at once."""
    registry, compute = node_start
    with RogueCamera(good_parts) as camera:
        camera.join(registry, "busy")
        node(registry, "camera", name="busy")
        wait_for(lambda: idle(compute), 20, "end of what other tests left running")
        made = session(registry, "busy", "echo")
        silent = [requests.get(made["stream_url"], stream=True, timeout=20) for _ in range(30)]
        assert [one.status_code for one in silent] == [200] * 30
        began = time.monotonic()
        assert requests.get(f"{compute.url}/healthz", timeout=5).ok
        assert requests.get(made["snapshot_url"], timeout=5).ok
        assert time.monotonic() - began < 3
        for one in silent:
            one.close()
        requests.delete(f"{registry.url}/v1/sessions/{made['session_id']}", timeout=5)


def test_a_session_that_ends_ends_its_streams(node_start: tuple[Running, Running]) -> None:
    """DELETE at the registry closes the viewers within seconds and frees the slot."""
    registry, _ = node_start
    with RogueCamera(good_parts) as camera:
        camera.join(registry, "gate")
        node(registry, "camera", name="gate")
        made = session(registry, "gate", "echo")
        with requests.get(made["stream_url"], stream=True, timeout=10) as answer:
            body = answer.iter_content(4096)
            next(body)
            assert requests.delete(f"{registry.url}/v1/sessions/{made['session_id']}", timeout=5).status_code < 300
            deadline = time.monotonic() + 6
            for _ in body:
                assert time.monotonic() < deadline
        answer = requests.get(made["stream_url"], timeout=10)
        assert answer.status_code == 404


def test_an_unknown_session_is_refused_with_the_stable_address(node_start: tuple[Running, Running]) -> None:
    """A node serves what the registry gave it, and nothing else."""
    _, compute = node_start
    answer = requests.get(f"{compute.url}/v1/sessions/no-such/stream", timeout=10)
    assert answer.status_code == 404
    assert "registry" in answer.json()["detail"]


def test_a_node_stops_quickly_with_viewers_watching(start: Start, tmp_path: Path) -> None:
    """SIGTERM with an open stream: gone from the registry at once, and the process within seconds."""
    registry = start("registry").ready()
    compute = start("compute", "--registry", registry.url, "--algorithms", "echo", data=tmp_path / "k").ready()
    with RogueCamera(good_parts) as camera:
        camera.join(registry, "last")
        node(registry, "camera", name="last")
        node(registry, "compute")
        made = session(registry, "last", "echo")
        with requests.get(made["stream_url"], stream=True, timeout=10) as answer:
            next(answer.iter_content(4096))
            assert compute.stop() < 5
        listed = requests.get(f"{registry.url}/v1/nodes?kind=compute", timeout=5).json()["nodes"]
        assert listed == []
