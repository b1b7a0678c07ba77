"""The capture goes on whatever its source does, and says why there is no picture."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import numpy as np
import pytest

from camera_node import capture as module
from camera_node.capture import Capture
from camera_node.metrics import Metrics
from camera_node.sources.base import Captured
from mesh.backoff import Backoff
from mesh.errors import SourceLost
from mesh.frame import Frame
from mesh.stream import Broadcast
from tests.camera_node.pictures import array, bomb, half, picture, png, size
from tests.processes import wait_for


class Scripted:
    """A source whose `read` is a test's function, called with the number of the call."""

    def __init__(self, read: Callable[[int], Captured], opening: Callable[[], object] = lambda: None) -> None:
        self._read = read
        self._opening = opening
        self._calls = 0
        self.closed = False

    def open(self) -> None:
        self._opening()

    def read(self) -> Captured:
        self._calls += 1
        time.sleep(0.02)
        return self._read(self._calls)

    def close(self) -> None:
        self.closed = True


class Bench:
    """A capture with everything that it publishes."""

    def __init__(self, make: Callable[[], Scripted], stall: float = 0.5) -> None:
        self.broadcast = Broadcast()
        self.metrics = Metrics()
        self.changes = 0
        self.made: list[Scripted] = []
        self.frames: list[Frame] = []

        def keep() -> Scripted:
            self.made.append(make())
            return self.made[-1]

        def changed() -> None:
            self.changes += 1

        self.capture = Capture(
            keep,
            self.broadcast,
            self.metrics,
            name="cam",
            shown="test:",
            quality=85,
            changed=changed,
            stall=stall,
        )
        self._watcher = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Bench:
        self._watcher.start()
        self.capture.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self.capture.stop()
        self.broadcast.close()

    def _watch(self) -> None:
        seen = 0
        while not self.broadcast.closed:
            frame, seen = self.broadcast.wait(seen, 0.5)
            if frame is not None:
                self.frames.append(frame)

    def refused(self, reason: str) -> float:
        return self.metrics.registry.get_sample_value("fogline_camera_frames_refused_total", {"reason": reason}) or 0.0

    def good(self) -> Frame | None:
        frame = self.broadcast.newest()
        return frame if frame is not None and frame.no_signal is None else None

    def lost(self, words: str = "") -> Frame | None:
        frame = self.broadcast.newest()
        return frame if frame is not None and frame.no_signal is not None and words in frame.no_signal else None

    def reason(self) -> str | None:
        return self.capture.view.no_signal

    def in_order(self) -> bool:
        numbers = [frame.sequence for frame in self.frames]
        return numbers == sorted(set(numbers))


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same behaviour in less time."""
    for name, value in (("OPEN_LIMIT", 0.8), ("READ_LIMIT", 0.8), ("CONNECTING", 0.3), ("REPEAT", 0.2), ("TICK", 0.05)):
        monkeypatch.setattr(module, name, value)
    monkeypatch.setattr(Backoff, "delay", lambda _self: 0.1)


def test_jpeg_passes_untouched() -> None:
    """A JPEG from the source is published byte for byte, with when it was taken."""
    data = picture()
    with Bench(lambda: Scripted(lambda _n: Captured(1234.5, data=data))) as bench:
        frame = wait_for(bench.good, 5, "picture")
    assert frame.jpeg == data
    assert (frame.width, frame.height, frame.captured_at) == (320, 180, 1234.5)


@pytest.mark.parametrize("image", [array(), np.ascontiguousarray(array()[:, :, 0]), array()[10:100, 5:200]])
def test_arrays_and_png_become_jpeg(image: object) -> None:
    """Decoded pictures, grey ones and views of larger ones are encoded."""
    assert isinstance(image, np.ndarray)
    with Bench(lambda: Scripted(lambda _n: Captured(1.0, image=image))) as bench:
        frame = wait_for(bench.good, 5, "picture")
    assert size(frame.jpeg) == (image.shape[1], image.shape[0]) == (frame.width, frame.height)


def test_broken_pictures_are_counted_and_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half JPEGs, bombs, other files and empty ones never come out; the good ones between them do."""
    # However long a busy machine takes from one good picture to the next: only a refusal could be why there is none.
    monkeypatch.setattr(module, "CONNECTING", 30.0)
    bad = {
        "cut_off": half(),
        "too_many_pixels": bomb(),
        "broken": b"<html>not found</html>",
        "too_large": picture() + b"\0" * (17 * 1024 * 1024),
    }
    kinds = [*bad.values(), picture(seed=3), png()]
    with Bench(lambda: Scripted(lambda n: Captured(1.0, data=kinds[n % len(kinds)])), stall=30.0) as bench:
        wait_for(lambda: all(bench.refused(reason) >= 2 for reason in bad) or None, 10, "refusals")
        assert bench.good() is not None
        assert {size(frame.jpeg) for frame in bench.frames} == {(320, 180)}
        assert all(frame.no_signal is None for frame in bench.frames)
    assert len(bench.made) == 1, "a broken picture must not cost the connection"


def test_only_broken_pictures_is_no_signal() -> None:
    """A source that sends nothing usable counts as lost, with what is wrong with its pictures."""
    with Bench(lambda: Scripted(lambda _n: Captured(1.0, data=bomb()))) as bench:
        frame = wait_for(lambda: bench.lost("60000 × 60000"), 5, "reason")
    assert "no usable picture" in (frame.no_signal or "")


def test_lost_and_back() -> None:
    """A source that fails is opened again; the picture says why meanwhile, has the camera's size, and goes away."""
    broken = threading.Event()

    def read(_n: int) -> Captured:
        if broken.is_set():
            raise SourceLost("the cable is out")
        return Captured(1.0, data=picture(640, 360))

    with Bench(lambda: Scripted(read)) as bench:
        wait_for(bench.good, 5, "picture")
        broken.set()
        frame = wait_for(lambda: bench.lost("the cable is out"), 5, "no signal")
        assert size(frame.jpeg) == (640, 360)
        assert bench.reason() == "the cable is out"
        before = len(bench.frames)
        wait_for(lambda: len(bench.frames) >= before + 3, 5, "the repeated picture")
        broken.clear()
        wait_for(bench.good, 5, "picture again")
        assert bench.reason() is None
    assert bench.in_order()
    assert len(bench.made) >= 2
    assert all(source.closed for source in bench.made)


def test_cannot_be_opened() -> None:
    """A source that never opens still gives a camera that serves a picture with the reason."""

    def refuse() -> None:
        raise SourceLost("nobody home")

    with Bench(lambda: Scripted(lambda _n: Captured(1.0), refuse)) as bench:
        frame = wait_for(lambda: bench.lost("nobody home"), 5, "reason")
    assert size(frame.jpeg) == (960, 540)


def test_unforeseen_errors_are_reasons_too() -> None:
    """Whatever a source raises, the camera goes on and its words carry no password."""

    def read(_n: int) -> Captured:
        raise RuntimeError("cannot read rtsp://u:s3cret@10.0.0.5/x")

    with Bench(lambda: Scripted(read)) as bench:
        frame = wait_for(lambda: bench.lost("RuntimeError"), 5, "reason")
    assert "s3cret" not in (frame.no_signal or "")


@pytest.mark.parametrize("where", ["open", "read"])
def test_hanging_call(where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A call that never returns: no-signal comes, a second reader takes over, and the first one changes nothing
    when it wakes up at last."""
    for limit in ("OPEN_LIMIT", "READ_LIMIT"):  # long enough for no-signal before it, and for the second reader
        monkeypatch.setattr(module, limit, 2.0)
    release = threading.Event()
    hung: list[int] = []

    def hang_once() -> bool:
        if hung:
            return False
        hung.append(1)
        return release.wait(20)

    def read(n: int) -> Captured:
        if where == "read" and n == 5 and hang_once():
            return Captured(666.0, data=picture(seed=5))
        return Captured(1.0, data=picture())

    with Bench(lambda: Scripted(read, hang_once if where == "open" else lambda: None)) as bench:
        wait_for(lambda: any(frame.no_signal for frame in bench.frames), 5, "no signal while it hangs")
        wait_for(bench.good, 5, "a second reader")
        assert bench.metrics.registry.get_sample_value("fogline_camera_source_hung_total") == 1
        release.set()
        wait_for(lambda: bench.made[0].closed, 5, "end of the first reader")
        before = len(bench.frames)
        wait_for(lambda: len(bench.frames) > before and bench.good(), 5, "further pictures")
    assert all(frame.captured_at != 666.0 for frame in bench.frames), "the old reader's picture must not come out"
    assert bench.in_order()


def test_few_readers_hang_at_once() -> None:
    """A device that hangs every time does not eat the machine's threads."""
    release = threading.Event()
    with Bench(lambda: Scripted(lambda _n: Captured(1.0), lambda: release.wait(20))) as bench:
        time.sleep(4.5)
        assert len(bench.made) == module.MOST_HUNG
        assert bench.lost() is not None
        release.set()


def test_tells_when_size_changes() -> None:
    """The manifest is renewed when the frames' size is another."""
    sides = [(320, 180)]
    with Bench(lambda: Scripted(lambda _n: Captured(1.0, data=picture(*sides[-1])))) as bench:
        wait_for(lambda: bench.changes >= 1, 5, "first size")
        before = bench.changes
        sides.append((640, 360))
        wait_for(lambda: bench.changes > before, 5, "second size")
        assert (bench.capture.view.width, bench.capture.view.height) == (640, 360)
