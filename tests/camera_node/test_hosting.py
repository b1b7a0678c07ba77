"""A camera node that runs added cameras: what it is told by a registry, over real HTTP."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
import requests

from camera_node.hosted import HostedClient, source_of
from camera_node.main import run
from camera_node.settings import CameraSettings
from mesh.client import RegistryClient
from mesh.errors import FoglineError, SetupProblem
from mesh.multipart import Part
from mesh.wire import HostedCamera
from tests.camera_node.hosting_registry import HostingRegistry, Json, added
from tests.camera_node.pictures import picture, size
from tests.camera_node.viewer import metric, no_signal, parts
from tests.camera_node.web_server import WebCamera, mjpeg, still, trickle
from tests.processes import Running, free_port, wait_for
from tests.viewers import Swarm

ROOM = 3  # added cameras that the host here runs at once
WIDE, TALL = picture(320, 180), picture(160, 240)
UNENDING = 60.0  # seconds that a viewer stays whose stream is to end earlier


def ends(stream: Iterator[Part]) -> bool:
    """Whether the stream ends by itself: the viewer would have gone on for long. How many pictures had come and were
    not read yet says nothing: that depends on how busy the machine is."""
    until = time.monotonic() + UNENDING / 2
    return all(time.monotonic() < until for _ in stream)


class Host:
    """A camera node with a camera of its own and room for others; each test gives it cameras of its own."""

    def __init__(self, folder: Path, registry: HostingRegistry, *more: str) -> None:
        self.registry = registry
        (folder / "own").mkdir(exist_ok=True)
        (folder / "own" / "a.jpg").write_bytes(picture(640, 360))
        words = ("--source", str(folder / "own"), "--name", "hall", "--label", "zone=hall-1", "--threads", "12")
        join = ("--data", str(folder), "--registry", registry.url, "--host-cameras", str(ROOM))
        self.node = Running("camera", *words, *join, *more, port=free_port(), log=folder / "host.log")

    def runs(self, *cameras: Json) -> None:
        """Have exactly these run, and wait for it."""
        self.registry.wanted = list(cameras)
        wait_for(lambda: sorted(self.registry.running) == sorted(one["camera_id"] for one in cameras), 5, "cameras")

    def url(self, camera: Json) -> str:
        return f"{self.node.url}/cameras/{camera['camera_id']}"

    def manifest(self, camera: Json) -> Json:
        return self.registry.manifest(camera["camera_id"])

    def shows(self, camera: Json, wanted: tuple[int, int]) -> None:
        """Wait for a picture of that size."""
        wait_for(lambda: size(requests.get(f"{self.url(camera)}/image.jpg", timeout=5).content) == wanted, 5, "picture")

    def boot(self, camera: Json) -> str:
        """That of its newest manifest, once there is one: a camera may show pictures before it has joined."""
        return str(wait_for(lambda: self.manifest(camera) or None, 5, "manifest")["boot_id"])

    @contextmanager
    def asleep(self) -> Iterator[None]:
        """As a laptop that is closed, while the context is open."""
        family = [self.node.process.pid, *(p.pid for p in psutil.Process(self.node.process.pid).children())]
        for pid in family:
            os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for pid in family:
                os.kill(pid, signal.SIGCONT)


@pytest.fixture(scope="module")
def _host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    registry = HostingRegistry()
    host = Host(tmp_path_factory.mktemp("host"), registry)
    yield host
    host.node.stop()
    registry.close()


@pytest.fixture
def host(_host: Host) -> Iterator[Host]:
    _host.node.ready()
    yield _host
    _host.registry.slow, _host.registry.lease, _host.registry.away = 0.0, 5.0, False


@pytest.fixture(scope="module")
def wide() -> Iterator[WebCamera]:
    """A camera of the network with pictures of 320 × 180."""
    with WebCamera(mjpeg(lambda _: WIDE)) as web:
        yield web


@pytest.fixture(scope="module")
def tall() -> Iterator[WebCamera]:
    """One with pictures of 160 × 240."""
    with WebCamera(mjpeg(lambda _: TALL)) as web:
        yield web


def test_an_added_camera_is_a_node_of_its_own_below_its_hosts_address(
    host: Host, wide: WebCamera, tall: WebCamera
) -> None:
    """Its calls answer under its path, its manifest names its host, and its viewers are its own; streams go by the
    fan-out, for there are more viewers than threads."""
    one, other = added(f"http://{wide.host}/", "gate"), added(f"http://{tall.host}/", "door")
    host.runs(one, other)
    host.shows(one, (320, 180))
    host.shows(other, (160, 240))
    assert size(requests.get(f"{host.node.url}/image.jpg", timeout=5).content) == (640, 360)
    boots = [host.boot(one), host.boot(other)]
    said, own = host.manifest(one), host.registry.manifest(host.registry.manifests[0]["node_id"])
    assert own["hosting"] == ROOM
    assert (said["hosted_by"], said["advertise_url"]) == (own["node_id"], host.url(one))
    assert (said["name"], said["source"], said["labels"]) == ("gate", "http", {"zone": "hall-1"})
    assert len({own["boot_id"], *boots}) == 3
    for path in ("healthz", "readyz", "openapi.json", "docs"):
        assert requests.get(f"{host.url(one)}/{path}", timeout=5).ok, path
    page = requests.get(host.url(one), timeout=5)
    assert page.url == f"{host.url(one)}/"
    assert "gate" in page.text
    with Swarm(host.node.port, f"/cameras/{one['camera_id']}/stream.jpg?width=160", 20) as viewers:
        wait_for(lambda: min(viewers.parts()) > 2, 5, "pictures for everybody")
        assert metric(host.url(one), "fogline_camera_viewers") == 20
        assert metric(host.url(other), "fogline_camera_viewers") == metric(host.node.url, "fogline_camera_viewers") == 0
        assert metric(host.node.url, "fogline_camera_hosted") == 2
    with requests.Session() as kept:  # the third equal request is answered by the fan-out
        assert {kept.get(f"{host.url(other)}/image.jpg", timeout=5).content for _ in range(5)} == {TALL}


def test_a_camera_that_is_removed_ends_and_leaves(host: Host, wide: WebCamera) -> None:
    """Its viewers' streams end, its path is unknown with the house's words, and the mesh hears of it."""
    gone, stays = added(f"http://{wide.host}/"), added(f"http://{wide.host}/")
    host.runs(gone, stays)
    host.shows(gone, (320, 180))
    stream = parts(f"{host.url(gone)}/stream.jpg", UNENDING)
    next(stream)
    host.runs(stays)
    assert ends(stream)
    wait_for(lambda: ("leave", gone["camera_id"]) in host.registry.calls, 3, "goodbye")
    answer = requests.get(f"{host.url(gone)}/image.jpg", timeout=5)
    assert (answer.status_code, answer.headers["Content-Type"]) == (404, "application/problem+json")
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.json()["known"] == [stays["camera_id"]]
    assert ("leave", stays["camera_id"]) not in host.registry.calls


def test_a_new_name_goes_on_and_a_new_source_starts_anew(host: Host, wide: WebCamera, tall: WebCamera) -> None:
    """A name or the end of a draft cuts no stream and is told; another source is another boot, without a goodbye."""
    camera = added(f"http://{wide.host}/", "gate", draft=True)
    host.runs(camera)
    host.shows(camera, (320, 180))
    boot = host.boot(camera)
    stream = parts(f"{host.url(camera)}/stream.jpg", UNENDING)
    next(stream)
    named = camera | {"revision": 2, "name": "north gate", "draft": False}
    host.registry.wanted = [named]
    wait_for(lambda: host.manifest(camera)["name"] == "north gate", 5, "new name")
    assert host.manifest(camera)["boot_id"] == boot
    next(stream)
    wait_for(lambda: named.items() <= host.registry.reports[-1]["cameras"][0].items(), 5, "word of it")
    host.registry.wanted = [named | {"revision": 3, "source": f"http://{tall.host}/"}]
    host.shows(camera, (160, 240))
    wait_for(lambda: host.manifest(camera)["boot_id"] != boot, 5, "another boot")
    assert ("leave", camera["camera_id"]) not in host.registry.calls
    assert ends(stream)


def test_what_cannot_be_run_is_said_and_stops_nothing_else(host: Host, wide: WebCamera, tmp_path: Path) -> None:
    """Files, folders and devices of the host are never read, whatever the registry says; bad addresses and too many
    cameras get their words too."""
    (tmp_path / "secret.jpg").write_bytes(TALL)
    paths = [str(tmp_path), str(tmp_path / "secret.jpg"), f"file://{tmp_path}/secret.jpg", "0", "/dev/video0", "none"]
    local, broken, circle = [added(path) for path in paths], added("rtsp://op:s3cret@:bad/"), added("-")
    circle["source"] = f"{host.url(circle)}/stream.jpg"
    good = [added(f"http://{wide.host}/") for _ in range(ROOM + 1)]
    host.registry.wanted = [*local, broken, circle, *good]
    wait_for(lambda: len(host.registry.running) == ROOM, 5, "the good ones")
    problems = wait_for(lambda: host.registry.reports[-1]["problems"] or None, 5, "problems")
    assert set(problems) == {one["camera_id"] for one in (*local, broken, circle, good[-1])}
    assert all("never from a file" in problems[one["camera_id"]] for one in local)
    assert all(requests.get(f"{host.url(one)}/image.jpg", timeout=5).status_code == 404 for one in local)
    assert "no address" in problems[broken["camera_id"]]
    assert "own stream" in problems[circle["camera_id"]]
    assert "--host-cameras" in problems[good[-1]["camera_id"]]
    host.shows(good[0], (320, 180))
    assert host.node.log().count("an added camera cannot be run") == len(problems), "said once each"


@pytest.mark.parametrize("source", ["http://127.0.0.1/", "rtsp://127.0.0.1/"])
def test_no_file_is_read_that_is_called_like_an_address(
    source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder `http:` in the folder where the host was started does not turn an address into a path."""
    told = HostedCamera(camera_id="a", revision=1, name="a", source=source)
    assert source_of(told).shown == source
    monkeypatch.chdir(tmp_path)
    (tmp_path / source.partition("//")[0] / "127.0.0.1").mkdir(parents=True)
    with pytest.raises(FoglineError, match="never from a file"):
        source_of(told)


def test_a_password_is_nowhere_to_be_read(host: Host) -> None:
    """Not in what the registry lists, not in problems, metrics, pages, logs or command lines."""
    with WebCamera(still(lambda _: WIDE)) as web:
        cameras = [
            added(f"http://op:hunter2@{web.host}/a.jpg?pwd=hunter2"),
            added("rtsp://op:hunter2@127.0.0.1:9/live?pwd=hunter2"),
            added("rtsp://op:hunter2@[bad/live"),
        ]
        host.registry.wanted = cameras
        wait_for(lambda: len(host.registry.running) == 2, 5, "two of them")
        host.shows(cameras[0], (320, 180))
        host.boot(cameras[0])
        beats = host.registry.beats
        wait_for(lambda: any("refuses" in beat["load"].get("no_signal", "") for beat in beats), 5, "word of it")
        pages = [requests.get(host.url(one) + path, timeout=5).text for one in cameras for path in ("/", "/metrics")]
        family = psutil.Process(host.node.process.pid)
        commands = [" ".join(p.cmdline()) for p in (family, *family.children())]
        problems = [report["problems"] for report in host.registry.reports]
        heard = json.dumps([host.registry.manifests, beats, problems])
        assert host.url(cameras[0]) in heard
        for where in (heard, host.node.log(), *pages, *commands):
            assert "hunter2" not in where


def test_without_the_registry_what_runs_goes_on(host: Host, wide: WebCamera) -> None:
    """For longer than its lease nobody answers: streams go on, and the same camera is there afterwards."""
    camera = added(f"http://{wide.host}/")
    host.registry.lease = 0.3
    host.runs(camera)
    host.shows(camera, (320, 180))
    boot = host.boot(camera)
    stream = parts(f"{host.url(camera)}/stream.jpg", 20)
    next(stream)
    host.registry.away = True
    time.sleep(0.5)
    before = metric(host.url(camera), "fogline_camera_frames_sent_total")
    wait_for(lambda: metric(host.url(camera), "fogline_camera_frames_sent_total") > before, 5, "further pictures")
    heard = len(host.registry.reports)
    host.registry.away = False
    wait_for(lambda: len(host.registry.reports) > heard + 1, 8, "the next question")
    assert host.registry.running == [camera["camera_id"]]
    assert host.manifest(camera)["boot_id"] == boot
    next(stream)


@pytest.mark.parametrize("kept", [False, True], ids=["given to another host", "its own again"])
def test_a_host_that_slept_asks_before_its_cameras_register(host: Host, wide: WebCamera, kept: bool) -> None:
    """SIGSTOP for longer than its lease while another host runs the camera as the same node: the one that wakes takes
    nothing back before it has heard, and says no goodbye in the other's name."""
    camera = added(f"http://{wide.host}/")
    host.registry.lease = 0.8
    host.runs(camera)
    camera_id = camera["camera_id"]
    wait_for(lambda: camera_id in host.registry.nodes, 5, "node")
    with host.asleep():
        time.sleep(0.3)  # what it had sent is here
        host.registry.nodes[camera_id] = {"boot_id": "another host's"}
        host.registry.wanted = [camera] if kept else []
        host.registry.slow = 0.5  # time enough for a camera that does not wait
        time.sleep(0.6)
        woken = len(host.registry.calls)
    wait_for(lambda: any(call[0] == "told" for call in host.registry.calls[woken:]), 8, "question")
    host.registry.slow = 0.0
    if kept:
        wait_for(lambda: host.manifest(camera)["boot_id"] == host.registry.nodes[camera_id]["boot_id"], 8, "node again")
    else:
        wait_for(lambda: not host.registry.running, 8, "word that it has ended")
        time.sleep(0.3)
        assert host.registry.nodes[camera_id]["boot_id"] == "another host's"
    since = [call for call in host.registry.calls[woken:] if call[0] == "told" or call[1] == camera_id]
    assert since[0][0] == "told"
    assert (("register", camera_id) in since) is kept
    assert ("leave", camera_id) not in since


def test_a_goodbye_is_said_for_its_own_boot_alone() -> None:
    """A camera that runs elsewhere by now, as the same node, is not thrown out by the host that had it."""
    registry = HostingRegistry()
    client = HostedClient(RegistryClient(registry.url), "mine", lambda: True)
    registry.nodes = {"here": {"boot_id": "mine"}, "elsewhere": {"boot_id": "another host's"}}
    for node_id in ("here", "elsewhere", "removed"):
        client.leave(node_id)
    registry.close()
    assert list(registry.nodes) == ["elsewhere"]


def test_a_host_that_stops_takes_its_cameras_along_quickly(tmp_path: Path) -> None:
    """All leave, side by side, even those whose source hangs; a node without a camera of its own says so."""
    registry = HostingRegistry()
    host = Host(tmp_path, registry, "--source", "none")
    try:
        host.node.ready()
        answer = requests.get(f"{host.node.url}/image.jpg", timeout=5)
        assert answer.status_code == 503
        assert "no camera of its own" in answer.json()["detail"]
        assert "stream.jpg" not in requests.get(host.node.url, timeout=5).text
        with WebCamera(trickle(WIDE, 0.05)) as web:
            cameras = [added(f"http://{web.host}/") for _ in range(ROOM)]
            host.runs(*cameras)
            wait_for(lambda: len(registry.nodes) == ROOM + 1, 5, "nodes")
            assert next(one for one in registry.nodes.values() if "hosted_by" not in one)["source"] == "none"
            assert host.node.stop() < 3.5
    finally:
        host.node.stop()
        registry.close()
    assert registry.nodes == {}


def test_a_node_without_any_camera_is_refused_at_the_start(tmp_path: Path) -> None:
    """`--source none` alone is a node for nothing, and the words say what is missing."""
    with pytest.raises(SetupProblem, match="--host-cameras"):
        run(CameraSettings(data=tmp_path, source="none"))


def test_a_lost_camera_says_why_as_any_other_does(host: Host) -> None:
    """Nobody listens at its address: its picture says so, under its own name."""
    camera = added("http://127.0.0.1:9/", "roof")
    host.runs(camera)
    wait_for(lambda: "refuses" in (no_signal(host.url(camera)) or ""), 5, "reason")
