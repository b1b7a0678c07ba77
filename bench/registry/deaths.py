"""How soon the death of one node among thousands is seen, and who is thought dead that is not."""

from __future__ import annotations

import time
from functools import partial
from statistics import median

from bench.figures import Values
from bench.processes import Failed
from bench.session import Bench
from cli.simulation.registries import Registries
from cli.simulation.remote import RemoteFleet
from cli.simulation.watch import Watch

KILLS = 8
JOIN_SECONDS = 120.0
SETTLE_SECONDS = 15.0  # while thousands join at once the registry lengthens leases, and shortens them again afterwards
SEEN_SECONDS = 20.0


def deaths(bench: Bench, nodes: int) -> Values:
    """`nodes` simulated nodes beat; one after another is killed as by SIGKILL: no beat more, and its port refuses."""
    folder = bench.folder / f"deaths-{time.monotonic_ns()}"
    with (
        Registries(1, folder) as registries,
        Watch(registries.urls[0]) as watch,
        RemoteFleet(registries.ports, nodes) as fleet,
    ):
        begun = fleet.call("join")["at"]
        ready = watch.until(lambda: watch.ready() >= nodes or None, JOIN_SECONDS)
        if ready is None:
            raise Failed(f"only {watch.ready()} of {nodes} nodes became ready within {JOIN_SECONDS:g} s")
        time.sleep(SETTLE_SECONDS)
        before, counts = registries.used(), fleet.state()
        victims = fleet.call("killable")["nodes"][: 2 if bench.quick else KILLS]
        seen = []
        for victim in victims:
            killed = fleet.call("kill", node_id=victim)["at"]
            found = watch.until(partial(_seen, watch, victim), SEEN_SECONDS)
            if found is None:
                raise Failed(f"the death of a node was not seen within {SEEN_SECONDS:g} s")
            seen.append(found[0] - killed)
        after, later = registries.used(), fleet.state()
        alarms = watch.alarms_since(ready[0], set(victims))
    took = after.at - before.at
    return {
        "seen_s": median(seen),
        "seen_max_s": max(seen),
        "false_alarms": float(len(alarms)),
        "join_s": ready[0] - begun,
        "beats_per_s": (later["datagrams"] - counts["datagrams"]) / (later["at"] - counts["at"]),
        "registry_cores": (after.registry - before.registry) / took,
        "redis_cores": (after.redis - before.redis) / took,
        "registry_mb": after.registry_mb,
        "redis_mb": after.redis_mb,
    }


def _seen(watch: Watch, victim: str) -> bool | None:
    return watch.nodes.get(victim) not in ("ready", "full") or None
