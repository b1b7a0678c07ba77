"""Viewers that read nothing, or one byte a second, beside good ones: what the good ones notice, and memory."""

from __future__ import annotations

import re
from collections.abc import Sequence

import requests

from bench.figures import Sample, Target, Values, each_round, value
from bench.processes import Failed
from bench.servers import Serving, fogline, fogline_threads
from bench.session import Bench
from bench.swarm import watch

NAME = "slow"
TITLE = "24 viewers that never read and 8 that read a byte a second, beside 16 good ones"
GOOD, NEVER, DRIP = 16, 24, 8
SECONDS = 60.0
WARM = 3.0  # in which every connection gets its buffers


def run(bench: Bench) -> list[Sample]:
    samples = []
    for number in range(bench.rounds):
        for who, opened in (("fogline", fogline), ("fogline threads", fogline_threads)):
            for case, options in (("good alone", ()), ("with slow ones", ("--never", str(NEVER), "--drip", str(DRIP)))):
                try:
                    with opened(bench, "720p") as serving:
                        values = _measure(bench, serving, options)
                except Failed as why:
                    bench.note(f"{who} {case} failed in round {number + 1}: {why}")
                    continue
                bench.say(f"round {number + 1} {who:<16} {case:<15} slowest good viewer {values['fps_min']:.1f} fps")
                samples.append(Sample(who, case, number, values))
    return samples


def _measure(bench: Bench, serving: Serving, options: Sequence[str]) -> Values:
    watch(bench, [(serving.url, GOOD)], bench.seconds(2))  # what memory a good viewer costs is not the question
    before = serving.process.memory_mb()
    seconds = bench.seconds(SECONDS)
    seen = watch(bench, [(serving.url, GOOD)], seconds, servers=[serving.process], options=options, warm=WARM)
    target = seen.targets[0]
    return {
        "fps_min": target["fps_min"],
        "fps_median": target["fps_median"],
        "age_p99_ms": target["age_ms"]["p99"],
        "memory_growth_mb": serving.process.memory_mb() - before,
        "memory_mb": serving.process.memory_mb(),
        "slow_cut": float(seen.slow_cut),
        "evictions": evictions(serving.url),
        "cpu_cores": seen.cpu[0],
    }


def evictions(url: str) -> float:
    """The sum of the metrics that count evicted viewers at the service to which `url` belongs."""
    base = "/".join(url.split("/")[:3])
    text = requests.get(f"{base}/metrics", timeout=5).text
    found = re.findall(r"^fogline_\w*evict\w*(?<!_created)(?:\{[^}]*\})? ([0-9.e+]+)$", text, re.MULTILINE)
    return sum(map(float, found))


def targets(samples: Sequence[Sample]) -> list[Target]:
    found = []
    for who in ("fogline", "fogline threads"):
        fps = each_round(samples, lambda n, who=who: value(samples, who, "with slow ones", n, "fps_min"))  # type: ignore[misc]
        grown = each_round(samples, lambda n, who=who: value(samples, who, "with slow ones", n, "memory_growth_mb"))  # type: ignore[misc]
        if fps and who == "fogline":
            found.append(Target("slowest good viewer beside 24 that never read, fps", fps, at_least=29.5))
            found.append(Target("growth of the server's memory meanwhile, MB", grown, at_most=5))
    return found
