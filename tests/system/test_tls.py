"""A mesh that speaks https everywhere, with an authority of its own that nobody had to install."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import requests

from mesh import events, tls
from mesh.client import RegistryClient
from mesh.credentials import ADMIN_KEY, Bearer
from mesh.follow import Follower
from tests.processes import ROOT, free_port, wait_for

Json = dict[str, Any]


@dataclass
class Mesh:
    """Services that share the folder `data`, but for those that are given one of their own."""

    stack: ExitStack
    data: Path
    registry: str = ""
    logs: dict[str, Path] = field(default_factory=dict)

    def start(self, role: str, name: str, *words: str, data: Path | None = None, token: str = "") -> str:
        """Start a service by TLS; its address."""
        port = free_port()
        url = f"https://127.0.0.1:{port}"
        log = self.logs[name] = self.data.parent / f"{name}.log"
        join = ("--registry", self.registry) if role != "registry" else ("--redis", "memory:")
        common = ("--access", "locked", "--tls", "--data", str(data or self.data), "--port", str(port))
        with log.open("wb") as out:
            process = subprocess.Popen(
                [sys.executable, "-m", "cli", role, *common, *join, *words],
                cwd=ROOT, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT, start_new_session=True,
                env={"PATH": "/usr/bin:/bin", "FOGLINE_JOIN_TOKEN": token, "TMPDIR": str(self.data.parent)},
            )  # fmt: skip
        self.stack.callback(_end, process)
        return url

    @property
    def shown(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.key}"}

    @property
    def key(self) -> str:
        return (self.data / ADMIN_KEY).read_text().strip()

    def ask(self, method: str, path: str, body: Json | None = None) -> Json:
        """The registry's answer to an admin."""
        authority = str(self.data / tls.OWN_FILE)
        answer = requests.request(
            method, self.registry + path, json=body, headers=self.shown, verify=authority, timeout=5
        )
        assert answer.ok, answer.text
        return dict(answer.json())

    def ready(self, name: str) -> Json:
        def look() -> Json | None:
            nodes = self.ask("GET", "/v1/nodes?state=ready")["nodes"]
            return next((node for node in nodes if node["name"] == name), None)

        return wait_for(look, 20, f"{name} ready")


def _end(process: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError):
        process.terminate()
    try:
        process.wait(6)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
        process.wait(5)


@pytest.fixture(scope="module")
def mesh(tmp_path_factory: pytest.TempPathFactory, models: Path) -> Iterator[Mesh]:
    folder = tmp_path_factory.mktemp("tls")
    (folder / "data").mkdir()
    (folder / "data" / "media").symlink_to(models / "media")
    with ExitStack() as stack:
        running = Mesh(stack, folder / "data")
        running.registry = running.start("registry", "registry")
        wait_for(lambda: running.ask("GET", "/v1/me"), 20, "registry")
        running.start("camera", "hall", "--source", "demo:", "--name", "hall", "--width", "320", "--height", "180")
        running.start("compute", "press", "--algorithms", "echo", "--name", "press")
        yield running
        tls.trust(None)


def test_a_stream_goes_by_https_from_the_camera_to_the_viewer(mesh: Mesh) -> None:
    """Every address is https, and every certificate is checked with the mesh's authority."""
    camera, node = mesh.ready("hall"), mesh.ready("press")
    assert camera["url"].startswith("https://")
    assert node["url"].startswith("https://")
    session = mesh.ask("POST", "/v1/sessions", {"camera": "hall", "algorithm": "echo"})
    assert session["stream_url"].startswith("https://")
    tls.trust_of(mesh.data)
    pictures = iter(Follower(mesh.registry, session["session_id"], credentials=Bearer(mesh.key)))
    sights = [next(pictures) for _ in range(10)]
    assert all(sight.jpeg.startswith(b"\xff\xd8") and sight.node == node["url"] for sight in sights)


def test_events_come_by_https_too(mesh: Mesh) -> None:
    """Who follows the mesh, as the dashboard does, trusts its authority and nobody else's."""
    tls.trust_of(mesh.data)
    client = RegistryClient(mesh.registry).showing(Bearer(mesh.key))
    with closing(events.follow(client)) as heard:
        assert "snapshot" in [next(heard).kind for _ in range(2)]


def test_who_does_not_know_the_authority_connects_to_nobody(mesh: Mesh) -> None:
    """Neither a client with the system's authorities nor plain HTTP gets an answer."""
    for url in (mesh.registry, mesh.ready("hall")["url"]):
        with pytest.raises(requests.exceptions.SSLError):
            requests.get(f"{url}/healthz", timeout=5)
        with pytest.raises(requests.ConnectionError):
            requests.get(f"{url.replace('https', 'http')}/healthz", timeout=5)


def test_another_machine_needs_nothing_but_the_join_token(mesh: Mesh, tmp_path: Path) -> None:
    """The token's fingerprint tells it which authority is the right one."""
    secret = mesh.ask("POST", "/v1/join-tokens", {"uses": 1})["secret"]
    mesh.start("compute", "far", "--algorithms", "echo", "--name", "far", data=tmp_path, token=secret)
    assert mesh.ready("far")["url"].startswith("https://")
    assert (tmp_path / tls.CA_FILE).read_text() == (mesh.data / tls.OWN_FILE).read_text()


def test_a_registry_with_another_authority_is_not_joined(mesh: Mesh, tmp_path: Path) -> None:
    """Somebody in between is noticed before anything is told, and the log says so."""
    made = mesh.ask("POST", "/v1/join-tokens", {"uses": 1})
    forged = f"{made['secret'].partition('.')[0]}.{'0' * 64}"
    mesh.start("compute", "fooled", "--algorithms", "echo", "--name", "fooled", data=tmp_path, token=forged)
    words = "is not the registry that this join token is for"
    wait_for(lambda: words in mesh.logs["fooled"].read_text(), 20, "word of another authority")
    assert not (tmp_path / tls.CA_FILE).exists()
    left = {token["token_id"]: token["uses_left"] for token in mesh.ask("GET", "/v1/join-tokens")["tokens"]}
    assert left[made["token"]["token_id"]] == 1


def test_the_address_of_who_asks_is_known_behind_the_front(mesh: Mesh) -> None:
    """The audit has the client's address, not that of the process that ends TLS."""
    mesh.ask("POST", "/v1/keys", {"name": "seen", "scopes": ["view"]})
    entries = mesh.ask("GET", "/v1/audit")["entries"]
    assert (
        next(one for one in entries if one["action"] == "key made" and "seen" in one["subject"])["address"]
        == "127.0.0.1"
    )


def test_nobody_says_by_himself_from_where_he_comes(mesh: Mesh) -> None:
    """A line of the PROXY protocol that a client sends through TLS is no request, on a new connection and on one that
    was kept open."""
    port = int(mesh.registry.rpartition(":")[2])
    line = b"PROXY TCP4 203.0.113.9 127.0.0.1 1 2\r\n"
    ask = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
    tls.trust_of(mesh.data)
    for first in (b"", ask):
        plain = socket.create_connection(("127.0.0.1", port), timeout=5)
        with tls.context().wrap_socket(plain, server_hostname="127.0.0.1") as secured:
            if first:
                secured.sendall(first)
                assert secured.recv(4096).startswith(b"HTTP/1.1 200")
            secured.sendall(line + ask)
            assert b" 200 " not in secured.recv(4096)


def test_a_service_that_ends_leaves_nothing_in_the_temporary_folder(tmp_path: Path) -> None:
    """The socket between the service and what ends TLS for it goes, and its folder too."""
    with ExitStack() as stack:
        alone = Mesh(stack, tmp_path / "data")
        alone.registry = alone.start("registry", "registry")
        wait_for(lambda: alone.ask("GET", "/v1/me"), 20, "registry")
        assert list(tmp_path.glob("fogline-*"))
    assert not list(tmp_path.glob("fogline-*"))
