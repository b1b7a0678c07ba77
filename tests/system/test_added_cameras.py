"""Cameras that are added by REST and run by camera hosts: real processes from the wish to the annotated picture."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
import requests

from cli.settings import UpSettings
from cli.up import check_sources, plan
from mesh.errors import SetupProblem
from mesh.follow import Follower, Sight
from tests.camera_node.pictures import size
from tests.cluster import Cluster, Json, Service
from tests.processes import wait_for

LEASE = 1.5  # seconds of a node


class Mesh(Cluster):
    """Two camera hosts without a camera of their own, a camera to read, and a compute node."""

    def begin(self) -> None:
        self.registry("registry", "--lease-seconds", str(LEASE), "--beat-seconds", "0.3").running.ready()
        self.line = self.camera("line")
        self.hosts = [self.camera(name, "--source", "none", "--host-cameras", "4") for name in ("east", "west")]
        self.compute("hall")
        self.healthy()

    def add(self, name: str, source: str, **more: object) -> str:
        made = self.post("/v1/cameras", {"name": name, "source": source, **more})
        camera_id: str = made["camera_id"]
        wait_for(lambda: self.added(camera_id)["state"] == "running", 8, f"{name} running")
        return camera_id

    def added(self, camera_id: str) -> Json:
        return self.get(f"/v1/cameras/{camera_id}")

    def change(self, camera_id: str, **change: object) -> None:
        answer = requests.patch(f"{self.registries}/v1/cameras/{camera_id}", json=change, timeout=5)
        assert answer.ok, answer.text

    def node(self, camera_id: str) -> Json:
        return self.get(f"/v1/nodes/{camera_id}")

    def host_of(self, camera_id: str) -> Service:
        url = str(self.node(camera_id)["url"])
        return next(host for host in self.hosts if url == f"{host.url}/cameras/{camera_id}")

    def shows(self, camera_id: str, wanted: tuple[int, int]) -> None:
        """Wait for a picture of that size at the camera's own address."""

        def look() -> bool:
            answer = requests.get(f"{self.node(camera_id)['url']}/image.jpg", timeout=5)
            return answer.ok and "X-No-Signal" not in answer.headers and size(answer.content) == wanted

        wait_for(look, 8, f"picture of {wanted}")


@pytest.fixture(scope="module")
def mesh(tmp_path_factory: pytest.TempPathFactory, models: Path) -> Iterator[Mesh]:
    cluster = Mesh(tmp_path_factory.mktemp("added"), models)
    with cluster:
        cluster.begin()
        yield cluster


def _real(sight: Sight) -> bool:
    return "x-no-signal" not in sight.headers


class Watching:
    """A viewer of one session, who asks for no help; `seen` is what it got."""

    def __init__(self, mesh: Mesh, made: Json) -> None:
        self.seen: list[Sight] = []
        self._follower = Follower(mesh.registries, made["session_id"], ask=False)
        self._thread = threading.Thread(target=lambda: self.seen.extend(self._follower), daemon=True)

    def __enter__(self) -> Watching:
        self._thread.start()
        self.more()
        return self

    def __exit__(self, *_error: object) -> None:
        self._follower.close()
        self._thread.join(5)

    def more(self, seconds: float = 15) -> None:
        """Wait for real pictures that come from now on."""
        before = len(self.seen)
        wait_for(lambda: sum(map(_real, self.seen[before:])) > 5, seconds, "pictures")


def test_an_added_camera_is_seen_searched_renamed_changed_and_removed(mesh: Mesh) -> None:
    """Each step shows within seconds; a new name cuts nothing, and a session outlives another source."""
    line, demo = mesh.add("gate", f"{mesh.line.url}/stream.jpg"), mesh.add("show", "demo:", width=640, height=360)
    assert {host.url for host in mesh.hosts} == {mesh.host_of(one).url for one in (line, demo)}, "shared out"
    mesh.shows(line, (320, 180))
    mesh.shows(demo, (640, 360))
    made = mesh.open("gate")
    with Watching(mesh, made) as viewer:
        boot = mesh.node(line)["boot_id"]
        mesh.change(line, name="north gate")
        wait_for(lambda: mesh.node(line)["name"] == "north gate", 5, "new name")
        viewer.more()
        assert mesh.node(line)["boot_id"] == boot
        assert all(map(_real, viewer.seen))
        mesh.change(line, source="demo:", width=480, height=270)
        mesh.shows(line, (480, 270))
        # Its pictures are there before the registry has heard of it.
        wait_for(lambda: mesh.node(line)["boot_id"] != boot, 8, "another boot")
        viewer.more()
    assert requests.delete(f"{mesh.registries}/v1/sessions/{made['session_id']}", timeout=5).ok
    for camera_id in (line, demo):
        assert requests.delete(f"{mesh.registries}/v1/cameras/{camera_id}", timeout=5).ok
    wait_for(lambda: set(mesh.states()) == {"line", "east", "west", "hall"}, 5, "both gone")


def test_a_lost_hosts_cameras_run_on_another_and_a_woken_one_takes_nothing_back(mesh: Mesh) -> None:
    """SIGSTOP, until the other host runs the camera as the same node, then SIGCONT: it lets go without a fight. Then
    kill -9 of the other: the camera is back, and the session was never given up."""
    camera_id = mesh.add("roof", f"{mesh.line.url}/stream.jpg")
    first = mesh.host_of(camera_id)
    second = next(host for host in mesh.hosts if host is not first)

    def runs_on(host: Service) -> bool:
        node = mesh.node(camera_id)
        return bool(node["state"] == "ready" and node["url"] == f"{host.url}/cameras/{camera_id}")

    with Watching(mesh, mesh.open("roof")) as viewer:
        first.stall()
        wait_for(lambda: runs_on(second), LEASE + 4, "the camera on the other host")
        boot = mesh.node(camera_id)["boot_id"]
        first.wake()
        until = time.monotonic() + 2
        while time.monotonic() < until:
            assert mesh.node(camera_id)["boot_id"] == boot
            time.sleep(0.05)
        # It joins again before it hears what it is to run: that takes as long as it takes.
        healthz = f"{first.url}/cameras/{camera_id}/healthz"
        wait_for(lambda: requests.get(healthz, timeout=5).status_code == 404, 8, "the woken host without the camera")
        viewer.more()
        second.kill()
        wait_for(lambda: runs_on(first), LEASE + 4, "the camera back")
        mesh.shows(camera_id, (320, 180))
        viewer.more()
    assert requests.delete(f"{mesh.registries}/v1/cameras/{camera_id}", timeout=5).ok
    wait_for(lambda: "roof" not in mesh.states(), 5, "it gone")


def test_up_offers_room_with_its_first_camera() -> None:
    """Eight cameras can be added to what `./fogline up` starts, unless it is told otherwise."""

    def offers(settings: UpSettings, *sources: str) -> list[list[str]]:
        cameras = [service.arguments for service in plan(settings, sources) if service.role == "camera"]
        return [[two for one, two in pairwise(words) if one == "--host-cameras"] for words in cameras]

    assert offers(UpSettings(), "demo:") == [["8"]]
    assert offers(UpSettings(host_cameras=3), "0", "1") == [["3"], []]
    with pytest.raises(SetupProblem, match="--camera none"):
        check_sources(("demo:", "none"), 8)
