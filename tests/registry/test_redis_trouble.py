"""Redis dies, hangs, is wiped or comes back: what readers, nodes and viewers see."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
import requests

from tests.processes import Running, wait_for
from tests.registry.conftest import LEASE
from tests.registry.fakes import Registry
from tests.registry.servers import ended, until_written

Begin = Callable[..., Registry]
READS = ("/v1/nodes", "/v1/algorithms", "/v1/sessions", "/cam", "/device", "/", "/metrics", "/healthz")


def _valkey(registry: Registry) -> psutil.Process:
    family = psutil.Process(registry.running.process.pid).children(recursive=True)
    (found,) = [process for process in family if "valkey" in process.name()]
    return found


def test_while_redis_hangs_lists_are_stale_and_placements_are_refused(own_registry: Begin) -> None:
    """Reads never 5xx and stay quick, streams are still found, and everything is back when Redis is."""
    registry = own_registry()
    registry.camera()
    node = registry.compute("hall-1")
    session = registry.open(pinned=True)
    assert registry.json("/v1/nodes")["stale"] is False
    valkey = _valkey(registry)
    valkey.suspend()
    try:
        for path in READS:
            began = time.monotonic()
            assert registry.get(path).status_code == 200, path
            assert time.monotonic() - began < 2.5
        listed = registry.json("/v1/nodes")
        assert listed["stale"] is True
        assert listed["age_seconds"] > 0
        assert len(listed["nodes"]) == 2
        assert registry.json(f"/v1/nodes/{node.node_id}")["stale"] is True
        assert registry.session(session["session_id"])["stale"] is True
        stream = registry.get(f"/v1/sessions/{session['session_id']}/stream")
        assert stream.headers["Location"] == session["stream_url"]
        refused = registry.post("/v1/sessions", {"camera": "line-3", "algorithm": "yolo", "width": 64})
        assert (refused.status_code, refused.json()["title"]) == (503, "Registry unreachable")
        assert "Retry-After" in refused.headers
        assert registry.get("/readyz").status_code == 503
        time.sleep(LEASE)
    finally:
        valkey.resume()
    wait_for(lambda: registry.json("/v1/nodes")["stale"] is False, 5, "fresh lists")
    time.sleep(LEASE)
    assert registry.names() == ["hall-1", "line-3"], "nobody dies for Redis's absence"
    after = registry.session(session["session_id"])
    assert (after["node"], after["token"]) == (node.node_id, session["token"])
    assert "fogline_registry_redis_errors_total{" in registry.get("/metrics").text


def test_a_registration_that_redis_does_twice_is_answered_as_new(own_registry: Begin, tmp_path: Path) -> None:
    """Redis takes it and stalls for longer than one try may last: the next try finds the node, and it is still new."""
    registry = own_registry()
    registry.node("camera", "line-0").register()  # from now on Redis has the script
    valkey = _valkey(registry)
    for number in range(1, 9):
        node = registry.node("camera", f"line-{number}")
        valkey.suspend()
        threading.Timer(0.8, valkey.resume).start()  # 0.5 for the first try; the second has 0.5 more
        assert node.register().status_code == 201
        with registry.store(tmp_path / "data") as store:
            done = int(store.hget("{fogline}:counts", "registrations") or 0)
        if done > number + 1:
            break
    else:
        pytest.fail("no first try was ever done")
    assert node.register().status_code == 200


def test_a_killed_valkey_is_started_again_with_its_data(own_registry: Begin, tmp_path: Path) -> None:
    """kill -9: what was acknowledged, and does not wait for the disk, is still there, at once."""
    registry = own_registry("--idle-seconds", "60")  # no session ends meanwhile because nobody watches it
    registry.camera()
    registry.compute("hall-1", slots=16)
    ids = {registry.open(width=100 + n)["session_id"] for n in range(10)}
    first = _valkey(registry)
    with registry.store(tmp_path / "data") as store:
        until_written(store)
    first.kill()
    assert registry.get("/v1/nodes").status_code == 200
    wait_for(lambda: registry.get("/readyz").ok, 5, "a new Valkey")
    assert _valkey(registry).pid != first.pid
    assert {s["session_id"] for s in registry.json("/v1/sessions")["sessions"]} == ids
    assert registry.open(width=99)["session_id"] not in ids


def test_after_a_wipe_everybody_is_back(own_registry: Begin, tmp_path: Path) -> None:
    """Nodes are told to register again with their next beat."""
    registry = own_registry()
    nodes = [registry.node("camera", "line-3").join(), registry.node("compute", "hall-1").join()]
    with registry.store(tmp_path / "data") as store:
        store.flushall()
    assert registry.names() == []
    for one in nodes:
        one.live()  # not before: a beat right after the wipe would bring it back before the list is read
    wait_for(lambda: registry.names("?state=ready") == ["hall-1", "line-3"], 5, "both nodes")
    registry.open()


def test_a_restarted_registry_knows_everything(own_registry: Begin) -> None:
    """Nodes that go on beating need not even notice."""
    patient = ("--lease-seconds", "30")  # nobody beats while a busy machine starts the second one
    first = own_registry(*patient)
    first.camera()
    node = first.compute("hall-1")
    session = first.open(pinned=True)
    for one in first.nodes:
        one._stop.set()
    assert first.running.stop() < 3
    second = own_registry(*patient)
    assert second.names() == ["hall-1", "line-3"]
    assert second.session(session["session_id"])["token"] == session["token"]
    node._registry = second
    assert node.beat().status_code == 200
    assert [order["session_id"] for order in node.assigned] == [session["session_id"]]


def test_a_registry_that_was_killed_leaves_no_valkey_and_loses_nothing(own_registry: Begin, tmp_path: Path) -> None:
    """kill -9 of the registry itself; the next one takes the data over."""
    registry = own_registry()
    registry.node("camera", "line-3").register()
    valkey = _valkey(registry)
    with registry.store(tmp_path / "data") as store:
        until_written(store)
    os.kill(registry.running.process.pid, signal.SIGKILL)
    wait_for(lambda: ended(valkey), 3, "its end")
    registry.running.kill()
    assert own_registry().names() == ["line-3"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_within_three_seconds_and_leaves_nothing(own_registry: Begin, number: signal.Signals) -> None:
    """Also while a client keeps its connection open."""
    registry = own_registry()
    family = psutil.Process(registry.running.process.pid).children(recursive=True)
    assert len(family) == 2
    with requests.Session() as kept:
        kept.get(f"{registry.url}/healthz", timeout=5)
        began = time.monotonic()
        registry.running.process.send_signal(number)
        registry.running.process.wait(5)
        assert time.monotonic() - began < 2.5
    _, left = psutil.wait_procs(family, timeout=1)
    assert not left


def test_without_its_redis_a_registry_starts_and_says_so(start: Callable[..., Running]) -> None:
    """It is alive, not ready, and lists get 503 with Retry-After: there is nothing to show yet."""
    registry = Registry(start("registry", "--redis", "redis://127.0.0.1:9/0"))
    wait_for(lambda: registry.get("/healthz").ok, 15, "life")
    assert registry.get("/readyz").status_code == 503
    lists = registry.get("/v1/nodes")
    assert (lists.status_code, "Retry-After" in lists.headers) == (503, True)
    assert "fogline_registry_stale 1.0" in registry.get("/metrics").text


def test_two_workers_share_one_truth(own_registry: Begin) -> None:
    """Every process answers the same, and doubled periodic work does no harm."""
    registry = own_registry("--workers", "2")
    registry.camera()
    node = registry.compute("hall-1", slots=4)
    session = registry.open(pinned=True)
    for _ in range(10):
        with requests.Session() as fresh:
            seen = fresh.get(f"{registry.url}/v1/sessions/{session['session_id']}", timeout=5).json()
            assert (seen["node"], seen["token"]) == (node.node_id, session["token"])
    time.sleep(LEASE + 1)
    assert registry.names() == ["hall-1", "line-3"]
