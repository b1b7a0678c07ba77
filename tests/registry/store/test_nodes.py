"""Nodes that fall silent, come back, or vanish many at once."""

from __future__ import annotations

import time

from mesh import manifest as manifests
from mesh.wire import Beat, Load
from registry.store import Dialled, Pulse, Store
from tests.processes import wait_for
from tests.registry.store.trial import BEAT, LEASE, Trial

NAMES = "abcdefghij"


def ten(trial: Trial) -> None:
    """Ten nodes with a watched session each: `on-a` runs on a."""
    for name in NAMES:
        trial.compute(name, slots=4)
    for name in NAMES:
        trial.open(f"on-{name}", only=name)
    trial.live(0.5)


def test_a_silent_nodes_sessions_move_before_it_is_given_up(trial: Trial) -> None:
    """When its lease ends it is a suspect, listed still; a lease later it is dead."""
    trial.compute("a")
    trial.compute("b")
    trial.open("s1")
    trial.live(1)
    trial.silent = {"a"}
    trial.live(LEASE - 0.25)
    assert (trial.node("a").suspect_at, trial.session("s1").node) == (None, "a")
    trial.live(0.25)
    suspect = trial.node("a")
    assert (suspect.alive, suspect.suspect_at, suspect.used) == (True, suspect.last_seen + LEASE, 0)
    moved = trial.session("s1")
    assert (moved.node, moved.state_reason) == ("b", "moved: a is gone: no beat for 1.0 s")
    assert "a has not been heard of since 08:00:0" in trial.open("s2").why
    trial.live(LEASE - 0.25)
    assert trial.node("a").alive
    trial.live(0.25)
    dead = trial.node("a")
    assert (dead.alive, dead.dead_reason, dead.suspect_at) == (False, "no beat for 2.0 s", None)
    assert trial.store.find("compute", "a") == []


def test_the_sweep_names_whom_to_dial_to_know_sooner(trial: Trial) -> None:
    """Where nothing listens, the node is dead at once; an answer says nothing, for what is silent may still serve."""
    trial.compute("a")
    trial.compute("b")
    trial.advance(LEASE)
    trial.beat("cam")
    swept = trial.sweep()
    assert swept.suspects == ()  # the first sweep of all gives everybody a lease's time
    trial.advance(LEASE)
    trial.beat("cam")
    swept = trial.sweep()
    assert set(swept.suspects) == {("a", "http://a:8000"), ("b", "http://b:8000")}
    trial.reached("a")
    trial.reached("b", "connection refused", gone=True)
    assert (trial.node("a").alive, trial.node("a").suspect_at is None) == (True, False)
    assert trial.node("b").dead_reason == "no beat for 2.0 s, and nothing listens at http://b:8000"


def test_a_suspect_that_beats_again_is_dialled_before_it_gets_work(trial: Trial) -> None:
    """It is live at once, and is told to serve what it has by now: nothing."""
    trial.compute("a")
    trial.compute("b")
    trial.open("s1")
    trial.live(1)
    trial.silent = {"a"}
    trial.live(LEASE + 0.25)
    result = trial.beat("a")
    assert result is not None
    assert (result.dial, result.url, result.assignments) == (True, "http://a:8000", [])
    back = trial.node("a")
    assert (back.suspect_at, back.reach) == (None, "checking")
    assert [trial.open("s2").node, trial.session("s1").node] == ["b", "b"]
    trial.reached("a")
    assert trial.open("s3").node == "a"
    again = trial.beat("a")
    assert again is not None
    assert again.dial is False


def test_a_suspect_that_registers_again_keeps_nothing_of_its_doubt(trial: Trial) -> None:
    """It is live, to be dialled, and not dead a lease later."""
    trial.compute("a")
    trial.silent = {"a"}
    trial.live(LEASE * 2)
    assert trial.node("a").suspect_at is not None
    trial.register("a")
    trial.silent = set()
    trial.live(LEASE * 2)
    assert (trial.node("a").alive, trial.node("a").suspect_at, trial.node("a").reach) == (True, None, "checking")


def test_when_many_vanish_at_once_nobody_is_given_up(trial: Trial) -> None:
    """The network is suspected: those that vanished stay listed and keep their sessions."""
    ten(trial)
    trial.silent = set("abc")
    trial.live(LEASE)
    assert trial.store.preserving() is not None
    assert trial.store.snapshot().preserving == trial.store.preserving()
    trial.live(3 * LEASE)
    for name in "abc":
        assert (trial.node(name).alive, trial.node(name).suspect_at is not None) == (True, True)
        assert trial.session(f"on-{name}").node == name
    assert trial.store.snapshot().counts["preservations"] == 1


def test_two_of_ten_are_given_up(trial: Trial) -> None:
    """So few may well have died."""
    ten(trial)
    trial.silent = set("ab")
    trial.live(LEASE)
    assert trial.store.preserving() is None
    assert trial.session("on-a").node not in ("a", "b")
    trial.live(LEASE)
    assert not trial.node("a").alive


def test_a_vanished_node_that_is_proved_dead_is_moved_away_from(trial: Trial) -> None:
    """Whatever is suspected of the network; and so is one from which a viewer gets nothing."""
    ten(trial)
    trial.silent = set("abcd")
    trial.live(LEASE)
    trial.reached("a", "connection refused", gone=True)
    assert not trial.node("a").alive
    assert trial.session("on-a").node not in set("abcd")
    asked = trial.failover("on-b", "viewer")
    assert (asked.outcome, asked.session.node in set("abcd")) == ("moved", False)
    assert (trial.node("b").alive, trial.session("on-c").node) == (True, "c")
    assert trial.store.preserving() is not None


def test_the_sessions_of_vanished_nodes_move_after_a_while(trial: Trial) -> None:
    """Their viewers have waited long enough; the nodes stay listed."""
    ten(trial)
    trial.silent = set("abc")
    trial.live(LEASE + 14)
    assert trial.session("on-a").node == "a"
    trial.live(2)
    assert trial.node("a").alive
    for name in "abc":
        assert trial.session(f"on-{name}").node not in set("abc")


def test_who_is_to_follow_a_vanished_node_takes_over(trial: Trial) -> None:
    """When its sessions are moved after a while; it goes on with the one slot that it holds for it already."""
    ten(trial)
    trial.silent = set("abc")
    trial.live(LEASE)
    trial.store.drain("a", True)
    follower = trial.session("on-a").following or ""
    trial.silent.add(follower)
    for _ in range(58):
        trial.beat(follower, ready=False)
        trial.live(0.25)
    assert (trial.session("on-a").node, trial.session("on-a").following) == ("a", follower)
    for _ in range(3):
        trial.beat(follower, ready=False)
        trial.live(0.25)
    taken = trial.session("on-a")
    assert (taken.node, taken.following, taken.state) == (follower, None, "running")
    assert taken.state_reason.startswith("moved: a has not been heard of for")
    sessions = trial.store.snapshot().sessions
    assert trial.node(follower).used == len([s for s in sessions if follower in (s.node, s.following)])


def test_when_a_node_was_heard_last_never_goes_back(trial: Trial) -> None:
    """A manifest counts like a beat."""
    trial.compute("a")
    trial.live(0.5)
    trial.store.pulse([Pulse(node_id="a", boot_id="first", load=Load())], LEASE)
    trial.advance(0.5)
    trial.register("a")
    heard = trial.node("a").last_seen
    trial.silent = {"a"}
    trial.live(LEASE + 0.25)
    assert trial.node("a").suspect_at is not None
    assert trial.node("a").last_seen == heard


def test_when_the_network_is_healed_nothing_is_left_of_it(trial: Trial) -> None:
    """Those that come back are dialled, have their sessions still, and are trusted at once."""
    ten(trial)
    tokens = {name: trial.session(f"on-{name}").token for name in NAMES}
    trial.silent = set("abc")
    trial.live(3 * LEASE)
    trial.silent = set()
    trial.live(0.5)
    assert trial.store.preserving() is None
    assert {name: trial.session(f"on-{name}").token for name in NAMES} == tokens
    assert trial.node("a").reach == "checking"
    assert {name for name, _ in trial.store.due(16, 3.0)} == set("abc")


def test_after_a_pause_of_the_registry_nobody_is_blamed_for_it(trial: Trial) -> None:
    """Without a sweep no registry ran, so nobody could beat."""
    trial.compute("a")
    trial.live(0.5)
    trial.advance(60)
    assert trial.sweep().suspects == ()
    trial.advance(LEASE - 0.1)
    assert trial.sweep().suspects == ()
    trial.beat("a")
    trial.beat("cam")
    trial.live(2 * LEASE)
    assert trial.node("a").suspect_at is None


def test_a_clock_that_goes_back_ends_no_lease_and_keeps_nobody_waiting(trial: Trial) -> None:
    """As when another Redis takes over; leases end by the new time."""
    trial.compute("a")
    trial.compute("b", slots=1)
    trial.open("s1", only="b", pinned=True)
    trial.live(0.5)
    trial.store.leave("a", "left the mesh")
    trial.boots.pop("a")
    trial.open("s2", wait=True, pinned=True)
    trial.advance(-3600)
    trial.live(2 * LEASE)
    assert trial.node("b").suspect_at is None
    trial.store.end("s1", "ended by request")
    trial.live(1)
    assert trial.session("s2").node == "b"
    trial.silent = {"b"}
    trial.live(LEASE)
    assert trial.node("b").suspect_at is not None


def test_an_originals_node_lives_until_its_renewal_is_missed(trial: Trial) -> None:
    """It beats not, is never dialled, and serves no sessions."""
    old = manifests.parse({"host_name": "old", "algorithm": [{"path": "yolo/image.jpg"}]}, "compute")
    done = trial.store.register(old, "http://old:8000", ["old"], 5.0)
    assert (done.new, done.dial) == (True, False)
    assert trial.store.register(old, "http://old:8000", ["old"], 5.0).new is False
    trial.live(4.5)
    assert trial.node(old.node_id).alive
    refused = trial.ask("s1", only=old.node_id)
    assert getattr(refused, "why", "") == "old speaks the original's calls only"
    trial.live(1)
    assert trial.node(old.node_id).dead_reason == "not renewed for 5.0 s"
    assert trial.store.preserving() is None


def test_a_pulse_keeps_a_node_alive_and_is_no_news(trial: Trial) -> None:
    """What it says of load and time is there, and the log of changes stays as it was."""
    trial.compute("a")
    trial.live(0.5)
    revision = trial.store.revision()
    load = Load(viewers=3, fps=12.5, cpu_percent=40.0)
    for _ in range(8):
        trial.advance(LEASE / 2)
        pulses = [Pulse(node_id=name, boot_id="first", load=load) for name in ("a", "cam")]
        assert trial.store.pulse(pulses, LEASE) == []
        trial.sweep()
    node, vital = trial.node("a"), trial.store.vitals().nodes["a"]
    assert (node.load, vital.load) == (load, load)
    assert node.last_seen == vital.seen == trial.node("cam").last_seen
    assert node.suspect_at is None
    assert trial.store.revision() == revision
    trial.store.pulse([Pulse(node_id="cam", boot_id="first", load=Load(no_signal="dark"))], LEASE)
    assert trial.store.revision() == revision + 1


def test_a_pulse_of_whom_a_full_beat_is_needed_is_named(trial: Trial) -> None:
    """Of those that are unknown, dead, of another boot, or silent for too long; the others are heard."""
    for name in ("well", "dead", "other", "suspect"):
        trial.compute(name)
    trial.silent = {"suspect"}
    trial.live(2 * LEASE)
    trial.store.leave("dead", "left the mesh")
    assert trial.node("suspect").suspect_at is not None
    said = {"well": "first", "dead": "first", "other": "second", "suspect": "first", "unknown": "first"}
    pulses = [Pulse(node_id=name, boot_id=boot, load=Load(fps=1.0)) for name, boot in said.items()]
    assert trial.store.pulse(pulses, LEASE) == ["dead", "other", "suspect", "unknown"]
    assert [trial.node(name).load.fps for name in ("well", "other")] == [1.0, 0.0]
    assert trial.node("suspect").suspect_at is not None


def test_a_beat_of_another_boot_or_of_nobody_has_to_register(trial: Trial) -> None:
    """And changes nothing."""
    trial.compute("a")
    assert trial.store.beat("a", Beat(boot_id="second", load=Load(direct=1)), LEASE) is None
    assert trial.store.beat("nobody", Beat(boot_id="first"), LEASE) is None
    assert trial.node("a").load.direct == 0


def test_an_address_that_is_no_longer_the_nodes_says_nothing(trial: Trial) -> None:
    """What answers or does not answer there; a new address has to be reached first."""
    trial.compute("a")
    trial.compute("a", advertise_url="http://10.0.0.9:8000", dialled=False)
    trial.store.reached([Dialled(node_id="a", url="http://a:8000")], 3.0)
    assert trial.node("a").reach == "checking"
    trial.reached("a", "no answer within 2 s")
    assert (trial.node("a").reach, trial.node("a").reach_reason) == ("failed", "no answer within 2 s")
    assert trial.store.due(8, 3.0) == []
    trial.advance(3)
    assert trial.store.due(8, 3.0) == [("a", "http://10.0.0.9:8000")]
    trial.reached("a")
    trial.advance(3)
    assert (trial.node("a").reach, trial.store.due(8, 3.0)) == ("ok", [])


def test_what_many_dials_came_to_is_told_in_one_call(trial: Trial) -> None:
    """Each node gets its own; those that nobody knows are passed over, and of one told twice the later counts."""
    for name in ("a", "b", "c", "d"):
        trial.compute(name, dialled=False)
    trial.silent = {"d"}
    trial.live(LEASE + 2 * BEAT)
    assert trial.node("d").suspect_at is not None
    found: list[tuple[str, str | None]] = [
        ("a", None),
        ("nobody", None),
        ("b", "no answer within 2 s"),
        ("c", "connection refused"),
        ("c", None),
        ("d", "connection refused"),
    ]
    results = [
        Dialled(node_id=name, url=f"http://{name}:8000", problem=problem, gone=problem == "connection refused")
        for name, problem in found
    ]
    trial.store.reached(results, 3.0)
    trial.store.reached([], 3.0)
    assert [trial.node(name).reach for name in ("a", "b", "c")] == ["ok", "failed", "ok"]
    assert [trial.node(name).reach_reason for name in ("a", "b", "c")] == ["", "no answer within 2 s", ""]
    assert "nothing listens at http://d:8000" in trial.node("d").dead_reason
    trial.advance(3)
    assert [name for name, _ in trial.store.due(8, 3.0) if name != "cam"] == ["b"]


def test_a_silent_node_is_seen_by_the_machines_clock(any_store: Store) -> None:
    """Within its lease and a sweep; dead within another one."""
    document = {"schema": "fogline/1", "kind": "camera", "boot_id": "first", "host_name": "factory", "name": "cam"}
    any_store.sweep()
    time.sleep(0.45)  # the first sweep of all gives everybody a lease's time
    any_store.register(manifests.parse(document | {"node_id": "cam"}), "http://cam:5000", ["cam"], 0.4)
    began = time.time()

    def suspected() -> bool:
        any_store.sweep()
        node = any_store.node("cam")
        return node is not None and node.suspect_at is not None

    def died() -> bool:
        any_store.sweep()
        node = any_store.node("cam")
        return node is not None and not node.alive

    wait_for(suspected, 5, "suspect")
    node = any_store.node("cam")
    assert node is not None
    assert node.suspect_at is not None
    assert round((node.suspect_at - node.last_seen) * 1000) >= 400  # as floats 0.4 s may be a little less
    assert abs(node.last_seen - began) < 2
    wait_for(died, 5, "death")
