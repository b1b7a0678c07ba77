"""Sessions that move: because a viewer asks, because their node drains, and what becomes of nodes that fail."""

from __future__ import annotations

from registry.store import Full
from tests.registry.store.trial import Trial


def two(trial: Trial, slots: int = 2) -> None:
    """Two nodes; a session on the first, watched."""
    trial.compute("a", slots=slots)
    trial.compute("b", slots=slots)
    assert trial.open("s1").node == "a"
    trial.serve("a")
    assert trial.session("s1").state == "running"


def test_every_placement_has_a_higher_token(trial: Trial) -> None:
    """Of whichever session, and after one has ended."""
    two(trial)
    tokens = [trial.session("s1").token, trial.open("s2").token]
    tokens += [trial.failover("s1", "viewer").session.token]
    trial.store.end("s2", "ended by request")
    tokens += [trial.open("s3").token]
    assert tokens == sorted(set(tokens))


def test_a_viewer_moves_a_session_once_for_each_token(trial: Trial) -> None:
    """An older token changes nothing."""
    two(trial)
    old = trial.session("s1").token
    moved = trial.failover("s1", "viewer")
    assert (moved.outcome, moved.session.node, moved.session.state) == ("moved", "b", "placed")
    assert moved.session.state_reason == "moved: a viewer got no frames from a"
    again = trial.store.failover("s1", old, "viewer")
    assert again is not None
    assert again.outcome == "already moved: this is the present placement"
    assert again.session == trial.session("s1") == moved.session
    assert trial.store.failover("nothing", old, "viewer") is None
    trial.store.end("s1", "ended by request")
    assert trial.failover("s1", "viewer").outcome == "the session has ended"


def test_the_node_left_is_dialled_before_it_is_given_more(trial: Trial) -> None:
    """It is due at once."""
    two(trial)
    trial.failover("s1", "viewer")
    assert trial.node("a").reach == "checking"
    assert trial.store.due(8, 3.0) == [("a", "http://a:8000")]
    assert trial.store.due(8, 3.0) == []
    assert trial.open("s2").node == "b"
    trial.reached("a")
    assert trial.open("s3").node == "a"


def test_a_session_stays_where_no_other_node_can_take_it(trial: Trial) -> None:
    """A slow picture is better than none; a session that waits says so."""
    trial.compute("a")
    trial.open("s1")
    stays = trial.failover("s1", "viewer")
    assert stays.outcome == "stays on a: no other node can take it: a is left out: it gave no frames"
    assert stays.session.node == "a"
    trial.store.leave("a", "left the mesh")
    assert trial.failover("s1", "viewer").outcome == "waiting for a free slot"


def test_one_reporter_never_has_a_node_left_out_and_two_do(trial: Trial) -> None:
    """However often the one says so; the two within a minute."""
    for name in "abcd":
        trial.compute(name, slots=4)
    trial.open("s1", only="a")
    for _ in range(6):
        left = trial.session("s1").node or ""
        assert trial.failover("s1", "one").outcome == "moved"
        trial.reached(left)
        assert trial.node(left).out_until is None
    trial.advance(61)
    trial.live(0.5)
    trial.open("s2", only="a")
    trial.failover("s2", "other")
    trial.reached("a")
    assert trial.node("a").out_until is None
    trial.open("s3", only="a")
    trial.failover("s3", "one")
    trial.reached("a")
    assert trial.node("a").out_reason == "2 reports of missing frames within a minute"
    assert trial.store.snapshot().counts["ejections"] == 1
    refused = trial.ask("s4", only="a")
    assert isinstance(refused, Full)
    assert refused.why == "a is left out until 08:01:11 UTC: 2 reports of missing frames within a minute"


def eject(trial: Trial, name: str, marks: list[int]) -> float:
    """Two viewers report the node; for how many seconds it is left out then."""
    for reporter in ("one", "other"):
        marks.append(len(marks))
        session_id = f"{name}-{len(marks)}"
        trial.open(session_id, only=name)
        trial.failover(session_id, reporter)
        trial.store.end(session_id, "ended by request")
        trial.reached(name)
    began = trial.node("cam").last_seen
    return (trial.node(name).out_until or began) - began


def test_a_node_that_fails_again_is_left_out_for_longer(trial: Trial) -> None:
    """Twice as long each time, and it is dialled before it comes back; ten good minutes are forgiveness."""
    for name in "abc":
        trial.compute(name, slots=4)
    marks: list[int] = []
    for seconds in (10, 20, 40):
        trial.live(0.25)
        assert eject(trial, "a", marks) == seconds
        trial.live(seconds - 0.25)
        assert trial.node("a").out_until is not None
        trial.live(0.5)
        assert (trial.node("a").out_until, trial.node("a").reach) == (None, "checking")
        trial.reached("a")
    trial.advance(601)
    trial.live(1.5)
    for name in "abc":
        trial.reached(name)
    assert eject(trial, "a", marks) == 10


def test_never_more_than_a_third_nor_the_last_node_is_left_out(trial: Trial) -> None:
    """A mesh of which everybody complains goes on."""
    marks: list[int] = []
    trial.compute("a", slots=4)
    trial.live(0.25)
    assert eject(trial, "a", marks) == 0
    for name in "bcdef":
        trial.compute(name, slots=4)
    trial.advance(61)
    trial.live(1.25)
    for name in "abcdef":
        trial.reached(name)
    assert [bool(eject(trial, name, marks)) for name in "abcdef"] == [True, True, False, False, False, False]


def test_a_draining_node_goes_on_until_another_one_has_pictures(trial: Trial) -> None:
    """The other one is told to run it, and takes over when it says that it is ready."""
    two(trial)
    before = trial.session("s1").token
    assert trial.store.drain("a", True) is True
    moving = trial.session("s1")
    assert (moving.state, moving.node, moving.following, moving.token) == ("moving", "a", "b", before)
    assert moving.state_reason == "moving to b: a is draining"
    assert [trial.node(name).used for name in "ab"] == [1, 1]
    trial.beat("b", ready=False)
    (warm,) = trial.assigned["b"]
    assert (warm.warm, warm.token > before) == (True, True)
    trial.beat("b", ready=False)
    trial.beat("a")
    assert [one.token for one in trial.assigned["a"]] == [before]
    trial.beat("b", ready=True)
    done = trial.session("s1")
    assert (done.state, done.node, done.following, done.token) == ("running", "b", None, warm.token)
    assert (done.state_reason, trial.node("a").used) == ("moved: a is draining", 0)
    trial.beat("a")
    trial.beat("b")
    assert trial.assigned["a"] == []
    assert [(one.token, one.warm) for one in trial.assigned["b"]] == [(warm.token, False)]
    assert trial.node("a").draining
    assert trial.store.drain("a", False) is True
    assert trial.open("s2").node == "a"


def test_a_session_that_nobody_would_miss_is_moved_at_once(trial: Trial) -> None:
    """One without viewers, or that has no pictures yet."""
    trial.compute("a")
    trial.compute("b", slots=4)
    trial.open("unseen", only="a")
    trial.serve("a", viewers=0)
    trial.open("placed", only="a")
    trial.store.drain("a", True)
    for session_id in ("unseen", "placed"):
        assert (trial.session(session_id).node, trial.session(session_id).state) == ("b", "placed")
        assert trial.session(session_id).state_reason == "moved: a is draining"


def test_a_draining_node_without_another_one_serves_on(trial: Trial) -> None:
    """The hand-over begins when somebody can take it; no new session comes meanwhile."""
    trial.compute("a")
    trial.open("s1", pinned=True)
    trial.serve("a")
    trial.store.drain("a", True)
    trial.live(2)
    assert (trial.session("s1").node, trial.session("s1").state) == ("a", "running")
    assert trial.ask("s2") == Full(why="a is draining")
    trial.compute("b")
    trial.live(2)
    assert (trial.session("s1").node, trial.session("s1").state) == ("b", "running")


def test_a_following_node_that_dies_is_dropped(trial: Trial) -> None:
    """The session runs on where it ran, and is handed to another one."""
    two(trial)
    trial.store.drain("a", True)
    trial.store.leave("b", "left the mesh")
    kept = trial.session("s1")
    assert (kept.state, kept.node, kept.following) == ("running", "a", None)
    trial.compute("c")
    trial.boots.pop("b")
    trial.live(1)
    assert trial.session("s1").node == "c"


def test_a_following_node_that_never_gets_ready_is_dropped(trial: Trial) -> None:
    """After a quarter of a minute; it is dialled before it is tried once more."""
    two(trial)
    trial.store.drain("a", True)
    trial.silent = {"b"}
    for _ in range(58):
        trial.beat("b", ready=False)
        trial.live(0.25)
    assert trial.session("s1").following == "b"
    for _ in range(4):
        trial.beat("b", ready=False)
        trial.live(0.25)
    kept = trial.session("s1")
    assert (kept.state, kept.node, kept.following) == ("running", "a", None)
    assert kept.state_reason == "b was to take over and gave no frames"
    assert (trial.node("b").reach, trial.node("b").used) == ("checking", 0)


def test_a_following_node_that_drains_too_makes_no_gap(trial: Trial) -> None:
    """The hand-over begins anew with a third one, and the first serves on until that is ready."""
    two(trial)
    trial.store.drain("a", True)
    trial.compute("c")
    trial.store.drain("b", True)
    assert (trial.session("s1").state, trial.session("s1").node) == ("running", "a")
    trial.silent = {"c"}
    trial.live(0.75)
    handed = trial.session("s1")
    assert (handed.state, handed.node, handed.following) == ("moving", "a", "c")
    assert trial.node("b").used == 0


def test_who_runs_it_already_takes_over_when_the_serving_node_fails(trial: Trial) -> None:
    """Whether a viewer says so, or the node dies."""
    two(trial)
    trial.store.drain("a", True)
    promoted = trial.failover("s1", "viewer").session
    assert (promoted.node, promoted.following, promoted.state) == ("b", None, "running")
    trial.compute("c", slots=4)
    trial.serve("b")
    trial.store.drain("b", True)
    assert trial.session("s1").following == "c"
    trial.store.leave("b", "left the mesh")
    assert (trial.session("s1").node, trial.session("s1").following) == ("c", None)
    assert [trial.node(name).used for name in "abc"] == [0, 0, 1]


def test_a_handed_over_session_that_ends_frees_both_slots(trial: Trial) -> None:
    """The node that serves it and the one that follows."""
    two(trial)
    trial.store.drain("a", True)
    trial.store.end("s1", "ended by request")
    assert [trial.node(name).used for name in "ab"] == [0, 0]
    trial.beat("b")
    assert trial.assigned["b"] == []


def test_a_node_that_leaves_loses_its_sessions_to_others(trial: Trial) -> None:
    """At once; it is shown as dead for a while, and then forgotten."""
    two(trial)
    assert trial.store.leave("a", "left the mesh") is True
    moved = trial.session("s1")
    assert (moved.node, moved.state_reason) == ("b", "moved: a is gone: left the mesh")
    gone = trial.node("a")
    assert (gone.alive, gone.dead_reason, gone.used) == (False, "left the mesh", 0)
    assert trial.beat("a") is None
    assert trial.store.leave("a", "left the mesh") is True
    assert trial.store.leave("nobody", "left the mesh") is False
    assert trial.store.drain("a", True) is False
    trial.advance(901)
    trial.sweep()
    assert trial.store.node("a") is None


def test_a_wanted_node_that_is_gone_does_not_keep_its_session(trial: Trial) -> None:
    """The picture matters more than the wish, and the words say so."""
    two(trial)
    trial.open("s2", only="a")
    trial.store.leave("a", "left the mesh")
    assert trial.session("s2").node == "b"
    assert trial.session("s2").why.endswith("(asked for: a is gone)")


def test_without_a_free_slot_a_displaced_session_waits(trial: Trial) -> None:
    """It says for what, is idle meanwhile unless pinned, and a visitor has it tried again."""
    two(trial, slots=1)
    trial.open("s2", pinned=True)
    trial.store.leave("a", "left the mesh")
    waiting = trial.session("s1")
    assert (waiting.state, waiting.node) == ("moving", None)
    assert waiting.state_reason == "a is gone: left the mesh; waiting for a free slot: b is full"
    trial.store.end("s2", "ended by request")
    visited = trial.store.touch("s1")
    assert visited is not None
    assert (visited.node, visited.token > waiting.token) == ("b", True)
    assert trial.store.touch("nothing") is None


def test_a_new_boot_voids_the_old_ones_sessions(trial: Trial) -> None:
    """They move; a lone node gets them back once it was dialled."""
    two(trial)
    trial.compute("a", boot_id="second", dialled=False)
    assert (trial.session("s1").node, trial.session("s1").state_reason) == ("b", "moved: a was started anew")
    trial.compute("b", boot_id="second", dialled=False)
    assert trial.session("s1").node is None
    trial.reached("b")
    trial.live(1)
    assert trial.session("s1").node == "b"


def test_a_camera_that_moves_house_is_told_to_who_fetches_from_it(trial: Trial) -> None:
    """The orders of the node that serves its sessions change, and say where it is now."""
    two(trial)
    trial.compute("c")
    before = {name: trial.node(name).orders for name in "ac"}
    trial.camera()
    assert {name: trial.node(name).orders for name in "ac"} == before
    trial.camera(advertise_url="http://10.0.0.9:5000")
    assert trial.node("a").orders > before["a"]
    assert trial.node("c").orders == before["c"]
    result = trial.beat("a")
    assert result is not None
    assert (result.orders, result.assignments[0].camera.url) == (trial.node("a").orders, "http://10.0.0.9:5000")
    trial.store.leave("cam", "left the mesh")
    assert trial.session("s1").camera_gone == "left the mesh"
    trial.beat("a")
    assert trial.assigned["a"][0].camera.url == "http://10.0.0.9:5000"


def test_a_node_that_was_complained_of_and_where_nothing_listens_is_dead(trial: Trial) -> None:
    """Its other sessions move before its lease is over; a process started anew is not left out for the old one."""
    trial.compute("a", slots=4)
    trial.compute("b", slots=4)
    first, second = trial.open("s1", only="a"), trial.open("s2", only="a")
    assert (first.node, second.node) == ("a", "a")
    trial.reached("a", problem="connection refused", gone=True)
    assert trial.node("a").dead_at is None, "nobody complained: its beats say that it lives"
    trial.failover("s1", "viewer")
    trial.reached("a", problem="connection refused", gone=True)
    assert trial.node("a").dead_reason == "a viewer got no frames, and nothing listens at http://a:8000"
    assert (trial.session("s1").node, trial.session("s2").node) == ("b", "b")
    trial.compute("a", slots=4, boot_id="second")
    assert (trial.node("a").out_until, trial.node("a").reach) == (None, "ok")
