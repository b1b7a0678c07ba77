"""Sessions opened as fast as possible, by calls of the store and over HTTP, and whether any node got too many."""

from __future__ import annotations

import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from cli.simulation.exchange import Exchange, request
from cli.simulation.loop import Loop
from cli.simulation.node import ALGORITHM
from registry.redis_store import RedisStore
from registry.settings import RegistrySettings
from registry.store import Full, Opening, SessionRecord

FPS = 8.0  # frames a second that each session wants: four of them fit onto a node's 36
WIDTHS = 8000  # pixels: different widths make different sessions on one camera
FIRST_WIDTH = 100


@dataclass(frozen=True)
class Opened:
    """sessions: id → node's id. full: how often no node was free. failed: how often something else was answered."""

    seconds: float
    sessions: dict[str, str] = field(default_factory=dict)
    full: int = 0
    failed: int = 0

    @property
    def per_second(self) -> float:
        return (len(self.sessions) + self.full) / self.seconds


def store_of(address: str) -> RedisStore:
    """A store on the Redis at `address`, as a registry has it."""
    return RedisStore(RegistrySettings(redis=address, redis_timeout=5.0))


def wishes(cameras: Sequence[str], count: int, *, first: int = 0) -> list[tuple[str, int]]:
    """`count` different (camera, width), from the `first` on: each makes a session of its own."""
    return [(cameras[n % len(cameras)], FIRST_WIDTH + n // len(cameras) % WIDTHS) for n in range(first, first + count)]


def by_store(address: str, wanted: Sequence[tuple[str, int]], threads: int, *, fps: float = FPS) -> Opened:
    """Open the sessions by `RedisStore.open` from this process, `threads` at once."""
    stores = [store_of(address) for _ in range(threads)]
    for store in stores:
        store.ping()  # connecting is not what is measured

    def work(store: RedisStore, share: Sequence[tuple[str, int]]) -> list[SessionRecord | Full | None]:
        return [
            store.open(
                Opening(session_id=str(uuid.uuid4()), camera=camera, algorithm=ALGORITHM, width=width, max_fps=fps)
            )
            for camera, width in share
        ]

    seconds, outcomes = _together([lambda s=s, n=n: work(s, wanted[n::threads]) for n, s in enumerate(stores)])  # type: ignore[misc]
    for store in stores:
        store.close()
    opened = [one for one in outcomes if isinstance(one, SessionRecord)]
    full = sum(isinstance(one, Full) for one in outcomes)
    placed = {one.session_id: one.node for one in opened if one.node}
    return Opened(seconds, placed, full, len(outcomes) - full - len(placed))


def by_http(ports: Sequence[int], wanted: Sequence[tuple[str, int]], clients: int, **more: Any) -> Opened:
    """Open the sessions by `POST /v1/sessions` over `clients` kept connections, spread over the registries."""
    loop = Loop()
    exchanges = [Exchange(loop, "127.0.0.1", port, max(1, clients // len(ports))) for port in ports]
    sessions: dict[str, str] = {}
    answers: Counter[int] = Counter()

    def done(status: int, body: bytes) -> None:
        answers[status] += 1
        if status == 201:
            document = msgspec.json.decode(body)
            sessions[document["session_id"]] = document["node"]
        if answers.total() == len(wanted):
            loop.end()

    begun = time.monotonic()
    for number, (camera, width) in enumerate(wanted):
        which = number % len(ports)
        body = msgspec.json.encode({"camera": camera, "algorithm": ALGORITHM, "width": width, "fps": FPS, **more})
        exchanges[which].ask(request("POST", f"127.0.0.1:{ports[which]}", "/v1/sessions", body), done)
    if wanted:
        loop.run()
    seconds = time.monotonic() - begun
    return Opened(seconds, sessions, answers[503], len(wanted) - answers[201] - answers[503])


def end(address: str, sessions: Sequence[str], threads: int = 4) -> None:
    """End these sessions by calls of the store."""
    stores = [store_of(address) for _ in range(threads)]

    def work(store: RedisStore, share: Sequence[str]) -> list[bool]:
        return [store.end(ident, "the measurement is over") for ident in share]

    _together([lambda s=s, n=n: work(s, sessions[n::threads]) for n, s in enumerate(stores)])  # type: ignore[misc]
    for store in stores:
        store.close()


def load(address: str) -> tuple[int, dict[str, int]]:
    """How many nodes have more sessions than slots, and how many sessions each compute node has, as the store knows."""
    store = store_of(address)
    nodes = [node for node in store.snapshot().nodes if node.alive and node.kind == "compute"]
    store.close()
    return sum(node.used > node.slots for node in nodes), {node.node_id: node.used for node in nodes}


def _together(works: Sequence[Callable[[], Sequence[Any]]]) -> tuple[float, list[Any]]:
    """All at once, each in a thread: seconds until the last is done, and everything that they give."""
    results: list[Any] = []
    errors: list[BaseException] = []
    start = threading.Barrier(len(works) + 1)

    def run(work: Callable[[], Sequence[Any]]) -> None:
        start.wait()
        try:
            results.extend(work())
        except Exception as error:  # noqa: BLE001  raised again by the caller's thread
            errors.append(error)

    threads = [threading.Thread(target=run, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    start.wait()
    begun = time.monotonic()
    for thread in threads:
        thread.join()
    seconds = time.monotonic() - begun
    if errors:
        raise errors[0]
    return seconds, results
