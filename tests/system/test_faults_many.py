"""Many at once: a storm of registrations, a hundred viewers who want the same, a third of the nodes cut off."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.cluster import Cluster
from tests.processes import Running, wait_for
from tests.registry.fakes import FakeNode, Registry
from tests.viewers import watch

STORM = 1000  # nodes
CLIENTS = 32  # that register them
WAIT = 5.0  # seconds: no reader waits longer while the storm lasts
FLEET = 12  # nodes of which a third is cut
FEW = 4  # sessions that move before: so many nodes, more than 15 % of all, have to be missed
NOTICED = 4.0  # seconds from the cut to self-preservation, with the usual lease of 3


@pytest.fixture
def registry(start: Callable[..., Running], request: pytest.FixtureRequest) -> Iterator[Registry]:
    """One with the usual lease, or with the one that the test names."""
    one = Registry(start("registry", *getattr(request, "param", ())).ready())
    yield one
    one.close()


@pytest.mark.parametrize("registry", [("--lease-seconds", "60")], indirect=True)
def test_a_thousand_nodes_that_come_at_once(registry: Registry) -> None:
    """Every registration that was acknowledged is listed as soon as the storm is over, none fails, and lists are
    answered all the while."""
    door = registry.node("camera", "door")  # it answers the registry's dial for all of them
    door._server.socket.listen(STORM)
    slowest = 0.0
    reads: set[int] = set()
    done = threading.Event()

    def read() -> None:
        nonlocal slowest
        while not done.is_set():
            began = time.monotonic()
            reads.add(registry.get("/v1/nodes?limit=50").status_code)
            slowest = max(slowest, time.monotonic() - began)

    def register(numbers: range) -> list[int]:
        with requests.Session() as client:
            return [client.post(f"{registry.url}/v1/nodes", json=_manifest(n), timeout=30).status_code for n in numbers]

    def _manifest(number: int) -> dict[str, Any]:
        where = {"host_name": f"host-{number}", "name": f"node-{number:04}", "advertise_url": door.url}
        return {
            "schema": "fogline/1",
            "kind": "camera",
            "node_id": str(uuid.uuid4()),
            "boot_id": "only",
            "port": door.port,
            **where,
        }

    reader = threading.Thread(target=read)
    reader.start()
    try:
        with ThreadPoolExecutor(CLIENTS) as clients:
            answers = list(clients.map(register, (range(n, STORM, CLIENTS) for n in range(CLIENTS))))
    finally:
        done.set()
        reader.join(10)
    assert {code for part in answers for code in part} == {201}
    assert registry.names() == [f"node-{number:04}" for number in range(STORM)]
    assert reads == {200}
    assert slowest < WAIT
    ready = "/v1/nodes?state=ready&limit=5000"
    wait_for(lambda: len(registry.json(ready)["nodes"]) == STORM, 20, "all of them dialled and ready")


def test_a_third_of_the_nodes_is_cut_off(registry: Registry) -> None:
    """The network is suspected, not the nodes: all stay listed, and sessions stay where they are but for those that
    were moved before there were enough to suspect it. A node among them that is found to be truly gone is moved away
    from. When the others are heard again, all is as before."""
    for number in range(FLEET):
        registry.camera(f"line-{number}")
    nodes = [registry.compute(f"hall-{number}", slots=3) for number in range(FLEET)]
    served = {}
    for number, node in enumerate(nodes):
        session = registry.open(f"line-{number}", node=node.name, pinned=True)
        node.serves(session)
        served[node.name] = session["session_id"]
    cut = nodes[: FLEET * 2 // 3]  # a third of all, for the cameras count as well
    _cut(cut[1:])
    cut[0].beat()  # so that it is missed after the others: else its session might go to one that is not missed yet
    cut[0].die()  # its host answers that nothing listens there any more
    began = time.monotonic()
    suspected = {node.name for node in cut[1:]}
    wait_for(lambda: set(registry.names("?state=suspect")) == suspected, NOTICED + 2, "suspects")
    assert time.monotonic() - began < NOTICED + 1
    assert "network" in cut[-1].listed()["state_reason"]
    away = (None, *(node.name for node in cut))
    wait_for(lambda: registry.session(served["hall-0"])["node_name"] not in away, 8, "move")
    assert cut[0].listed()["state"] == "dead"
    assert len(registry.names()) == 2 * FLEET - 1
    at_home = [node for node in nodes[1:] if registry.session(served[node.name])["node"] == node.node_id]
    assert len(nodes) - len(at_home) <= 1 + FEW, [node.name for node in at_home]
    for node in cut[1:]:
        _heal(node)
    wait_for(lambda: len(registry.names("?state=ready")) == 2 * FLEET - 1, 8, "all ready again")
    for node in at_home:
        assert registry.session(served[node.name])["node"] == node.node_id


def test_a_hundred_clients_who_want_the_same_share_one_session(models: Path, tmp_path: Path) -> None:
    """The same camera and algorithm, asked for at the same moment: one slot is taken, and everybody gets pictures."""
    with Cluster(tmp_path, models) as cluster:
        cluster.registry()
        cluster.camera("line-3")
        cluster.compute("hall-1")
        cluster.healthy()

        def ask(_number: int) -> tuple[str, int]:
            made = cluster.post("/v1/sessions", {"camera": "line-3", "algorithm": "echo"})
            return made["session_id"], len(watch(f"{cluster.registries}/v1/sessions/{made['session_id']}/stream", 3))

        with ThreadPoolExecutor(100) as clients:
            got = list(clients.map(ask, range(100)))
        assert len({session_id for session_id, _ in got}) == 1
        assert {frames for _, frames in got} == {3}
        assert [node["sessions"] for node in cluster.get("/v1/nodes?kind=compute")["nodes"]] == [1]


def _cut(nodes: list[FakeNode]) -> None:
    """Their hosts are not reached any more: they are silent, and who connects hears nothing."""
    for node in nodes:
        node._stop.set()
    for node in nodes:
        assert node._thread is not None
        node._thread.join(10)
        node._server.shutdown()


def _heal(node: FakeNode) -> None:
    """It is reached again."""
    threading.Thread(target=node._server.serve_forever, args=(0.05,), daemon=True).start()
    node._stop.clear()
    node.live()
