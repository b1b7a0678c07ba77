"""Placements a second by the store and over HTTP, and races for the last slots."""

from __future__ import annotations

import time

import redis

from bench.figures import Values
from bench.processes import Failed
from bench.registry.stock import stock
from bench.session import Bench
from cli.simulation import placements
from cli.simulation.node import SLOTS
from cli.simulation.registries import Registries
from registry.valkey import EmbeddedValkey

THREADS = 8
COUNT = 2000  # sessions opened in all …
BATCH_SHARE = 0.5  # … and ended again as soon as so large a part of all slots is taken
BUSY_FPS = 30.0  # of the 36 that a node does: one session leaves it too little for another
RACE_NODES, RACES = 50, 50


def by_store(bench: Bench, nodes: int, *, fps: float = placements.FPS) -> Values:
    """Sessions opened by `RedisStore.open` from THREADS threads of one process, with `nodes` compute nodes."""
    valkey = EmbeddedValkey(bench.folder / f"placing-{time.monotonic_ns()}")
    valkey.start()
    try:
        cameras = stock(valkey.url, nodes)
        with redis.Redis.from_url(valkey.url) as client:
            seconds = cpu = 0.0
            count = 0
            size = min(COUNT, int(nodes * SLOTS * BATCH_SHARE))
            for first in range(0, size if bench.quick else COUNT, size):
                wanted = placements.wishes(cameras, size, first=first)
                before = client.info("cpu")
                opened = placements.by_store(valkey.url, wanted, THREADS, fps=fps)
                after = client.info("cpu")
                if len(opened.sessions) < len(wanted):
                    raise Failed(f"{len(wanted) - len(opened.sessions)} sessions could not be opened")
                seconds += opened.seconds
                count += size
                cpu += sum(after[name] - before[name] for name in ("used_cpu_user", "used_cpu_sys"))
                overbooked = placements.load(valkey.url)[0]
                placements.end(valkey.url, list(opened.sessions))
    finally:
        valkey.stop()
    return {"per_s": count / seconds, "redis_us_each": cpu / count * 1e6, "overbooked": float(overbooked)}


def by_http(bench: Bench, nodes: int) -> Values:
    """Sessions opened by `POST /v1/sessions` from THREADS clients."""
    options = ("--lease-seconds", "300", "--beat-seconds", "100")
    with Registries(1, bench.folder / f"http-{time.monotonic_ns()}", options=options) as registries:
        cameras = stock(registries.address, nodes)
        before = registries.used()
        opened = placements.by_http(
            registries.ports, placements.wishes(cameras, min(COUNT, nodes * SLOTS) // 2), THREADS
        )
        after = registries.used()
        overbooked = placements.load(registries.address)[0]
    count = len(opened.sessions)
    if opened.failed or not count:
        raise Failed(f"{opened.failed} requests for a session got no proper answer")
    return {
        "per_s": opened.per_second,
        "registry_us_each": (after.registry - before.registry) / count * 1e6,
        "redis_us_each": (after.redis - before.redis) / count * 1e6,
        "overbooked": float(overbooked),
    }


def races(bench: Bench) -> Values:
    """THREADS clients race for the slots of RACE_NODES nodes, again and again: half of them, then more than are left.
    spread: the greatest difference of two nodes' sessions at half load; short: slots that stayed free."""
    valkey = EmbeddedValkey(bench.folder / f"race-{time.monotonic_ns()}")
    valkey.start()
    slots = RACE_NODES * SLOTS
    overbooked = spread = short = 0
    try:
        cameras = stock(valkey.url, RACE_NODES)
        for number in range(3 if bench.quick else RACES):
            wanted = placements.wishes(cameras, slots + 10 * THREADS, first=number * 2 * slots)
            half = placements.by_store(valkey.url, wanted[: slots // 2], THREADS)
            loads = placements.load(valkey.url)[1].values()
            spread = max(spread, max(loads) - min(loads))
            rest = placements.by_store(valkey.url, wanted[slots // 2 :], THREADS)
            placed = half.sessions | rest.sessions
            over, loads_full = placements.load(valkey.url)
            overbooked += over + max(0, len(placed) - slots)
            short += slots - sum(loads_full.values())
            placements.end(valkey.url, list(placed))
    finally:
        valkey.stop()
    return {"overbooked": float(overbooked), "spread": float(spread), "short": float(short)}
