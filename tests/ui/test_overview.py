"""How the mesh gets from the registry to any number of browsers."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest
from playwright.sync_api import Page, expect

from mesh.audience import Audience
from mesh.client import RegistryClient
from tests.processes import Running, free_port, wait_for
from tests.ui.conftest import Dashboard, Mesh
from tests.ui.fake_registry import FakeRegistry
from tests.ui.fakes import FakeCamera
from tests.ui.listener import Listener
from ui.overview import Overview

CROWD = 300  # browsers: far more than the dashboard has threads


@pytest.fixture
def ear(mesh: Mesh) -> Iterator[Listener]:
    def begins() -> bool:
        """Whether somebody who comes is told this test's mesh and nothing else: browsers that come within two seconds
        share what the first of them was told, which may be the mesh of the test before."""
        with Listener(mesh.ui) as first:
            told = first.wait("snapshot")
        nodes = {node["node_id"] for node in told["nodes"]}
        runners = {node["id"] for algorithm in told["algorithms"] for node in algorithm["nodes"]}
        return nodes == {mesh.camera_id, mesh.compute_id} and runners == {mesh.compute_id} and not told["stale"]

    wait_for(begins, 10, "a snapshot of this test's mesh")
    with Listener(mesh.ui) as listener:
        listener.wait("snapshot")
        yield listener


def test_who_comes_hears_everything_first(mesh: Mesh, ear: Listener) -> None:
    """The snapshot is the overview."""
    kind, document = ear.events[0]
    assert kind == "snapshot"
    assert {node["node_id"] for node in document["nodes"]} == {mesh.camera_id, mesh.compute_id}
    assert document["registry"]["ok"]
    assert {algorithm["id"] for algorithm in document["algorithms"]} == {"yolo", "haar"}


def test_a_change_is_told_as_the_document_that_it_made(mesh: Mesh, ear: Listener) -> None:
    """A node that is renamed, a session that starts and ends, a node that goes."""

    def read_anew() -> None:
        """Until the lists have just been read: what changes then is told by an event first, and they have it later."""
        heard = len(ear.events)
        wait_for(lambda: any(kind == "vitals" for kind, _ in ear.events[heard:]), 5, "a reading of the lists")

    mesh.registry.nodes[mesh.camera_id]["name"] = "Press line 4"
    ear.wait("node", lambda node: node.get("name") == "Press line 4")
    session = mesh.registry.add_session(mesh.camera_id, "yolo", mesh.compute_id)
    ident = session["session_id"]
    assert ear.wait("session", lambda told: told["session_id"] == ident)["state"] == "running"
    read_anew()  # a list without the session would say that it is gone, and no more
    mesh.registry.end(ident)
    ended = ear.wait("session", lambda told: told["state"] == "ended")
    assert ended["state_reason"] == "ended by request"
    with Listener(mesh.ui) as later:
        assert later.wait("snapshot")["sessions"] == []
    del mesh.registry.nodes[mesh.camera_id]
    ear.wait("node", lambda node: node["node_id"] == mesh.camera_id and node.get("state") == "gone")


def test_what_moves_all_the_time_is_told_as_differences(mesh: Mesh, ear: Listener) -> None:
    """A load comes without the rest of its node; lists without events come when they change, and only then."""
    mesh.registry.nodes[mesh.compute_id]["load"] = {"cpu_percent": 61.0}

    def has_load(vitals: dict[str, Any]) -> bool:
        return "load" in vitals.get("nodes", {}).get(mesh.compute_id, {})

    told = ear.wait("vitals", has_load)["nodes"][mesh.compute_id]
    assert told["load"] == {"cpu_percent": 61.0}
    assert set(told) <= {"load", "last_seen"}
    mesh.registry.cameras["c"] = {"camera_id": "c", "name": "Gate", "state": "waiting"}
    ear.wait("vitals", lambda vitals: "cameras" in vitals)
    assert not any("algorithms" in document for kind, document in ear.events if kind == "vitals")


def test_what_no_event_told_the_lists_do(mesh: Mesh, ear: Listener) -> None:
    """A registry that keeps watchers connected and tells them nothing: all arrives all the same."""
    mesh.registry.mute = True
    mesh.registry.nodes[mesh.compute_id]["state"] = "full"
    ear.wait("vitals", lambda vitals: vitals.get("nodes", {}).get(mesh.compute_id, {}).get("state") == "full")
    camera = FakeCamera()
    added = mesh.registry.add_camera(camera, "Loading dock")
    ear.wait("node", lambda node: node["node_id"] == added and node.get("name") == "Loading dock")
    del mesh.registry.nodes[added]
    ear.wait("node", lambda node: node["node_id"] == added and node.get("state") == "gone")
    camera.down()


def test_browsers_hear_that_the_registry_goes_and_comes_back(mesh: Mesh, ear: Listener) -> None:
    """Why, and since when; then everything anew."""
    mesh.registry.down()
    gone = ear.wait("registry", lambda told: not told["registry"]["ok"])
    assert gone["stale"]
    assert "does not answer" in gone["registry"]["reason"]
    assert gone["registry"]["since"] <= time.time()
    heard = len(ear.events)
    mesh.registry.up()
    ear.wait("registry", lambda told: told["registry"]["ok"])
    wait_for(lambda: any(kind == "snapshot" for kind, _ in ear.events[heard:]), 5, "snapshot")


def test_many_browsers_are_one_watcher(mesh: Mesh) -> None:
    """The registry has one connection and one reading a second, however many look on."""
    with ExitStack() as stack:
        ears = [stack.enter_context(Listener(mesh.ui)) for _ in range(20)]
        for ear in ears:
            ear.wait("snapshot")
        assert mesh.registry.watchers == 1
        mesh.registry.requests.clear()
        began = time.monotonic()
        for ear in ears:
            ear.wait("vitals", seconds=5)
        allowed = 2 + int(time.monotonic() - began)
        assert sum(one.startswith("GET /v1/nodes") for one in mesh.registry.requests) <= allowed


def test_nobody_there_nothing_asked(mesh: Mesh) -> None:
    """After a while without a browser the watch at the registry ends; the next one begins it again."""
    registry = FakeRegistry()
    followed = Overview(RegistryClient(registry.url), Audience(20, None, lambda: None), idle=0.2)
    try:
        reading = followed.reader({}, nullcontext(lambda: False))
        assert b"retry" in next(reading)
        assert b"event: snapshot" in next(reading)
        wait_for(lambda: registry.watchers == 1, 3, "the watch")
        time.sleep(0.5)
        assert registry.watchers == 1, "somebody looks on"
        reading.close()
        wait_for(lambda: registry.watchers == 0, 5, "the watch's end")
        registry.add_camera(mesh.camera, "New")
        assert [node["name"] for node in followed.read(patience=10)["nodes"]] == ["New"]
    finally:
        followed.close()
        registry.down()


def _has_note(note: str, node: dict[str, Any]) -> bool:
    return node.get("note") == note


def _threads(process: psutil.Process) -> int:
    return sum(one.num_threads() for one in (process, *process.children(recursive=True)))


def test_a_crowd_costs_no_threads_and_nobody_waits_for_the_slow(mesh: Mesh, dashboard: Dashboard) -> None:
    """Hundreds of browsers, of which one never reads, while large documents change: the others hear all of it."""
    process = psutil.Process(dashboard.running.process.pid)
    address = ("127.0.0.1", dashboard.running.port)
    ask = b"GET /api/events HTTP/1.1\r\nHost: localhost\r\n\r\n"
    before = _threads(process)
    with ExitStack() as stack:
        crowd = [stack.enter_context(socket.create_connection(address, 10)) for _ in range(CROWD)]
        for one in crowd:
            one.sendall(ask)
        for one in crowd[1:]:
            received = b""
            while b"event: snapshot" not in received:
                data = one.recv(65536)
                assert data, "cut off"
                received += data
        assert _threads(process) - before < CROWD / 4
        for one in crowd[2:]:
            one.close()
        ear = stack.enter_context(Listener(dashboard.url))
        ear.wait("snapshot")
        for step in range(40):
            note = mesh.registry.nodes[mesh.camera_id]["note"] = f"{step:03}" * 100_000
            ear.wait("node", partial(_has_note, note))


def test_a_dashboard_that_restarts_is_found_again(tmp_path: Path, mesh: Mesh, page: Page) -> None:
    """The page says that the dashboard is away, and goes on without a reload when it is back."""
    port = free_port()
    words = ("--registry", mesh.registry.url, "--data", str(tmp_path))
    with Running("ui", *words, port=port, log=tmp_path / "first.log") as first:
        page.goto(f"{first.ready().url}/about")  # its modules are the browser's by then
        page.goto(f"{first.url}/nodes", wait_until="commit")
        expect(page.locator("main")).to_contain_text("Press shop 2")
        first.kill()
    expect(page.locator("#banner")).to_contain_text("The dashboard's server does not answer.")
    mesh.registry.nodes[mesh.compute_id] |= {"name": "Press shop 3", "FriendlyName": "Press shop 3"}
    with Running("ui", *words, port=port, log=tmp_path / "second.log") as second:
        second.ready()
        expect(page.locator("#banner")).to_be_hidden()
        expect(page.locator("main")).to_contain_text("Press shop 3")
        page.goto("about:blank")


def test_a_stopping_dashboard_lets_its_browsers_go(tmp_path: Path, mesh: Mesh) -> None:
    """The stream ends properly, so that browsers come again at once."""
    words = ("--registry", mesh.registry.url, "--data", str(tmp_path))
    with Running("ui", *words, port=free_port(), log=tmp_path / "ui.log") as running:
        ear = Listener(running.ready().url)
        ear.wait("snapshot")
        threading.Thread(target=running.process.terminate).start()
        wait_for(lambda: not ear.listens, 5, "end of the stream")
