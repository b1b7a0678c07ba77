"""Snapshots over connections that are kept open: requests per CPU-second, against nginx with the same picture."""

from __future__ import annotations

import json
import shutil
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager

from bench.figures import Sample
from bench.processes import Failed, Missing, free_port
from bench.servers import Serving, fogline
from bench.session import Bench

SECONDS = 3.0
CLIENTS = 8


@contextmanager
def nginx(bench: Bench) -> Iterator[Serving]:
    """nginx with one worker and the first picture as a file."""
    program = shutil.which("nginx")
    if program is None:
        raise Missing("nginx is not installed: apt install nginx-light")
    port = free_port()
    folder = bench.folder / f"nginx-{port}"
    folder.mkdir()
    data = bench.pictures("720p").read_bytes()
    (folder / "image.jpg").write_bytes(data[4 : 4 + struct.unpack_from("=I", data)[0]])
    (folder / "nginx.conf").write_text(
        f"daemon off; worker_processes 1; pid {folder}/pid; error_log {folder}/error.log;\n"
        "events { worker_connections 2048; }\n"
        f"http {{ access_log off; sendfile on; tcp_nopush on; keepalive_requests 100000000;\n"
        f"  types {{ image/jpeg jpg; }}\n  server {{ listen 127.0.0.1:{port}; root {folder}; }} }}\n"
    )
    folder.chmod(0o755)
    bench.folder.chmod(0o755)  # its worker is another user
    with bench.start("nginx", [program, "-p", str(folder), "-c", str(folder / "nginx.conf")]) as process:
        url = f"http://127.0.0.1:{port}/image.jpg"
        process.answers(url, 10)
        yield Serving(process, url)


def snapshots(bench: Bench, number: int, absent: set[str]) -> list[Sample]:
    """One sample of each server."""
    found = []
    for name, opened in (("fogline", fogline(bench, "720p", path="/image.jpg")), ("nginx", nginx(bench))):
        if name in absent:
            continue
        try:
            with opened as serving:
                found.append(_measure(bench, name, serving, number))
        except Missing as why:
            absent.add(name)
            bench.note(f"{name} is left out: {why}")
        except Failed as why:
            bench.note(f"{name} snapshots failed in round {number + 1}: {why}")
    return found


def _measure(bench: Bench, name: str, serving: Serving, number: int) -> Sample:
    seconds = bench.seconds(SECONDS)
    with bench.program("snapshot_clients", serving.url, str(CLIENTS), f"{seconds:g}") as clients:
        clients.wait_until(lambda: "measuring" in clients.log.read_text(), "start", 10)
        before, begun = serving.process.cpu_seconds(), time.monotonic()
        clients.wait_until(lambda: "{" in clients.log.read_text(), "figures", seconds + 20)
        used, took = serving.process.cpu_seconds() - before, time.monotonic() - begun
        report = json.loads(clients.wait(10).splitlines()[-1])
    values = {
        "requests_per_cpu_s": report["requests"] / max(used, 1e-3),
        "requests_per_s": report["requests"] / report["seconds"],
        "cpu_cores": used / took,
    }
    bench.say(f"round {number + 1} snapshots {name:<10} {values['requests_per_cpu_s']:>9,.0f} requests/CPU-s")
    return Sample(name, "720p snapshots", number, values)
