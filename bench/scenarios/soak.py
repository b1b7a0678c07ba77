"""Minutes of viewers that come and go at random on a camera and a compute node: does anything grow or get stuck."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from typing import Any

import requests

from bench.cluster import mesh
from bench.figures import Sample, Target, Values, each_round, value
from bench.processes import Process
from bench.servers import fogline
from bench.session import Bench
from bench.swarm import watch

NAME = "soak"
TITLE = "minutes (--minutes) of viewers that come and go: memory, threads, sockets, order of frames"
SPELL = 20.0  # seconds of one swarm; between two, snapshots are asked for
WARM_SPELLS = 2  # before the start is noted: caches fill, threads begin
SETTLE = 4.0  # seconds after the last viewer left until the end is noted
CAMERAS = 2


def run(bench: Bench) -> list[Sample]:
    minutes = 0.25 if bench.quick else bench.minutes
    spell = min(SPELL, minutes * 20)
    seen: list[dict[str, Any]] = []
    with ExitStack() as stack:
        built = stack.enter_context(mesh(bench, cameras=CAMERAS, fps=15))
        camera = stack.enter_context(fogline(bench, "720p"))
        services = {"compute": built.compute, "camera": camera.process}
        held = [built.session(n, "yolo", pinned=True) for n in range(CAMERAS)]
        urls = [(camera.url, 24)]
        urls += [(session[which], 8) for session in held for which in ("stream_url", "detections_url")]

        def one(number: int, seconds: float) -> None:
            options = ("--restless", "--never", "4", "--drip", "2", "--seed", str(number))
            seen.extend(watch(bench, urls, seconds, options=options, warm=0.5).targets)
            for session in held:
                with suppress(requests.RequestException):  # counted below as an error of the swarm, if it lasts
                    requests.get(session["snapshot_url"], timeout=5)

        for number in range(1 if bench.quick else WARM_SPELLS):
            one(number, spell)
        time.sleep(SETTLE)
        seen.clear()
        before = {name: _standing(process) for name, process in services.items()}
        begun, number = time.monotonic(), 100
        while (left := minutes * 60 - (time.monotonic() - begun)) > 1:
            one(number, min(spell, left))
            number += 1
            bench.say(f"soak: {minutes * 60 - left:.0f} of {minutes * 60:.0f} s")
        took = time.monotonic() - begun
        time.sleep(SETTLE)
        return [_sample(name, before[name], _standing(process), took, seen) for name, process in services.items()]


def _standing(process: Process) -> Values:
    return {
        "memory_mb": process.memory_mb(),
        "threads": float(process.threads()),
        "files": float(process.files()),
        "cpu_seconds": process.cpu_seconds(),
    }


def _sample(name: str, before: Values, after: Values, took: float, seen: Sequence[dict[str, Any]]) -> Sample:
    grown = after["memory_mb"] - before["memory_mb"]
    values = {
        "memory_growth_percent": 100 * grown / before["memory_mb"],
        "memory_mb_at_start": before["memory_mb"],
        "memory_mb_at_end": after["memory_mb"],
        "threads_more": after["threads"] - before["threads"],
        "files_more": after["files"] - before["files"],
        "memory_mb_per_hour": grown * 3600 / took,
        "cpu_seconds_per_hour": (after["cpu_seconds"] - before["cpu_seconds"]) * 3600 / took,
        "disordered": float(sum(target["disordered"] for target in seen)),
        "broken": float(sum(target["broken"] for target in seen)),
        "errors": float(sum(target["errors"] for target in seen)),
        "frames": float(sum(target["frames"] for target in seen)),
        "minutes": took / 60,
    }
    return Sample(name, "soak", 0, values)


def targets(samples: Sequence[Sample]) -> list[Target]:
    asked = {"memory_growth_percent": 5.0, "threads_more": 0.0, "files_more": 0.0, "disordered": 0.0, "errors": 0.0}
    return [
        Target(f"soak, {who}: {name.replace('_', ' ')}", rounds, at_most=most)
        for who in ("camera", "compute")
        for name, most in asked.items()
        if (rounds := each_round(samples, lambda n, w=who, f=name: value(samples, w, "soak", n, f)))  # type: ignore[misc]
    ]
