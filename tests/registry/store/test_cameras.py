"""Added cameras and their hosts, in both stores."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import replace

from mesh.wire import HostedCamera, Hosting
from registry.camera_store import MOST_CAMERAS, Added, CameraRecord, Put
from tests.registry.store.trial import Trial

ASKED = 5.0  # seconds without a question after which a host's cameras go to others


class Floor:
    """The camera hosts of a trial. told: what each heard last, which it reports with its next question."""

    def __init__(self, trial: Trial) -> None:
        self.trial = trial
        self.told: dict[str, list[HostedCamera]] = {}
        self.capacity: dict[str, int] = {}

    def host(self, name: str, capacity: int = 8) -> None:
        self.trial.camera(name, hosting=max(capacity, 1))
        self.capacity[name] = capacity
        self.ask(name)

    def ask(self, name: str, **problems: str) -> list[str] | None:
        """Ask as a host does: the names of the cameras that it is to run, None when it has to register."""
        hosting = Hosting(
            boot_id=self.trial.boots[name],
            capacity=self.capacity[name],
            cameras=self.told.get(name, []),
            problems=problems,
        )
        cameras = self.trial.store.host_cameras(name, hosting, ASKED)
        if cameras is not None:
            self.told[name] = cameras
        return None if cameras is None else [camera.name for camera in cameras]

    def live(self, seconds: int, *asking: str) -> None:
        """Nodes beat, the registry sweeps, and these hosts ask once a second."""
        for _ in range(seconds):
            self.trial.live(1.0)
            for name in asking:
                self.ask(name)

    def add(self, name: str, *, draft: bool = False, wanted: str | None = None) -> Put:
        """Add a camera whose id is its name."""
        camera = HostedCamera(camera_id=name, revision=1, name=name, source=f"rtsp://u:p@{name}/live", draft=draft)
        return self.trial.store.put_camera(CameraRecord(camera=camera, wanted=wanted, wanted_name=wanted or ""), 0)

    def change(self, camera_id: str, *, wanted: str | None = None, **fields: Any) -> Put:
        """Change a camera that is there."""
        record = self.record(camera_id)
        camera = replace(record.camera, revision=record.camera.revision + 1, **fields)
        return self.trial.store.put_camera(replace(record, camera=camera, wanted=wanted), record.camera.revision)

    def added(self) -> Added:
        return self.trial.store.cameras()

    def names(self) -> list[str]:
        return [record.camera.camera_id for record in self.added().cameras]

    def record(self, name: str) -> CameraRecord:
        found = self.added().camera(name)
        assert found is not None, f"no camera {name}"
        return found

    def runs(self) -> dict[str, int]:
        return {host.node_id: host.running for host in self.added().hosts}


@pytest.fixture
def floor(trial: Trial) -> Floor:
    return Floor(trial)


def test_cameras_go_to_the_emptiest_host_and_none_runs_more_than_it_can(floor: Floor) -> None:
    """Whoever asks first does not take all, and what no host has room for waits."""
    floor.host("a", 2)
    floor.host("b", 4)
    for number in range(8):
        floor.add(f"c{number}")
    floor.ask("a")
    assert floor.runs() == {"a": 2, "b": 4}
    assert (floor.ask("a"), floor.ask("b")) == (["c0", "c2"], ["c1", "c3", "c4", "c5"])
    assert [name for name in floor.names() if floor.record(name).host is None] == ["c6", "c7"]
    floor.trial.store.remove_camera("c0")
    assert floor.ask("a") == ["c2", "c6"]


def test_a_host_that_no_longer_asks_loses_its_cameras_and_hears_of_it(floor: Floor) -> None:
    """It need not be dead for that: its node beats all the time."""
    floor.host("a")
    floor.add("c1")
    floor.ask("a")
    floor.host("b")
    floor.live(4, "b")
    assert floor.record("c1").host == "a"
    floor.live(3, "b")
    assert (floor.record("c1").host, floor.told["b"][0].name) == ("b", "c1")
    assert floor.ask("a") == []
    assert floor.runs() == {"a": 0, "b": 1}


def test_a_host_that_leaves_is_replaced_with_the_next_question(floor: Floor) -> None:
    """Nobody waits for the lease of one that said goodbye."""
    floor.host("a")
    floor.add("c1")
    floor.ask("a")
    floor.host("b")
    floor.trial.store.leave("a", "left the mesh")
    assert floor.ask("b") == ["c1"]
    assert floor.ask("a") is None


def test_a_host_that_was_started_anew_keeps_its_cameras(floor: Floor) -> None:
    """An older boot of it has to register again."""
    floor.host("a")
    floor.host("b")
    floor.add("c1")
    floor.ask("a")
    old = floor.trial.boots["a"]
    floor.trial.camera("a", hosting=8, boot_id="second")
    floor.told["a"] = []
    assert floor.ask("b") == []
    assert floor.ask("a") == ["c1"]
    assert floor.trial.store.host_cameras("a", Hosting(boot_id=old, capacity=8), ASKED) is None
    assert floor.trial.store.host_cameras("nobody", Hosting(boot_id=old, capacity=8), ASKED) is None


def test_hosts_keep_their_cameras_when_no_registry_was_there_to_be_asked(floor: Floor) -> None:
    """The first that asks afterwards does not take what the others run."""
    floor.host("a")
    floor.host("b")
    floor.add("c1")
    floor.ask("b")
    floor.trial.live(1.0)
    floor.trial.advance(60.0)
    assert (floor.ask("b"), floor.record("c1").host) == ([], "a")
    floor.live(1, "b")
    assert floor.ask("a") == ["c1"]
    floor.live(8, "b")
    assert floor.record("c1").host == "b"


def test_a_camera_that_is_bound_to_a_host_waits_for_it(floor: Floor) -> None:
    """Others do not get it, and it moves when it is bound to another or to none."""
    floor.host("a", 1)
    floor.host("b", 1)
    floor.add("c1", wanted="a")
    floor.ask("b")
    assert floor.ask("a") == ["c1"]
    floor.trial.store.leave("a", "left the mesh")
    assert floor.ask("b") == []
    assert floor.record("c1").host is None
    floor.change("c1", wanted="b", fps=5.0)
    assert floor.ask("b") == ["c1"]
    floor.host("a", 1)
    floor.change("c1", wanted="a")
    assert (floor.ask("b"), floor.ask("a")) == ([], ["c1"])


def test_a_host_with_less_room_or_that_drains_gives_up_what_is_too_much(floor: Floor) -> None:
    """The oldest stay; one that drains gets no more."""
    floor.host("a", 3)
    for name in ("c1", "c2", "c3"):
        floor.add(name)
    floor.ask("a")
    floor.capacity["a"] = 1
    assert floor.ask("a") == ["c1"]
    floor.trial.store.drain("a", True)
    floor.capacity["a"] = 3
    assert floor.ask("a") == ["c1"]
    floor.trial.store.drain("a", False)
    assert floor.ask("a") == ["c1", "c2", "c3"]


def test_a_store_that_was_wiped_hears_of_cameras_from_their_hosts(floor: Floor) -> None:
    """As they were reported, each with the host that runs it; drafts are not worth it."""
    floor.host("a")
    floor.host("b")
    for name in ("c1", "c2", "c3"):
        floor.add(name)
    floor.add("d1", draft=True)
    floor.ask("a")
    floor.ask("b")
    floor.change("c1", name="door", fps=5.0)
    before = {name: floor.record(name) for name in ("c1", "c2", "c3")}
    for name in ("a", "b"):
        floor.ask(name)
    floor.trial.wipe()
    assert floor.ask("a") is None
    for name in ("b", "a"):
        floor.trial.register(name)
        floor.ask(name)
    after = {name: floor.record(name) for name in floor.names()}
    assert {name: (one.camera, one.host) for name, one in after.items()} == {
        name: (one.camera, one.host) for name, one in before.items()
    }


def test_a_camera_that_was_removed_is_not_known_again_from_a_host(floor: Floor) -> None:
    """For a day; one that is reported in a newer revision than is known has the newer one."""
    floor.host("a")
    floor.add("c1")
    floor.add("c2")
    floor.ask("a")
    reported = floor.told["a"]
    assert floor.trial.store.remove_camera("c1")
    assert floor.trial.store.remove_camera("c1"), "it was, a moment ago"
    assert not floor.trial.store.remove_camera("nobody")
    floor.told["a"] = [reported[0], replace(reported[1], revision=7, name="door")]
    assert floor.ask("a") == ["door"]
    floor.told["a"] = reported
    assert (floor.ask("a"), floor.record("c2").camera.revision) == (["door"], 7)
    floor.trial.advance(86_401)
    floor.told["a"] = reported
    assert floor.ask("a") == ["door", "c1"]


def test_a_draft_is_forgotten_two_minutes_after_the_last_word_about_it(floor: Floor) -> None:
    """Until then it runs; one that was saved stays."""
    floor.host("a")
    floor.add("d1", draft=True)
    floor.add("d2", draft=True)
    assert floor.ask("a") == ["d1", "d2"]
    floor.trial.advance(100)
    floor.trial.store.put_camera(floor.record("d1"), 1)
    floor.change("d2", draft=False)
    floor.trial.advance(100)
    assert floor.names() == ["d1", "d2"]
    floor.trial.advance(21)
    assert floor.ask("a") == ["d2"]
    assert floor.names() == ["d2"]
    draft = HostedCamera(camera_id="d1", revision=2, name="d1", source="demo:")
    assert floor.trial.store.put_camera(CameraRecord(camera=draft), 1) == Put(outcome="unknown")


def test_of_two_changes_of_one_revision_only_the_first_is_taken(floor: Floor) -> None:
    """A name belongs to one saved camera, and drafts do not count."""
    floor.add("c1")
    first = floor.record("c1")
    assert floor.change("c1", fps=5.0).outcome == "stored"
    newer = replace(first, camera=replace(first.camera, revision=2, fps=6.0))
    assert floor.trial.store.put_camera(newer, 1).outcome == "changed"
    assert floor.record("c1").camera.fps == 5.0
    floor.add("c2")
    assert floor.change("c2", name="c1") == Put(outcome="taken", other="c1")
    floor.add("d1", draft=True)
    assert floor.change("d1", name="c1", draft=True).outcome == "stored"
    assert floor.change("d1", draft=False).outcome == "taken"
    assert floor.change("c1", name="door").outcome == "stored"
    assert floor.change("d1", draft=False).outcome == "stored"


def test_there_is_a_most_of_added_cameras(floor: Floor) -> None:
    """One more is refused, and a host that reports more does not fill the store."""
    floor.host("a")
    for number in range(MOST_CAMERAS):
        assert floor.add(f"c{number}", draft=True).outcome == "stored"
    assert floor.add("more").outcome == "full"
    floor.told["a"] = [HostedCamera(camera_id="other", revision=1, name="other", source="demo:")]
    floor.ask("a")
    assert len(floor.names()) == MOST_CAMERAS
    assert floor.trial.store.remove_camera("c7")
    assert floor.add("more").outcome == "stored"


def test_what_a_list_shows_of_cameras_changes_the_revision_and_nothing_else_does(floor: Floor) -> None:
    """Followers of the log read on; a question that brings nothing new is no news."""
    store = floor.trial.store
    floor.host("a")
    floor.add("c1")
    floor.ask("a")
    place = store.snapshot().place
    before = store.revision()
    floor.ask("a")
    assert store.revision() == before
    floor.ask("a", c1="its port is taken")
    assert floor.record("c1").problem == "its port is taken"
    found = store.changes(place, 10, 0.0)
    assert (found.revisions, found.nodes, found.sessions) == ((before + 1, before + 1), (), ())
    floor.ask("a")
    assert (floor.record("c1").problem, store.revision()) == ("", before + 2)


STEPS = 400
HOSTS = ("a", "b", "c")


def _step(chance: random.Random, one: Floor) -> Callable[[Floor], Any]:
    """Something that may happen; the same for each floor."""
    host, name, wanted = chance.choice(HOSTS), f"c{chance.randrange(12)}", chance.choice([None, None, *HOSTS])
    draft, fps, seconds = chance.random() < 0.3, float(chance.randint(1, 30)), chance.choice([1, 2, 7, 60])
    capacity, asking, on = chance.randint(0, 5), chance.randint(0, 3), chance.random() < 0.3
    known = one.added().camera(name) is not None

    def put(floor: Floor) -> Any:
        if known:
            return floor.change(name, wanted=wanted, fps=fps)
        return floor.add(name, draft=draft, wanted=wanted)

    def register(floor: Floor) -> Any:
        floor.trial.register(host)
        floor.capacity[host] = capacity

    steps: list[tuple[int, Callable[[Floor], Any]]] = [
        (12, lambda floor: floor.ask(host)),
        (4, put),
        (2, lambda floor: floor.trial.store.remove_camera(name)),
        (2, lambda floor: floor.live(seconds % 10, *HOSTS[:asking])),
        (1, lambda floor: floor.trial.advance(seconds)),
        (1, lambda floor: floor.trial.store.drain(host, on)),
        (1, lambda floor: floor.trial.store.leave(host, "left")),
        (2, register),
        (1, lambda floor: floor.trial.wipe() if seconds == 60 else None),
    ]
    (chosen,) = chance.choices([step for _, step in steps], [weight for weight, _ in steps])
    return chosen


@pytest.mark.parametrize("seed", range(5))
def test_both_stores_do_the_same(new_trial: Callable[[str], Trial], seed: int) -> None:
    """A random walk, step by step on both: the same answers, and no host ever has more than it can run."""
    chance = random.Random(seed)
    floors = [Floor(new_trial("redis")), Floor(new_trial("memory"))]
    for floor in floors:
        for name in HOSTS:
            floor.host(name, 3)
    for number in range(STEPS):
        step = _step(chance, floors[1])
        said = [step(floor) for floor in floors]
        assert said[0] == said[1], f"step {number}"
        lists = [floor.added() for floor in floors]
        assert lists[0] == lists[1], f"after step {number}"
        for one in lists[1].hosts:
            assert one.running == sum(record.host == one.node_id for record in lists[1].cameras)
