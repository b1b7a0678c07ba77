"""The store forgets everything, and the mesh tells it again."""

from __future__ import annotations

from mesh.wire import SessionReport
from tests.registry.store.trial import Trial


def serving(trial: Trial) -> None:
    """Two sessions on a, one of them pinned; b is empty."""
    trial.compute("a", slots=4, labels={"zone": "hall"})
    trial.compute("b", slots=4)
    trial.open("s1", only="a", max_fps=5.0, ttl=900.0)
    trial.open("s2", only="a", pinned=True, require={"zone": "hall"}, prefer={"host": "host-a"}, speed="fastest")
    trial.serve("a")


def test_what_runs_is_known_again_from_who_runs_it(trial: Trial) -> None:
    """The same ids on the same node with tokens that are not lower; and what was wished is known as well."""
    serving(trial)
    before = {name: trial.session(name) for name in ("s1", "s2")}
    trial.wipe()
    assert trial.store.revision() == 0
    assert trial.beat("a") is None
    for name in ("cam", "a", "b"):
        trial.register(name)
        trial.reached(name)
    first = trial.beat("a")
    assert first is not None
    assert (sorted(first.unknown), first.assignments) == (["s1", "s2"], [])
    second = trial.beat("a")
    assert second is not None
    assert second.unknown == []
    assert {one.session_id: one.token for one in second.assignments} == {n: s.token for n, s in before.items()}
    for name, old in before.items():
        new = trial.session(name)
        assert (new.state, new.node, new.viewers, new.token) == ("running", "a", 1, old.token)
        assert new.state_reason == "known again from a"
        wished = ("camera", "algorithm", "width", "max_fps", "pinned", "require", "prefer", "speed", "expires_at")
        assert [getattr(new, one) for one in (*wished, "created_at")] == [
            getattr(old, one) for one in (*wished, "created_at")
        ]
    assert trial.node("a").used == 2
    assert trial.open("s3").token > max(session.token for session in before.values())
    assert trial.open("s4", width=before["s2"].width, pinned=True, only="a", require={"zone": "hall"},
                      prefer={"host": "host-a"}, speed="fastest").session_id == "s2"  # fmt: skip


def test_nothing_is_placed_on_a_node_before_it_told_what_it_serves(trial: Trial) -> None:
    """Else its slots would be given twice."""
    serving(trial)
    trial.wipe()
    for name in ("cam", "a"):
        trial.register(name)
        trial.reached(name)
    assert trial.node("a").reach == "checking"
    assert getattr(trial.ask("s3"), "why", "") == "a is being checked"
    trial.beat("a")
    assert getattr(trial.ask("s3"), "why", "") == "a is being checked"
    trial.beat("a")
    assert trial.node("a").reach == "ok"
    assert trial.open("s3").why.startswith("a: 2 of 4 slots free")


def test_a_pin_that_came_later_is_known_again_too(trial: Trial) -> None:
    """The ticket says what holds now."""
    trial.compute("a")
    trial.open("s1", width=64)
    trial.serve("a")
    trial.open("other", width=64, pinned=True)
    trial.beat("a")
    trial.wipe()
    trial.register("a")
    trial.beat("a")
    trial.beat("a")
    assert trial.session("s1").pinned
    assert trial.session("s1").camera_gone == "it is unknown"


def test_of_two_that_claim_a_session_the_newer_placement_holds(trial: Trial) -> None:
    """Whichever is heard first."""
    for first, second in (("a", "b"), ("b", "a")):
        trial.compute("a")
        trial.compute("b")
        trial.open("s1", only="a", pinned=True)
        trial.serve("a")
        old = trial.assigned["a"]
        trial.failover("s1", "viewer")
        trial.serve("b")
        newer = trial.session("s1").token
        assert (old[0].token < newer, [one.token for one in trial.assigned["b"]]) == (True, [newer])
        trial.wipe()
        for name in ("cam", "a", "b"):
            trial.register(name)
        trial.assigned["a"] = old
        for name in (first, first, second, second, first):
            trial.beat(name)
        assert (trial.session("s1").node, trial.session("s1").token) == ("b", newer)
        assert [len(trial.assigned[name]) for name in "ab"] == [0, 1]
        assert [trial.node(name).used for name in "ab"] == [0, 1]
        trial.wipe()
        trial.camera()


def test_an_ended_session_is_not_known_again(trial: Trial) -> None:
    """Whoever reports it still is told to stop."""
    trial.compute("a")
    session = trial.open("s1")
    trial.serve("a")
    ticket = trial.assigned["a"][0].ticket
    trial.store.end("s1", "ended by request")
    report = SessionReport(session_id="s1", token=session.token + 5, ticket=ticket)
    result = trial.beat("a", report)
    assert result is not None
    assert (result.assignments, result.unknown) == ([], [])
    assert trial.session("s1").state == "ended"


def test_a_ticket_that_cannot_be_read_is_given_up(trial: Trial) -> None:
    """The node's other sessions are known again, and it gets work."""
    trial.compute("a")
    trial.open("s1")
    trial.serve("a")
    ticket = trial.assigned["a"][0].ticket
    trial.wipe()
    for name in ("cam", "a"):
        trial.register(name)
        trial.reached(name)
    reports = [SessionReport(session_id="s1", token=7, ticket=ticket)]
    for number, wrong in enumerate(("", "[]", "{", "{}", '"x"', ticket.replace('"yolo"', "5"))):
        reports.insert(0, SessionReport(session_id=f"wrong-{number}", token=7, ticket=wrong))
    result = trial.beat("a", *reports)
    assert result is not None
    assert ([one.session_id for one in result.assignments], result.unknown) == (["s1"], [])
    assert [session.session_id for session in trial.store.snapshot().sessions] == ["s1"]
    assert trial.node("a").reach == "ok"


def test_a_lost_placement_is_taken_from_who_has_it(trial: Trial) -> None:
    """As when a replica of Redis takes over that had not heard of the last one."""
    trial.compute("a")
    trial.compute("b")
    session = trial.open("s1")
    trial.serve("a")
    result = trial.beat("b", SessionReport(session_id="s1", token=session.token + 5, viewers=2))
    assert result is not None
    moved = trial.session("s1")
    assert (moved.node, moved.token, moved.viewers, moved.state) == ("b", session.token + 5, 2, "running")
    assert [trial.node(name).used for name in "ab"] == [0, 1]
    trial.beat("a")
    assert trial.assigned["a"] == []
    assert trial.failover("s1", "viewer").session.token > session.token + 5
