"""The whole path with real services: camera → registry → compute node → viewer."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import cv2
import imageio_ffmpeg
import numpy as np
import pytest
import requests
from playwright.sync_api import Browser

from tests.calm import browsing
from tests.processes import Running, free_port, wait_for
from tests.viewers import follow, node, picture, session, watch

Json = dict[str, Any]
Start = Callable[..., Running]
Mesh = tuple[Running, Running, Running]


@pytest.fixture(scope="module")
def mesh(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    """A registry, the demo camera and a compute node with the real default model, for all tests here: each ends the
    sessions that it makes."""
    folder = tmp_path_factory.mktemp("light")
    data = folder / "node"
    data.mkdir()
    for name in ("models", "media", "engines"):  # what is installed is used in place; identities are the test's own
        (data / name).symlink_to(models / name)

    def start(role: str, *words: str, where: Path) -> Running:
        log = folder / f"{role}.log"
        return stack.enter_context(Running(role, "--data", str(where), *words, port=free_port(), log=log))

    with ExitStack() as stack:
        registry = start("registry", where=folder / "registry")
        camera = start("camera", "--registry", registry.url, "--source", "demo:", "--name", "demo", where=data)
        join = ("--registry", registry.url, "--algorithms", "yolo,echo", "--name", "box")
        compute = start("compute", *join, where=data)
        for one in (registry, camera, compute):
            one.ready()
        node(registry, "camera")
        node(registry, "compute")
        yield registry, camera, compute
        for one in (camera, compute):
            one.end()


@contextmanager
def session_of(registry: Running, algorithm: str) -> Iterator[Json]:
    """A session on the demo camera, which ends with its context."""
    made = session(registry, "demo", algorithm)
    try:
        yield made
    finally:
        requests.delete(f"{registry.url}/v1/sessions/{made['session_id']}", timeout=5).raise_for_status()


def test_the_demo_camera_is_seen_through_yolo(mesh: Mesh) -> None:
    """A new session yields annotated frames, in order, with stamps; and detections that are not empty."""
    registry, camera, _ = mesh
    with session_of(registry, "yolo") as made:
        assert made["why"]
        parts = watch(f"{registry.url}/v1/sessions/{made['session_id']}/stream", 20)
        sequences = [int(part.headers["x-frame"]) for part in parts]
        assert sequences == sorted(set(sequences))
        assert all(float(part.headers["x-inference-ms"]) > 0 for part in parts)
        events = follow(f"{registry.url}/v1/sessions/{made['session_id']}/detections", 20)
        assert all(event["objects"] for event in events), [e for e in events if not e["objects"]]
        assert {event["session"] for event in events} == {made["session_id"]}
        known = {"person", "cat", "cup"}
        labels = {found["label"] for event in events for found in event["objects"]}
        assert labels & known, labels
        size = requests.get(f"{camera.url}/image.jpg", timeout=5)
        height, width = picture(size.content).shape[:2]
        for event in events:
            assert (event["frame"]["width"], event["frame"]["height"]) == (width, height)
            for found in event["objects"]:
                left, top, right, bottom = found["box"]
                assert 0 <= left < right <= width
                assert 0 <= top < bottom <= height


def test_boxes_are_drawn_into_the_picture(mesh: Mesh) -> None:
    """The snapshot differs from a camera's picture where the detector reports a box, in the box's own colour."""
    registry, _, _ = mesh
    with session_of(registry, "echo") as made:
        snapshot = requests.get(f"{registry.url}/v1/sessions/{made['session_id']}/snapshot", timeout=10)
        assert snapshot.headers["Content-Type"] == "image/jpeg"
        event = follow(f"{registry.url}/v1/sessions/{made['session_id']}/detections", 1)[0]
        image = picture(snapshot.content)
        left, top, _, bottom = event["objects"][0]["box"]
        edge = image[(top + bottom) // 2, left : left + 2].astype(int).mean(axis=0)
        from compute_node.annotate import colour_of  # noqa: PLC0415

        assert np.abs(edge - colour_of(event["objects"][0]["label"])).max() < 60, (edge, event["objects"])


def test_ffmpeg_and_opencv_play_the_annotated_stream(mesh: Mesh, tmp_path: Path) -> None:
    """Programs that people have read the stream at its stable address."""
    registry, _, _ = mesh
    with session_of(registry, "echo") as made:
        url = f"{registry.url}/v1/sessions/{made['session_id']}/stream"
        out = tmp_path / "out"
        out.mkdir()
        subprocess.run(
            [imageio_ffmpeg.get_ffmpeg_exe(), "-loglevel", "error", "-f", "mpjpeg", "-i", url, "-frames:v", "12",
             str(out / "%02d.png")],
            check=True, timeout=60,
        )  # fmt: skip
        assert len(list(out.iterdir())) == 12
        capture = cv2.VideoCapture(url)
        try:
            for _ in range(12):
                good, image = capture.read()
                assert good
                assert image.shape[1] >= 640
        finally:
            capture.release()


def test_two_viewers_share_one_pipeline_and_it_stops_after_them(mesh: Mesh) -> None:
    """The same request joins the same session; nothing runs when nobody looks."""
    registry, _, compute = mesh
    wait_for(lambda: pipelines(compute) == 0, 15, "end of the other tests' pipelines")
    with session_of(registry, "echo") as one:
        two = session(registry, "demo", "echo")
        assert one["session_id"] == two["session_id"]
        with requests.get(one["stream_url"], stream=True, timeout=10) as first:
            next(first.iter_content(1000))
            watch(two["stream_url"], 3)
            wait_for(lambda: pipelines(compute) == 1, 5, "single pipeline")
        wait_for(lambda: pipelines(compute) == 0, 15, "end of the pipeline")


def pipelines(compute: Running) -> float:
    """How many pipelines a node runs now, by its metrics."""
    text = requests.get(f"{compute.url}/metrics", timeout=5).text
    return float(next(line.split()[1] for line in text.splitlines() if line.startswith("fogline_compute_pipelines ")))


def test_a_dead_camera_says_why_on_the_annotated_stream_and_comes_back(
    mesh: Mesh, start: Start, tmp_path: Path
) -> None:
    """While the camera node is gone viewers see the reason; when it is back, the same stream goes on."""
    registry, _, compute = mesh
    folder = tmp_path / "pictures"
    folder.mkdir()
    cv2.imwrite(str(folder / "a.jpg"), np.full((480, 640, 3), 90, np.uint8))
    arguments = ("--registry", registry.url, "--source", str(folder), "--name", "line-3")
    camera = start("camera", *arguments, data=tmp_path / "k").ready()
    node(registry, "camera", name="line-3")
    made = session(registry, "line-3", "echo")
    assert compute.url in made["stream_url"]
    with requests.get(made["stream_url"], stream=True, timeout=15) as answer:
        from mesh.multipart import Reader  # noqa: PLC0415

        reader = Reader()
        seen: list[str] = []
        camera.kill()
        back: Running | None = None
        while chunk := answer.raw.read1(65536):
            for part in reader.feed(chunk):
                seen.append(part.headers.get("x-no-signal", ""))
            if back is None and any(seen):
                back = start("camera", *arguments, data=tmp_path / "k", port=camera.port)
            if back is not None and any(seen) and not seen[-1] and seen[-3:] == ["", "", ""]:
                break
            assert len(seen) < 2000
        assert back is not None
    assert any("camera node" in reason for reason in seen)


def test_chromium_plays_the_stream_in_an_img(mesh: Mesh, tmp_path: Path, browser: Browser) -> None:
    """A plain <img> shows the annotated stream, and the picture moves."""
    registry, _, _ = mesh
    with session_of(registry, "yolo") as made:
        page_file = tmp_path / "page.html"
        page_file.write_text(f'<img src="{registry.url}/v1/sessions/{made["session_id"]}/stream">')
        with browsing(), browser.new_context(viewport={"width": 1300, "height": 740}) as context:
            page = context.new_page()
            page.goto(page_file.as_uri(), wait_until="commit")
            page.wait_for_function("document.images[0].naturalWidth > 600", timeout=15_000)
            shots = set()

            def moves() -> bool:
                shots.add(hash(page.screenshot()))
                return len(shots) >= 5

            wait_for(moves, 20, "five different pictures")
