"""Single pictures over a connection that is kept open: as fast as they are asked for, and nothing else is disturbed."""

from __future__ import annotations

import http.client
import socket
import time
from collections.abc import Iterator

import pytest
import requests

from tests.camera_node.conftest import camera_node
from tests.camera_node.pictures import picture, size
from tests.camera_node.viewer import metric, no_signal
from tests.camera_node.web_server import WebCamera, mjpeg
from tests.processes import Running, wait_for
from tests.viewers import Swarm

OWN = {"x-timestamp", "x-frame", "content-length", "date"}  # headers that differ from picture to picture


@pytest.fixture(scope="module", params=["auto", "threads"])
def live(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A camera of 20 fps for all tests here; its connections go the way of the parameter."""
    data = [picture(640, 360, seed=n) for n in range(5)]
    folder = tmp_path_factory.mktemp("snapshots")
    with (
        WebCamera(mjpeg(lambda n: data[n % 5], fps=20)) as web,
        camera_node(folder, f"http://{web.host}/", "--fanout", request.param) as node,
    ):
        wait_for(lambda: no_signal(node.url) is None, 5, "picture")
        yield node


def get(connection: http.client.HTTPConnection, path: str, **headers: str) -> tuple[dict[str, str], bytes]:
    connection.request("GET", path, headers=headers)
    answer = connection.getresponse()
    assert answer.status == 200
    return {name.lower(): value for name, value in answer.getheaders()}, answer.read()


def test_the_same_picture_again_and_again(live: Running) -> None:
    """Every answer is whole and has the same headers as the first; pictures never go back and do go on."""
    connection = http.client.HTTPConnection("127.0.0.1", live.port, timeout=5)
    first, _ = get(connection, "/image.jpg")
    ours = connection.sock
    numbers: list[int] = []
    began = time.monotonic()
    # On a busy machine for longer: until it is seen that pictures go on.
    while (passed := time.monotonic() - began) < 2 or (len(set(numbers)) <= 20 and passed < 10):
        headers, body = get(connection, "/image.jpg")
        assert size(body) == (640, 360)
        assert int(headers["content-length"]) == len(body)
        assert {k: v for k, v in headers.items() if k not in OWN} == {k: v for k, v in first.items() if k not in OWN}
        assert set(headers) == set(first)
        numbers.append(int(headers["x-frame"]))
    assert connection.sock is ours, "it was one connection all the time"
    assert numbers == sorted(numbers)
    assert len(set(numbers)) > 20
    connection.close()


def test_a_session_of_requests(live: Running) -> None:
    """The usual client keeps its connection, too, and may pause."""
    with requests.Session() as session:
        for pause in (0.0, 0.0, 0.0, 0.3, 0.0, 2.5, 0.0, 0.0):
            time.sleep(pause)
            captured = metric(live.url, "fogline_camera_frames_captured_total")
            answer = session.get(f"{live.url}/image.jpg", timeout=5)
            assert answer.ok
            assert int(answer.headers["X-Frame"]) >= captured - 1, "not the newest picture"


def test_a_connection_that_asks_for_this_and_that(live: Running) -> None:
    """Other addresses, other headers, other methods and bodies, on one connection: each gets its own answer."""
    connection = http.client.HTTPConnection("127.0.0.1", live.port, timeout=5)
    for _ in range(3):
        for _ in range(3):
            assert size(get(connection, "/image.jpg")[1]) == (640, 360)
        assert size(get(connection, "/image.jpg?width=320")[1]) == (320, 180)
        assert b"ok" in get(connection, "/healthz")[1]
        for _ in range(3):
            get(connection, "/image.jpg")
        assert size(get(connection, "/image.jpg", **{"X-Other": "1"})[1]) == (640, 360)
        connection.request("POST", "/image.jpg", body=b"GET /image.jpg HTTP/1.1\r\n\r\n" * 50)
        answer = connection.getresponse()
        assert answer.status == 405
        answer.read()
        connection.request("HEAD", "/image.jpg")
        answer = connection.getresponse()
        assert (answer.status, answer.read()) == (200, b"")
    connection.close()


def test_requests_in_pieces_and_several_at_once(live: Running) -> None:
    """A request that comes byte by byte and three that come in one piece are all answered."""
    request = b"GET /image.jpg HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with socket.create_connection(("127.0.0.1", live.port), 5) as viewer:

        def answer() -> None:
            reply = http.client.HTTPResponse(viewer)
            reply.begin()
            assert reply.status == 200
            assert size(reply.read()) == (640, 360)

        for _ in range(4):
            viewer.sendall(request)
            answer()
        for byte in request:
            viewer.sendall(bytes([byte]))
            time.sleep(0.005)
        answer()
        viewer.sendall(request)
        answer()
        viewer.sendall(request * 3)
        data = b""
        while data.count(b"HTTP/1.1 200 OK") < 3 or not data.endswith(b"\xff\xd9"):
            data += viewer.recv(1 << 16)


def test_a_size_that_is_being_watched(live: Running) -> None:
    """Stills of a size that somebody streams come from that stream; when it ends they are made again."""
    connection = http.client.HTTPConnection("127.0.0.1", live.port, timeout=5)
    with Swarm(live.port, "/stream.jpg?width=320", 1) as swarm:
        wait_for(lambda: swarm.parts()[0] > 2, 5, "pictures")
        for _ in range(30):
            assert size(get(connection, "/image.jpg?width=320")[1]) == (320, 180)
    for _ in range(10):
        assert size(get(connection, "/image.jpg?width=320")[1]) == (320, 180)
    wait_for(lambda: metric(live.url, "fogline_camera_viewers") == 0, 5, "nobody")
    connection.close()


def test_many_connections_stop_nobody_and_the_end_is_in_time(live: Running) -> None:
    """A hundred clients at once, then the service stops with their connections open. The last on that camera."""
    clients = [http.client.HTTPConnection("127.0.0.1", live.port, timeout=5) for _ in range(100)]
    for _ in range(4):
        for client in clients:
            client.request("GET", "/image.jpg")
        for client in clients:
            assert size(client.getresponse().read()) == (640, 360)
    assert requests.get(f"{live.url}/healthz", timeout=5).ok
    assert live.stop() < 5
    for client in clients:
        client.close()
