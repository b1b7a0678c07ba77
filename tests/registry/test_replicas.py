"""Several registries on one Redis, and a Redis that fails over."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.processes import wait_for
from tests.registry.conftest import LEASE
from tests.registry.fakes import Registry
from tests.registry.servers import Server

Begin = Callable[..., Registry]


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    """Closed before the registries are."""
    with ExitStack() as one:
        yield one


def _leads(registry: Registry) -> bool:
    told = [line for line in registry.running.log().splitlines() if "does the periodic work" in line]
    return bool(told) and "this registry" in told[-1]


def test_any_replica_answers_and_one_leads(own_registry: Begin, stack: ExitStack, tmp_path: Path) -> None:
    """A node that joined by the one is placed by the other; when the leader is killed the other takes over."""
    server = stack.enter_context(Server(tmp_path))
    first, second = own_registry("--redis", server.url), own_registry("--redis", server.url)
    wait_for(lambda: _leads(first) != _leads(second), 5, "one leader")
    leader, other = (first, second) if _leads(first) else (second, first)
    leader.camera()
    dying, staying = other.compute("hall-1"), other.compute("hall-2")
    for node in leader.nodes:
        node._registry = other
    session = other.open(pinned=True, node="hall-1")
    assert leader.session(session["session_id"])["token"] == session["token"]
    assert leader.names() == other.names() == ["hall-1", "hall-2", "line-3"]
    leader.running.kill()
    dying.die()
    wait_for(
        lambda: other.session(session["session_id"])["node"] == staying.node_id, LEASE + 5, "move by the new leader"
    )
    assert _leads(other)
    wait_for(lambda: other.names() == ["hall-2", "line-3"], 5, "end of the dead node")


def test_a_redis_that_fails_over_by_sentinel_goes_on(own_registry: Begin, stack: ExitStack, tmp_path: Path) -> None:
    """Reads never 5xx, and placements work again by themselves within seconds; nobody is declared dead for it."""
    first = stack.enter_context(Server(tmp_path))
    stack.enter_context(Server(tmp_path, f"replicaof 127.0.0.1 {first.port}"))
    watch = (
        f"sentinel monitor mesh 127.0.0.1 {first.port} 2",
        "sentinel down-after-milliseconds mesh 500",
        "sentinel failover-timeout mesh 2000",
    )
    sentinels = [stack.enter_context(Server(tmp_path, *watch, sentinel=True)) for _ in range(3)]

    def known() -> bool:
        states: list[Any] = [one.client().sentinel_master("mesh") for one in sentinels]
        return all(s["num-slaves"] == 1 and s["num-other-sentinels"] == 2 for s in states)

    wait_for(known, 15, "the sentinels to know one another and the replica")
    hosts = ",".join(f"127.0.0.1:{one.port}" for one in sentinels)
    registry = own_registry("--redis", f"redis+sentinel://{hosts}/mesh/0")
    registry.camera()
    node = registry.compute("hall-1", slots=4)
    session = registry.open(pinned=True)
    wait_for(lambda: first.client().wait(1, 500) == 1, 5, "replication")
    time.sleep(0.2)
    first.kill()
    codes = set()

    def placed() -> bool:
        codes.add(registry.get("/v1/nodes").status_code)
        codes.add(registry.get("/v1/sessions").status_code)
        answer = requests.post(
            f"{registry.url}/v1/sessions", json={"camera": "line-3", "algorithm": "yolo", "width": 64}, timeout=10
        )
        return answer.status_code == 201

    wait_for(placed, 20, "placement on the new master")
    assert codes == {200}
    time.sleep(LEASE)
    assert registry.names() == ["hall-1", "line-3"]
    after = registry.session(session["session_id"])
    assert (after["node"], after["token"]) == (node.node_id, session["token"])
