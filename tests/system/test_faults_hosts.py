"""Hosts die, stall, are cut off and go deaf under a running stream; each on a network of its own, one viewer watching.

The same accidents and others with their figures: `./fogline bench failover`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import accidents
from tests.accidents import Scene
from tests.cluster import Cluster
from tests.hosts import Host, hosts, why_not

pytestmark = pytest.mark.xdist_group("hosts")
ASKED = 2.0  # seconds without a picture at most, for a viewer who asks
SWEPT = 4.5  # for one who only connects again: a lease of 3 s, a beat, the look at what happened
STALL = 4.0  # seconds: longer than a lease


@pytest.fixture(scope="module")
def network() -> Iterator[list[Host]]:
    reason = why_not("iptables")
    if reason is not None:
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    with hosts(5) as made:
        yield made


@pytest.fixture(scope="module")
def scene(network: list[Host], models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """One set of services for all tests here: each test leaves it healthy."""
    at_registry, at_camera, at_one, at_two, at_viewers = network
    with Cluster(tmp_path_factory.mktemp("hosts"), models) as cluster:
        cluster.registry(host=at_registry)
        cluster.camera("line-3", host=at_camera)
        cluster.compute("hall-1", host=at_one)
        cluster.compute("hall-2", host=at_two)
        cluster.healthy()
        yield Scene(cluster, at_viewers, cluster.open("line-3", pinned=True)["session_id"])


def test_a_drained_node_hands_its_stream_over_without_a_gap(scene: Scene) -> None:
    """The other node has pictures before the first one stops: hardly one is missed, and none comes twice."""
    seen = accidents.drain(scene)
    assert seen["pictures_of_the_old_node"] == 0
    assert seen["pictures_missed_in_a_row"] <= 3, seen
    assert seen["gap"] < 0.5, seen


def test_a_viewer_who_asks_sees_pictures_again_within_two_seconds(scene: Scene) -> None:
    """kill -9 of the node that serves: the viewer says so after a second, and the stream comes from the other node."""
    seen = accidents.kill_compute(scene, ask=True)
    assert seen["gap"] <= ASKED, seen
    assert seen["pictures_of_the_old_node"] == 0


def test_a_viewer_who_only_connects_again_sees_pictures_when_the_lease_is_over(scene: Scene) -> None:
    """kill -9 of the node that serves: the registry notices by itself."""
    seen = accidents.kill_compute(scene, ask=False)
    assert seen["gap"] <= SWEPT, seen
    assert seen["pictures_of_the_old_node"] == 0


def test_pictures_of_a_node_that_slept_reach_nobody(scene: Scene) -> None:
    """It was stopped while it served, and wakes believing that it still does: not even the viewer who kept the old
    connection gets one more picture. It joins again by itself."""
    seen = accidents.stall_compute(scene, STALL)
    assert seen["gap"] <= ASKED, seen
    assert seen["pictures_of_the_old_node"] == 0


def test_a_host_whose_cable_is_pulled_and_plugged_in_again(scene: Scene) -> None:
    """Its stream moves, and does not run twice when the host is back; what was on its way is all that still comes."""
    seen = accidents.cut_compute(scene, STALL)
    assert seen["gap"] <= ASKED, seen
    assert seen["pictures_of_the_old_node"] <= 4, seen  # of the kernel's own buffer, at who kept the old connection


def test_a_host_that_does_not_hear_the_registry(scene: Scene, network: list[Host]) -> None:
    """What it sends arrives, but nobody can tell it anything: its sessions move all the same."""
    seen = accidents.deafen(scene, [scene.serving_host()], network[:1])
    assert seen["gap"] <= SWEPT, seen
    assert seen["pictures_of_the_old_node"] == 0


def test_a_host_that_loses_a_third_of_all_packets_is_not_given_up(scene: Scene) -> None:
    """Its stream is slow, and goes on; it stays in the list."""
    seen = accidents.lose_packets(scene, 0.3, 3.5)
    assert seen["looks_at_which_it_was_given_up"] == 0, seen
    assert seen["pictures_a_second"] > 0.5, seen


def test_a_camera_that_dies_shows_as_such_and_comes_back(scene: Scene) -> None:
    """The stream goes on with a picture that says why, from the same node; the camera's own return with the camera."""
    seen = accidents.kill_camera(scene, 0.5)
    assert seen["moves"] == 0, seen
    assert seen["gap"] < 3.5, seen
