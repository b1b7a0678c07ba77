"""What viewers see of accidents: nodes, hosts, cables, registries and Redis fail under a running stream, one by one."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from bench.figures import Sample, Target, each_round, value
from bench.machine import ROOT
from bench.processes import Failed, Missing
from bench.session import Bench
from mesh.settings import DATA
from tests import accidents
from tests.accidents import Figures, Scene
from tests.cluster import FPS, Cluster
from tests.hosts import Host, hosts, why_not
from tests.registry.servers import Server

NAME = "failover"
TITLE = "the gap that viewers see when something dies, stalls, is cut off or drained (needs root)"
LONG, SHORT = 10.0, 3.0  # seconds that a fault lasts


@dataclass(frozen=True)
class Case:
    """An accident. most: seconds of gap that are allowed. clean: no picture of the old node may come after the first
    of the new one, not even to who kept the old connection."""

    words: str
    happen: Callable[[Scene, Server, list[Host]], Figures]
    most: float | None = None
    clean: bool = False


CASES = {
    "drain": Case("compute node drained", lambda s, _, __: accidents.drain(s), 0.2),
    "kill": Case(
        "kill -9 of the compute node, the viewer asks", lambda s, _, __: accidents.kill_compute(s, ask=True), 2.0, True
    ),
    "kill-unasked": Case(
        "kill -9 of the compute node, the sweep alone", lambda s, _, __: accidents.kill_compute(s, ask=False), 4.5, True
    ),
    "stall": Case(
        f"compute node stopped for {LONG:g} s (SIGSTOP)", lambda s, _, __: accidents.stall_compute(s, LONG), 2.0, True
    ),
    "cable": Case(f"its host's cable pulled for {LONG:g} s", lambda s, _, __: accidents.cut_compute(s, LONG), 2.0),
    "deaf": Case(
        "its host does not hear the registry",
        lambda s, _, at: accidents.deafen(s, [s.serving_host()], at[:2]),
    ),
    "unheard": Case(
        "the registry does not hear its host", lambda s, _, at: accidents.deafen(s, at[:2], [s.serving_host()])
    ),
    "loss": Case(
        f"its host loses 30 % of all packets for {LONG:g} s", lambda s, _, __: accidents.lose_packets(s, 0.3, LONG)
    ),
    "camera": Case(f"kill -9 of the camera for {SHORT:g} s", lambda s, _, __: accidents.kill_camera(s, SHORT)),
    "registry": Case(
        "kill -9 of the registry that leads, then of the compute node",
        lambda s, _, __: accidents.kill_registry(s),
        1.0,
        True,
    ),
    "redis-hangs": Case(
        f"Redis stopped for {SHORT:g} s", lambda s, server, _: accidents.hang_redis(s, server, SHORT), 1.0
    ),
    "redis-dies": Case(
        f"kill -9 of Redis for {SHORT:g} s", lambda s, server, _: accidents.kill_redis(s, server, SHORT), 1.0
    ),
    "redis-forgets": Case("Redis wiped", lambda s, server, _: accidents.wipe_redis(s, server), 1.0),
}


def run(bench: Bench) -> list[Sample]:
    reason = why_not("iptables")
    if reason is not None:
        raise Missing(reason)
    unknown = set(bench.only) - set(CASES)
    if unknown:
        raise Missing(f"no case {', '.join(sorted(unknown))}; there are {', '.join(CASES)}")
    data = Path(os.environ.get("FOGLINE_DATA") or ROOT / DATA.name).resolve()
    bench.note(f"pictures come {FPS:g} times a second, so a gap of {1 / FPS:.2f} s is none")
    samples = []
    with ExitStack() as stack:
        made = stack.enter_context(hosts(6))
        server = stack.enter_context(Server(bench.folder, "bind 0.0.0.0", "protected-mode no"))
        cluster = stack.enter_context(Cluster(bench.folder, data))
        for name, host in (("registry-1", made[0]), ("registry-2", made[1])):
            cluster.registry(name, "--redis", f"redis://{host.machine}:{server.port}/0", host=host)
        cluster.camera("line-3", host=made[2])
        cluster.compute("hall-1", host=made[3])
        cluster.compute("hall-2", host=made[4])
        cluster.healthy()
        scene = Scene(cluster, made[5], cluster.open("line-3", pinned=True)["session_id"])
        for number in range(bench.rounds):
            for case in bench.only or CASES:
                try:
                    figures = CASES[case].happen(scene, server, made)
                except AssertionError as error:  # what the accidents wait for did not come
                    raise Failed(f"{case}: {error}") from error
                bench.say(f"round {number + 1}, {CASES[case].words}: {figures['gap']:.2f} s")
                samples += [
                    Sample(CASES[case].words, _in_words(name), number, {"measured": figure})
                    for name, figure in figures.items()
                ]
    return samples


def _in_words(figure: str) -> str:
    """What is measured in seconds and does not say so says it here."""
    counted = figure.startswith(("pictures", "looks", "moves", "nodes", "reads"))
    return figure.replace("_", " ") + ("" if counted else ", seconds")


def targets(samples: Sequence[Sample]) -> list[Target]:
    found = []
    for case in CASES.values():
        for name, most in (
            ("gap", case.most),
            ("pictures_of_the_old_node", 0.0 if case.clean else None),
        ):
            rounds = each_round(samples, partial(_figure, samples, case.words, _in_words(name)))
            if rounds and most is not None:
                found.append(Target(f"{case.words}: {_in_words(name)}", rounds, at_most=most))
    return found


def _figure(samples: Sequence[Sample], who: str, case: str, number: int) -> float | None:
    return value(samples, who, case, number, "measured")
