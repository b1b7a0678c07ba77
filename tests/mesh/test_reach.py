"""Where a node is reached that knows only a range of ports."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import requests
from PIL import Image

from mesh.errors import SetupProblem
from mesh.reach import NODE_ID, Reach, places
from tests.processes import Running, free_port, wait_for

ME, OTHER = "the-node", "another-node"
Door = Callable[..., int]


@pytest.fixture
def door() -> Iterator[Door]:
    """Opens a port (any free one for 0) at which the node with this id answers; gives the port."""
    with ExitStack() as ending:

        def opened(node_id: str, port: int = 0) -> int:
            class Answering(BaseHTTPRequestHandler):
                def do_GET(self) -> None:
                    self.send_response(200 if self.path == "/healthz" else 404)
                    self.send_header(NODE_ID, node_id)
                    self.end_headers()

                def log_message(self, *_: object) -> None:
                    pass

            server = ThreadingHTTPServer(("127.0.0.1", port), Answering)
            ending.callback(server.server_close)
            ending.callback(server.shutdown)
            threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
            return int(server.server_address[1])

        yield opened


def among(*ports: int) -> str:
    return f"{min(ports)}-{max(ports)}"


@pytest.mark.parametrize(
    ("advertised", "host", "ports"),
    [
        ("http://10.20.0.14:8000-8003", "10.20.0.14", range(8000, 8004)),
        ("http://[fd00::7]:8000-8000/", "[fd00::7]", range(8000, 8001)),
        ("http://:8000-8003", "", range(8000, 8004)),
        ("https://:8443", "", range(8443, 8444)),
    ],
)
def test_what_an_address_may_leave_open(advertised: str, host: str, ports: range) -> None:
    """A range of ports, the host, or both."""
    found = places(advertised)
    assert found is not None
    assert (found.host, found.ports) == (host, ports)


@pytest.mark.parametrize(
    "advertised", ["", "http://10.20.0.14:8000", "https://cam.example", "http://h/a:1-2", "rubbish"]
)
def test_an_address_that_leaves_nothing_open(advertised: str) -> None:
    """It is what the manifest says, unless it is none, which mesh.identity.check refuses."""
    assert places(advertised) is None
    assert Reach(advertised, ME).url == (advertised or None)


@pytest.mark.parametrize("ports", ["8003-8000", "0-3", "65530-65540", "8000-8064"])
def test_a_range_that_is_none_is_refused_in_words(ports: str) -> None:
    """Too many to ask each of them, or no ports."""
    with pytest.raises(SetupProblem, match="--advertise"):
        places(f"http://:{ports}")


def test_the_port_that_leads_to_this_node_is_found_among_others(door: Door) -> None:
    """At another one a sibling answers, at most nobody does; nothing is sent anew while it leads here."""
    other, mine = near_ports()
    door(OTHER, other)
    door(ME, mine)
    reach = Reach(f"http://127.0.0.1:{among(other, mine)}", ME)
    assert reach.settle("http://172.18.0.4:8000")
    assert reach.url == f"http://127.0.0.1:{mine}"
    assert not reach.settle(reach.url)


def test_the_host_is_the_one_that_the_registry_sees(door: Door) -> None:
    """Where the address leaves it out."""
    mine = door(ME)
    reach = Reach(f"http://:{mine}", ME)
    assert reach.url is None
    assert reach.settle("http://127.0.0.1:8000")
    assert reach.url == f"http://127.0.0.1:{mine}"


def test_an_address_that_leads_here_is_left_to_the_registry(door: Door) -> None:
    """Inside a compose file's own network nothing is published, and nothing needs to be."""
    mine, other = door(ME), door(OTHER)
    reach = Reach(f"http://:{other}", ME)
    assert not reach.settle(f"http://127.0.0.1:{mine}")
    assert reach.url is None


def test_who_answers_without_end_holds_nobody_up() -> None:
    """Something else may listen at a port of the range."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]

        def drip() -> None:
            talking, _ = listening.accept()
            with talking, suppress(OSError):  # until nobody listens any more
                talking.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
                while True:
                    talking.sendall(b"x")
                    time.sleep(0.1)  # often enough for any time limit between two bytes, and without end

        threading.Thread(target=drip, daemon=True).start()
        began = time.monotonic()
        Reach(f"http://127.0.0.1:{port}-{port}", ME).settle("")
        assert time.monotonic() - began < 10


def test_where_nothing_leads_here_people_are_told(door: Door, capsys: pytest.CaptureFixture[str]) -> None:
    """The node says what to do, once, and is listed at an address that the registry will find wanting."""
    other = door(OTHER)
    reach = Reach(f"http://127.0.0.1:{other}-{other}", ME)
    assert reach.settle("http://127.0.0.1:8000")
    assert reach.url == f"http://127.0.0.1:{other}"
    assert not reach.settle(reach.url)
    assert capsys.readouterr().out.count("publish its port there") == 1


def test_two_nodes_behind_one_range_are_listed_at_a_port_each(tmp_path: Path, start: Callable[..., Running]) -> None:
    """As `docker compose up --scale camera=2` starts them; one that gives a sibling's address is unreachable, and why
    is said."""
    first, second = near_ports()
    span = f"http://127.0.0.1:{among(first, second)}"
    registry = start("registry", "--redis", "memory:", "--announce", "off", data=tmp_path / "registry").ready()
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    Image.new("RGB", (64, 36)).save(pictures / "one.jpg")
    common = ("--registry", registry.url, "--source", str(pictures))
    for port in (first, second):
        start("camera", *common, "--name", f"at-{port}", "--advertise", span, port=port)
    start("camera", *common, "--name", "lost", "--advertise", f"http://127.0.0.1:{first}")

    wanted = {f"at-{port}": (f"http://127.0.0.1:{port}", "ready") for port in (first, second)}
    wanted["lost"] = (f"http://127.0.0.1:{first}", "unreachable")

    def listed() -> list[dict[str, str]]:
        return list(requests.get(f"{registry.url}/v1/nodes", timeout=5).json()["nodes"])

    wait_for(lambda: {node["name"]: (node["url"], node["state"]) for node in listed()} == wanted, 30, "a port for each")

    def told() -> bool:
        """At first nobody may have answered there: it is dialled again."""
        (lost,) = [node for node in listed() if node["name"] == "lost"]
        return "another node answers there" in lost["state_reason"]

    wait_for(told, 15, "the reason why the third is not reached")


def near_ports() -> tuple[int, int]:
    """Two free ports that one range may hold."""
    for _ in range(2000):
        first, second = free_port(), free_port()
        if 0 < abs(first - second) < 60:
            return first, second
    pytest.fail("no two free ports were near each other")


def test_a_node_that_knows_its_host_is_never_listed_elsewhere(door: Door) -> None:
    """It asks before its first manifest; one that does not waits for what the registry sees."""
    mine = door(ME)
    assert Reach(f"http://127.0.0.1:{mine}-{mine}", ME).settle("")
    assert not Reach(f"http://:{mine}", ME).settle("")
