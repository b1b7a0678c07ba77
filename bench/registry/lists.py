"""The list of a large mesh: the time and the CPU that it takes ours, and the original's registry."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from statistics import median

import redis

from bench.figures import Values
from bench.processes import Failed, free_port
from bench.registry.stock import LEASE_SECONDS, stock
from bench.session import Bench
from cli.simulation.node import Node
from cli.simulation.placements import store_of
from cli.simulation.registries import Registries
from mesh import manifest as manifests
from registry.valkey import binary

LISTS = 5
UNCHANGED = 500
KEPT_SECONDS = 900
Cpu = Callable[[], float]


def original(bench: Bench, nodes: int) -> Values:
    """The original's registry with `nodes` nodes of the same documents, which are put straight into its Redis. It
    reaches that over TCP, as the original does."""
    port, redis_port = free_port(), free_port()
    address = f"redis://127.0.0.1:{redis_port}"
    options = ("--port", str(redis_port), "--bind", "127.0.0.1", "--save", "", "--dir", str(bench.folder))
    with (
        bench.start("the original's redis", [str(binary()), *options]) as server,
        redis.Redis.from_url(address) as client,
    ):
        server.wait_until(partial(_answers, client), "answer")
        with client.pipeline(transaction=False) as pipe:
            for index in range(nodes):
                document = Node(index, "http://127.0.0.1:9").manifest()
                pipe.setex(f"{document['host_name']}-{index}", KEPT_SECONDS, json.dumps(document))
            pipe.execute()
        with bench.program("original_registry", "--port", str(port), "--redis", address) as process:
            process.answers(f"http://127.0.0.1:{port}/cam")
            with _cpu_of(address, process.cpu_seconds) as cpu:
                seconds, used, size = _ask(port, "/device", 2 if bench.quick else LISTS, cpu, lambda: None)
    return {"list_ms": seconds * 1000, "list_cpu_ms": used * 1000, "bytes": float(size)}


def ours(bench: Bench, nodes: int) -> Values:
    """A registry with `nodes` nodes that do not beat meanwhile: whole lists after a change and without one, and 304."""
    options = ("--lease-seconds", "300", "--beat-seconds", "100")
    with Registries(1, bench.folder / f"lists-{time.monotonic_ns()}", options=options) as registries:
        stock(registries.address, nodes)
        port = registries.ports[0]
        store = store_of(registries.address)
        further = iter(range(nodes * 2, nodes * 3))

        def change() -> None:
            node = Node(next(further), "http://127.0.0.1:9")
            store.register(manifests.parse(node.manifest()), node.url, [node.name], LEASE_SECONDS)
            time.sleep(1.1)  # loads are read anew once a second: this list has to do that, too

        with _cpu_of(registries.address, lambda: registries.used().registry) as cpu:
            _ask(port, "/v1/nodes", 1, cpu, lambda: None)
            changed, changed_cpu, size = _ask(port, "/v1/nodes", 2 if bench.quick else LISTS, cpu, change)
            same, same_cpu, _ = _ask(port, "/v1/nodes", LISTS, cpu, lambda: None)
            unchanged, unchanged_cpu = _unchanged(port, cpu)
        store.close()
    return {
        "list_ms": changed * 1000,
        "list_cpu_ms": changed_cpu * 1000,
        "bytes": float(size),
        "same_list_ms": same * 1000,
        "same_list_cpu_ms": same_cpu * 1000,
        "304_ms": unchanged * 1000,
        "304_cpu_ms": unchanged_cpu * 1000,
    }


def _answers(client: redis.Redis) -> bool:
    try:
        return bool(client.ping())
    except redis.RedisError:
        return False


@contextmanager
def _cpu_of(address: str, of_server: Cpu) -> Iterator[Cpu]:
    """CPU seconds of a registry and its Redis together, so far."""
    with redis.Redis.from_url(address) as client:

        def cpu() -> float:
            info = client.info("cpu")
            return of_server() + float(info["used_cpu_user"]) + float(info["used_cpu_sys"])

        yield cpu


def _ask(port: int, path: str, times: int, cpu: Cpu, before: Callable[[], None]) -> tuple[float, float, int]:
    """A whole list `times` times: median seconds, CPU seconds each, bytes."""
    took, used, size = [], 0.0, 0
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    for _ in range(times):
        before()
        cpu_before, begun = cpu(), time.monotonic()
        connection.request("GET", path)
        answer = connection.getresponse()
        size = len(answer.read())
        took.append(time.monotonic() - begun)
        used += cpu() - cpu_before
        if answer.status != 200:
            raise Failed(f"GET {path} answered {answer.status}")
    connection.close()
    return median(took), used / times, size


def _unchanged(port: int, cpu: Cpu) -> tuple[float, float]:
    """The list of somebody who has it already: median seconds, CPU seconds each."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("GET", "/v1/nodes")
    answer = connection.getresponse()
    answer.read()
    tag = answer.getheader("ETag") or ""
    took = []
    cpu_before = cpu()
    for _ in range(UNCHANGED):
        begun = time.monotonic()
        connection.request("GET", "/v1/nodes", headers={"If-None-Match": tag})
        answer = connection.getresponse()
        answer.read()
        took.append(time.monotonic() - begun)
        if answer.status != 304:
            raise Failed(f"an unchanged list answered {answer.status}")
    used = cpu() - cpu_before
    connection.close()
    return median(took), used / UNCHANGED
