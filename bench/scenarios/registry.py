"""The registry under thousands of nodes: lists beside the original's, placements, deaths, a crash of its Redis."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from bench.figures import Sample, Target, Values, each_round, ratio, value
from bench.processes import Failed, Missing
from bench.registry import crash, deaths, lists, placing
from bench.session import Bench

NAME = "registry"
TITLE = "10,000 nodes: lists ÷ the original's registry, placements, deaths seen, Redis killed under load"
MANY, FEW = 10_000, 100
QUICK = {MANY: 500, FEW: 100}  # nodes of a quick run
US, THEM = "fogline", "original"
BY_STORE, BY_HTTP = "store", "HTTP"


def run(bench: Bench) -> list[Sample]:
    many, few = (QUICK[MANY], QUICK[FEW]) if bench.quick else (MANY, FEW)
    if bench.quick:
        bench.note(f"a quick run: {many} nodes stand for {MANY:,}")
    bench.note(f"placements: {placing.THREADS} threads of one process, or {placing.THREADS} clients over HTTP")
    parts: tuple[tuple[str, str, Callable[[], Values]], ...] = (
        (THEM, "list", lambda: lists.original(bench, many)),
        (US, "list", lambda: lists.ours(bench, many)),
        (BY_STORE, "few nodes", lambda: placing.by_store(bench, few)),
        (BY_STORE, "many nodes", lambda: placing.by_store(bench, many)),
        (BY_STORE, "many nodes, none with fps to spare", lambda: placing.by_store(bench, many, fps=placing.BUSY_FPS)),
        (BY_HTTP, "few nodes", lambda: placing.by_http(bench, few)),
        (BY_HTTP, "many nodes", lambda: placing.by_http(bench, many)),
        (BY_STORE, "races", lambda: placing.races(bench)),
        (US, "deaths", lambda: deaths.deaths(bench, many)),
        (US, "crash", lambda: crash.crash(bench)),
    )
    samples = []
    for number in range(bench.rounds):
        for who, case, measure in parts:
            try:
                values = measure()
            except (Failed, Missing) as why:
                bench.note(f"{who} {case} failed in round {number + 1}: {why}")
                continue
            shown = ", ".join(f"{name} {figure:,.4g}" for name, figure in values.items())
            bench.say(f"round {number + 1} {who} {case}: {shown}")
            samples.append(Sample(who, case, number, values))
    return samples


def targets(samples: Sequence[Sample]) -> list[Target]:
    def of(who: str, case: str, name: str) -> tuple[float, ...]:
        return each_round(samples, lambda number: value(samples, who, case, number, name))

    theirs, listed = (THEM, "list"), (US, "list")
    many, few = (BY_STORE, "many nodes"), (BY_STORE, "few nodes")
    found = [
        Target("list, the original's time ÷ ours", ratio(samples, "list_ms", theirs, listed), at_least=20),
        Target(
            "the original's CPU for a list ÷ ours for an unchanged one (304)",
            ratio(samples, "list_cpu_ms", theirs, listed, below_name="304_cpu_ms"),
            at_least=100,
        ),
        Target("placements a second by the store, many nodes", of(*many, "per_s"), at_least=3000),
        Target("time of one at many nodes ÷ at few", ratio(samples, "per_s", few, many), at_most=2),
        Target("overbooked in races for the last slots", of(BY_STORE, "races", "overbooked"), at_most=0),
        Target("greatest difference of load in them", of(BY_STORE, "races", "spread"), at_most=1),
        Target("a killed node is seen after, s (worst)", of(US, "deaths", "seen_max_s"), at_most=3.5),
        Target("false alarms meanwhile", of(US, "deaths", "false_alarms"), at_most=0),
        Target("acknowledged registrations lost by kill -9 of Redis", of(US, "crash", "lost"), at_most=0),
        Target("reads that got a 5xx meanwhile", of(US, "crash", "reads_5xx"), at_most=0),
    ]
    return [target for target in found if target.rounds]
