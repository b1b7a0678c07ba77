"""The watch: what is told, in which order, and how a watcher goes on after it was cut off."""

from __future__ import annotations

import json
import select
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self

import pytest

from tests.processes import Running, wait_for
from tests.registry.fakes import FakeNode, Registry
from tests.registry.test_redis_trouble import _valkey

Json = dict[str, Any]


class Event:
    """One server-sent event."""

    def __init__(self, block: str) -> None:
        fields = dict(line.split(": ", 1) for line in block.split("\n"))
        self.id = int(fields["id"])
        self.kind = fields["event"]
        self.data: Json = json.loads(fields["data"])


class Watcher:
    """Reads /v1/events from a connection of its own."""

    def __init__(self, registry: Registry, last: int | None = None, query: str = "") -> None:
        host, _, port = registry.url.removeprefix("http://").partition(":")
        self.socket = socket.create_connection((host, int(port)), 5)
        resume = f"Last-Event-ID: {last}\r\n" if last is not None else ""
        self.socket.sendall(f"GET /v1/events{query} HTTP/1.0\r\nHost: localhost\r\n{resume}\r\n".encode())
        self._left = b""
        self.head = self._until(b"\r\n\r\n").decode()
        assert self._until(b"\n\n") == b"retry: 1000"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def next(self) -> Event:
        """The next event; fails when none comes within five seconds."""
        while (block := self._until(b"\n\n").decode()).startswith(":"):
            pass
        return Event(block)

    def until(self, wanted: Callable[[Event], bool]) -> list[Event]:
        """The events up to the first wanted one."""
        seen = [self.next()]
        while not wanted(seen[-1]):
            seen.append(self.next())
        return seen

    def quiet(self, seconds: float = 0.2) -> bool:
        return not self._left and not select.select([self.socket], [], [], seconds)[0]

    def _until(self, mark: bytes) -> bytes:
        while mark not in self._left:
            data = self.socket.recv(65536)
            assert data, "the watch ended"
            self._left += data
        found, _, self._left = self._left.partition(mark)
        return found


def about(node: FakeNode, state: str) -> Callable[[Event], bool]:
    return lambda e: e.kind == "node" and e.data["node_id"] == node.node_id and e.data["state"] == state


def lists(node: FakeNode, state: str) -> Callable[[Event], bool]:
    """A snapshot with the node in it, which a watcher is told as well when changes came faster than they were read."""
    return lambda e: (
        e.kind == "snapshot" and (node.node_id, state) in [(one["node_id"], one["state"]) for one in e.data["nodes"]]
    )


def moved(session: Json, node: FakeNode, state: str = "running") -> Callable[[Event], bool]:
    return lambda e: (
        e.kind == "session"
        and (e.data["session_id"], e.data["node"], e.data["state"]) == (session["session_id"], node.node_id, state)
    )


def tells(*, stale: bool) -> Callable[[Event], bool]:
    return lambda e: e.kind in ("mesh", "snapshot") and e.data["stale"] is stale


@pytest.fixture
def data(_shared_registry: tuple[Running, Path]) -> Path:
    """Where the registry has its data."""
    return _shared_registry[1]


@pytest.fixture
def watch(registry: Registry) -> Iterator[Watcher]:
    with Watcher(registry) as watcher:
        yield watcher


def test_who_is_new_gets_everything_and_then_every_change(registry: Registry) -> None:
    """The snapshot has the documents of the lists; a joining node is told by the document under which it is listed."""
    first = registry.camera()
    with Watcher(registry) as watcher:
        assert "Content-Type: text/event-stream" in watcher.head
        assert "Access-Control-Allow-Origin: *" in watcher.head
        snapshot = watcher.next()
        assert snapshot.kind == "snapshot"
        assert [node["node_id"] for node in snapshot.data["nodes"]] == [first.node_id]
        assert (snapshot.data["sessions"], snapshot.data["stale"]) == ([], False)
        assert snapshot.data["revision"] == snapshot.id
        node = registry.compute("hall-1")
        seen = watcher.until(about(node, "ready"))
        assert {event.data["node_id"] for event in seen} == {node.node_id}
        listed = registry.json("/v1/nodes?kind=compute")["nodes"][0]
        moving = {"last_seen": 0, "load": {}}
        assert seen[-1].data | moving == listed | moving
        assert snapshot.id < seen[0].id


def test_death_and_a_move_are_told_in_order(registry: Registry, watch: Watcher) -> None:
    """First that the node is not there, then where its session is placed, in the end that it runs there."""
    registry.camera()
    first = registry.compute("hall-1")
    session = registry.open(pinned=True)
    first.serves(session)
    watch.until(moved(session, first))
    second = registry.compute("hall-2")
    watch.until(about(second, "ready"))
    first.die()
    seen = watch.until(moved(session, second, "placed"))
    lost = [e for e in seen if e.kind == "node" and e.data["node_id"] == first.node_id]
    assert lost[-1].data["state"] in ("suspect", "dead")
    second.serves(seen[-1].data)
    seen += watch.until(moved(session, second))
    assert [event.id for event in seen] == sorted(event.id for event in seen)


def test_a_cameras_death_shows_in_its_session(registry: Registry, watch: Watcher) -> None:
    """Though nothing of the session itself has changed."""
    camera = registry.camera()
    node = registry.compute("hall-1")
    session = registry.open(pinned=True)
    node.serves(session)
    watch.until(moved(session, node))
    camera.die()  # first: a beat after its end would bring it back
    registry.delete(f"/v1/nodes/{camera.node_id}")
    last = watch.until(lambda e: e.kind == "session" and "is gone" in e.data["state_reason"])[-1]
    assert last.data == registry.json("/v1/sessions")["sessions"][0]


@pytest.mark.parametrize("how", ["header", "query"])
def test_a_watcher_that_comes_back_goes_on_where_it_was(registry: Registry, how: str) -> None:
    """Nothing is lost and nothing repeated."""
    registry.camera()
    with Watcher(registry) as watcher:
        before = watcher.next().id
    nodes = [registry.camera(f"cam-{number}") for number in range(5)]
    with Watcher(registry, before) if how == "header" else Watcher(registry, query=f"?since={before}") as watcher:
        seen = watcher.until(about(nodes[-1], "ready"))
        assert watcher.quiet()
    told = [event.data["node_id"] for event in seen]
    assert {node_id: told.count(node_id) <= 2 for node_id in told} == {node.node_id: True for node in nodes}
    assert {e.data["node_id"]: e.data["state"] for e in seen} == {node.node_id: "ready" for node in nodes}
    with Watcher(registry, seen[-1].id) as watcher:
        assert watcher.quiet()


def test_a_number_that_is_not_remembered_gives_a_snapshot(registry: Registry) -> None:
    """Too old, from the future, or none at all."""
    registry.camera()
    with Watcher(registry) as watcher:
        now = watcher.next().id
    for last in (1, now + 1000):
        with Watcher(registry, last) as watcher:
            assert watcher.next().kind == "snapshot"
    with Watcher(registry, query="?since=nonsense") as watcher:
        assert watcher.next().kind == "snapshot"


def test_a_wipe_shows_as_a_snapshot_without_nodes(registry: Registry, data: Path) -> None:
    """Then everybody is told anew as they come back."""
    camera = registry.node("camera", "line-3").join()
    with Watcher(registry) as watcher:
        watcher.next()
        with registry.store(data) as store:
            store.flushall()
        empty = watcher.until(lambda e: e.kind == "snapshot")[-1]
        assert empty.data["nodes"] == []
        camera.register()
        watcher.until(lambda e: about(camera, "ready")(e) or lists(camera, "ready")(e))


def test_redis_away_and_back_is_told(own_registry: Callable[..., Registry]) -> None:
    """`stale` while it is away; afterwards the watch goes on."""
    registry = own_registry()
    registry.camera()
    valkey = _valkey(registry)
    with Watcher(registry) as watcher:
        watcher.next()
        valkey.suspend()
        try:
            told = watcher.until(lambda e: e.kind == "mesh")[-1]
            assert told.data == {"preserving": False, "stale": True}
            with Watcher(registry) as late:  # it may be given the snapshot of a moment ago, and then what came since
                late.until(tells(stale=True))
        finally:
            valkey.resume()
        watcher.until(tells(stale=False))  # by a snapshot, if something has changed meanwhile
        later = registry.node("camera", "later")
        wait_for(lambda: later.register().ok, 5, "its registration")
        watcher.until(lambda e: e.kind == "node" and e.data["node_id"] == later.node_id)


def test_three_hundred_watchers_cost_one_reading(registry: Registry, data: Path) -> None:
    """Each is told of a change once; the log is read as often as without them."""
    registry.camera("first")
    watchers = [Watcher(registry) for _ in range(300)]
    try:
        assert all(watcher.next().kind == "snapshot" for watcher in watchers)
        with registry.store(data) as store:

            def reads() -> int:
                return int(store.info("commandstats").get("cmdstat_xread", {"calls": 0})["calls"])

            before, began = reads(), time.monotonic()
            node = registry.node("camera", "line-3")
            node.register()
            told = [[(e.id, e.data["state"]) for e in watcher.until(about(node, "ready"))] for watcher in watchers]
            assert all(one == told[0] for one in told)
            # Two changes, and one reading a second that finds nothing.
            assert reads() - before <= 4 + 2 * (time.monotonic() - began)
        assert "fogline_registry_watchers 300.0" in registry.get("/metrics").text
    finally:
        for watcher in watchers:
            watcher.socket.close()
    wait_for(lambda: "fogline_registry_watchers 0.0" in registry.get("/metrics").text, 5, "nobody")


def test_two_registries_on_one_store_tell_the_same(own_registry: Callable[..., Registry], tmp_path: Path) -> None:
    """What one was told is in the very next list of the other, and watchers of both end with the same picture while
    nodes come and go at both."""
    store = f"unix://{tmp_path / 'data' / 'valkey' / 'valkey.sock'}"
    one = own_registry("--lease-seconds", "30")
    other = own_registry("--lease-seconds", "30", "--redis", store, data=tmp_path / "other")
    for number in range(5):
        node = one.node("camera", f"cam-{number}")
        node.register()
        assert node.name in other.names()
        one.delete(f"/v1/nodes/{node.node_id}")
        assert node.name not in other.names()
    with Watcher(one) as first, Watcher(other) as second:

        def churn(registry: Registry, name: str) -> None:
            for number in range(20):
                node = registry.node("camera", f"{name}-{number}")
                node.register()
                if number % 2:
                    registry.delete(f"/v1/nodes/{node.node_id}")

        threads = [threading.Thread(target=churn, args=pair) for pair in ((one, "a"), (other, "b"))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
        marker = one.node("camera", "marker")
        marker.register()
        pictures = []
        for watcher in (first, second):
            picture: dict[str, str] = {}
            for event in watcher.until(about(marker, "ready")):
                if event.kind == "snapshot":
                    picture = {node["node_id"]: node["state"] for node in event.data["nodes"]}
                elif event.kind == "node":
                    picture[event.data["node_id"]] = event.data["state"]
            pictures.append(picture)
    assert {i for i, state in pictures[0].items() if state != "dead"} == {
        i for i, state in pictures[1].items() if state != "dead"
    }
    assert len(pictures[0]) == len(pictures[1]) == 46
