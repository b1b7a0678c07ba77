"""What one 720p frame costs a client: ours, and those that people use."""

from __future__ import annotations

import json
from collections.abc import Sequence

from bench.cluster import replay
from bench.figures import Sample, Target
from bench.processes import Failed
from bench.session import Bench

NAME = "ingest"
TITLE = "CPU of a client for one 720p frame: our ingest, requests, urllib3, http.client, OpenCV"
CLIENTS = ("fogline", "http.client", "urllib3", "requests with a session", "requests", "cv2.VideoCapture")
SECONDS = 6.0


def run(bench: Bench) -> list[Sample]:
    samples = []
    for number in range(bench.rounds):
        with replay(bench, 1, 30) as cameras:
            for client in CLIENTS:
                seconds = bench.seconds(SECONDS)
                try:
                    with bench.program("clients", client, cameras.urls[0], f"{seconds:g}") as process:
                        values = json.loads(process.wait(seconds + 30).splitlines()[-1])
                except Failed as why:
                    bench.note(f"{client} failed: {why}")
                    continue
                bench.say(f"round {number + 1} {client:<24} {values['cpu_ms_per_frame']:.3f} ms")
                samples.append(Sample(client, "720p at 30 fps", number, values))
    return samples


def targets(samples: Sequence[Sample]) -> list[Target]:
    """None is stated for the ingest by itself."""
    del samples
    return []
