"""A compute node whose sessions come, change and go: what its viewers see."""

from __future__ import annotations

import os
import select
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack

import cv2
import numpy as np
import psutil
import pytest
import requests

from mesh.frame import Frame
from mesh.multipart import Reader, part
from tests.processes import Running, free_port, wait_for
from tests.rogue import RogueCamera
from tests.scripted import LEASE, ScriptedRegistry
from tests.viewers import ask

JPEG = cv2.imencode(".jpg", np.full((180, 320, 3), 90, np.uint8))[1].tobytes()
RATE = 20  # frames a second of the camera
QUIET = 0.5  # seconds without a picture or an event after which none is on its way
flowing = threading.Event()  # the camera's frames
flowing.set()


def parts() -> Iterator[bytes]:
    number = 0
    while True:
        flowing.wait()
        number += 1
        yield part(Frame(JPEG, number, time.time(), 320, 180))
        time.sleep(1 / RATE)


def silence() -> Iterator[bytes]:
    time.sleep(60)
    yield b""


class Node:
    """A compute node, the registry whose orders it follows, and its camera. `order` gives it exactly one session."""

    def __init__(self, registry: ScriptedRegistry, camera: RogueCamera, compute: Running) -> None:
        self.registry = registry
        self.camera = camera
        self.compute = compute
        self.url = compute.url

    @property
    def worker(self) -> psutil.Process:
        return psutil.Process(self.compute.process.pid).children()[0]

    def order(self, session: str, token: int, camera: str | None = None, **more: object) -> None:
        self.registry.orders = [self.registry.order(session, token, camera or self.camera.url, **more)]
        self.registry.wait_for_beat()

    def get(self, session: str, view: str = "stream", token: int | None = None) -> requests.Response:
        query = "" if token is None else f"?token={token}"
        return requests.get(f"{self.url}/v1/sessions/{session}/{view}{query}", stream=True, timeout=10)


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Node]]:
    """One whose fan-out serves its viewers, and one with a thread for each: by that setting."""
    folder = tmp_path_factory.mktemp("moving")
    made: dict[str, Node] = {}
    with ExitStack() as stack:
        camera = stack.enter_context(RogueCamera(parts))
        for fanout in ("auto", "threads"):
            registry = stack.enter_context(ScriptedRegistry())
            arguments = ("--data", str(folder / fanout), "--registry", registry.url, "--algorithms", "echo")
            log = folder / f"{fanout}.log"
            compute = Running("compute", *arguments, "--fanout", fanout, port=free_port(), log=log)
            made[fanout] = Node(registry, camera, stack.enter_context(compute))
        for one in made.values():
            one.compute.ready()
            one.registry.wait_for_beat()
        yield made


@pytest.fixture
def node(nodes: dict[str, Node]) -> Node:
    return nodes["auto"]


class Viewer:
    """Watches one address in a thread. at: monotonic seconds of each whole picture. ended: when the stream ended."""

    def __init__(self, node: Node, path: str) -> None:
        self.at: list[float] = []
        self.ended: float | None = None
        self.socket = ask(node.compute.port, path)
        self._reader = Reader()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        try:
            while data := self.socket.recv(65536):
                self.at += [time.monotonic() for _ in self._reader.feed(data)]
        except OSError:
            pass
        self.ended = time.monotonic()

    def watches(self, seconds: float = 5) -> None:
        """Wait for three more pictures."""
        before = len(self.at)
        wait_for(lambda: len(self.at) >= before + 3, seconds, "pictures")

    def close(self) -> None:
        self.socket.close()
        self._thread.join(2)


def test_only_the_newest_placement_is_served(node: Node) -> None:
    """Its token or none: served. An older one: refused at once. A newer one: served as soon as the order is there."""
    node.order("tokens", 5)
    for token in (5, None):
        for view in ("stream", "snapshot", "detections"):
            with node.get("tokens", view, token) as answer:
                assert answer.status_code == 200, answer.text
    began = time.monotonic()
    for view in ("stream", "snapshot", "detections", "stats"):
        refused = node.get("tokens", view, 4)
        assert refused.status_code == 409
        assert "open it at the registry's /v1/sessions/tokens/stream" in refused.json()["detail"]
    assert time.monotonic() - began < 4, "nobody waits for an older placement"
    assert node.get("tokens", "stream", "x").json()["field"] == "token"  # type: ignore[arg-type]
    threading.Timer(0.4, lambda: node.order("tokens", 6)).start()
    with node.get("tokens", "stream", 6) as answer:
        assert answer.status_code == 200
    began = time.monotonic()
    assert node.get("tokens", "stream", 7).status_code == 409
    assert time.monotonic() - began > 1.5


def test_a_change_of_the_order_alone_cuts_nobody(node: Node) -> None:
    """Pinned, no longer pinned, a ticket, a newer token for the same work: the viewer's connection stays; other work
    ends it."""
    node.order("same", 1)
    viewer = Viewer(node, "/v1/sessions/same/stream?token=1")
    viewer.watches()
    for change in ({"pinned": True}, {"ticket": "t"}, {"warm": True}, {}):
        node.order("same", 1, **change)
    node.order("same", 2)
    viewer.watches()
    assert viewer.ended is None
    node.order("same", 3, width=100)
    wait_for(lambda: viewer.ended, 3, "the end")
    viewer.close()


def test_a_node_that_is_to_take_over_is_ready_before_anybody_comes(node: Node) -> None:
    """It draws pictures without a viewer and says so at once; without a camera it has its placard to show."""
    node.order("next", 3, warm=True)
    wait_for(lambda: node.registry.heard("next").get("ready"), 5, "readiness")
    assert not node.registry.heard("next").get("viewers")
    answer = node.get("next", "snapshot", 3)
    assert answer.status_code == 200
    with RogueCamera(silence) as mute:
        node.order("dark", 4, mute.url, warm=True)
        wait_for(lambda: node.registry.heard("dark").get("ready"), 4, "readiness")
        assert node.registry.heard("dark")["problem"]
    node.order("idle", 1, width=120)
    node.registry.wait_for_beat()
    assert "ready" not in node.registry.heard("idle")


def test_a_session_that_the_registry_has_forgotten_runs_on(node: Node) -> None:
    """Its ticket is sent with the next beat, its viewers stay, and the order that comes back changes nothing."""
    node.order("lost", 8, ticket="what it was")
    viewer = Viewer(node, "/v1/sessions/lost/stream?token=8")
    viewer.watches()
    node.registry.orders, node.registry.unknown = [], ["lost"]
    wait_for(lambda: node.registry.heard("lost").get("ticket") == "what it was", 2, "ticket")
    back = node.registry.order("lost", 8, node.camera.url, ticket="what it was")
    node.registry.orders, node.registry.unknown = [back], []  # at once: a beat between the two would end the session
    node.registry.wait_for_beat()
    assert "ticket" not in node.registry.heard("lost")
    viewer.watches()
    assert viewer.ended is None
    node.registry.orders = []
    wait_for(lambda: viewer.ended, 3, "the end")
    viewer.close()


def until_quiet(viewer: Viewer, events: socket.socket) -> None:
    """Wait until neither pictures nor events come any more."""
    end = time.monotonic() + 5
    seen, since = -1, time.monotonic()
    while time.monotonic() - since < QUIET:
        assert time.monotonic() < end, "the node goes on showing pictures without any from its camera"
        if select.select([events], [], [], 0.02)[0]:
            assert events.recv(1 << 20)
            since = time.monotonic()
        if len(viewer.at) != seen:
            seen, since = len(viewer.at), time.monotonic()


@pytest.mark.parametrize("fanout", ["auto", "threads"])
def test_a_node_that_was_stopped_shows_not_one_more_picture(nodes: dict[str, Node], fanout: str) -> None:
    """SIGSTOP until its lease has ended, then SIGCONT: streams end without another frame or event, newcomers are
    refused in words, and with the lease its pinned work comes back."""
    node = nodes[fanout]
    node.order("frozen", 2, pinned=True)
    viewer = Viewer(node, "/v1/sessions/frozen/stream")
    events = ask(node.compute.port, "/v1/sessions/frozen/detections")
    viewer.watches()
    try:
        # A signal may come between the decision to send a part and its sending, and no process can take that back. So
        # no part is under way when the node is stopped, and a row of frames waits for it when it wakes.
        flowing.clear()
        until_quiet(viewer, events)
        node.worker.suspend()
        try:
            node.registry.status = 503  # a registry that answers, but cannot say what is to be served
            flowing.set()
            time.sleep(LEASE + 0.7)
            events.setblocking(False)
            while select.select([events], [], [], 0)[0]:
                assert events.recv(1 << 20)
            before = len(viewer.at)
        finally:
            os.kill(node.worker.pid, signal.SIGCONT)
        wait_for(lambda: viewer.ended, 3, "the end of the stream")
        assert len(viewer.at) == before
        events.settimeout(3)
        told = b""
        while data := events.recv(65536):
            told += data
        assert b"data:" not in told
        refused = node.get("frozen")
        assert refused.status_code == 503
        assert "lost touch with the registry" in refused.json()["detail"]
        assert refused.headers["Retry-After"] == "1"
    finally:
        flowing.set()
        node.registry.status = None
    # Refused again and again, it tries ever more seldom; who asks for the session makes it try at once.
    with node.get("frozen", "stream", 2) as answer:
        assert answer.status_code == 200
    wait_for(lambda: node.registry.heard("frozen").get("fps"), 5, "pinned work")
    viewer.close()
    events.close()


def test_a_node_that_leaves_serves_on_until_another_one_does(node: Node) -> None:
    """Last of this file: it says goodbye first; pictures go on for up to a second; then it is gone."""
    node.order("farewell", 1)
    viewer = Viewer(node, "/v1/sessions/farewell/stream")
    viewer.watches()
    node.registry.session = {"state": "placed", "node": "another"}
    left_at: list[float] = []

    def look() -> None:
        wait_for(lambda: node.registry.left, 5, "goodbye")
        left_at.append(time.monotonic())

    watcher = threading.Thread(target=look)
    watcher.start()
    assert node.compute.stop() < 5
    watcher.join(5)
    assert viewer.at[-1] - left_at[0] > 0.5
    viewer.close()
