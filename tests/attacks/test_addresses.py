"""Addresses that somebody gives, so that Fogline's machines speak to what only they can reach."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
import requests

from camera_node.hosted import source_of
from camera_node.sources import SourceOptions
from camera_node.sources.rtsp import RtspSource
from camera_node.sources.web import WebSource
from compute_node.cameras import Cameras
from compute_node.ingest import Ingest
from mesh import manifest
from mesh.client import RegistryClient
from mesh.errors import InvalidInput, NotFound, SourceLost
from mesh.networks import Networks, Outside
from mesh.source import shown
from mesh.wire import CameraAddress, HostedCamera
from registry import camera_source, dial, onvif
from registry.address import url_of
from tests.attacks.conftest import Start
from tests.attacks.secret import Secret
from tests.camera_node.pictures import picture
from tests.camera_node.rtsp_server import RtspCamera
from tests.camera_node.web_server import WebCamera, still
from tests.processes import free_port, wait_for
from tests.registry.fakes import Registry

HERE = Networks(loopback=True)
# One spelling for each way in which a resolver, or a network, takes an address for one that nobody may contact.
NEVER = [
    "169.254.169.254",
    "2852039166",  # decimal
    "0xa9fea9fe",
    "0xa9.0xfe.0xa9.0xfe",
    "0251.0376.0251.0376",  # octal
    "169.254.43518",  # short
    "169.16689662",
    "169.254.169.254.",
    "169.254.1.1",
    "[::ffff:169.254.169.254]",  # mapped
    "[::ffff:a9fe:a9fe]",
    "[::a9fe:a9fe]",  # compatible
    "[::ffff:0:a9fe:a9fe]",  # translated
    "[64:ff9b::a9fe:a9fe]",  # NAT64
    "[64:ff9b:1::a9fe:a9fe]",
    "[2002:a9fe:a9fe::1]",  # 6to4
    "[fe80::1]",
    "[fe80::1%25eth0]",
    "[fd00:ec2::254]",
    "100.100.100.200",
    "168.63.129.16",
    "metadata.google.internal",
    "METADATA.google.internal.",
    "0.0.0.0",
    "0",
    "0.1.2.3",
    "[::]",
    "224.0.0.1",
    "239.255.255.250",
    "[ff02::1]",
    "255.255.255.255",
]
OURSELVES = ["127.0.0.1", "127.1", "2130706433", "0x7f.1", "017700000001", "[::1]", "[::ffff:7f00:1]", "localhost"]
FOREIGN = ["8.8.8.8", "134744072", "[2001:4860:4860::8888]", "[::ffff:8.8.8.8]", "[64:ff9b::808:808]"]
TRICKS = ["１２７.0.0.1", "169。254。169。254", "%31%32%37.0.0.1", "10.0.0.5\\@169.254.169.254"]


@pytest.fixture(scope="module")
def registry(start_once: Start) -> Iterator[Registry]:
    calls = Registry(start_once("registry", "--redis", "memory:", "--announce", "off"))
    yield calls
    calls.close()


def refused(networks: Networks, host: str, port: int = 80) -> str:
    with pytest.raises(Outside) as outside:
        networks.resolve(host.strip("[]"), port, lambda *_, **__: pytest.fail("it was looked up"))
    return outside.value.detail


@pytest.mark.parametrize("host", [*NEVER, *TRICKS])
def test_some_addresses_are_never_contacted_whatever_is_allowed(host: str) -> None:
    """Watches mesh.networks._NEVER and METADATA, and that addresses are read as resolvers read them."""
    refused(Networks(("0.0.0.0/0", "::/0"), loopback=True), host)


@pytest.mark.parametrize("host", OURSELVES)
def test_this_machine_is_contacted_only_where_that_was_meant(host: str) -> None:
    """Watches Networks._why_not_here."""
    look = lambda *_, **__: [(socket.AF_INET, 1, 6, "", ("127.0.0.1", 80))]  # noqa: E731
    assert "--allowed-networks" in refused(Networks(), host)
    assert "where a service of the mesh is" in refused(Networks(loopback=True, closed=frozenset({80})), host)
    plain = host.strip("[]")
    assert Networks(loopback=True).resolve(plain, 80, look)
    assert Networks(("127.0.0.0/8", "::1/128"), closed=frozenset({80})).resolve(plain, 80, look)


@pytest.mark.parametrize("host", FOREIGN)
def test_other_networks_are_contacted_only_where_they_are_allowed(host: str) -> None:
    """Watches Networks._why; the words name the setting."""
    assert "--allowed-networks (FOGLINE_ALLOWED_NETWORKS)" in refused(Networks(), host)
    Networks(("8.8.8.0/24", "2001:4860::/32")).check(host.strip("[]"), 80)


@pytest.mark.parametrize("host", ["10.0.0.5", "172.31.1.1", "192.168.1.7", "100.64.0.1", "[fd00::7]", "cam.lan"])
def test_a_factorys_own_networks_are_allowed(host: str) -> None:
    """The guards leave the ordinary case alone."""
    Networks().check(host.strip("[]"), 554)


@pytest.mark.parametrize("host", [*NEVER, *FOREIGN, *TRICKS])
@pytest.mark.parametrize("scheme", ["http", "rtsp"])
def test_no_camera_is_added_there(scheme: str, host: str) -> None:
    """Watches registry.camera_source.check; the words do not repeat the address."""
    with pytest.raises(InvalidInput) as problem:
        camera_source.check(f"{scheme}://op:secret@{host}/live", HERE)
    assert problem.value.members["field"] == "source"
    assert "secret" not in problem.value.detail


def test_the_registry_refuses_them_in_every_call_that_takes_an_address(registry: Registry) -> None:
    """Watches registry.cameras.Cameras: add, change, and what a host reports."""
    made = registry.post("/v1/cameras", {"name": "gate", "source": "rtsp://10.0.0.5/live"}).json()
    path = f"/v1/cameras/{made['camera_id']}"
    own = f"http://127.0.0.1:{registry.running.port}/v1/nodes"
    for source in (*(f"http://{host}/" for host in (*NEVER[:12], *FOREIGN[:2])), own, "http://localhost:6379/"):
        added = registry.post("/v1/cameras", {"name": "other", "source": source})
        changed = requests.patch(registry.url + path, json={"source": source}, timeout=10)
        assert [added.status_code, changed.status_code] == [422, 422], source
    host = registry.node("camera", "east", hosting=4).join()
    told = {"camera_id": "not-allowed", "revision": 1, "name": "not-allowed", "source": "http://169.254.169.254/"}
    answer = registry.post(
        f"/v1/nodes/{host.node_id}/cameras",
        {"boot_id": host.manifest["boot_id"], "capacity": 4, "cameras": [told]},
    )
    assert "not-allowed" not in answer.text
    assert [one["name"] for one in registry.json("/v1/cameras")["cameras"]] == ["gate"]


@pytest.mark.parametrize("host", ["169.254.169.254", "2852039166", "[::ffff:a9fe:a9fe]", "8.8.8.8"])
def test_a_nodes_address_outside_is_not_dialled(registry: Registry, host: str) -> None:
    """Watches registry.dialback: the node is listed as unreachable, with the reason."""
    node = registry.node("camera", f"fake {host}", advertise_url=f"http://{host}:80")
    node.register()
    words = "--allowed-networks" if host == "8.8.8.8" else "never contacted"
    wait_for(lambda: words in node.listed()["state_reason"], 5, words)
    assert node.listed()["state"] == "unreachable"


def test_a_nodes_name_is_looked_at_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Watches registry.dial.dial_once: one of two answers is outside, so none is dialled."""
    with Secret() as secret:
        answers = [("10.0.0.5", secret.port), ("127.0.0.1", secret.port)]
        monkeypatch.setattr(
            socket, "getaddrinfo", lambda *_, **__: [(socket.AF_INET, 1, 6, "", one) for one in answers]
        )
        problem = dial.dial_once(f"http://cam.lan:{secret.port}", Networks())
        assert problem is not None
        assert "--allowed-networks" in problem
        assert secret.visits == 0


class Changing:
    """A resolver whose answer is another one each time: 127.0.0.2, then 127.0.0.1, where the secret is."""

    def __init__(self) -> None:
        self.asked = 0

    def __call__(self, host: Any, port: Any, *_: Any, **__: Any) -> list[tuple[Any, ...]]:
        address = str(host)
        if not address[0].isdigit():
            self.asked += 1
            address = "127.0.0.2" if self.asked % 2 else "127.0.0.1"
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, int(port)))]


def _dial(port: int, networks: Networks) -> None:
    problem = dial.dial_once(f"http://cam.lan:{port}", networks)
    if problem is not None:
        raise SourceLost(problem)


def _web(port: int, networks: Networks) -> None:
    source = WebSource(f"http://cam.lan:{port}/still.jpg", SourceOptions(networks=networks))
    with contextlib.closing(source):
        source.open()
        assert source.read().data == picture()


def _rtsp(port: int, networks: Networks) -> None:
    source = RtspSource(f"rtsp://cam.lan:{port}/live", SourceOptions(networks=networks))
    with contextlib.closing(source):
        source.open()
        source.read()


@pytest.mark.parametrize("way", [_dial, _web, _rtsp])
def test_a_name_that_changes_leads_nowhere_else(
    way: Callable[[int, Networks], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Watches Networks.connect: what was looked at is what is connected to, and it is looked at each time."""
    changing = Changing()
    with ExitStack() as ends:
        server = ends.enter_context(_camera(way))
        secret = ends.enter_context(Secret("127.0.0.1", server))
        monkeypatch.setattr(socket, "getaddrinfo", changing)
        allowed = Networks(("127.0.0.2/32",))
        way(server, allowed)  # the first answer: the camera
        assert changing.asked == 1
        with pytest.raises(SourceLost, match="contacted"):
            way(server, allowed)  # the second: refused
        assert secret.visits == 0


@contextlib.contextmanager
def _camera(way: Callable[..., None]) -> Iterator[int]:
    """A camera on 127.0.0.2 alone; its port."""
    with ExitStack() as ends:
        if way is _rtsp:
            inner = ends.enter_context(RtspCamera([picture(64, 48, seed=n) for n in range(3)])).port
        else:
            inner = ends.enter_context(WebCamera(still(lambda _n: picture()))).port
        front = ends.enter_context(socket.create_server(("127.0.0.2", free_port())))

        def pass_on(source: socket.socket, target: socket.socket) -> None:
            with contextlib.suppress(OSError):
                while data := source.recv(65536):
                    target.sendall(data)
                target.shutdown(socket.SHUT_WR)

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    visitor, _ = front.accept()
                    behind = socket.create_connection(("127.0.0.1", inner))
                    for pair in ((visitor, behind), (behind, visitor)):
                        threading.Thread(target=pass_on, args=pair, daemon=True).start()

        threading.Thread(target=serve, daemon=True).start()
        yield front.getsockname()[1]
        front.shutdown(socket.SHUT_RDWR)


def test_an_added_camera_reads_no_service_of_the_mesh(registry: Registry) -> None:
    """Watches the Via header of camera_node.sources.web: on whatever port a service is, it is open to nobody else's
    behalf."""
    for path in ("v1/nodes", "healthz", "openapi.json?/stream.jpg", "metrics#/image.jpg", "stream.jpg/../v1/nodes"):
        source = WebSource(f"{registry.url}/{path}", SourceOptions(networks=HERE))
        with contextlib.closing(source), pytest.raises(SourceLost, match="answered 403"):
            source.open()


@pytest.mark.parametrize("host", ["169.254.169.254", "0xa9fea9fe", "[::ffff:a9fe:a9fe]", "8.8.8.8", "127.1"])
@pytest.mark.parametrize("scheme", ["http", "https", "rtsp", "rtsps"])
def test_a_camera_host_looks_again_by_itself(scheme: str, host: str) -> None:
    """Watches camera_node.sources: a registry that was talked into something does not have it fetched."""
    told = HostedCamera(camera_id="c", revision=1, name="n", source=f"{scheme}://op:secret@{host}:80/")
    source = source_of(told).make(SourceOptions(networks=Networks()))
    with contextlib.closing(source), pytest.raises(SourceLost, match=r"contacted|never") as lost:
        source.open()
    assert "secret" not in lost.value.detail


def test_cameras_that_read_one_another_are_refused() -> None:
    """Watches registry.camera_source.check_no_circle."""
    others = [("a", "http://h/cameras/b/stream.jpg"), ("b", "rtsp://10.0.0.5/"), ("c", "http://h/cameras/a/image.jpg")]
    camera_source.check_no_circle("b", "rtsp://10.0.0.6/", others)
    camera_source.check_no_circle("d", "http://h/cameras/c/stream.jpg", others)
    for camera_id, source in (("b", "c"), ("b", "a"), ("a", "a"), ("a", "c")):
        with pytest.raises(InvalidInput, match="this camera's own picture"):
            camera_source.check_no_circle(camera_id, f"http://h/cameras/{source}/stream.jpg", others)


@pytest.mark.parametrize(
    "wanted",
    ["169.254.169.254", "http://8.8.8.8/image.jpg", "2130706433", "0x7f000001", "127.1", "[::1]", "[::ffff:127.0.0.1]",
     "http://127.0.0.1:6379/", "http://127.0.0.1:{port}@8.8.8.8/", "file:///etc/passwd", "../gate", "*", ""],
)  # fmt: skip
def test_the_originals_camera_parameter_finds_registered_cameras_alone(registry: Registry, wanted: str) -> None:
    """Watches compute_node.cameras.Cameras.find: what is fetched is the registered address, never the one given."""
    for other in [node for node in registry.nodes if node.name != "gate 1"]:
        registry.delete(f"/v1/nodes/{other.node_id}")
    gate = next((node for node in registry.nodes if node.name == "gate 1"), None) or registry.camera("gate 1")
    cameras = Cameras(RegistryClient(registry.url))
    assert cameras.find("gate 1").url == gate.url
    with pytest.raises(NotFound):
        cameras.find(wanted.format(port=gate.port))


@pytest.mark.parametrize("host", NEVER)
def test_a_registered_camera_that_is_there_is_not_fetched(host: str) -> None:
    """Watches compute_node.ingest: a node that is none may have said that it is anywhere."""
    ingest = Ingest(CameraAddress(node_id="n", name="fake", url=f"http://{host}:80"))
    try:
        wait_for(lambda: ingest.problem and "never contacted" in ingest.problem, 5, "a reason")
    finally:
        ingest.stop()


@pytest.mark.parametrize("address", ["169.254.169.254", "::ffff:169.254.169.254", "100.100.100.200", "fe80::1"])
def test_an_originals_device_is_not_where_it_says_then(address: str) -> None:
    """Watches registry.address.url_of: it is where the registry saw it."""
    document = {"host_name": "thinkstation", "ip_address": address}
    assert url_of(manifest.parse(document, "camera"), "10.0.0.7") == "http://10.0.0.7:5000"


@pytest.mark.parametrize("host", NEVER)
def test_what_answers_a_search_leads_to_no_such_address(host: str) -> None:
    """Watches registry.onvif.candidate."""
    fields = {"Types": "NetworkVideoTransmitter", "XAddrs": f"http://{host}/onvif http://10.0.0.5/onvif"}
    found = onvif.candidate(fields, "10.0.0.5")
    assert found is not None
    assert found.xaddrs == ["http://10.0.0.5/onvif"]


@pytest.mark.parametrize(
    "text",
    ["rtsp://op:12?s3cret@cam/", "rtsp://op:1/s3cret@cam/", "rtsp://op#s3cret@cam", "rtsp://op:p@s3cret/x@cam/",
     "rtsp:op:s3cret@cam", "rtsp:/op:s3cret@cam/", "rtsp://op:s3cret/@cam", "rtsp://op:?s3cret#@cam/a@b"],
)  # fmt: skip
def test_no_part_of_a_password_with_bare_signs_is_shown(text: str) -> None:
    """Watches mesh.source.shown."""
    seen = shown(text)
    for part in ("s3cret", "12", "op"):
        assert part not in seen.text.removeprefix("rtsp") + seen.host
