"""What is wrong is refused with the place where it is wrong; nothing of it is kept and nothing breaks."""

from __future__ import annotations

import json
import socket
import time
from typing import Any

import pytest
import requests

from tests.registry.fakes import YOLO, Registry

COMPUTE: dict[str, Any] = {
    "schema": "fogline/1",
    "kind": "compute",
    "node_id": "n-1",
    "boot_id": "b-1",
    "host_name": "factory",
    "name": "hall-1",
    "slots": 2,
    "algorithm": [YOLO],
}
DEEP = b'{"a":' * 5000 + b"1" + b"}" * 5000


def _with(**fields: Any) -> bytes:
    return json.dumps(COMPUTE | fields).encode()


def _without(field: str) -> bytes:
    return json.dumps({name: value for name, value in COMPUTE.items() if name != field}).encode()


BAD: list[tuple[str, bytes, str | None]] = [
    ("empty", b"", "$"),
    ("no JSON", b"hello", "$"),
    ("cut off", _with()[:-5], "$"),
    ("a list", b"[]", "$"),
    ("a number", b"7", "$"),
    ("not UTF-8", b'{"schema":"\xff"}', "$"),
    ("half a surrogate pair", _with(name="x").replace(b'"x"', b'"\\ud800"'), "$"),
    ("NaN", _with().replace(b"36.1", b"NaN"), "$"),
    ("infinite", _with().replace(b"36.1", b"1e999"), None),
    ("deep", DEEP, "$"),
    ("deep and well formed", _with(extra=json.loads(b"[" * 40 + b"]" * 40)), "$"),
    ("no schema", _without("schema"), "schema"),
    ("another schema", _with(schema="fogline/9"), "schema"),
    ("no kind", _without("kind"), "kind"),
    ("kind of a list", _with(kind=["compute"]), "kind"),
    ("no node_id", _without("node_id"), "node_id"),
    ("node_id with a slash", _with(node_id="../x"), "node_id"),
    ("node_id as a number", _with(node_id=7), "node_id"),
    ("slots as text", _with(slots="4"), "slots"),
    ("slots below zero", _with(slots=-1), "slots"),
    ("absurd slots", _with(slots=10**9), "slots"),
    ("algorithm as an object", _with(algorithm={"id": "yolo"}), "algorithm"),
    ("algorithm without id", _with(algorithm=[YOLO, {"name": "x"}]), "algorithm[1].id"),
    ("fps as text", _with(algorithm=[YOLO | {"fps": "fast"}]), "algorithm[0].fps"),
    ("the same algorithm twice", _with(algorithm=[YOLO, YOLO]), "algorithm"),
    ("10,000 algorithms", _with(algorithm=[{"id": f"a{n}", "name": "x"} for n in range(10_000)]), None),
    ("300 algorithms", _with(algorithm=[{"id": f"a{n}", "name": "x"} for n in range(300)]), "algorithm"),
    ("markup in the name", _with(name="<b>hall</b>"), "name"),
    ("markup in an unknown field", _with(note={"deep": ["<script>"]}), "note.deep[0]"),
    ("markup in a field's name", _with(**{"<b>": 1}), "$"),
    ("a name without end", _with(name="x" * 5000), "name"),
    ("a URL of another kind", _with(advertise_url="file:///etc/passwd"), "advertise_url"),
    ("a URL with a password", _with(advertise_url="http://u:p@h:8000"), "advertise_url"),
    ("a URL without an end", _with(advertise_url="http://[::1"), "advertise_url"),
    ("a URL with an absurd port", _with(advertise_url="http://h:99999"), "advertise_url"),
    ("a URL with a port of letters", _with(advertise_url="http://h:x"), "advertise_url"),
    ("a URL without a host", _with(advertise_url="http://:80"), "advertise_url"),
    ("port 0", _with(port=0), "port"),
    ("too large", _with(note="x" * 300_000), None),
]


@pytest.mark.parametrize(("body", "field"), [row[1:] for row in BAD], ids=[row[0] for row in BAD])
def test_a_bad_manifest_is_refused_and_not_kept(registry: Registry, body: bytes, field: str | None) -> None:
    """4xx as a problem document with the field's path; the list stays empty."""
    answer = requests.post(f"{registry.url}/v1/nodes", data=body, timeout=10)
    assert 400 <= answer.status_code < 500, answer.text
    assert answer.headers["Content-Type"] == "application/problem+json"
    problem = answer.json()
    assert problem["detail"]
    if field is not None:
        assert problem["field"] == field
    assert registry.json("/v1/nodes?state=any")["nodes"] == []


@pytest.mark.parametrize("path", ["/cam", "/device"])
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        DEEP,
        b'{"host_name": 5}',
        b'{"host_name": ""}',
        b'{"host_name": "<i>"}',
        b'{"host_name":"h","x":NaN}',
    ],
)
def test_the_originals_calls_refuse_the_same(registry: Registry, path: str, body: bytes) -> None:
    """They are older, not weaker."""
    answer = requests.post(registry.url + path, data=body, timeout=10)
    assert 400 <= answer.status_code < 500
    assert registry.json(path) == []


@pytest.mark.parametrize(
    "head",
    [
        "Content-Length: 104857600\r\n\r\n" + '{"schema":',
        "Transfer-Encoding: chunked\r\n\r\n" + "10000\r\n" + '{"note":"' + "x" * 65527 + "\r\n",
    ],
    ids=["declared", "chunked"],
)
def test_a_body_of_100_megabytes_is_refused_without_being_read(registry: Registry, head: str) -> None:
    """By its length where it says it, else at the limit: long before the end."""
    with socket.create_connection(("127.0.0.1", registry.running.port), timeout=5) as connection:
        connection.settimeout(0.02)
        connection.sendall(f"POST /v1/nodes HTTP/1.1\r\nHost: localhost\r\n{head}".encode())
        sent, got = 65536, b""
        deadline = time.monotonic() + 10
        while b"\r\n\r\n" not in got and time.monotonic() < deadline:
            try:
                if sent < 1_000_000:  # who wants to read the rest before it answers waits for it in vain
                    connection.sendall(b"10000\r\n" + b"x" * 65536 + b"\r\n")
                    sent += 65536
                got += connection.recv(4096)
            except TimeoutError:
                continue
            except ConnectionError:
                break
    assert got.startswith(b"HTTP/1.1 413"), got[:200]
    assert registry.json("/v1/nodes?state=any")["nodes"] == []


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/nodes/n-1/heartbeat", b'{"boot_id": 1}'),
        ("/v1/nodes/n-1/heartbeat", b'{"boot_id": "b-1", "load": {"direct": -1}}'),
        ("/v1/nodes/n-1/heartbeat", b'{"boot_id": "b-1", "sessions": [{"session_id": "s"}]}'),
        ("/v1/sessions", b"{}"),
        ("/v1/sessions", b'{"camera": 5, "algorithm": "yolo"}'),
        ("/v1/sessions", b'{"camera": "a", "algorithm": "yolo", "width": 1.5}'),
        ("/v1/sessions", b'{"camera": "a", "algorithm": "<b>"}'),
        ("/v1/sessions/x/failover", b'{"token": -1}'),
        ("/v1/sessions/x/failover", b'{"token": 1e300}'),
    ],
)
def test_other_bad_bodies_are_refused_with_the_field(registry: Registry, path: str, body: bytes) -> None:
    """422, never 5xx."""
    answer = requests.post(registry.url + path, data=body, timeout=10)
    assert answer.status_code == 422, answer.text
    assert answer.json()["field"]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v1/nodes/%00%ff%2e%2e", 404),
        ("GET", "/v1/sessions/" + "x" * 3000, 404),
        ("GET", "/v1/sessions/%F0%9F%98%80/stream", 404),
        ("DELETE", "/v1/sessions/nothing", 404),
        ("PUT", "/v1/nodes", 405),
        ("GET", "/v1/nothing", 404),
        ("GET", "/v1/sessions?camera=%3Cb%3E", 422),
    ],
)
def test_odd_calls_get_a_problem_document(registry: Registry, method: str, path: str, status: int) -> None:
    """With words, and never a trace."""
    answer = requests.request(method, registry.url + path, timeout=10)
    assert answer.status_code == status, answer.text
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.json()["detail"]
