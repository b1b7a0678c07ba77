"""The log of changes, and what registries share."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest

from mesh import manifest as manifests
from registry.store import Changes, Dialled, Store
from tests.processes import wait_for
from tests.registry.store.conftest import KINDS
from tests.registry.store.trial import Trial


def read(store: Store, place: str, most: int = 1000) -> Changes:
    return store.changes(place, most, 0.0)


def camera(name: str = "cam") -> manifests.Manifest:
    document = {"schema": "fogline/1", "kind": "camera", "boot_id": "first", "host_name": "factory"}
    return manifests.parse(document | {"node_id": name, "name": name})


def test_every_change_is_in_the_log_once(trial: Trial) -> None:
    """Of a node and of a session, with the number of the change; a beat that says nothing new is none."""
    store = trial.store
    place = store.snapshot().place
    assert read(store, place) == Changes(place=place, revisions=None)

    def told() -> tuple[set[str], set[str]]:
        nonlocal place
        revision, found = store.revision(), read(store, place)
        assert read(store, found.place).revisions is None
        place = found.place
        if found.revisions is not None:
            assert found.revisions[1] == revision
        return set(found.nodes), set(found.sessions)

    trial.compute("a", dialled=False)
    assert told() == ({"a"}, set())
    trial.reached("a")
    assert told() == ({"a"}, set())
    trial.register("a")
    trial.beat("a")
    assert told() == (set(), set())
    trial.open("s1")
    assert told() == ({"a"}, {"s1"})
    trial.serve("a")
    assert told() == (set(), {"s1"})
    trial.beat("a", viewers=2)
    assert told() == (set(), {"s1"})
    trial.beat("a", viewers=2)
    assert told() == (set(), set())
    trial.beat("a", viewers=2, direct=1)
    assert told() == ({"a"}, set())
    trial.compute("b")
    told()
    trial.failover("s1", "viewer")
    assert told() == ({"a", "b"}, {"s1"})
    trial.store.drain("b", True)
    assert told() == ({"b"}, set())
    trial.store.leave("b", "left the mesh")
    assert told() == ({"b"}, {"s1"})
    trial.store.end("s1", "ended by request")
    assert told() == (set(), {"s1"})
    trial.advance(601)
    trial.sweep()
    assert told()[1] == {"s1"}


def test_what_concerns_the_whole_mesh_is_told(trial: Trial) -> None:
    """That the network is suspected, and that it is not any more."""
    for name in "abc":
        trial.compute(name)
    trial.live(1.25)
    place = trial.store.snapshot().place
    trial.silent = set("abc")
    trial.live(1)
    found = read(trial.store, place)
    assert (found.mesh, set(found.nodes), trial.store.preserving() is not None) == (True, set("abc"), True)
    trial.silent = set()
    trial.live(0.5)
    assert read(trial.store, found.place).mesh
    assert trial.store.preserving() is None


@pytest.mark.parametrize("kind", KINDS)
def test_the_log_has_no_gap_and_can_be_read_in_parts(kind: str, new_trial: Callable[[str], Trial]) -> None:
    """From the beginning of all, or from any place in it."""
    trial = new_trial(kind)
    assert trial.store.revision() == 0
    whole = trial.store.snapshot()
    assert (whole.revision, whole.nodes, whole.sessions, whole.preserving) == (0, (), (), None)
    place, last = whole.place, None
    nodes: list[str] = []
    trial.camera()
    for name in "abc":
        trial.compute(name, slots=8)
    for number in range(20):
        trial.open(f"s{number}")
    total = 0
    while (found := read(trial.store, place, 7)).revisions is not None:
        first, end = found.revisions
        assert last is None or first == last + 1
        assert end - first < 7
        total += end - first + 1
        place, last = found.place, end
        nodes += found.nodes
    assert last == trial.store.revision() == trial.store.snapshot().revision
    assert trial.store.snapshot().place == place
    assert total >= 4 + 20 * 2
    assert set(nodes) == {"cam", "a", "b", "c"}


def test_rows_are_those_asked_for_as_they_are(trial: Trial) -> None:
    """Unknown ones are left out; the whole has the same."""
    trial.compute("a")
    trial.open("s1", gate="motion", height=48)
    trial.serve("a")
    nodes, sessions = trial.store.rows(["a", "nobody"], ["s1", "nothing"])
    assert (list(nodes), list(sessions)) == (["a"], ["s1"])
    row = sessions["s1"]
    assert (row.state, row.node, row.viewers, row.gate, row.height) == ("running", "a", 1, "motion", 48)
    whole = trial.store.snapshot()
    assert {node.node_id for node in whole.nodes} == {"cam", "a"}
    assert whole.sessions == (trial.session("s1"),)
    assert (whole.sessions[0].node_name, whole.sessions[0].node_url) == ("a", "http://a:8000")
    assert trial.store.vitals().fps == {"s1": 0.0}
    assert trial.store.vitals().counts["placements"] == 1
    assert trial.store.rows([], []) == ({}, {})
    assert (trial.store.node("nobody"), trial.store.session("nothing"), trial.store.history("nothing")) == (
        None,
        None,
        [],
    )


def test_a_reader_hears_of_a_change_as_it_happens(any_store: Store) -> None:
    """It waits for the first one, no longer than it said."""
    any_store.register(camera(), "http://cam:5000", ["cam"], 60.0)
    place = any_store.snapshot().place
    began = time.monotonic()
    assert any_store.changes(place, 10, 0.2).revisions is None
    assert time.monotonic() - began >= 0.15
    asked: list[float] = []
    heard: list[Changes] = []

    def read() -> None:
        while not heard and len(asked) < 5:  # each waits for a second or two: on a slow machine that may pass before
            asked.append(time.monotonic())
            found = any_store.changes(place, 10, 2.0)
            heard.extend([found] if found.revisions is not None else [])

    reader = threading.Thread(target=read)
    reader.start()
    wait_for(lambda: bool(asked), 5, "reader")
    time.sleep(0.1)
    changed_at = time.monotonic()
    any_store.reached([Dialled(node_id="cam", url="http://cam:5000")], 3.0)
    reader.join(5)
    assert [found.nodes for found in heard] == [("cam",)]
    assert asked[-1] < changed_at, "it was told when it asked again, not as it happened"


def test_one_leads_until_it_falls_silent(any_store: Store) -> None:
    """It leads on while it says so; then another one does."""
    assert any_store.lead("one", 30.0)
    assert not any_store.lead("other", 0.4)
    assert any_store.lead("one", 0.4)
    wait_for(lambda: any_store.lead("other", 30.0), 5, "other leader")
    assert not any_store.lead("one", 0.4)


def test_the_secret_is_made_once(any_store: Store) -> None:
    """It is long enough to sign with."""
    assert any_store.secret() == any_store.secret()
    assert len(any_store.secret()) == 32
    any_store.ping()
