"""Who is given a session, and why, in words."""

from __future__ import annotations

import threading

from mesh import manifest as manifests
from registry.store import Dialled, Full, Opening, SessionRecord, Store
from tests.registry.store.trial import IDLE, Trial


def why_not(outcome: object) -> str:
    assert isinstance(outcome, Full), outcome
    return outcome.why


def test_the_least_loaded_node_is_taken_then_the_one_used_longest_ago(trial: Trial) -> None:
    """Load counts first; among equals it goes round."""
    trial.compute("a", slots=4)
    trial.compute("b", slots=4)
    trial.compute("c", slots=8)
    assert [trial.open(f"s{n}").node for n in range(6)] == ["a", "b", "c", "c", "a", "b"]
    for session_id in ("s1", "s5"):
        trial.store.end(session_id, "ended by request")
    assert [trial.open("s6").node, trial.open("s7").node] == ["b", "c"]
    assert [trial.node(name).used for name in "abc"] == [2, 1, 3]


def test_what_runs_without_a_session_is_load_too(trial: Trial) -> None:
    """A direct stream holds a slot."""
    trial.compute("a")
    trial.compute("b")
    trial.beat("a", direct=1)
    assert trial.open("s1").node == "b"
    trial.beat("b", direct=2)
    assert [trial.open("s2").node, trial.ask("s3")] == ["a", Full(why="a is full; b is full")]


def test_a_node_that_keeps_up_is_preferred(trial: Trial) -> None:
    """What a session may need is reckoned at once, before any beat has told of it."""
    trial.camera(fps=25.0)
    trial.compute("slow", slots=4, fps=10.0)
    trial.compute("swift", slots=4, fps=60.0)
    first, second, third = (trial.open(f"s{n}") for n in range(3))
    assert (first.node, second.node) == ("swift", "swift")
    assert first.why == "swift: 4 of 4 slots free, 60 fps to spare"
    assert second.why == "swift: 3 of 4 slots free, 35 fps to spare"
    assert (third.node, third.why) == ("slow", "slow: 4 of 4 slots free, 10 fps to spare")


def test_less_is_needed_of_a_slower_camera_and_for_a_slower_picture(trial: Trial) -> None:
    """The lower of what the camera gives and what was asked for."""
    trial.camera(fps=25.0)
    trial.compute("slow", slots=4, fps=10.0)
    trial.compute("swift", slots=8, fps=60.0)
    assert trial.open("s1", max_fps=5.0).node == "slow"
    assert trial.open("s2", max_fps=50.0).node == "swift"
    assert "35 fps to spare" in trial.open("s3").why


def test_required_labels_are_met_or_the_words_say_who_lacks_them(trial: Trial) -> None:
    """Its host and its accelerators are labels of a node as well."""
    trial.compute("a")
    trial.compute("b", labels={"zone": "hall"}, accelerators=["onnxruntime:cuda"])
    assert [trial.open(f"s{n}", require={"zone": "hall"}).node for n in range(2)] == ["b", "b"]
    assert (
        why_not(trial.ask("s2", require={"zone": "hall", "accelerator": "gpu"})) == "a lacks accelerator=gpu; b is full"
    )
    assert why_not(trial.ask("s3", require={"zone": "cell"})) == "a lacks zone=cell; b is full"
    assert trial.open("s4", require={"host": "host-a"}).node == "a"


def test_preferred_labels_are_met_while_they_can_be(trial: Trial) -> None:
    """The words say which it was."""
    trial.compute("a", slots=4, fps=None)
    trial.compute("b", slots=1, fps=None, labels={"zone": "hall"})
    first, second = trial.open("s1", prefer={"zone": "hall"}), trial.open("s2", prefer={"zone": "hall"})
    assert (first.node, first.why) == ("b", "b: 1 of 1 slots free; preferred: zone=hall")
    assert (second.node, second.why) == ("a", "a: 4 of 4 slots free; none is free with zone=hall; b is full")
    assert (second.prefer, second.require) == ({"zone": "hall"}, {})


def test_the_fastest_class_with_a_free_slot_is_taken(trial: Trial) -> None:
    """Within a class it is the least loaded one; nodes that measured nothing come last."""
    trial.compute("unmeasured", slots=1, fps=None)
    trial.compute("slow", slots=1, fps=12.0)
    trial.compute("medium", slots=1, fps=40.0)
    trial.compute("fast-1", slots=1, fps=100.0)
    trial.compute("fast-2", slots=2, fps=70.0)
    nodes = [trial.open(f"s{n}", speed="fastest").node for n in range(6)]
    assert nodes == ["fast-1", "fast-2", "fast-2", "medium", "slow", "unmeasured"]
    assert "fast-1 is full" in why_not(trial.ask("s9", speed="fastest"))


def test_a_wanted_node_is_taken_or_the_words_say_why_not(trial: Trial) -> None:
    """No other one stands in for it when a session is made; its labels count as well."""
    trial.compute("a", slots=1)
    trial.compute("b", labels={"zone": "hall"})
    taken = trial.open("s1", only="a")
    assert (taken.node, taken.why) == ("a", "a: 1 of 1 slots free, 30 fps to spare (asked for)")
    assert why_not(trial.ask("s2", only="a")) == "a is full"
    assert trial.open("s3", only="b", require={"zone": "hall"}).node == "b"
    assert why_not(trial.ask("s4", only="b", require={"zone": "cell"})) == "b lacks zone=cell"
    assert why_not(trial.ask("s5", only="nobody")) == "nobody is gone"
    assert why_not(trial.ask("s6", only="b", algorithm="haar")) == "b has no haar"


def test_only_nodes_that_were_reached_and_take_sessions_are_taken(trial: Trial) -> None:
    """Each of the others is named with what is against it."""
    trial.compute("new", dialled=False)
    trial.compute("lost")
    trial.reached("lost", "connection refused")
    trial.compute("tired")
    trial.store.drain("tired", True)
    words = why_not(trial.ask("s1"))
    assert words == "lost is unreachable since 08:00:00 UTC; new is being checked; tired is draining"
    trial.reached("new")
    assert trial.open("s1").node == "new"
    assert why_not(trial.ask("s2", algorithm="haar")) == "no node has haar now"


def test_a_session_that_may_wait_is_placed_when_a_slot_is_free(trial: Trial) -> None:
    """It is `requested` until then, has no token, and says for what it waits."""
    trial.compute("a", slots=1)
    trial.open("s1")
    assert isinstance(trial.ask("s2"), Full)
    waiting = trial.open("s3", wait=True)
    assert (waiting.state, waiting.node, waiting.token) == ("requested", None, 0)
    assert waiting.state_reason == "waiting for a free slot: a is full"
    trial.live(1)
    assert trial.session("s3").state == "requested"
    trial.store.end("s1", "ended by request")
    trial.live(1)
    assert (trial.session("s3").node, trial.session("s3").state_reason) == ("a", "moved: a slot is free again")
    assert [step.state for step in trial.store.history("s3")][:2] == ["requested", "placed"]


def test_a_session_ends_when_its_time_is_over_though_it_is_watched(trial: Trial) -> None:
    """Its slot is free again, and it can still be asked after."""
    trial.compute("a", slots=1)
    session = trial.open("s1", ttl=2.0, pinned=True)
    assert session.expires_at == session.created_at + 2
    trial.live(1.75)
    assert trial.session("s1").state == "running"
    trial.live(0.5)
    over = trial.session("s1")
    assert (over.state, over.state_reason, over.node) == ("ended", "its time was over", None)
    assert trial.node("a").free_slots == 1
    trial.advance(601)
    trial.sweep()
    assert trial.store.session("s1") is None


def test_a_session_that_nobody_watches_ends_unless_it_is_pinned(trial: Trial) -> None:
    """A visit counts like a viewer, and the same wish with `pinned` pins the session that is there."""
    trial.compute("a", slots=4)
    for session_id in ("left", "visited"):
        trial.open(session_id)
    trial.open("pinned", width=64)
    assert trial.open("unused", width=64, pinned=True).session_id == "pinned"
    trial.serve("a", viewers=0)
    trial.advance(IDLE - 1)
    trial.beat("a", viewers=0)
    trial.store.touch("visited")
    trial.advance(1.5)
    trial.beat("a", viewers=0)
    assert trial.sweep().ended == 1
    left = trial.session("left")
    assert (left.state, left.state_reason) == ("ended", "nobody watched for 30 s")
    assert [trial.session(one).state for one in ("visited", "pinned")] == ["running", "running"]


def test_the_same_wish_joins_the_same_session(trial: Trial) -> None:
    """Until that has ended; another wish makes another one."""
    trial.compute("a", slots=4)
    first = trial.open("s1", width=64, require={"host": "host-a"})
    assert trial.open("s2", width=64, require={"host": "host-a"}).session_id == "s1"
    assert trial.open("s3", width=64).session_id == "s3"
    assert trial.open("s4", width=64, max_fps=5.0).session_id == "s4"
    trial.store.end("s1", "ended by request")
    again = trial.open("s5", width=64, require={"host": "host-a"})
    assert (again.session_id, again.token > first.token) == ("s5", True)
    assert trial.store.end("nothing", "ended by request") is False


def test_a_session_needs_a_camera_that_is_there(trial: Trial) -> None:
    """Nothing is placed for one that has just gone."""
    trial.compute("a")
    trial.store.leave("cam", "left the mesh")
    assert trial.ask("s1") is None
    assert trial.ask("s1", camera="nobody") is None
    assert trial.node("a").used == 0


def test_nodes_are_found_by_id_else_by_name(trial: Trial) -> None:
    """Only those that are there."""
    trial.compute("a")
    assert trial.store.find("compute", "a") == [("a", "a")]
    assert trial.store.find("camera", "a") == []
    assert (trial.store.has_algorithm("yolo"), trial.store.has_algorithm("haar")) == (True, False)
    trial.store.leave("a", "left the mesh")
    assert trial.store.find("compute", "a") == []
    assert trial.store.has_algorithm("yolo") is False


def test_a_race_for_slots_overbooks_none_and_spreads_the_load(any_store: Store) -> None:
    """Eight clients at once, several times: every slot is given once, and no node gets two more than another."""
    names = [f"n{number}" for number in range(10)]
    document = {"schema": "fogline/1", "boot_id": "first", "host_name": "factory"}
    camera = manifests.parse(document | {"kind": "camera", "node_id": "cam", "name": "cam"})
    any_store.register(camera, "http://cam:5000", ["cam"], 60.0)
    for name in names:
        yolo = {"algorithm": [{"id": "yolo", "name": "YOLO"}], "slots": 20, "kind": "compute"}
        any_store.register(
            manifests.parse(document | yolo | {"node_id": name, "name": name}), f"http://{name}", [], 60.0
        )
        any_store.reached([Dialled(node_id=name, url=f"http://{name}")], 3.0)
    for turn in range(3):
        placed: list[SessionRecord] = []

        def client(number: int, most: int, turn: int = turn, placed: list[SessionRecord] = placed) -> None:
            for count in range(most):
                mark = turn * 1_000_000 + most * 10_000 + number * 1000 + count
                found = any_store.open(Opening(session_id=f"s{mark}", camera="cam", algorithm="yolo", width=mark))
                if not isinstance(found, SessionRecord):
                    return
                placed.append(found)

        def race(most: int) -> list[int]:
            threads = [threading.Thread(target=client, args=(number, most)) for number in range(8)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(30)
            nodes = any_store.rows(names, [])[0]
            return [node.used for node in nodes.values()]

        half = race(12)
        assert (sum(half), len(placed), max(half) - min(half)) == (96, 96, 1)
        assert race(20) == [20] * 10
        assert (len(placed), len({session.token for session in placed})) == (200, 200)
        for session in placed:
            any_store.end(session.session_id, "ended by request")
