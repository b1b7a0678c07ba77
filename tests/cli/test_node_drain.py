"""`./fogline node drain`: a node is taken out of service by its name, or by who stands before it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from cli.main import fogline
from cli.node import node
from mesh.errors import Conflict, NotFound, SetupProblem, Unavailable
from tests.cluster import Cluster
from tests.gaps import Viewer
from tests.processes import ROOT, Running, wait_for
from tests.registry.fakes import Registry

LOCKED = ("--access", "locked")
fogline.add_command(node)  # as cli.main.main() does


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory, models: Path) -> Iterator[Cluster]:
    """A locked mesh with a camera and one compute node, and one session."""
    with Cluster(tmp_path_factory.mktemp("drain"), models) as made:
        made.registry("registry", "--redis", "memory:", "--announce", "off", *LOCKED).running.ready()
        made.camera("line-3", *LOCKED)
        made.compute("hall-1", *LOCKED)
        made.healthy()
        yield made


def call(cluster: Cluster, *words: str, data: str = "registry") -> Result:
    folder = cluster.services[data].words[1]
    return CliRunner().invoke(fogline, ["node", *words, "--registry", cluster.registries, "--data", folder])


def test_a_drained_node_hands_its_sessions_over_and_takes_none_until_it_is_told_or_started_anew(
    cluster: Cluster,
) -> None:
    """With nobody to take over the command says so and fails; else it returns when the node is empty, whoever asked:
    an admin by name, or the node itself, with the key in its folder."""
    session = cluster.open("line-3", pinned=True)["session_id"]
    cluster.settled(session)
    refused = call(cluster, "drain", "hall-1", "--wait", "0.5").exception
    assert isinstance(refused, Unavailable)
    assert "hall-1 still serves 1 session after 0.5 s" in refused.detail
    assert f"echo on line-3 ({session}): no other node has a free slot for echo" in refused.detail
    assert cluster.states()["hall-1"] == "draining"
    key = cluster.key(cluster.registries)
    with Viewer(cluster.registries, session, key=key) as viewer:
        viewer.runs()
        cluster.compute("hall-2", *LOCKED)
        done = call(cluster, "drain", cluster.session(session)["node"], "--wait", "40")  # in which hall-2 starts
        assert done.exit_code == 0, (done.output, done.exception)
        assert cluster.serving(session) == "hall-2"
        viewer.comes_from(cluster.services["hall-2"].url)
        assert call(cluster, "undrain", "hall-1").exit_code == 0
        cluster.healthy()
        words = ("--here", "--wait", "15", "--registry", cluster.registries)
        where = ("--data", cluster.services["hall-2"].words[1])
        subprocess.run([sys.executable, "-m", "cli", "node", "drain", *words, *where], cwd=ROOT, check=True, timeout=30)
        assert cluster.serving(session) == "hall-1"
        viewer.comes_from(cluster.services["hall-1"].url)
    cluster.services["hall-2"].again()
    cluster.healthy()


def test_who_is_not_there_is_said_with_who_is(cluster: Cluster, tmp_path: Path) -> None:
    """Neither by name, nor in a folder in which no running node has its identity: the registry's is none."""
    unknown = call(cluster, "drain", "hall-9").exception
    assert isinstance(unknown, NotFound)
    assert "hall-1" in unknown.detail
    nobody = call(cluster, "drain", "--here").exception
    assert isinstance(nobody, SetupProblem)
    assert "no node that runs here" in nobody.detail
    for words in (("drain",), ("drain", "hall-1", "--here"), ("undrain",)):
        assert isinstance(call(cluster, *words).exception, click.UsageError | SystemExit)


def test_in_an_open_mesh_a_node_needs_no_key_to_drain_itself(start: Callable[..., Running], tmp_path: Path) -> None:
    """It has none. Of two that share a folder both are meant, for both run here; of two with one name none is."""
    running = start("registry", "--redis", "memory:", "--announce", "off").ready()
    folder = tmp_path / "elsewhere"
    join = ("--source", "none", "--host-cameras", "1", "--name", "gate", "--registry", running.url)
    for _ in range(2):
        start("camera", *join, data=folder)
    registry = Registry(running)
    wait_for(lambda: registry.names("?state=ready") == ["gate", "gate-2"], 20, "two nodes")
    registry.camera("gate")
    done = CliRunner().invoke(fogline, ["node", "drain", "--here", "--registry", running.url, "--data", str(folder)])
    assert done.exit_code == 0, (done.output, done.exception)
    assert sorted(registry.names("?state=draining")) == ["gate", "gate-2"]
    twice = CliRunner().invoke(fogline, ["node", "drain", "gate", "--registry", running.url, "--data", str(tmp_path)])
    assert isinstance(twice.exception, Conflict)
    ids = [one["node_id"] for one in registry.json("/v1/nodes")["nodes"] if one["name"] == "gate"]
    assert all(one in twice.exception.detail for one in ids)
    registry.close()
