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
    """A server that gives each request the next of `answers`: (status, body, headers), or None to hang."""

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
        self.client = RegistryClient(f"http://127.0.0.1:{self.server.server_port}/", timeout=(0.5, 0.5))
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def problem(self, status: int, title: str, **headers: str) -> None:
        body = {"title": title, "status": status, "detail": "words", "known": ["one"], "field": "slots"}
        self.answers.append((status, json.dumps(body).encode(), headers))


@pytest.fixture
def registry() -> Iterator[Answering]:
    one = Answering()
    yield one
    one.server.shutdown()
    one.server.server_close()


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
    registry.problem(status, title, **{"Retry-After": "7"})
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


@pytest.mark.parametrize("url", ["localhost:5050", "", "ftp://x", 5])
def test_an_address_that_is_none_names_the_setting(url: Any) -> None:
    """Before anything is sent."""
    with pytest.raises(SetupProblem, match="FOGLINE_REGISTRY"):
        RegistryClient(str(url))
