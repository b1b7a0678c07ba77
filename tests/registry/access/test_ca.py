"""The mesh's certificate authority: real TLS between a server and clients on this machine."""

from __future__ import annotations

import http.client
import socket
import ssl
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
from cryptography import x509

from mesh import tls
from mesh.errors import InvalidInput, SetupProblem
from mesh.keys import private_file
from registry.access.ca import Authority

NODE = "0b9f6a9e-0000-4000-8000-000000000001"


@contextmanager
def listening(folder: Path, certificate: str, key: bytes) -> Iterator[int]:
    """A TLS server that greets everybody; its port."""
    private_file(folder / "tls.key", key)
    private_file(folder / "tls.pem", certificate.encode())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "tls.pem", folder / "tls.key")
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            while True:
                try:
                    plain, _ = server.accept()
                except OSError:
                    return
                try:
                    with context.wrap_socket(plain, server_side=True) as secured:
                        secured.recv(4096)
                        secured.sendall(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")
                except OSError:
                    plain.close()

        threading.Thread(target=serve, daemon=True).start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)


def ask(port: int, host: str) -> int:
    connection = http.client.HTTPSConnection(host, port, timeout=3, context=tls.context())
    try:
        connection.request("GET", "/")
        return connection.getresponse().status
    finally:
        connection.close()


@pytest.fixture
def authority(tmp_path: Path) -> Iterator[Authority]:
    yield Authority.open(tmp_path)
    tls.trust(None)


def trusting(folder: Path, authority: Authority) -> None:
    file = folder / "trusted.pem"
    file.write_text(authority.pem)
    tls.trust(file)


def test_a_node_is_believed_by_its_address_and_its_own_name_alone(authority: Authority, tmp_path: Path) -> None:
    """What it asks for beyond the address that it was seen at is not granted."""
    key, request = tls.new_request(NODE, ["127.0.0.1", "10.99.0.7", "dashboard.example", "localhost"])
    chain = authority.issue(request, NODE, "127.0.0.1")
    granted = x509.load_pem_x509_certificate(chain.encode()).extensions.get_extension_for_class(
        x509.SubjectAlternativeName
    )
    assert {str(name.value) for name in granted.value} == {"127.0.0.1", "localhost", f"{NODE}.fogline.internal"}
    trusting(tmp_path, authority)
    with listening(tmp_path, chain, key) as port:
        assert ask(port, "127.0.0.1") == ask(port, "localhost") == 204


def test_nobody_else_is_believed(authority: Authority, tmp_path: Path) -> None:
    """A certificate of another authority, or for another address, opens no connection."""
    trusting(tmp_path, authority)
    stranger = Authority.open(tmp_path / "stranger")
    key, certificate = stranger.issue_own(["127.0.0.1"])
    with listening(tmp_path, certificate, key) as port, pytest.raises(ssl.SSLCertVerificationError):
        ask(port, "127.0.0.1")
    key, certificate = authority.issue_own(["10.99.0.7"])
    with listening(tmp_path, certificate, key) as port, pytest.raises(ssl.SSLCertVerificationError):
        ask(port, "127.0.0.1")


def test_a_request_that_is_none_is_refused(authority: Authority) -> None:
    """Garbage, and a request without names, get a clear error."""
    for request in ("", "garbage", authority.pem):
        with pytest.raises(InvalidInput, match="csr"):
            authority.issue(request, NODE, "127.0.0.1")


def test_one_authority_is_made_however_many_start_at_once(tmp_path: Path) -> None:
    """Registries that share a folder share its authority, and its key is theirs alone."""
    with ThreadPoolExecutor(8) as many:
        made = {authority.fingerprint for authority in many.map(lambda _: Authority.open(tmp_path), range(8))}
    assert len(made) == 1
    assert (tmp_path / "access" / "ca.key").stat().st_mode & 0o777 == 0o600


def test_the_factorys_own_authority_is_used_if_it_is_one(tmp_path: Path) -> None:
    """Its two files are checked at the start, each fault in words."""
    own = Authority.open(tmp_path / "own")
    certificate, key = (tmp_path / "own" / "access" / name for name in ("ca.pem", "ca.key"))
    assert Authority.open(tmp_path / "registry", certificate, key).fingerprint == own.fingerprint
    other = Authority.open(tmp_path / "other")
    with pytest.raises(SetupProblem, match="is not the key"):
        Authority.open(tmp_path, certificate, tmp_path / "other" / "access" / "ca.key")
    _, leaf = other.issue_own(["localhost"])
    (tmp_path / "leaf.pem").write_text(leaf)
    with pytest.raises(SetupProblem, match="no certificate of an authority"):
        Authority.open(tmp_path, tmp_path / "leaf.pem", key)
    key.chmod(0o644)
    with pytest.raises(SetupProblem, match="chmod 600"):
        Authority.open(tmp_path, certificate, key)
    with pytest.raises(SetupProblem, match="cannot read"):
        Authority.open(tmp_path, tmp_path / "missing.pem", key)
