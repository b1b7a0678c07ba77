"""The registry client turns whatever comes back, or does not, into errors that say what to do."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from mesh.client import RegistryClient
from mesh.errors import FoglineError, InvalidInput, NoCapacity, NotFound, RegisterAgain, RegistryAway, SetupProblem
from mesh.wire import Beat, SessionRequest
from tests.processes import free_port

REQUEST = SessionRequest(camera="c", algorithm="a")


class Answering:
    """A server that gives each request the next of `answers`: (status, body, headers), or None to hang; status 0
    closes the connection without a word."""

    def __init__(self) -> None:
        self.answers: list[tuple[int, bytes, dict[str, str]] | None] = []
        self.seen: list[tuple[str, str]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                self.rfile.read(length)
                outer.seen.append((self.command, self.path))
                answer = outer.answers.pop(0) if outer.answers else (200, b"{}", {})
                if answer is None:
                    time.sleep(3)
                    return
                status, body, headers = answer
                if not status:
                    self.close_connection = True
                    return
                self.send_response(status)
                for name, value in {"Content-Length": str(len(body)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            do_GET = do_POST = do_DELETE = answer  # noqa: N815  http.server's names

            def log_message(self, *_arguments: object) -> None:
                """Nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.client = RegistryClient(f"{self.url}/", timeout=(0.5, 0.5))
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    def problem(self, status: int, title: str, headers: dict[str, str] | None = None, **members: Any) -> None:
        body = {"title": title, "status": status, "detail": "words", "known": ["one"], "field": "slots", **members}
        self.answers.append((status, json.dumps(body).encode(), headers or {}))


@pytest.fixture
def registry() -> Iterator[Answering]:
    one = Answering()
    yield one
    one.server.shutdown()
    one.server.server_close()


second = registry  # another one


@pytest.mark.parametrize(
    ("status", "title", "kind"),
    [
        (404, "Register again", RegisterAgain),
        (404, "Not found", NotFound),
        (422, "Invalid input", InvalidInput),
        (503, "No free slot", NoCapacity),
    ],
)
def test_a_problem_document_becomes_the_error_that_it_describes(
    registry: Answering, status: int, title: str, kind: type[FoglineError]
) -> None:
    """The same kind, words and members that the registry raised."""
    registry.problem(status, title, {"Retry-After": "7"})
    with pytest.raises(kind) as caught:
        registry.client.create_session(REQUEST)
    assert caught.value.detail == "words"
    assert caught.value.retry_after == 7
    assert caught.value.members["known"] == ["one"]
    assert len(registry.seen) == 1


def test_a_passing_fault_is_tried_again(registry: Answering) -> None:
    """Two failures, then an answer: the caller sees the answer only."""
    registry.answers += [(500, b"oops", {}), (503, b"<html>", {}), (200, b'{"nodes": []}', {})]
    with pytest.raises(FoglineError):
        registry.client.nodes()  # a 503 in words is the registry's own answer
    registry.answers[:] = [(500, b"oops", {}), (500, b"oops", {}), (200, b'{"nodes": []}', {})]
    assert registry.client.nodes() == {"nodes": []}


def test_a_hung_registry_costs_a_bounded_time(registry: Answering) -> None:
    """No answer is RegistryAway after the timeouts, and a beat is never tried twice."""
    registry.answers += [None] * 3
    began = time.monotonic()
    with pytest.raises(RegistryAway, match="timed out"):
        registry.client.nodes()
    assert time.monotonic() - began < 4
    registry.answers[:] = [None]
    registry.seen.clear()
    with pytest.raises(RegistryAway):
        registry.client.beat("n", Beat(boot_id="b"))
    assert len(registry.seen) == 1


@pytest.mark.parametrize("body", [b"<html>hello</html>", b"[]", b"\xff\xfe", b'{"node_id": 5}'])
def test_something_that_is_no_registry_is_told_from_one(registry: Answering, body: bytes) -> None:
    """A 200 of another program is RegistryAway, not a crash."""
    registry.answers += [(200, body, {})] * 6
    with pytest.raises(RegistryAway):
        registry.client.register({})
    if not body.startswith(b"{"):
        with pytest.raises(RegistryAway):
            registry.client.nodes()


def test_a_registry_that_forgot_everybody_says_when_to_come_back(registry: Answering) -> None:
    """The seconds over which nodes are to spread come with the error."""
    registry.problem(404, "Register again", spread_seconds=2.5)
    with pytest.raises(RegisterAgain) as caught:
        registry.client.beat("n", Beat(boot_id="b"))
    assert caught.value.members["spread_seconds"] == 2.5


def test_a_viewer_may_ask_for_another_node(registry: Answering) -> None:
    """With the token of the placement that gives no frames."""
    registry.answers.append((200, b'{"outcome": "moved"}', {}))
    assert registry.client.failover("s/1", 7) == {"outcome": "moved"}
    assert registry.seen == [("POST", "/v1/sessions/s/1/failover")]


def test_a_live_registry_without_redis_is_told_from_a_dead_one(registry: Answering) -> None:
    """`live`: it says that its Redis is away; `refused`: nobody listens; neither: who knows."""
    registry.problem(503, "Registry unreachable")
    assert away(registry.client) == {"live": True}
    registry.answers += [None]
    assert away(registry.client) == {}
    registry.answers += [(503, b"<html>a proxy of somebody</html>", {}), (500, b"", {})]
    with pytest.raises(FoglineError) as caught:
        registry.client.beat("n", Beat(boot_id="b"))
    assert "live" not in caught.value.members
    assert away(registry.client) == {}
    assert away(RegistryClient(f"http://127.0.0.1:{free_port()}")) == {"refused": True}


def away(client: RegistryClient) -> dict[str, Any]:
    """What a beat's RegistryAway says of the registry."""
    with pytest.raises(RegistryAway) as caught:
        client.beat("n", Beat(boot_id="b"))
    return {name: value for name, value in caught.value.members.items() if name in ("live", "refused")}


def test_the_next_registry_is_asked(registry: Answering, second: Answering) -> None:
    """One that is gone, hangs or has lost its Redis is passed over; the one that answered is asked first after that."""
    dead = f"http://127.0.0.1:{free_port()}"
    client = RegistryClient(f"{dead}, {registry.url}/ ,{second.url}", timeout=(0.5, 0.5))
    assert client.url == dead
    assert client.several
    client.nodes()
    assert client.url == registry.url
    assert client.host == "127.0.0.1"
    registry.answers += [None]
    client.nodes()
    assert client.url == second.url
    second.problem(503, "Registry unreachable")
    client.nodes()
    assert client.url == registry.url
    registry.problem(404, "Not found")
    with pytest.raises(NotFound):
        client.nodes()
    assert client.url == registry.url  # an answer is an answer
    assert (len(registry.seen), len(second.seen)) == (4, 2)


def test_all_registries_together_decide_whether_anybody_is_there(registry: Answering, second: Answering) -> None:
    """One that hangs may do anything; else one without Redis, and nobody, can move nothing."""
    dead = f"http://127.0.0.1:{free_port()},http://127.0.0.1:{free_port()}"
    assert away(RegistryClient(dead)) == {"refused": True}
    both = RegistryClient(f"{dead},{registry.url},{second.url}", timeout=(0.5, 0.5))
    registry.problem(503, "Registry unreachable")
    second.problem(503, "Registry unreachable")
    assert away(both) == {"live": True}
    registry.problem(503, "Registry unreachable")
    second.answers += [None]
    assert away(both) == {}


def test_a_connection_of_a_registry_that_was_restarted_is_made_anew(registry: Answering) -> None:
    """The kept one is dead, the registry is not: nobody notices."""
    registry.client.nodes()
    registry.answers += [(0, b"", {}), (200, b'{"nodes": []}', {})]
    assert registry.client._send("GET", "/v1/nodes", retries=0) == b'{"nodes": []}'


def test_without_an_address_the_registry_of_this_machine_is_taken(
    registry: Answering, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is looked for with the first call, not before."""
    client = RegistryClient("", timeout=(0.5, 0.5))
    assert client.host == ""
    monkeypatch.setattr("mesh.client.REGISTRY_PORT", registry.server.server_port)
    client.nodes()
    assert client.url == registry.url


def test_without_an_address_the_network_is_asked(
    registry: Answering, second: Answering, monkeypatch: pytest.MonkeyPatch
) -> None:
    """None there is said in words; one that stays away is looked for again."""
    announced: list[str] = []
    searches: list[float] = []

    def search(seconds: float) -> list[str]:
        searches.append(seconds)
        return list(announced)

    monkeypatch.setattr("mesh.client.REGISTRY_PORT", free_port())
    monkeypatch.setattr("mesh.discovery.registries", search)
    client = RegistryClient("", timeout=(0.2, 0.2))
    with pytest.raises(RegistryAway, match="--registry"):
        client.beat("n", Beat(boot_id="b"))
    announced.append(registry.url)
    client.nodes()
    assert client.url == registry.url
    assert len(searches) == 2
    registry.answers += [None] * 9
    announced[:] = [second.url]
    assert away(client) == {}
    assert len(searches) == 2
    monkeypatch.setattr("mesh.client.SEEK_AGAIN", 0.0)  # only now: an answer that is late must not lead to a search
    client.nodes()
    assert client.url == second.url


def test_a_redirect_is_not_followed(registry: Answering) -> None:
    """A registry does not send its clients elsewhere."""
    registry.answers += [(302, b"", {"Location": "http://127.0.0.1:1/"})]
    with pytest.raises(FoglineError):
        registry.client.nodes()
    assert len(registry.seen) == 1


@pytest.mark.parametrize(
    ("url", "words"),
    [("http://127.0.0.1:{port}", "is it running"), ("http://no-such-host.invalid", "unknown host name")],
)
def test_no_registry_at_all_is_said_in_words(url: str, words: str) -> None:
    """Refused and unknown are different remedies."""
    client = RegistryClient(url.format(port=free_port()), timeout=(1, 1))
    with pytest.raises(RegistryAway, match=words):
        client.nodes()


@pytest.mark.parametrize("url", ["localhost:5050", "http://", "ftp://x", "http://one:5050,two:5050", 5])
def test_an_address_that_is_none_names_the_setting(url: Any) -> None:
    """Before anything is sent."""
    with pytest.raises(SetupProblem, match="FOGLINE_REGISTRY"):
        RegistryClient(str(url))
