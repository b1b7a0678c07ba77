"""The way to the only registry is slow, or ends: its host is down, or its cable is pulled."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.accidents import Scene
from tests.cluster import Cluster
from tests.faults import Relay
from tests.gaps import Viewer
from tests.processes import wait_for

SMOOTH = 1.0  # seconds: no viewer calls less a gap on a machine that is busy with tests
LEASE = 3.0  # seconds
AWAY = 4.5  # seconds


@pytest.fixture(scope="module")
def lone(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Cluster, Relay]]:
    """One registry, and nodes that reach it through the relay alone: at another address of this machine, for datagrams
    go to the registry's own port."""
    cluster = Cluster(tmp_path_factory.mktemp("registry"), models)
    port = cluster.registry().running.port
    with Relay(("127.0.0.1", port), host="127.0.0.2", port=port, datagrams=True) as relay, cluster:
        through = ("--registry", relay.url)
        cluster.camera("line-3", *through)
        cluster.compute("stops", *through)
        cluster.compute("serves", *through, "--cut-off", "serve")
        cluster.healthy()
        yield cluster, relay


def test_a_slow_way_to_the_registry_costs_no_node_its_life(lone: tuple[Cluster, Relay]) -> None:
    """Every answer comes most of a second late: beats go on, and streams do."""
    cluster, relay = lone
    made = cluster.open("line-3", node="stops", pinned=True)
    with Scene(cluster, None, made["session_id"]).watched() as (viewer, _, _):
        began = time.monotonic()
        relay.delay(0.4)
        listed = cluster.watch_states(LEASE)
        relay.mend()
        assert viewer.gap(began) < SMOOTH
    assert all(states == {"line-3": "ready", "stops": "ready", "serves": "ready"} for states in listed), listed
    assert cluster.session(made["session_id"])["token"] == made["token"]


def test_when_the_only_registry_is_out_of_reach_a_node_does_what_it_was_told(lone: tuple[Cluster, Relay]) -> None:
    """It cannot know whether others are told to take over: its streams stop within a lease. One with `--cut-off serve`
    goes on. When the registry is back, so are all, with the sessions that they had."""
    cluster, relay = lone
    sessions = {
        name: cluster.open("line-3", node=name, pinned=True, width=width)
        for name, width in (("stops", 160), ("serves", 200))
    }
    for made in sessions.values():
        cluster.settled(made["session_id"])
    addresses = {name: cluster.session(made["session_id"])["stream_url"] for name, made in sessions.items()}
    with (
        Viewer("", "", kept=addresses["stops"]) as stopped,
        Viewer("", "", kept=addresses["serves"]) as served,
    ):
        stopped.runs()
        served.runs()
        began = time.monotonic()
        relay.swallow()
        time.sleep(AWAY)
        last = stopped.seen[-1].at
        assert last < began + LEASE + SMOOTH
        assert served.gap(began) < SMOOTH
        relay.mend()
        relay.cut()  # connections that hung for so long are given up
    cluster.healthy()
    for name, made in sessions.items():
        wait_for(lambda: cluster.session(made["session_id"])["state"] == "running", 10, f"session of {name}")  # noqa: B023
        with Viewer(cluster.registries, made["session_id"]) as viewer:
            viewer.runs()
