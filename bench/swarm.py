"""The swarm of viewers, and what the servers spend while it watches."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from bench.figures import Values
from bench.processes import Failed, Process
from bench.session import Bench

WARM = 1.5  # seconds before counting begins
BUSY = 0.9  # of a core, from which on the single-threaded swarm itself may be what limits


@dataclass(frozen=True)
class Seen:
    """What a swarm saw. targets: the viewers' figures, one a target. cpu: cores that each server took, in order.
    swarm_cpu: cores that the swarm itself took. seconds: measured."""

    seconds: float
    swarm_cpu: float
    targets: list[dict[str, Any]]
    cpu: list[float]
    slow_cut: int

    @property
    def fps(self) -> float:
        """Frames a second of all targets' viewers together."""
        return float(sum(t["frames"] for t in self.targets)) / self.seconds


def watch(
    bench: Bench,
    targets: Sequence[tuple[str, int]],
    seconds: float,
    *,
    servers: Sequence[Process] = (),
    options: Sequence[str] = (),
    warm: float = WARM,
) -> Seen:
    """Watch `targets` (URL, viewers) for `seconds` after warming up; count what `servers` spend in that time."""
    words = [f"{url.removeprefix('http://')}*{count}" for url, count in targets]
    command = [str(bench.native("viewers")), "--warm", f"{warm:g}", "--seconds", f"{seconds:g}", *options, *words]
    with bench.start("viewers", command) as swarm:
        limit = time.monotonic() + warm + seconds + 20

        def said(word: str) -> None:
            while word not in (text := swarm.log.read_text()).split():
                if not swarm.running and word not in text:
                    raise Failed(f"the viewers ended early: {swarm.last_words()}")
                if time.monotonic() > limit:
                    raise Failed(f"the viewers did not come to '{word}': {swarm.last_words()}")
                time.sleep(0.01)

        said("measuring")
        before, begun = [server.cpu_seconds() for server in servers], time.monotonic()
        said("measured")
        after, took = [server.cpu_seconds() for server in servers], time.monotonic() - begun
        report = json.loads(swarm.wait(20).splitlines()[-1])
    used = report["cpu_seconds"] / report["seconds"]
    if used > BUSY:
        bench.note(f"the swarm itself took {used:.0%} of a core at {sum(n for _, n in targets)} viewers")
    cpu = [(late - early) / took for early, late in zip(before, after, strict=True)]
    return Seen(report["seconds"], used, report["targets"], cpu, report["slow_cut"])


def ceiling(bench: Bench, size: str) -> Values:
    """What the swarm can take of a server that does nothing but send, and what it needs for that."""
    from bench.cluster import replay  # noqa: PLC0415  it needs this module

    with replay(bench, 1, 0, size=size) as cameras:
        seen = watch(bench, [(f"{cameras.urls[0]}/stream.jpg", 64)], bench.seconds(3), servers=[cameras.process])
    return {
        "swarm_ceiling_vf_per_s": seen.fps,
        "swarm_vf_per_cpu_s": seen.fps / max(seen.swarm_cpu, 1e-6),
        "swarm_cores": seen.swarm_cpu,
    }
