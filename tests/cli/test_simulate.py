"""`./fogline simulate` takes its nodes through everything and tells figures; how fast anything is, nobody asks here."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
import requests

from cli.simulation.readings import Reading
from registry.valkey import EmbeddedValkey
from tests.processes import ROOT, free_port, wait_for

NODES = 200


def simulate(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "cli", "simulate", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


@pytest.fixture
def valkey(tmp_path: Path) -> Iterator[EmbeddedValkey]:
    one = EmbeddedValkey(tmp_path / "valkey")
    one.start()
    yield one
    one.stop()


def test_nodes_live_die_and_come_back(tmp_path: Path) -> None:
    """Two hundred nodes on two registries join, serve, die, are cut off and healed, and survive a wipe: nothing is
    overbooked, nobody is thought dead who is not, and all come back."""
    file = tmp_path / "figures.json"
    done = simulate("--nodes", str(NODES), "--registries", "2", "--seconds", "1", "--json", str(file))
    assert done.returncode == 0, done.stdout + done.stderr
    readings: list[dict[str, Any]] = json.loads(file.read_text())["readings"]
    figures = {(one["step"], one["what"]): one["value"] for one in readings}
    assert {step for step, _ in figures} == {"join", "lists", "sessions", "quiet", "death", "cut", "wipe", "audit"}
    assert figures["join", "nodes listed as ready"] == NODES
    assert figures["quiet", "beats by datagram"] > NODES / 4
    assert figures["quiet", "false alarms"] == 0
    assert 0 < figures["death", "killed node seen after"] < 10
    assert figures["wipe", "nodes that are missing"] == 0
    assert "killed node seen after" in done.stdout


def test_a_redis_with_data_is_left_alone(valkey: EmbeddedValkey) -> None:
    """A simulation wipes its Redis, so it refuses one that holds anything."""
    with redis.Redis.from_url(valkey.url) as client:
        client.set("precious", "1")
        done = simulate("--nodes", "8", "--redis", valkey.url)
        assert done.returncode == 1
        assert "give an empty one" in done.stderr
        assert client.get("precious") == b"1"


def test_a_figure_says_whether_it_is_as_asked() -> None:
    """A figure that was asked for and could not be measured is missed; one that nobody asked for is neither."""
    assert Reading("s", "w", 3.0, at_most=3).met is True
    assert Reading("s", "w", 3.1, at_most=3).met is False
    assert Reading("s", "w", None, at_most=3).met is False
    assert Reading("s", "w", 3.1).met is None
    assert Reading("s", "w", 0.0, at_most=0, at_least=0).asked == "0"


def test_the_original_registry_that_ours_is_measured_against(valkey: EmbeddedValkey) -> None:
    """It echoes what is posted, keeps it by its host's name for fifteen minutes, and lists it."""
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "bench.programs.original_registry", "--port", str(port), "--redis", valkey.url],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        url = f"http://127.0.0.1:{port}/device"
        wait_for(lambda: requests.get(url, timeout=2).ok, 20, "answer of the original's registry")
        document = {"host_name": "hall-1", "name": "Thinkstation"}
        assert requests.post(url, json=document, timeout=5).json() == document
        assert requests.get(url, timeout=5).json() == [document]
        with redis.Redis.from_url(valkey.url) as client:
            assert 890 < int(str(client.ttl("hall-1"))) <= 900
    finally:
        process.terminate()
        process.wait(5)
