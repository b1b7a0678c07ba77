"""A stream that outlives the node that serves it: real processes, and the clients that people use."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest
import requests

from mesh.follow import Follower, Sight
from mesh.multipart import Reader
from tests.processes import ROOT, Running, free_port, wait_for
from tests.scripted import Json
from tests.viewers import ask, node, session

LEASE = 4.0  # seconds: a viewer who asks after one has asked by then, also on a machine that is busy with tests
KILLED = 2  # compute nodes that these tests kill


class Mesh:
    """A registry, a camera called `cam`, and as many compute nodes as the tests kill and one more."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self._folder = folder
        self._stack = stack
        self._count = 0
        quick = ("--lease-seconds", str(LEASE), "--beat-seconds", "0.5")
        self.registry = self._run("registry", "registry", *quick).ready()
        size = ("--width", "320", "--height", "180", "--fps", "20")
        self.camera = self._run("camera", "camera", "--source", "demo:", "--name", "cam", *size)
        self.computes = [self.compute() for _ in range(KILLED + 1)]
        for one in (self.camera, *self.computes):
            one.ready()

    def _run(self, role: str, name: str, *arguments: str) -> Running:
        joined = () if role == "registry" else ("--registry", self.registry.url)
        where = ("--data", str(self._folder / name), *joined, *arguments)
        return self._stack.enter_context(Running(role, *where, port=free_port(), log=self._folder / f"{name}.log"))

    def compute(self) -> Running:
        self._count += 1
        name = f"hall-{self._count}"
        return self._run("compute", name, "--algorithms", "echo", "--name", name)

    def whole(self) -> None:
        """Wait until every compute node that runs is ready."""
        running = {one.url for one in self.computes if one.process.poll() is None}

        def ready() -> bool:
            listed = requests.get(f"{self.registry.url}/v1/nodes?kind=compute&state=ready", timeout=5).json()["nodes"]
            return {one["url"] for one in listed} == running

        wait_for(ready, 30, f"{len(running)} ready compute nodes")
        node(self.registry, "camera")

    def open(self, **more: object) -> Json:
        made: Json = session(self.registry, "cam", "echo", **more)
        return made

    def read(self, made: Json) -> Json:
        found: Json = requests.get(f"{self.registry.url}/v1/sessions/{made['session_id']}", timeout=5).json()
        return found

    def serving(self, made: Json) -> Running:
        now = self.read(made)
        return next(one for one in self.computes if one.url == now["node_url"])


@pytest.fixture(scope="module")
def _shared_mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    with ExitStack() as stack:
        yield Mesh(tmp_path_factory.mktemp("moving"), stack)


@pytest.fixture
def mesh(_shared_mesh: Mesh) -> Mesh:
    """One for all tests; each finds at least two compute nodes in it."""
    _shared_mesh.whole()
    return _shared_mesh


class Watching:
    """A follower of one session in a thread; `seen` is what it got."""

    def __init__(self, mesh: Mesh, made: Json, *, ask: bool) -> None:
        self.seen: list[Sight] = []
        self.follower = Follower(mesh.registry.url, made["session_id"], ask=ask)
        self._thread = threading.Thread(target=lambda: self.seen.extend(self.follower), daemon=True)

    def __enter__(self) -> Watching:
        self._thread.start()
        self.more()
        return self

    def __exit__(self, *_error: object) -> None:
        self.follower.close()
        self._thread.join(5)

    def more(self, seconds: float = 15) -> None:
        """Wait for ten more pictures."""
        before = len(self.seen)
        wait_for(lambda: len(self.seen) >= before + 10, seconds, "pictures")

    def moved(self, old: Running) -> None:
        """Wait for pictures of another node. None of the old one's may come after the first of them."""
        wait_for(lambda: self.seen[-1].node != old.url, 15, "pictures of another node")
        self.more()
        nodes = [sight.node for sight in self.seen]
        assert nodes.index(self.seen[-1].node) == len(nodes) - nodes[::-1].index(old.url)
        tokens = [sight.token or 0 for sight in self.seen]
        assert tokens == sorted(tokens)
        assert tokens[-1] > tokens[0]


def test_a_drained_node_is_left_without_a_question(mesh: Mesh) -> None:
    """The next node has pictures before the old one stops: nobody needs to ask."""
    made = mesh.open(width=200)
    with Watching(mesh, made, ask=True) as viewer:
        old = mesh.serving(made)
        address = f"{mesh.registry.url}/v1/nodes/{made['node']}"
        requests.post(f"{address}/drain", timeout=5)
        viewer.moved(old)
        assert viewer.follower.moves == 0
        requests.post(f"{address}/undrain", timeout=5)


def test_a_node_that_slept_through_its_lease_shows_nothing_more(mesh: Mesh) -> None:
    """SIGSTOP until the session runs elsewhere, then SIGCONT: a viewer that stayed gets not one more frame, and its
    connection is closed."""
    made = mesh.open(width=210)
    old = mesh.serving(made)
    faithful = ask(old.port, urlsplit(made["stream_url"]).path)
    reader = Reader()
    with Watching(mesh, made, ask=False) as viewer:
        family = [old.process.pid, *(child.pid for child in psutil.Process(old.process.pid).children(recursive=True))]
        # Not between its last look at the lease and the sending of a picture: right after one has come.
        while select.select([faithful], [], [], 0)[0]:
            list(reader.feed(faithful.recv(1 << 20)))
        list(reader.feed(faithful.recv(1 << 20)))
        for pid in family:
            os.kill(pid, signal.SIGSTOP)
        try:
            faithful.settimeout(0.5)
            with suppress(TimeoutError):
                while data := faithful.recv(1 << 20):
                    list(reader.feed(data))
            viewer.moved(old)
        finally:
            for pid in family:
                os.kill(pid, signal.SIGCONT)
        faithful.settimeout(5)
        late = b""
        while data := faithful.recv(1 << 20):
            late += data
        assert not list(reader.feed(late))
        viewer.more()
        assert viewer.seen[-1].node != old.url
    faithful.close()


def test_a_killed_nodes_viewers_have_it_moved(mesh: Mesh) -> None:
    """kill -9: after a second without pictures they ask, the reference client and examples/viewer.py alike."""
    made = mesh.open(width=220)
    victim = mesh.serving(made)
    program = [sys.executable, str(ROOT / "examples" / "viewer.py"), mesh.registry.url, made["session_id"]]
    with subprocess.Popen(program, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == f"0 pictures so far; now from {urlsplit(victim.url).netloc}\n"
            with Watching(mesh, made, ask=True) as viewer:
                victim.kill()
                viewer.moved(victim)
            words, _, place = process.stdout.readline().strip().rpartition(" ")
            assert place == urlsplit(mesh.serving(made).url).netloc
            assert int(words.split()[0]) > 0
        finally:
            process.kill()
    assert "a viewer got no frames" in mesh.read(made)["state_reason"]


def test_a_killed_nodes_viewers_who_only_wait_go_on_too(mesh: Mesh) -> None:
    """kill -9: the sweep moves the session when the lease has ended."""
    made = mesh.open(width=230)
    victim = mesh.serving(made)
    with Watching(mesh, made, ask=False) as viewer:
        victim.kill()
        viewer.moved(victim)
        assert viewer.follower.moves == 0
    assert "a viewer" not in mesh.read(made)["state_reason"]
