"""What viewers do to a camera node, and what it does to them: through the fan-out and with a thread each."""

from __future__ import annotations

import itertools
import re
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import psutil
import pytest
import requests

from mesh.multipart import Reader
from tests.camera_node.conftest import camera_node
from tests.camera_node.pictures import picture, size
from tests.camera_node.viewer import metric, no_signal, parts
from tests.camera_node.web_server import WebCamera, mjpeg
from tests.processes import Running, wait_for
from tests.viewers import Swarm, ask

Camera = Callable[..., Running]
RATE = 20  # frames a second of the cameras here


@pytest.fixture(scope="module")
def lives(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Running]]:
    """Two cameras of 20 fps with pictures of 1280 × 720, of about 30 KB, for all tests here: by which way their streams
    go."""
    data = [picture(1280, 720, seed=n) for n in range(5)]
    with ExitStack() as stack:
        web = stack.enter_context(WebCamera(mjpeg(lambda n: data[n % 5], fps=RATE)))
        made = {}
        for way in ("auto", "threads"):
            words = (f"http://{web.host}/", "--fanout", way, "--threads", "300")
            made[way] = stack.enter_context(camera_node(tmp_path_factory.mktemp(way), *words))
        for node in made.values():
            wait_for(lambda url=node.url: no_signal(url) is None, 5, "picture")  # type: ignore[misc]
        yield made


@pytest.fixture(params=["auto", "threads"])
def live(request: pytest.FixtureRequest, lives: dict[str, Running]) -> Running:
    """One of them."""
    return lives[request.param]


def worker(node: Running) -> psutil.Process:
    return psutil.Process(node.process.pid).children()[0]


def handed_over(node: Running) -> bool:
    command = node.process.args
    return isinstance(command, list) and "auto" in command


def captured_of(node: Running) -> float:
    return metric(node.url, "fogline_camera_frames_captured_total")


def viewers(node: Running) -> float:
    return metric(node.url, "fogline_camera_viewers")


def test_parts_come_whole_in_order_and_with_their_stamps(live: Running) -> None:
    """Every part has its length and stamps, none comes twice, and the metrics count them."""

    def counted() -> list[float]:
        stages = [metric(live.url, "fogline_camera_stage_seconds_count", stage=one) for one in ("capture", "send")]
        return [metric(live.url, "fogline_camera_frames_sent_total"), *stages]

    def since() -> list[float]:
        return [now - then for then, now in zip(before, counted(), strict=True)]

    before = counted()
    got = list(itertools.islice(parts(f"{live.url}/stream.jpg"), 20))
    numbers = [int(part.headers["x-frame"]) for part in got]
    assert numbers == sorted(set(numbers))
    assert all(abs(float(part.headers["x-timestamp"]) - time.time()) < 5 for part in got)
    assert {size(part.body) for part in got} == {(1280, 720)}
    wait_for(lambda: since()[0] >= 20, 5, "count of the parts")  # which comes after a part is out
    assert min(since()[1:]) >= 10
    wait_for(lambda: viewers(live) == 0, 5, "viewer gone")


def test_a_cap_and_a_size_hold_for_one_viewer_and_not_for_others(live: Running) -> None:
    """`fps=5` gets about a quarter of the frames in the size it asked for, beside one who gets all that there
    are: on a busy machine fewer than the nominal rate."""
    with Swarm(live.port, "/stream.jpg", 1) as everything:
        began = time.monotonic()
        before = everything.parts()[0]
        captured = captured_of(live)
        slow = list(itertools.islice(parts(f"{live.url}/stream.jpg?fps=5&width=160"), 10))
        took = time.monotonic() - began
        captured = captured_of(live) - captured
        all_of_them = everything.parts()[0] - before
    assert {size(part.body) for part in slow} == {(160, 90)}
    numbers = [int(part.headers["x-frame"]) for part in slow]
    assert numbers == sorted(set(numbers))
    assert 9 / took < 5.5
    assert all_of_them > 0.8 * captured


def test_viewers_that_read_nothing_or_a_byte_a_second_cost_the_others_nothing(lives: dict[str, Running]) -> None:
    """They are cut after ten seconds, others keep the camera's rate meanwhile, and memory stays flat: both ways, at
    the same time."""
    with ThreadPoolExecutor() as both:
        list(both.map(stuck_viewers, lives.values()))


def stuck_viewers(live: Running) -> None:
    """What happens to two dozen of them, beside four good ones."""

    def evicted() -> float:
        return metric(live.url, "fogline_camera_viewers_evicted_total")

    def missed() -> float:
        return metric(live.url, "fogline_camera_frames_dropped_total", reason="viewer busy")

    wait_for(lambda: viewers(live) == 0, 5, "nobody")
    earlier, missed_before = evicted(), missed()
    with Swarm(live.port, "/stream.jpg", 4) as good:
        wait_for(lambda: min(good.parts()) > 5, 10, "pictures")
        memory = worker(live).memory_info().rss
        stuck = [ask(live.port, "/stream.jpg", receive=4096) for _ in range(24)]
        trickle = stuck[:4]
        began, before = time.monotonic(), good.parts()
        captured = captured_of(live)
        while evicted() - earlier < 24:
            # Ten seconds after the system's buffers are full, which a busy machine's fewer pictures take longer to do.
            assert time.monotonic() - began < 60, "they must be cut"
            time.sleep(1)
            for one in trickle:
                try:
                    one.recv(1)
                except OSError:
                    continue
        # Held against what the camera truly captured meanwhile: a busy machine captures less than its nominal rate.
        captured = captured_of(live) - captured
        assert min(b - a for a, b in zip(before, good.parts(), strict=True)) > 0.9 * captured
        assert worker(live).memory_info().rss - memory < 25_000_000
        if handed_over(live):  # a thread that is stuck counts what its viewer missed when it goes on
            assert missed() > missed_before
        for one in stuck:
            one.close()
        wait_for(lambda: viewers(live) == 4, 5, "only the good viewers")


def test_two_hundred_viewers_leave_at_once(live: Running) -> None:
    """All calls are answered while they watch, and afterwards threads, descriptors and CPU are as before."""
    assert requests.get(f"{live.url}/healthz", timeout=5).ok
    process = worker(live)
    wait_for(lambda: viewers(live) == 0, 5, "nobody")
    files = process.num_fds()
    with Swarm(live.port, "/stream.jpg", 200) as many:
        wait_for(lambda: min(many.parts()) > 3, 20, "pictures for everybody")
        assert viewers(live) == 200
        for path in ("healthz", "image.jpg", "", "metrics"):
            assert requests.get(f"{live.url}/{path}", timeout=5).ok
        many.leave()
        wait_for(lambda: viewers(live) == 0, 5, "all gone")
    wait_for(lambda: process.num_fds() <= files + 4, 5, "descriptors closed")
    used = sum(process.cpu_times()[:2])
    time.sleep(2)
    assert sum(process.cpu_times()[:2]) - used < 0.6, "a camera that nobody watches idles"


def test_a_viewer_that_says_too_much_is_cut_and_one_that_chats_is_not(live: Running) -> None:
    """Bytes that a viewer sends are nothing to the stream; by the fan-out a flood of them ends it."""
    chatty = ask(live.port, "/stream.jpg")
    reader, got = Reader(), 0
    for _ in range(40):
        chatty.sendall(b"hello")
        got += sum(1 for _ in reader.feed(chatty.recv(65536)))
    assert got > 0
    chatty.close()
    wait_for(lambda: viewers(live) == 0, 5, "gone")


def test_streams_end_cleanly_with_the_service(live: Running) -> None:
    """Whole parts until the end, then the end: no half picture; and the service is gone in time.

    The last on that camera.
    """
    wait_for(lambda: viewers(live) == 0, 5, "nobody")
    streams = [ask(live.port, "/stream.jpg") for _ in range(10)]
    idle = [ask(live.port, "/stream.jpg", receive=4096) for _ in range(10)]
    wait_for(lambda: viewers(live) == 20, 5, "viewers")
    begun = [one.recv(1 << 16) for one in streams]  # a stream that has not begun is refused, which is another test
    assert live.stop() < 4.5
    for one, first in zip(streams, begun, strict=True):
        data = first
        while chunk := one.recv(1 << 16):
            data += chunk
        head, _, body = data.partition(b"\r\n\r\n")
        assert b" 200 " in head.split(b"\r\n")[0]
        if b"chunked" not in head:
            assert body.endswith(b"\xff\xd9\r\n"), "a part was cut in two"
            assert len(re.findall(rb"X-Frame: ", body)) == body.count(b"\xff\xd9\r\n")
    for one in (*streams, *idle):
        one.close()


def test_a_viewer_that_goes_is_noticed_without_a_picture(camera: Camera, tmp_path: Path) -> None:
    """A camera of one picture every 20 s: who closes, or resets, is gone at once."""
    folder = tmp_path / "still"
    folder.mkdir()
    (folder / "a.jpg").write_bytes(picture())
    node = camera(str(folder), "--fps", "0.05")
    gone = [ask(node.port, "/stream.jpg") for _ in range(6)]
    wait_for(lambda: viewers(node) == 6, 5, "six viewers")
    for number, one in enumerate(gone):
        if number % 2:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        one.close()
    wait_for(lambda: viewers(node) == 0, 2, "nobody")


def test_the_limit_of_open_files_is_raised_at_the_start(camera: Camera, folder: Path) -> None:
    """Each viewer is a file: the process allows itself what the system allows it."""
    node = camera(str(folder), "--fps", "5")
    soft, hard = worker(node).rlimit(psutil.RLIMIT_NOFILE)
    assert soft == hard


def test_pictures_that_nobody_wants_are_not_encoded(camera: Camera) -> None:
    """The demo gives arrays: one JPEG for the first picture, one for each still that is asked for, and one a frame
    only while somebody watches."""
    from mesh.settings import DATA  # noqa: PLC0415

    if not (DATA / "media" / "demo").is_dir():
        pytest.skip("the demo's photographs are not installed: run the tests by ./fogline test")
    node = camera("demo:", environment={"FOGLINE_DATA": str(DATA)})
    node_data = requests.get(f"{node.url}/image.jpg", timeout=5)
    if "X-No-Signal" in node_data.headers:
        pytest.skip("the demo's photographs are not in this data folder")

    def encoded() -> float:
        return metric(node.url, "fogline_camera_encode_seconds_count", what="source")

    before, captured = encoded(), metric(node.url, "fogline_camera_frames_captured_total")
    wait_for(lambda: metric(node.url, "fogline_camera_frames_captured_total") > captured + 10, 5, "frames")
    assert encoded() == before
    first = requests.get(f"{node.url}/image.jpg", timeout=5)
    assert size(first.content) == (1280, 720)
    assert encoded() == before + 1
    got = list(itertools.islice(parts(f"{node.url}/stream.jpg"), 10))
    assert int(got[0].headers["x-frame"]) >= int(first.headers["x-frame"])
    assert encoded() >= before + 10
