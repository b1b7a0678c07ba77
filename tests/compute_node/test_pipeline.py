"""Pipelines on a real connection: what they share, what they spare, and what they say of themselves."""

from __future__ import annotations

import functools
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import cv2
import numpy as np
import pytest
from prometheus_client import generate_latest

from compute_node import jpeg
from compute_node.algorithms import LoadContext
from compute_node.algorithms.base import AlgorithmInfo, Detection, Detector, Image, Options
from compute_node.ingest import Ingest
from compute_node.metrics import Metrics
from compute_node.pipeline import Pipeline, PipelineKey
from compute_node.turns import Turns
from mesh import codec
from mesh.frame import Frame
from mesh.multipart import part
from mesh.wire import CameraAddress, Detections, StreamStats
from tests.processes import wait_for
from tests.rogue import RogueCamera
from tests.viewers import picture

SIZE = (1280, 720)
BOX = (320, 180, 960, 540)


@functools.cache  # cameras show them forty times a second
def scene(shade: int = 90, square: int | None = None) -> bytes:
    image = np.full((SIZE[1], SIZE[0], 3), shade, np.uint8)
    if square is not None:
        image[300:400, square : square + 100] = 250
    return cv2.imencode(".jpg", image)[1].tobytes()


def camera_of(jpegs: Callable[[int], bytes], fps: float = 40) -> Callable[[], Iterator[bytes]]:
    """A camera whose n-th frame is `jpegs(n)`."""

    def chunks() -> Iterator[bytes]:
        for number in range(1, 100_000):
            yield part(Frame(jpegs(number), number, time.time(), *SIZE))
            time.sleep(1 / fps)

    return chunks


class Watcher:
    """An algorithm that notes what it is given. least: the size that it needs; None for whole frames."""

    info = AlgorithmInfo(id="watch", name="Watch", category="test", engine="python:cpu")

    def __init__(self, least: tuple[int, int] | None = None, seconds: float = 0.0) -> None:
        self.shapes: list[tuple[int, ...]] = []
        self.at: list[float] = []
        self._least = least
        self._seconds = seconds

    def detector(self) -> Detector:
        return _Scaled(self, self._least) if self._least else self.look

    def look(self, image: Image, _options: Options) -> list[Detection]:
        self.shapes.append(image.shape)
        self.at.append(time.monotonic())
        time.sleep(self._seconds)
        return [Detection("thing", 0.9, BOX)]

    def close(self) -> None:
        """Holds nothing."""


@dataclass
class _Scaled:
    watcher: Watcher
    least: tuple[int, int]

    def __call__(self, image: Image, options: Options) -> list[Detection]:
        return self.watcher.look(image, options)

    def needs(self, width: int, height: int) -> tuple[int, int]:
        assert (width, height) == SIZE
        return self.least

    def search(self, image: Image, size: tuple[int, int], options: Options) -> list[Detection]:
        assert size == SIZE
        return self.watcher.look(image, options)


class Node:
    """One ingest and any number of pipelines on it."""

    def __init__(self, url: str) -> None:
        self.metrics = Metrics()
        self.address = CameraAddress(node_id="a", name="a", url=url)
        self.ingest = Ingest(self.address, self.metrics.passed_over)
        self.turns = Turns(2)
        self.pipelines: list[Pipeline] = []

    def run(self, algorithm: Watcher, **key: object) -> Pipeline:
        wanted = PipelineKey(self.address, "watch", **key)  # type: ignore[arg-type]
        made = Pipeline(wanted, algorithm, self.ingest, self.turns, self.metrics, quality=80)
        self.pipelines.append(made)
        return made

    def says(self) -> str:
        return generate_latest(self.metrics.registry).decode()


@contextmanager
def node(chunks: Callable[[], Iterator[bytes]]) -> Iterator[Node]:
    with RogueCamera(chunks) as camera:
        one = Node(camera.url)
        try:
            yield one
        finally:
            for pipeline in one.pipelines:
                pipeline.stop()
            one.ingest.stop()
            for pipeline in one.pipelines:
                pipeline._thread.join(5)
                assert not pipeline._thread.is_alive()


def results(pipeline: Pipeline, many: int, seconds: float = 15) -> list[Detections]:
    found: list[Detections] = []
    seen, end = 0, time.monotonic() + seconds
    while len(found) < many:
        result, seen = pipeline.results.wait(seen, 1.0)
        if result is not None and result.no_signal is None:
            found.append(result)
        assert time.monotonic() < end, f"{len(found)} of {many} results"
    return found


def quiet(pipeline: Pipeline) -> None:
    """Behave as if the last viewer of pictures had left long ago."""
    pipeline.pictures._left_at = time.monotonic() - 60


def test_without_a_viewer_a_detector_gets_no_more_pixels_than_it_needs_and_nothing_is_drawn() -> None:
    """With one, the picture is decoded whole, drawn and encoded; boxes are the frame's own in both cases."""
    with node(camera_of(lambda n: scene(n % 200))) as one:
        algorithm = Watcher(least=(416, 234))
        pipeline = one.run(algorithm)
        quiet(pipeline)
        wait_for(lambda: len(algorithm.shapes) > 5, 10, "searched frames")
        algorithm.shapes.clear()
        drawn = pipeline.stats("s", 0).frames["drawn"]
        found = results(pipeline, 5)
        assert set(algorithm.shapes) == {(360, 640, 3)}
        assert found[-1].objects[0].box == BOX
        assert (found[-1].frame.width, found[-1].frame.height) == SIZE
        assert pipeline.stats("s", 0).frames["drawn"] == drawn
        with pipeline.pictures.watch():
            frame = wait_for(lambda: pipeline.pictures.recent(0.5), 5, "annotated frame")
            assert picture(frame.jpeg).shape == (720, 1280, 3)
            wait_for(lambda: algorithm.shapes[-1] == (720, 1280, 3), 5, "a whole picture")
            assert picture(frame.jpeg)[180, 500:900].std(axis=0).max() < 40  # the box's upper edge: one colour


def test_a_plain_detector_gets_whole_frames_and_a_small_stream_stays_small() -> None:
    """Third parties' detectors need not know that pictures can be scaled."""
    with node(camera_of(lambda n: scene(n % 200))) as one:
        algorithm = Watcher()
        pipeline = one.run(algorithm, width=320)
        with pipeline.pictures.watch():
            frame = wait_for(pipeline.pictures.newest, 10, "annotated frame")
        assert (frame.width, frame.height) == (320, 180)
        assert picture(frame.jpeg).shape == (180, 320, 3)
        assert set(algorithm.shapes) == {(720, 1280, 3)}


def test_two_pipelines_on_one_camera_share_its_decoding_and_not_their_drawings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Frames taken by both are decoded once, at the size that serves both."""
    real, lock = jpeg.decode, threading.Lock()
    decoded: list[tuple[bytes, int]] = []

    def counted(data: bytes, divisor: int = 1) -> Image:
        with lock:
            decoded.append((data, divisor))
        return real(data, divisor)

    with node(camera_of(lambda n: scene(n % 200), fps=15)) as one:
        small, large = Watcher(least=(300, 160)), Watcher(least=(416, 234))
        pipelines = [one.run(small), one.run(large, fps=200.0)]
        for pipeline in pipelines:
            quiet(pipeline)
        wait_for(lambda: len(small.shapes) > 5 and len(large.shapes) > 5, 10, "searched frames")
        monkeypatch.setattr(jpeg, "decode", counted)
        before = len(small.shapes) + len(large.shapes)

        def since() -> int:
            return len(small.shapes) + len(large.shapes) - before

        wait_for(lambda: since() >= 40, 10, "forty searches")
        searched = since()
    assert {divisor for _, divisor in decoded} == {2}
    assert len(decoded) <= 0.7 * searched


def test_the_fps_limit_holds_before_anything_is_decoded() -> None:
    """5 of 40 frames a second are searched; the others are counted as left out for that reason."""
    with node(camera_of(lambda n: scene(n % 200))) as one:
        algorithm = Watcher()
        began = time.monotonic()  # the first search may itself be late
        pipeline = one.run(algorithm, fps=5.0)
        wait_for(lambda: len(algorithm.at) >= 11, 10, "eleven searches")
        assert algorithm.at[10] - began > 1.9
        wait_for(lambda: pipeline.stats("s", 0).dropped["fps limit"] > 40, 10, "frames left out")
        stats = pipeline.stats("s", 0)
        assert stats.frames["in"] >= stats.frames["searched"] + stats.dropped["fps limit"] - 1


def test_a_gated_pipeline_repeats_its_result_until_something_moves() -> None:
    """Repeated results say so, cost no inference, and their pictures are live; motion is searched at once."""
    moving = threading.Event()

    def frames(number: int) -> bytes:
        return scene(90, square=number * 20 % 1100 if moving.is_set() else 100)

    with node(camera_of(frames)) as one:
        algorithm = Watcher()
        pipeline = one.run(algorithm, gate="motion")
        with pipeline.pictures.watch():
            found = wait_for(lambda: [r for r in results(pipeline, 20) if r.gated], 10, "repeated results")
            assert len(found) >= 15
            assert {r.inference_ms for r in found} == {0.0}
            assert found[0].objects[0].box == BOX
            assert len({r.frame.sequence for r in found}) == len(found)
            frame = wait_for(pipeline.pictures.newest, 5, "annotated frame")
            assert frame.gated
            assert frame.headers()["X-Gated"] == "motion"
            searches = len(algorithm.at)
            assert searches <= 2
            moving.set()
            moved = [r for r in results(pipeline, 20) if not r.gated]
            assert len(moved) >= 10
            assert len(algorithm.at) >= searches + 10
        stats = pipeline.stats("s", 0)
        assert stats.gate == "motion"
        assert stats.frames["gated"] >= 15
        assert "fogline_compute_frames_gated_total" in one.says()


def test_a_slow_algorithm_gets_the_newest_frame_and_what_it_missed_is_counted() -> None:
    """Frames are dropped before they are decoded, so results are never older than one search and one frame."""
    with node(camera_of(lambda n: scene(n % 200))) as one:
        pipelines = [one.run(Watcher(seconds=0.1), fps=fps) for fps in (None, 100.0, 101.0, 102.0)]
        for pipeline in pipelines:
            quiet(pipeline)
        counts = [[r.frame.sequence for r in results(pipeline, 5)] for pipeline in pipelines]
        assert all(sorted(set(one)) == one for one in counts)
        time.sleep(2)
        stats = [pipeline.stats("s", 0) for pipeline in pipelines]
        searched = [s.frames["searched"] for s in stats]
        assert min(searched) >= 0.6 * max(searched)
        for one_stats in stats:
            assert one_stats.dropped["busy"] > 10
            assert one_stats.stages["queue"].mean > 30
            assert one_stats.stages["age"].p50 < 400  # not the worst: that is as long as the machine once paused


def test_stats_and_metrics_tell_what_happened() -> None:
    """Counts and times of every stage that frames went through, in the contract's shape."""
    with node(camera_of(lambda n: scene(n % 200) if n % 3 else b"broken")) as one:
        pipeline = one.run(Watcher())
        with pipeline.pictures.watch():
            results(pipeline, 20)
            wait_for(lambda: pipeline.stats("s1", 3).frames["drawn"] >= 20, 5, "twenty pictures")
        stats = codec.parse(codec.dump(pipeline.stats("s1", 3)), StreamStats)
        assert (stats.session, stats.viewers, stats.camera, stats.algorithm) == ("s1", 3, "a", "watch")
        assert stats.frames["searched"] >= 20
        assert stats.frames["drawn"] >= 20
        assert stats.fps > 5
        assert stats.camera_fps > 5
        assert stats.dropped["unusable"] >= 5
        assert {"decode", "queue", "inference", "draw", "encode", "age"} <= set(stats.stages)
        said = one.says()
        for stage in ("decode", "queue", "inference", "draw", "encode", "send"):
            assert f'fogline_compute_stage_seconds_count{{stage="{stage}"}}' in said
        assert 'fogline_compute_frames_refused_total{reason="unusable"}' in said
        assert "fogline_compute_frame_age_seconds_count" in said


@pytest.mark.parametrize("name", ["haar", "hog", "motion", "qr", "echo"])
def test_every_detector_is_content_with_a_picture_that_it_cannot_write_to(
    name: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Pictures are shared."""
    from compute_node.algorithms import load  # noqa: PLC0415  each loads its own library

    image = np.random.default_rng(1).integers(0, 255, (360, 640, 3), np.uint8)
    image.flags.writeable = False
    detect = load(name, LoadContext(tmp_path_factory.mktemp("data"))).detector()
    for _ in range(2):
        detect(image, Options())
