"""One camera, many viewers: viewer-frames per CPU-second of the server, rates, ages, memory."""

from __future__ import annotations

from collections.abc import Sequence

from bench.figures import Sample, Target, Values, each_round, ratio, value
from bench.processes import Failed, Missing
from bench.servers import SERVERS, Server, Serving
from bench.session import Bench
from bench.snapshots import snapshots
from bench.swarm import ceiling, watch

NAME = "fanout"
TITLE = "viewers of one camera, 1 to 1,024, against ustreamer, mjpg-streamer, motion and the original's design"
VIEWERS = {"720p": (1, 64, 256, 1024), "480p": (256,)}
QUICK = {"720p": (1, 64)}
SECONDS = 3.0


def run(bench: Bench) -> list[Sample]:
    samples: list[Sample] = []
    absent: set[str] = set()
    for number in range(bench.rounds):
        for size, counts in (QUICK if bench.quick else VIEWERS).items():
            samples.append(Sample("swarm alone", f"{size} ceiling", number, ceiling(bench, size)))
            for server in SERVERS:
                if server.name in absent:
                    continue
                try:
                    samples += _measure(bench, server, size, counts, number)
                except Missing as why:
                    absent.add(server.name)
                    bench.note(f"{server.name} is left out: {why}")
                except Failed as why:
                    bench.note(f"{server.name} failed in round {number + 1}: {why}")
        samples += snapshots(bench, number, absent)
    return samples


def _measure(bench: Bench, server: Server, size: str, counts: Sequence[int], number: int) -> list[Sample]:
    found = []
    with server.open(bench, size) as serving:
        for viewers in counts:
            if viewers > server.most:
                continue
            try:
                figures = measure(bench, serving, viewers)
            except Failed as why:  # some servers cannot take a thousand; what they did before counts
                bench.note(f"{server.name} failed with {viewers} viewers in round {number + 1}: {why}")
                break
            bench.say(
                f"round {number + 1} {size} {viewers:>5} viewers {server.name:<16} "
                f"{figures['vf_per_cpu_s']:>9,.0f} vf/CPU-s  slowest {figures['fps_min']:.1f} fps"
            )
            found.append(Sample(server.name, f"{size} × {viewers}", number, figures))
    return found


def measure(bench: Bench, serving: Serving, viewers: int) -> Values:
    """The figures of one server under one number of viewers."""
    seen = watch(bench, [(serving.url, viewers)], bench.seconds(SECONDS), servers=[serving.process])
    target = seen.targets[0]
    figures = {
        "vf_per_cpu_s": seen.fps / max(seen.cpu[0], 1e-3),
        "fps_min": target["fps_min"],
        "fps_median": target["fps_median"],
        "cpu_cores": seen.cpu[0],
        "memory_mb": serving.process.memory_mb(),
        "swarm_cores": seen.swarm_cpu,
        "errors": float(target["errors"] + target["endings"] + target["broken"]),
    }
    if target["age_ms"]["count"]:
        figures |= {"age_p50_ms": target["age_ms"]["p50"], "age_p99_ms": target["age_ms"]["p99"]}
    return figures


def targets(samples: Sequence[Sample]) -> list[Target]:
    found = []
    for who, least in (("ustreamer", 4.5), ("mjpg-streamer", 3.0)):
        case = "720p × 256"
        rounds = ratio(samples, "vf_per_cpu_s", ("fogline", case), (who, case))
        if rounds:
            found.append(Target(f"viewer-frames per CPU-second at 720p × 256 ÷ {who}", rounds, at_least=least))
    rounds = each_round(samples, lambda n: value(samples, "fogline", "720p × 1024", n, "fps_min"))
    if rounds:
        found.append(Target("slowest of 1,024 viewers at 720p30, fps", rounds, at_least=29))
    return found
