"""kill -9 of Redis while nodes register and people read: what was acknowledged and is lost, and what readers get."""

from __future__ import annotations

import time
from collections import Counter

import msgspec

from bench.figures import Values
from bench.processes import Failed
from bench.registry.stock import stock
from bench.session import Bench
from cli.simulation.exchange import Exchange, request
from cli.simulation.loop import Loop
from cli.simulation.node import Node
from cli.simulation.placements import store_of
from cli.simulation.registries import Registries

WRITERS, READERS = 4, 4
BEFORE_SECONDS, AFTER_SECONDS = 3.0, 3.0  # the file is synced once a second: longer than that before the kill
PAUSE = 0.005  # seconds between two requests of one client
PRESENT = 100  # nodes that are there from the start
OPTIONS = ("--lease-seconds", "300", "--beat-seconds", "100")


def crash(bench: Bench) -> Values:
    """New nodes register and lists are read all the time; Valkey is killed in the middle and started again by its
    owner. lost: registrations that were answered with 200 or 201 and are not in the store afterwards."""
    with Registries(1, bench.folder / f"crash-{time.monotonic_ns()}", options=OPTIONS) as registries:
        stock(registries.address, PRESENT)
        load = _Load(registries.ports[0])
        load.loop.after(BEFORE_SECONDS, lambda: load.kill(registries))
        load.loop.after(BEFORE_SECONDS + AFTER_SECONDS, load.stop)
        load.run()
        store = store_of(registries.address)
        kept = {node.node_id for node in store.snapshot().nodes}
        store.close()
    if not load.written_after:
        raise Failed(f"no node could register within {AFTER_SECONDS:g} s of the kill")
    return {
        "acknowledged": float(len(load.acknowledged)),
        "lost": float(len(load.acknowledged - kept)),
        "reads": float(load.reads.total()),
        "reads_5xx": float(sum(count for status, count in load.reads.items() if status >= 500 or not status)),
        "writes_refused": float(load.refused),
        "away_s": load.written_after - load.killed_at,
    }


class _Load:
    def __init__(self, port: int) -> None:
        self.loop = Loop()
        self.acknowledged: set[str] = set()
        self.reads: Counter[int] = Counter()
        self.refused = 0
        self.killed_at = self.written_after = 0.0
        self._host = f"127.0.0.1:{port}"
        self._writing = Exchange(self.loop, "127.0.0.1", port, WRITERS)
        self._reading = Exchange(self.loop, "127.0.0.1", port, READERS)
        self._stopping = False
        self._under_way = 0
        self._index = 0

    def run(self) -> None:
        for _ in range(WRITERS):
            self._write()
        for _ in range(READERS):
            self._read()
        self.loop.run()

    def kill(self, registries: Registries) -> None:
        registries.kill_redis()
        self.killed_at = time.monotonic()

    def stop(self) -> None:
        self._stopping = True

    def _next(self, what: str) -> None:
        self._under_way -= 1
        if not self._stopping:
            self.loop.after(PAUSE, self._write if what == "write" else self._read)
        if self._stopping and not self._under_way:
            self.loop.end()

    def _write(self) -> None:
        self._index += 1
        self._under_way += 1
        node = Node(PRESENT * 2 + self._index, "http://127.0.0.1:9")
        sent_at = time.monotonic()
        sent = request("POST", self._host, "/v1/nodes", msgspec.json.encode(node.manifest()))

        def done(status: int, _body: bytes) -> None:
            if status in (200, 201):
                self.acknowledged.add(node.node_id)
                if self.killed_at and sent_at > self.killed_at and not self.written_after:
                    self.written_after = time.monotonic()
            else:
                self.refused += 1
            self._next("write")

        self._writing.ask(sent, done, tries=1)

    def _read(self) -> None:
        self._under_way += 1

        def done(status: int, _body: bytes) -> None:
            self.reads[status] += 1
            self._next("read")

        self._reading.ask(request("GET", self._host, "/v1/nodes?limit=100"), done, tries=1)
