"""The registry comes late, goes away, forgets everything: nodes go on and come back by themselves."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import requests

from mesh.multipart import Reader
from tests.processes import Running, free_port, wait_for
from tests.viewers import node, session

Start = Callable[..., Running]


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """A folder that is a camera."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    for shade in (60, 120, 180):
        cv2.imwrite(str(folder / f"{shade}.jpg"), np.full((480, 640, 3), shade, np.uint8))
    return folder


def test_a_node_that_was_first_joins_when_the_registry_comes(start: Start, pictures: Path, tmp_path: Path) -> None:
    """It serves meanwhile, and its `/readyz` does not depend on the registry."""
    port = free_port()
    camera = start("camera", "--registry", f"http://127.0.0.1:{port}", "--source", str(pictures)).ready()
    assert requests.get(f"{camera.url}/image.jpg", timeout=5).ok
    time.sleep(2)
    with Running("registry", "--data", str(tmp_path / "r"), port=port, log=tmp_path / "r.log") as registry:
        registry.ready()
        assert node(registry, "camera", 20)["url"] == camera.url
    wait_for(lambda: "joined the mesh" in camera.log(), 5, "word of it")  # others may see it a moment before it says so
    assert camera.log().count("joined the mesh") == 1


def test_streams_go_on_without_the_registry_and_nodes_come_back_after_a_wipe(
    start: Start, pictures: Path, tmp_path: Path
) -> None:
    """kill -9 of the registry: no viewer notices. A new one without data: everybody is back within seconds."""
    port = free_port()
    first = start("registry", data=tmp_path / "r1", port=port).ready()
    url = f"http://127.0.0.1:{port}"
    camera = start("camera", "--registry", url, "--source", str(pictures), "--name", "line-3", data=tmp_path / "c")
    compute = start("compute", "--registry", url, "--algorithms", "echo", data=tmp_path / "k")
    camera.ready()
    compute.ready()
    node(first, "camera")
    node(first, "compute")
    made = session(first, "line-3", "echo")
    arrived: list[float] = []
    stop = threading.Event()

    def view() -> None:
        with requests.get(made["stream_url"], stream=True, timeout=10) as answer:
            reader = Reader()
            while chunk := answer.raw.read1(65536):
                arrived.extend(time.monotonic() for _ in reader.feed(chunk))
                if stop.is_set():
                    return

    viewer = threading.Thread(target=view)
    viewer.start()
    again: Running | None = None
    try:
        wait_for(lambda: len(arrived) > 5, 10, "frames")
        first.kill()
        killed = time.monotonic()
        wait_for(lambda: time.monotonic() - killed > 5, 8, "five seconds without a registry")
        during = [at for at in arrived if at > killed]
        gaps = np.diff(during)
        assert len(during) > 6  # a folder gives two pictures a second
        assert gaps.max() < 1.5, gaps.max()
        again = Running("registry", "--data", str(tmp_path / "r2"), port=port, log=tmp_path / "r2.log").ready()
        began = time.monotonic()
        node(again, "camera", 30)
        node(again, "compute", 30)
        assert time.monotonic() - began < 20
        assert session(again, "line-3", "echo")["node_url"] == compute.url
    finally:
        stop.set()
        viewer.join(10)
        if again is not None:
            again.stop()
    assert not viewer.is_alive()


def test_a_node_that_is_killed_leaves_the_list_and_its_session_moves(
    start: Start, pictures: Path, tmp_path: Path
) -> None:
    """Its lease ends within seconds; the stable address leads to the other node."""
    registry = start("registry").ready()
    start(
        "camera", "--registry", registry.url, "--source", str(pictures), "--name", "line-3", data=tmp_path / "c"
    ).ready()
    nodes = [
        start("compute", "--registry", registry.url, "--algorithms", "echo", "--name", name, data=tmp_path / name)
        for name in ("one", "two")
    ]
    for one in nodes:
        one.ready()
    for name in ("one", "two"):
        node(registry, "compute", name=name)
    node(registry, "camera")
    made = session(registry, "line-3", "echo")
    stable = f"{registry.url}/v1/sessions/{made['session_id']}/snapshot"
    assert requests.get(stable, timeout=10).ok
    victim, other = nodes if made["node_name"] == "one" else nodes[::-1]
    victim.kill()
    killed = time.monotonic()

    def moved() -> bool:
        now = requests.get(f"{registry.url}/v1/sessions/{made['session_id']}", timeout=5).json()
        return bool(now["node_url"] == other.url and now["token"] > made["token"])

    wait_for(moved, 10, "move")
    assert time.monotonic() - killed < 6
    assert requests.get(stable, timeout=10).ok

    def listed() -> list[str]:
        nodes = requests.get(f"{registry.url}/v1/nodes?kind=compute", timeout=5).json()["nodes"]
        return [one["url"] for one in nodes]

    # Its sessions move first; then the registry dials it, and finds that nothing listens there any more.
    wait_for(lambda: listed() == [other.url], 5, "list without it")
    dead = requests.get(f"{registry.url}/v1/nodes?state=dead", timeout=5).json()["nodes"]
    assert [one["url"] for one in dead] == [victim.url]
    assert dead[0]["state_reason"]
