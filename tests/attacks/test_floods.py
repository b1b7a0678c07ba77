"""Clients that take all there is: connections, threads, requests."""

from __future__ import annotations

import contextlib
import json
import resource
import socket
import time
from contextlib import ExitStack
from io import BufferedReader

import pytest
import requests

from mesh import limits
from mesh.access import LOCAL, Principal
from mesh.errors import SourceLost, TooMany
from mesh.throttle import MOST_CLIENTS, Buckets
from registry.shares import Shares
from tests.attacks.conftest import Start
from tests.camera_node.conftest import NOBODY
from tests.processes import ROOT, Running, wait_for

SILENT = 10_000
IN_TIME = 3.0  # seconds within which somebody else's request is answered, on a machine that is busy with the tests


@pytest.fixture(scope="module")
def service(start_once: Start) -> Running:
    """A camera node: its web server is every service's."""
    return start_once("camera", "--source", "demo:", "--registry", NOBODY)


def served(service: Running) -> None:
    """Somebody else gets an answer."""
    with requests.Session() as fresh:
        assert fresh.get(f"{service.url}/healthz", timeout=IN_TIME).ok


def connect(service: Running, source: str, said: bytes = b"") -> socket.socket:
    one = socket.create_connection(("127.0.0.1", service.port), 10, (source, 0))
    one.sendall(said)
    return one


def answer(one: socket.socket, seconds: float = 5) -> bytes:
    """Everything that still comes."""
    one.settimeout(seconds)
    data = b""
    with contextlib.suppress(ConnectionResetError):
        while chunk := one.recv(65536):
            data += chunk
    return data


def open_files_allowed(wanted: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < wanted:
        pytest.skip(f"this machine lets a process open {hard} files; {wanted} are needed")
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def test_ten_thousand_connections_that_say_nothing_stop_nobody(service: Running) -> None:
    """Watches mesh.worker.Worker.accept: a connection takes a thread only when a request is there."""
    open_files_allowed(SILENT + 1000)
    with ExitStack() as held:
        for number in range(SILENT):
            held.enter_context(connect(service, "127.0.0.1"))
            if number % 1000 == 999:
                served(service)
        served(service)
    served(service)


def test_one_client_gets_no_more_connections_than_its_share(service: Running) -> None:
    """Watches mesh.connections: the one too many is told why, others are served, and what was closed counts no more."""
    with ExitStack() as held:
        many = [held.enter_context(connect(service, "127.0.0.2")) for _ in range(limits.MAX_CONNECTIONS_PER_CLIENT)]
        with connect(service, "127.0.0.2") as refused:
            said = answer(refused)
        assert said.split()[1] == b"429"
        assert json.loads(said.partition(b"\r\n\r\n")[2])["limit"] == "MAX_CONNECTIONS_PER_CLIENT"
        served(service)
        for one in many[:20]:
            one.close()

        def again() -> bool:
            with connect(service, "127.0.0.2", b"GET /healthz HTTP/1.0\r\n\r\n") as one:
                return answer(one).split()[1] == b"200"

        wait_for(again, 5, "an answer for who has closed connections")


def test_a_viewer_that_the_fan_out_serves_counts_too(service: Running) -> None:
    """Watches mesh.handoff.HandOff._take: streams leave the web server, and stay their client's connections."""
    with ExitStack() as held:
        for _ in range(limits.MAX_CONNECTIONS_PER_CLIENT):
            one = held.enter_context(
                connect(service, "127.0.0.4", b"GET /stream.jpg HTTP/1.1\r\nHost: localhost\r\n\r\n")
            )
            assert one.recv(12) == b"HTTP/1.1 200"
        with connect(service, "127.0.0.4") as refused:
            assert answer(refused).split()[1] == b"429"
    served(service)


def test_heads_and_bodies_that_never_end_stop_nobody(service: Running) -> None:
    """Watches mesh.worker.Worker._hear and mesh.worker.Waiting: more of each than there are threads, and everybody
    else is answered; the heads are cut in time, with the limit's name."""
    head = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-Slow: "
    body = b"POST /healthz HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n"
    with ExitStack() as held:
        slow = [held.enter_context(connect(service, "127.0.0.2", head)) for _ in range(100)]
        bodies = [held.enter_context(connect(service, "127.0.0.3", body)) for _ in range(100)]
        until = time.monotonic() + limits.HEAD_SECONDS - 2
        while time.monotonic() < until:
            for one in (*slow, *bodies):
                with contextlib.suppress(OSError):  # a body may have been cut already
                    one.sendall(b"a")
            served(service)
            time.sleep(0.5)
        said = [answer(one, 10) for one in slow]
        assert all(one.split()[1] == b"408" and b"HEAD_SECONDS" in one for one in said)
    served(service)


@pytest.mark.parametrize(
    ("request_", "statuses"),
    [
        (b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n" + b"X-A: " + b"a" * 60_000, (b"413",)),
        (b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n" + b"X-A: a\r\n" * 100 + b"\r\n", (b"400", b"431")),
        (b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-A: " + b"a" * 9000 + b"\r\n\r\n", (b"400", b"431")),
        (b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n", (b"400", b"414")),
    ],
    ids=["head", "fields", "field", "line"],
)
def test_heads_that_are_too_large_are_refused(service: Running, request_: bytes, statuses: tuple[bytes, ...]) -> None:
    """Watches mesh.limits' bounds on heads, which mesh.server gives to the web server."""
    with connect(service, "127.0.0.1", request_) as one:
        assert answer(one).split()[1] in statuses
    served(service)


@pytest.fixture(scope="module")
def locked(start_once: Start, tmp_path_factory: pytest.TempPathFactory) -> tuple[Running, dict[str, str]]:
    """A locked registry, and what its administrator shows. One request a second comes back: the usual 200 are as many
    as a slow machine makes."""
    data = tmp_path_factory.mktemp("locked")
    (data / "sitecustomize.py").write_text(
        "from mesh import limits\nlimits.MAX_REQUESTS_A_SECOND = limits.MAX_STRANGER_REQUESTS_A_SECOND = 1.0\n"
    )
    words = ("--redis", "memory:", "--announce", "off", "--access", "locked", "--data", str(data))
    running = start_once("registry", *words, environment={"PYTHONPATH": f"{data}:{ROOT}"})
    wait_for((data / "admin" / "key").is_file, 10, "a key")
    return running, {"Authorization": f"Bearer {(data / 'admin' / 'key').read_text().strip()}"}


def test_one_key_asks_no_more_often_than_it_may(locked: tuple[Running, dict[str, str]]) -> None:
    """Watches mesh.throttle: who asks too often is told so and for how long; everybody else goes on."""
    running, credential = locked
    field = f"Authorization: {credential['Authorization']}".encode()
    many = 2 * limits.MAX_REQUESTS_AT_ONCE
    statuses: list[bytes] = []
    body = b""
    with connect(running, "127.0.0.1") as one, one.makefile("rb") as lines:
        one.settimeout(5)
        for _ in range(many):
            one.sendall(b"GET /v1/me HTTP/1.1\r\nHost: localhost\r\n" + field + b"\r\n\r\n")
            status, fields, body = read_answer(lines)
            statuses.append(status)
            if status == b"429":
                break
    assert statuses[-1] == b"429"
    assert len(statuses) > limits.MAX_REQUESTS_AT_ONCE
    assert int(fields[b"retry-after"]) >= 1
    assert json.loads(body)["limit"] == "MAX_REQUESTS_A_SECOND"
    served(running)


def test_strangers_ask_no_more_often_than_they_may(locked: tuple[Running, dict[str, str]]) -> None:
    """Watches mesh.throttle: by address, also for what is refused; others and whoever has a key go on."""
    running, _ = locked
    for path in (b"/v1/nodes", b"/healthz"):
        source = "127.0.0.5" if path == b"/healthz" else "127.0.0.6"
        seen = b""
        with connect(running, source) as one, one.makefile("rb") as lines:
            one.settimeout(5)
            for _ in range(4 * limits.MAX_STRANGER_REQUESTS_AT_ONCE):
                one.sendall(b"GET " + path + b" HTTP/1.1\r\nHost: localhost\r\n\r\n")
                seen, _, body = read_answer(lines)
                if seen == b"429":
                    break
        assert seen == b"429"
        assert json.loads(body)["limit"] == "MAX_STRANGER_REQUESTS_A_SECOND"
        with connect(running, "127.0.0.7", b"GET /healthz HTTP/1.0\r\n\r\n") as other:
            assert answer(other).split()[1] == b"200"


def read_answer(lines: BufferedReader) -> tuple[bytes, dict[bytes, bytes], bytes]:
    """One answer over a connection that is kept: status, header fields, body."""
    status = lines.readline().split()[1]
    fields = {}
    while line := lines.readline().strip():
        name, _, value = line.partition(b": ")
        fields[name.lower()] = value
    return status, fields, lines.read(int(fields[b"content-length"]))


def test_buckets_fill_again_and_forget_the_full() -> None:
    """Watches mesh.throttle.Buckets: what was taken comes back at the rate, and memory stays bounded."""
    now = 0.0
    buckets = Buckets(10, 5, lambda: now)
    assert [buckets.take("a") for _ in range(6)] == [0, 0, 0, 0, 0, pytest.approx(0.1)]
    assert buckets.take("b") == 0
    now = 0.2
    assert [buckets.take("a") > 0 for _ in range(3)] == [False, False, True]
    now = 10.0
    for number in range(3 * MOST_CLIENTS):
        buckets.take(str(number))
    assert len(buckets._left) <= MOST_CLIENTS


def test_one_person_runs_no_more_sessions_than_their_share() -> None:
    """Watches registry.shares: by person, however often signed in; what ended makes room, and a failed one costs
    nothing."""
    ended: set[str] = set()
    shares = Shares(lambda session_id: None if session_id == "new" else session_id not in ended, most=3)
    anna = Principal("person", "s:1", "anna")
    again = Principal("person", "s:2", "anna")

    def make(maker: Principal | None, session_id: str) -> None:
        with shares.take(maker) as made:
            made(session_id)

    for number, maker in enumerate((anna, again, anna)):
        make(maker, str(number))
    with pytest.raises(TooMany, match="MAX_SESSIONS_PER_PRINCIPAL"):
        make(again, "3")
    make(Principal("person", "s:3", "bert"), "3")
    make(Principal("key", "k:1", "anna"), "4")
    for number in range(10):
        make(LOCAL, f"l{number}")
        make(None, f"n{number}")
    ended.add("1")
    make(anna, "new")
    with pytest.raises(TooMany):
        make(anna, "5")
    ended.add("0")
    with pytest.raises(SourceLost), shares.take(anna):
        raise SourceLost("no node took it")
    make(anna, "6")
