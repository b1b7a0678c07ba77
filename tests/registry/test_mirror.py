"""The copy of the store that every list is served from: never older than what its reader knows, and never rebuilt for
nothing."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from mesh import manifest as manifests
from mesh.errors import Conflict, RegistryAway
from mesh.wire import Beat, Load, SessionRequest
from registry import mirror as module
from registry import standing
from registry.documents import Documents
from registry.listing import Snapshots, View
from registry.mirror import Mirror
from registry.originals import UNAUTHENTICATED
from registry.redis_store import RedisStore
from registry.sessions import Sessions
from registry.settings import RegistrySettings
from registry.store import Changes, Dialled, NodeRecord, Opening, SessionRecord, Snapshot
from tests.processes import Running, wait_for
from tests.registry.fakes import YOLO, Registry

LEASE = 60.0  # seconds: nobody beats here


class Counting(RedisStore):
    """Counts what is asked of Redis, and can keep its log to itself."""

    def __init__(self, settings: RegistrySettings) -> None:
        super().__init__(settings)
        self.asked: dict[str, int] = {}
        self.mute = False

    def _count(self, what: str) -> None:
        self.asked[what] = self.asked.get(what, 0) + 1

    def revision(self) -> int:
        self._count("revision")
        time.sleep(0.02)  # so that readers meet here
        return super().revision()

    def snapshot(self) -> Snapshot:
        self._count("snapshot")
        return super().snapshot()

    def changes(self, place: str, most: int, wait: float) -> Changes:
        if self.mute:
            time.sleep(0.02)
            return Changes(place=place, revisions=None)
        return super().changes(place, most, wait)


class Desk:
    """A store, its mirror and what readers get of it."""

    def __init__(self, url: str) -> None:
        self.store = Counting(RegistrySettings(redis=url, redis_timeout=5))
        self.mirror = Mirror(self.store)
        self.snapshots = Snapshots(self.store, self.mirror)
        self.mirror.start()

    def join(self, node_id: str, kind: str = "camera", name: str = "", lease: float = LEASE) -> str:
        more = {"slots": 2, "algorithm": [YOLO]} if kind == "compute" else {}
        names = {"node_id": node_id, "name": name or node_id, "host_name": "h", "boot_id": "b"}
        url = f"http://127.0.0.1:1/{node_id}"
        self.store.register(
            manifests.parse({"schema": "fogline/1", "kind": kind} | names | more), url, [names["name"]], lease
        )
        self.store.reached([Dialled(node_id=node_id, url=url)], 1.0)
        return node_id

    def stranger(self, host_name: str, name: str) -> str:
        """One of the original's cameras, for which nobody vouches."""
        document = {"host_name": host_name, "FriendlyName": name, "ip_address": "127.0.0.1", UNAUTHENTICATED: True}
        one = manifests.parse(document, "camera")
        self.store.register(one, f"http://127.0.0.1:1/{host_name}", [name], LEASE)
        return one.node_id

    def names(self) -> list[str]:
        return [node.name for node in self.snapshots.view().snapshot.nodes]

    def close(self) -> None:
        self.mirror.stop()
        self.store.close()


@pytest.fixture
def desk(_shared_registry: tuple[Running, Path]) -> Iterator[Desk]:
    """On the Valkey that the tests' registry runs, emptied."""
    running, data = _shared_registry
    with Registry(running).store(data) as store:
        store.flushall()
    desk = Desk(f"unix://{data / 'valkey' / 'valkey.sock'}")
    yield desk
    desk.close()


def test_a_write_is_in_the_very_next_list(desk: Desk) -> None:
    """Whoever is answered reads what the answer was about."""
    desk.names()
    for number in range(30):
        name = desk.join(f"cam-{number:02}")
        assert name in desk.names()
        desk.store.leave(name, "left the mesh")
        assert not desk.snapshots.view().snapshot.nodes[number].alive
    assert desk.store.asked["snapshot"] <= 3, "changes are read, not everything"


def test_names_are_in_order_whatever_comes_and_goes(desk: Desk) -> None:
    """By name without regard to case, also after one has changed."""
    for name in ("b", "C", "a"):
        desk.join(name)
    assert desk.names() == ["a", "b", "C"]
    desk.join("a", name="d")
    assert desk.names() == ["b", "C", "d"]
    assert [node.node_id for node in desk.mirror.snapshot().nodes] == ["b", "C", "a"]


def test_many_readers_cost_one_question(desk: Desk) -> None:
    """Those who come while Redis is being asked share the next question."""
    desk.join("line-3")
    desk.names()
    desk.store.asked.clear()
    together = threading.Barrier(50)

    def read() -> None:
        together.wait(10)
        desk.names()

    threads = [threading.Thread(target=read) for _ in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert 1 <= desk.store.asked["revision"] < 15


def test_a_session_shows_its_node_and_its_camera(desk: Desk) -> None:
    """Their names and addresses, and that the camera is gone, though the session's own row stays the same."""
    desk.join("line-3")
    desk.join("hall-1", "compute")
    told: list[tuple[tuple[str, ...], tuple[str, ...]]] = []
    desk.mirror.listen(lambda nodes, sessions: told.append((nodes, sessions)))
    opened = desk.store.open(Opening(session_id="s", camera="line-3", algorithm="yolo", pinned=True))
    assert isinstance(opened, SessionRecord)

    def shown() -> SessionRecord:
        (session,) = desk.snapshots.view().snapshot.sessions
        return session

    assert (shown().node_name, shown().node_url) == ("hall-1", "http://127.0.0.1:1/hall-1")
    assert shown().camera_gone is None
    assert shown() == opened
    desk.store.leave("line-3", "left the mesh")
    assert shown().camera_gone == "left the mesh"
    # Who waits for a change may go on a moment before those who listen have heard of it.
    wait_for(lambda: (("line-3",), ("s",)) in told, 5, "news of the camera and its session")


def test_orders_are_known_at_once(desk: Desk) -> None:
    """A placement gives its node a new number, and whoever listens hears of the node."""
    desk.join("line-3")
    desk.join("hall-1", "compute")
    desk.names()
    before = desk.mirror.orders("hall-1")
    assert before is not None
    heard = threading.Event()
    desk.mirror.listen(lambda nodes, _sessions: heard.set() if "hall-1" in nodes else None)
    desk.store.open(Opening(session_id="s", camera="line-3", algorithm="yolo"))
    assert heard.wait(5)
    after = desk.mirror.orders("hall-1")
    assert after is not None
    assert after > before
    assert desk.mirror.orders("nobody") is None
    assert desk.mirror.live == 2


def test_loads_move_without_a_change(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """The tag stays, and what is shown is read anew: before the answer when it is too old, else after it."""
    monkeypatch.setattr(module, "VITALS_SECONDS", 0.05)
    monkeypatch.setattr(module, "VITALS_LAST", 0.09)
    desk.join("line-3")

    def beaten() -> tuple[View, View] | None:
        view = desk.snapshots.view()
        desk.store.beat("line-3", Beat(boot_id="b", load=Load(fps=29.5, viewers=3)), LEASE)
        time.sleep(0.1)  # older than VITALS_LAST: it is read before the answer
        again = desk.snapshots.current(desk.snapshots.view())
        return (view, again) if again.tag == view.tag else None

    # The registry whose Valkey this is may have changed something meanwhile, but not each time.
    view, again = wait_for(beaten, 3, "the same tag after a beat")
    assert again.snapshot.nodes[0].load == Load(fps=29.5, viewers=3)
    assert again.snapshot.nodes[0].last_seen > view.snapshot.nodes[0].last_seen
    monkeypatch.setattr(module, "VITALS_LAST", 60.0)
    desk.store.beat("line-3", Beat(boot_id="b", load=Load(fps=12.5)), LEASE)
    time.sleep(0.1)  # older than VITALS_SECONDS, far from VITALS_LAST: it is read after the answer
    assert desk.snapshots.current(desk.snapshots.view()).snapshot.nodes[0].load.fps == 29.5
    wait_for(
        lambda: desk.snapshots.current(desk.snapshots.view()).snapshot.nodes[0].load.fps == 12.5, 5, "the new load"
    )


def test_a_list_is_built_once_until_something_moves(desk: Desk) -> None:
    """The same bytes for the same question, others for others."""
    desk.join("line-3")
    built: list[int] = []

    def build() -> bytes:
        built.append(1)
        return b"x" * len(built)

    view = desk.snapshots.current(desk.snapshots.view())
    assert [desk.snapshots.body(view, question, build) for question in ("a", "b", "a")] == [b"x", b"xx", b"x"]
    desk.join("line-4")
    view = desk.snapshots.current(desk.snapshots.view())
    assert desk.snapshots.body(view, "a", build) == b"xxx"


def test_a_log_that_went_dumb_is_noticed(desk: Desk) -> None:
    """When the store is ahead and its log tells nothing, everything is read."""
    desk.names()
    desk.store.mute = True
    desk.join("line-3")
    wait_for(lambda: desk.mirror.node("line-3"), 5, "the node")


def test_a_stranger_that_came_a_moment_ago_is_taken_for_nobody(desk: Desk) -> None:
    """A session gets the camera that somebody vouched for, and none while that is away, though the mirror has not heard
    yet of an unauthenticated one with the same name."""
    mine = desk.join("mine", name="belt")
    desk.join("gpu", "compute")
    sessions, wanted = Sessions(desk.store, desk.snapshots), SessionRequest(camera="belt", algorithm="yolo")
    desk.mirror.stop()  # from now on it reads only what somebody waits for
    first = desk.stranger("old-1", name="belt")
    assert sessions.open(wanted)["camera"] == mine
    desk.store.leave(mine, "left the mesh")
    desk.store.leave(first, "left the mesh")
    desk.names()
    desk.stranger("old-2", name="belt")
    with pytest.raises(Conflict, match="is away"):
        sessions.open(wanted)


def test_a_suspected_network_is_told(desk: Desk) -> None:
    """When many nodes vanish at once; their reasons say so."""
    for number in range(4):
        desk.join(f"cam-{number}", lease=0.2)
    wait_for(lambda: desk.mirror.preserving, 5, "self-preservation")
    assert desk.snapshots.view().snapshot.preserving == desk.store.preserving() is not None


def test_before_the_first_reading_there_is_nothing_to_show(tmp_path: Path) -> None:
    """An absent Redis is an error that says so, not an empty list."""
    desk = Desk(f"unix://{tmp_path / 'nothing.sock'}")
    try:
        with pytest.raises(RegistryAway):
            desk.snapshots.view()
        with pytest.raises(RegistryAway):
            desk.mirror.snapshot()
    finally:
        desk.close()


def _node(**fields: object) -> NodeRecord:
    document = {"name": "x", "color": "blue", "sessions": 7, "state": "splendid", "slots": 9}
    base: dict[str, object] = {
        "node_id": "n", "kind": "compute", "name": "x", "boot_id": "b", "url": "http://h:1", "slots": 2, "used": 1,
        "load": Load(fps=3.5), "document": document, "algorithms": ("yolo",), "original": False, "draining": False,
        "reach": "ok", "reach_reason": "", "read_at": 1000.0, "lease_ends": 1003.0, "last_seen": 1000.0,
    }  # fmt: skip
    return NodeRecord(**(base | fields))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "node",
    [
        _node(),
        _node(kind="camera", document={"host_name": "bare"}),
        _node(dead_at=999.0, dead_reason="no beat for 3.1 s"),
        _node(suspect_at=999.0),
    ],
)
def test_what_is_written_is_the_document(node: NodeRecord) -> None:
    """Quickly or not: the manifest with its unknown fields, and what the registry says of it."""
    documents = Documents()
    for preserving in (False, True):
        document = msgspec.to_builtins(standing.document_of(node, preserving=preserving))
        assert msgspec.json.decode(bytes(documents.node(node, preserving))) == document
        assert documents.node(node, preserving) is documents.node(node, preserving)
    assert (document["state"] == "splendid", document["sessions"]) == (False, 1)


@pytest.mark.parametrize(
    ("fields", "preserving", "words"),
    [
        ({"suspect_at": 999.0}, False, "not heard of since 00:16:40 UTC; its sessions are moved"),
        ({"suspect_at": 999.0}, True, "many nodes vanished at once"),
        ({"out_until": 1010.0, "out_reason": "3 reports"}, False, "left out until 00:16:50 UTC: 3 reports"),
    ],
)
def test_a_suspect_says_why(fields: dict[str, object], preserving: bool, words: str) -> None:
    """Since when, and what becomes of its sessions."""
    state, reason = standing.state_of(_node(**fields), preserving=preserving)
    assert state == "suspect"
    assert words in reason
    assert standing.state_of(_node(out_until=999.0))[0] == "ready"
