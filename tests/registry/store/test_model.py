"""The two stores do the same: a random walk through the life of a mesh, step by step on both."""

from __future__ import annotations

import os
import random
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from mesh.wire import Load
from registry.store import Full, NodeRecord, Pulse, SessionRecord
from tests.registry.store.trial import LEASE, Trial

STEPS = 300
SEEDS = int(os.environ.get("FOGLINE_TEST_SEEDS", "5"))  # more of them look further, for about a second each
NODES = ["a", "b", "c", "d", "e", "f"]  # as many as the words on a placement mention: none is left out by chance
CAMERAS = ["cam-1", "cam-2"]
SPEEDS = [7.0, 15.0, 31.0, 33.0, 70.0]  # frames a second, of four classes
LABELS = [{}, {"zone": "hall"}, {"zone": "cell"}]
Step = Callable[[Trial], Any]


class Walk:
    """Chooses what happens next. The choice depends on the seed and on what the first store shows, not on luck."""

    def __init__(self, seed: int, trial: Trial) -> None:
        self._random = random.Random(seed)
        self._seen = trial
        self._sessions = 0
        self._boots = 0

    def steps(self) -> Iterator[tuple[str, Step]]:
        yield from ((f"register {name}", self._camera(name)) for name in CAMERAS)
        yield from ((f"register {name}", self._compute(name)) for name in NODES[:4])
        for _ in range(STEPS):
            yield self._step()

    def _step(self) -> tuple[str, Step]:
        steps: dict[Callable[[], tuple[str, Step]], int] = {
            self._open: 14,
            self._beat: 16,
            self._pulse: 4,
            self._end: 5,
            self._failover: 5,
            self._drain: 4,
            self._reached: 8,
            self._register: 4,
            self._leave: 1,
            self._touch: 3,
            self._time: 30,
            self._camera_moves: 1,
            self._wipe: 1,
        }
        (chosen,) = self._random.choices(list(steps), list(steps.values()))
        return chosen()

    def _camera(self, name: str, url: str = "http://camera:5000") -> Step:
        fps = self._random.choice([None, 10.0, 25.0])
        fields = {} if fps is None else {"fps": fps}
        return lambda trial: trial.camera(name, advertise_url=url, **fields)

    def _compute(self, name: str) -> Step:
        pick = self._random.choice
        fields: dict[str, Any] = {"slots": pick([1, 2, 3]), "fps": pick([*SPEEDS, None]), "labels": pick(LABELS)}
        fields |= {"boot_id": f"boot-{self._boots}", "dialled": self._random.random() < 0.7}
        self._boots += self._random.random() < 0.7
        return lambda trial: trial.compute(name, **fields)

    def _name(self) -> str:
        known = [name for name in NODES if name in self._seen.boots]
        return self._random.choice(known)

    def _session(self) -> str | None:
        known = [s.session_id for s in self._seen.store.snapshot().sessions if s.state != "ended"]
        return self._random.choice(sorted(known)) if known else None

    def _open(self) -> tuple[str, Step]:
        self._sessions += 1
        session_id, roll, pick = f"s{self._sessions:03d}", self._random.random, self._random.choice
        wish: dict[str, Any] = {"camera": pick(CAMERAS), "width": pick(range(1, 9)), "pinned": roll() < 0.3}
        wish |= {"max_fps": pick([None, 5.0, 20.0]), "wait": roll() < 0.2, "ttl": pick([None, None, None, 6.0])}
        if roll() < 0.2:
            wish["only"] = self._name()
        if roll() < 0.2:
            wish["require"] = pick(LABELS)
        if roll() < 0.2:
            wish["prefer"] = pick(LABELS)
        if roll() < 0.3:
            wish["speed"] = "fastest"
        return f"open {session_id} {wish}", lambda trial: _plain(trial.ask(session_id, **wish))

    def _beat(self) -> tuple[str, Step]:
        name = self._random.choice([*NODES, *CAMERAS])
        viewers, ready, roll = self._random.choice([0, 1, 1, 2]), self._random.random() < 0.6, self._random.random()
        load = {"direct": 1, "fps": 3.0} if roll < 0.1 else {"no_signal": "dark"} if roll > 0.95 else {}

        def step(trial: Trial) -> Any:
            if name not in trial.boots:
                return None
            result = trial.beat(name, viewers=viewers, ready=ready, **load)
            return result and (result.draining, sorted(a.session_id for a in result.assignments if a.warm), result.dial)

        return f"beat {name} viewers={viewers} ready={ready} {load}", step

    def _pulse(self) -> tuple[str, Step]:
        names = [name for name in [*NODES, *CAMERAS] if self._random.random() < 0.8]
        direct = int(self._random.random() < 0.1)

        def step(trial: Trial) -> Any:
            pulses = [
                Pulse(node_id=name, boot_id=trial.boots.get(name, "none"), load=Load(direct=direct)) for name in names
            ]
            return trial.store.pulse(pulses, LEASE)

        return f"pulse {names} direct={direct}", step

    def _end(self) -> tuple[str, Step]:
        session_id = self._session()
        return f"end {session_id}", lambda trial: trial.store.end(session_id or "none", "ended by request")

    def _failover(self) -> tuple[str, Step]:
        session_id, reporter = self._session(), self._random.choice(["x", "y", "z"])

        def step(trial: Trial) -> Any:
            if session_id is None:
                return None
            return trial.failover(session_id, reporter).outcome

        return f"failover {session_id} by {reporter}", step

    def _drain(self) -> tuple[str, Step]:
        name, on = self._name(), self._random.random() < 0.4
        return f"drain {name} {on}", lambda trial: trial.store.drain(name, on)

    def _reached(self) -> tuple[str, Step]:
        name, roll = self._name(), self._random.random()
        problem, gone = ("timeout", roll < 0.1) if roll < 0.2 else (None, False)

        def step(trial: Trial) -> None:
            if trial.store.node(name) is not None:
                trial.reached(name, problem, gone=gone)

        return f"reached {name} {problem} gone={gone}", step

    def _register(self) -> tuple[str, Step]:
        name = self._random.choice(NODES)
        return f"register {name}", self._compute(name)

    def _leave(self) -> tuple[str, Step]:
        name = self._name()
        return f"leave {name}", lambda trial: trial.store.leave(name, "left the mesh")

    def _touch(self) -> tuple[str, Step]:
        session_id = self._session()
        return f"touch {session_id}", lambda trial: _plain(trial.store.touch(session_id or "none"))

    def _time(self) -> tuple[str, Step]:
        seconds = self._random.choice([0.25, 0.25, 0.6, 0.6, 1.1, 16.0 if self._random.random() < 0.1 else 0.25])
        silent = {name for name in [*NODES, *CAMERAS] if self._random.random() < 0.12}
        full, ready = self._random.random() < 0.7, self._random.random() < 0.7

        def step(trial: Trial) -> Any:
            """Those that are not silent beat, the registry sweeps and dials those that are due."""
            trial.advance(seconds)
            heard = [name for name in trial.boots if name not in silent]
            if full:
                again = [name for name in heard if trial.beat(name, ready=ready) is None]
            else:
                pulses = [Pulse(node_id=name, boot_id=trial.boots[name], load=Load()) for name in heard]
                again = trial.store.pulse(pulses, LEASE)
            swept = trial.sweep()
            due = trial.store.due(8, 3.0)
            for name, _ in due:
                trial.reached(name, "timeout" if name in silent else None)
            return again, due, swept

        return f"{seconds} s pass without {sorted(silent)}, full={full} ready={ready}", step

    def _camera_moves(self) -> tuple[str, Step]:
        name, url = self._random.choice(CAMERAS), self._random.choice(["http://camera:5000", "http://other:5000"])
        return f"{name} moves to {url}", self._camera(name, url)

    def _wipe(self) -> tuple[str, Step]:
        names = self._random.sample([*CAMERAS, *NODES], len(CAMERAS) + len(NODES))

        def step(trial: Trial) -> None:
            trial.wipe()
            for name in names:
                if name in trial.boots:
                    trial.register(name)

        return f"everything is forgotten; there come {names}", step


def _plain(outcome: SessionRecord | Full | None) -> Any:
    return _of_session(outcome) if isinstance(outcome, SessionRecord) else outcome


def _of_node(node: NodeRecord) -> tuple[Any, ...]:
    out = (node.out_until, node.out_reason)
    state = (node.alive, node.dead_reason, node.suspect_at, node.reach, node.reach_reason, node.draining)
    return node.boot_id, node.used, node.free_slots, node.load, node.lease_ends, node.last_seen, state, out


def _of_session(session: SessionRecord) -> tuple[Any, ...]:
    state = (session.state, session.state_reason, session.camera_gone, session.problem, session.viewers, session.pinned)
    return session.node, session.following, session.why, state, session.expires_at, session.changed_at


def picture(trial: Trial) -> dict[str, Any]:
    """What is compared after each step: all that one sees of the mesh but the numbers that only grow."""
    whole = trial.store.snapshot()
    counts = {name: count for name, count in whole.counts.items() if count}
    nodes = {f"node {node.node_id}": _of_node(node) for node in whole.nodes}
    return nodes | {f"session {s.session_id}": _of_session(s) for s in whole.sessions} | {"counts": counts}


def inconsistency(trial: Trial) -> str | None:
    """Where slots and sessions do not agree, or a session's state does not fit what is done for it."""
    whole = trial.store.snapshot()
    held = Counter(node for s in whole.sessions for node in (s.node, s.following) if node is not None)
    used = {node.node_id: node.used for node in whole.nodes if node.used}
    if used != dict(held):
        return f"nodes hold {used}, sessions are on {dict(held)}"
    for session in whole.sessions:
        served, followed = session.node is not None, session.following is not None
        fits = {
            "requested": not served and not followed,
            "placed": served and not followed,
            "running": served and not followed,
            "moving": served == followed,
            "ended": not served and not followed,
        }
        if not fits[session.state]:
            return f"{session}"
    return None


@pytest.mark.parametrize("seed", range(SEEDS))
def test_both_stores_walk_the_same_way(seed: int, new_trial: Callable[[str], Trial]) -> None:
    """Whatever nodes and viewers do, both place, move, refuse and end the same, in the same words."""
    memory, other = new_trial("memory"), new_trial("redis")
    happened: list[str] = []
    for words, step in Walk(seed, memory).steps():
        happened.append(words)
        ours, theirs = {"answer": step(memory)}, {"answer": step(other)}
        ours, theirs = ours | picture(memory), theirs | picture(other)
        different = [name for name in ours | theirs if ours.get(name) != theirs.get(name)]
        lines = [f"{name}\n  memory {ours.get(name)}\n  redis  {theirs.get(name)}" for name in different]
        assert not different, "\n".join([*happened[-12:], *lines])
        problem = inconsistency(memory)
        assert problem is None, "\n".join([*happened[-12:], problem or ""])
