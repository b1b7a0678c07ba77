"""Texts that end a line too early, and paths that lead out of their folder."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator

import pytest

from mesh.errors import SourceLost
from mesh.frame import Frame
from mesh.multipart import Reader, part
from mesh.refusal import refusal
from mesh.stills import frame_headers, render
from mesh.tally import tally
from tests.attacks.conftest import Start
from tests.processes import Running
from tests.registry.fakes import Json, Registry

EVIL = "a\r\nX-Evil: 1\r\n\r\n<script>"
SPLITS = ["\r\n", "\n", "\r", "\x0b", "\x0c", "\x00", "\x85", "\u2028", "\u560a\u560d"]


@pytest.fixture(scope="module")
def registry(start_once: Start) -> Iterator[Registry]:
    calls = Registry(start_once("registry", "--redis", "memory:", "--announce", "off"))
    yield calls
    calls.close()


@pytest.fixture(scope="module")
def session(registry: Registry) -> Json:
    registry.camera("gate")
    registry.compute("hall")
    return registry.open("gate")


@pytest.fixture(scope="module")
def dashboard(start_once: Start, registry: Registry) -> Running:
    return start_once("ui", "--registry", registry.url)


def ask(service: Running, target: bytes, *fields: bytes) -> tuple[bytes, dict[bytes, bytes], bytes]:
    """Status, header fields and body of the answer to exactly these bytes."""
    with socket.create_connection(("127.0.0.1", service.port), 5) as one:
        head = [b"GET " + target + b" HTTP/1.1", b"Host: localhost", b"Connection: close", *fields]
        one.sendall(b"\r\n".join(head) + b"\r\n\r\n")
        one.settimeout(5)
        answer = b""
        while chunk := one.recv(65536):
            answer += chunk
    head_, _, body = answer.partition(b"\r\n\r\n")
    first, *lines = head_.split(b"\r\n")
    pairs = [line.partition(b": ") for line in lines]
    return first.split()[1], {name.lower(): value for name, _, value in pairs}, body


@pytest.mark.parametrize(
    "text",
    [
        b"a=%0d%0aX-Evil:%201",
        b"a=%250d%250aX-Evil:%201",
        b"a=\xe5\x98\x8a\xe5\x98\x8dX-Evil:1",
        b"a=\r\nX-Evil: 1",
        b"a=\nX-Evil: 1",
        b"a=\rX-Evil: 1",
        b"a=\x00X-Evil: 1",
        b"a=1#@evil.example/",
        b"@evil.example/",
        b"token=999&t%6fken=998",
    ],
)
@pytest.mark.parametrize("view", ["stream", "snapshot"])
def test_a_query_adds_no_header_to_a_redirect(registry: Registry, session: Json, view: str, text: bytes) -> None:
    """Watches the registry's redirects: the query is passed on as it came, which is one line, or not at all."""
    path = f"/v1/sessions/{session['session_id']}/{view}?".encode()
    status, fields, _ = ask(registry.running, path + text)
    assert b"x-evil" not in fields or status == b"400"
    if status == b"307":
        assert fields[b"location"].startswith(session["node_url"].encode() + b"/v1/sessions/")
        assert b"token=99" not in fields[b"location"]
    else:
        assert status == b"400"


@pytest.mark.parametrize("split", SPLITS)
def test_what_is_seen_and_what_goes_wrong_add_no_header(split: str) -> None:
    """Watches mesh.tally, mesh.frame and mesh.stills.render: labels, reasons and names stay within their line."""
    evil = f"a{split}X-Evil: 1{split}{split}<script>"
    frame = Frame(b"\xff\xd8\xff\xd9", 1, time.time(), 1, 1, objects=tally([evil]), no_signal=evil)
    (read,) = Reader("fogline-frame").feed(part(frame).replace(b"\r\n\r\n", b"\r\n\r\n", 1) + b"--") or [None]
    heads = [
        render("200 OK", list(frame_headers(frame).items()), keep=True),
        render("200 OK", [("X-Name", evil), ("Location", f"/{evil}")], keep=False),
        refusal(SourceLost(evil)).partition(b"\r\n\r\n")[0] + b"\r\n\r\n",
    ]
    for head in heads:
        assert head.count(b"\r\n\r\n") == 1
        assert all(not line.lower().startswith(b"x-evil") for line in head.splitlines())
    assert read is None or "x-evil" not in read.headers


@pytest.mark.parametrize("field", ["name", "FriendlyName", "host_name", "ip_address", "version", "advertise_url"])
@pytest.mark.parametrize("split", SPLITS[:6])
def test_no_node_has_a_name_of_two_lines(registry: Registry, field: str, split: str) -> None:
    """Watches mesh.manifest: such a manifest is refused, or its line is never ended in a header of an answer."""
    node = registry.node("camera", f"plain {field} {ord(split[0])}")
    node.manifest[field] = f"http://a{split}X-Evil: 1"
    answer = node.register()
    assert answer.status_code < 500
    listed = registry.get(f"/v1/nodes/{node.node_id}")
    assert "X-Evil" not in {**answer.headers, **listed.headers}
    if answer.ok:
        node.die()
        registry.nodes.remove(node)
        registry.delete(f"/v1/nodes/{node.node_id}")


@pytest.mark.parametrize(
    "path",
    [
        b"/assets/x/../../settings.py",
        b"/assets/x/..%2f..%2fsettings.py",
        b"/assets/x/%2e%2e/%2e%2e/settings.py",
        b"/assets/x/..%5c..%5csettings.py",
        b"/assets/x/....//....//settings.py",
        b"/assets/x/%252e%252e/settings.py",
        b"/assets/x//etc/passwd",
        b"/assets/x/%2fetc%2fpasswd",
        b"/assets/x/js/%00.py",
        b"/assets/x/\xc0\xae\xc0\xae/settings.py",
        b"/assets/vendor/..%2f..%2fpackage.json",
        b"/assets/vendor/package.json",
        b"/assets/x/words/..%2f..%2fde.json",
        b"/assets/x/words/%2e%2e.json",
        b"/language/..%2f..%2fetc",
        b"/assets/x/../../../../../../etc/passwd",
    ],
)
def test_assets_are_those_of_the_pages_alone(dashboard: Running, path: bytes) -> None:
    """Watches ui.assets.Assets.own and vendor: what lies elsewhere is not there."""
    status, fields, body = ask(dashboard, path)
    assert status in (b"404", b"400", b"308", b"302", b"303", b"422"), (status, body[:200])
    assert b"FOGLINE" not in body
    assert b"root:" not in body
    assert b"dependencies" not in body
    if b"location" in fields:
        assert not fields[b"location"].startswith((b"//", b"http://e"))
