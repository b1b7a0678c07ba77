"""The guard and its doors; what is signed and how it is checked."""

from __future__ import annotations

import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mesh import doors, proof
from mesh.access import LOCAL, ORIGINAL, PRINCIPAL, ROLES, Guard, Principal, is_loopback
from mesh.credentials import Bearer, NodeCredentials, presented
from mesh.errors import Forbidden, SetupProblem, Unauthorized
from mesh.keys import Key
from mesh.proof import Call, NodeCertificate, Nonces, Ticket

NOW = 1_800_000_000.0


def asked(rule: str, method: str = "GET", host: str = "localhost", **environ: str) -> Any:
    return SimpleNamespace(
        method=method, url_rule=SimpleNamespace(rule=rule), view_args={}, environ={"HTTP_HOST": host, **environ}
    )


def guard(principal: Principal | None, *, open: bool = False, legacy: bool = False) -> Guard:
    return Guard(doors.REGISTRY, lambda _request: principal, open=open, legacy=legacy)


def test_an_open_service_lets_this_machine_do_everything() -> None:
    request = asked("/v1/sessions", "POST")
    assert guard(None, open=True).check(request) == LOCAL
    assert request.environ[PRINCIPAL] == LOCAL


@pytest.mark.parametrize(
    "environ",
    [{"HTTP_X_FORWARDED_FOR": "10.0.0.1"}, {"HTTP_FORWARDED": "for=10.0.0.1"}, {"HTTP_VIA": "1.1 p"}],
)
def test_an_open_service_behind_a_proxy_says_what_to_do(environ: dict[str, str]) -> None:
    with pytest.raises(Forbidden, match="--access locked"):
        guard(None, open=True).check(asked("/v1/nodes", **environ))


@pytest.mark.parametrize("host", ["evil.example", "evil.example:5050", "10.0.0.7:5050", "localhost.evil.example"])
def test_an_open_service_goes_by_no_other_name(host: str) -> None:
    with pytest.raises(Forbidden, match="localhost"):
        guard(None, open=True).check(asked("/v1/nodes", host=host))


@pytest.mark.parametrize("host", ["localhost", "localhost:5050", "127.0.0.1:5050", "[::1]:5050", "a.localhost:80"])
def test_an_open_service_goes_by_its_own_names(host: str) -> None:
    assert guard(None, open=True).check(asked("/v1/nodes", host=host)) == LOCAL


def test_a_locked_service_lets_nobody_in_who_shows_nothing() -> None:
    with pytest.raises(Unauthorized, match="sign-in"):
        guard(None).check(asked("/v1/nodes"))
    assert guard(None).check(asked("/healthz")) is None


def test_a_route_without_a_door_is_shut() -> None:
    for opened in (True, False):
        with pytest.raises(Forbidden, match="no door"):
            guard(LOCAL, open=opened).check(asked("/v1/forgotten"))


def test_roles_open_what_they_should() -> None:
    viewer = Principal("person", scopes=ROLES["viewer"])
    assert guard(viewer).check(asked("/v1/nodes")) == viewer
    with pytest.raises(Forbidden, match="operator"):
        guard(viewer).check(asked("/v1/sessions", "POST"))
    with pytest.raises(Forbidden, match="admin"):
        guard(Principal("person", scopes=ROLES["operator"])).check(asked("/v1/users"))


def test_a_node_speaks_for_itself_alone() -> None:
    node = Principal("node", id="a", node_kind="camera")
    request = asked("/v1/nodes/<node_id>/heartbeat", "POST")
    request.view_args = {"node_id": "a"}
    assert guard(node).check(request) == node
    request.view_args = {"node_id": "b"}
    with pytest.raises(Forbidden, match="itself alone"):
        guard(node).check(request)
    with pytest.raises(Forbidden, match="not for such"):
        guard(node).check(asked("/v1/users"))


def test_the_originals_calls_need_legacy_open() -> None:
    assert guard(None, legacy=True).check(asked("/cam", "POST")) == ORIGINAL
    with pytest.raises(Unauthorized, match="--legacy-open"):
        guard(None).check(asked("/cam", "POST"))
    with pytest.raises(Unauthorized):
        guard(None, legacy=True).check(asked("/v1/nodes"))


@pytest.mark.parametrize(
    ("host", "loopback"),
    [("127.8.9.1", True), ("::1", True), ("::ffff:127.0.0.1", True), ("0.0.0.0", False), ("10.0.0.1", False)],
)
def test_loopback(host: str, loopback: bool) -> None:
    assert is_loopback(host) is loopback


def certificate(signer: Key, node: Key, until: float = NOW + 60) -> str:
    return proof.certify(signer, NodeCertificate("n", "compute", "Press", node.public, until), NOW)


def test_a_certificate_is_checked_with_the_registrys_key() -> None:
    signer, node = Key.new(), Key.new()
    keys = {signer.kid: signer.public}
    found = proof.read_certificate(certificate(signer, node), keys, NOW)
    assert (found.node_id, found.kind, found.public) == ("n", "compute", node.public)
    with pytest.raises(Unauthorized, match="expired"):
        proof.read_certificate(certificate(signer, node), keys, NOW + 61)
    with pytest.raises(Unauthorized, match="not one that this mesh"):
        proof.read_certificate(certificate(Key.new(), node), keys, NOW)
    stranger = Key.new()
    stranger.kid = signer.kid  # under the name of the right key
    with pytest.raises(Unauthorized):
        proof.read_certificate(certificate(stranger, node), keys, NOW)


def test_a_proof_is_for_one_request() -> None:
    node = Key.new()
    call = Call("POST", "/v1/nodes?a=b", "registry")
    text = proof.prove(node, "n", call, b"{}", NOW).removeprefix("Fogline ")
    found = proof.read_proof(text, node.public, call, NOW + 5)
    assert found.node_id == proof.claimed_issuer(text) == "n"
    assert found.body == proof.digest(b"{}")
    for other in (Call("GET", call.target), Call("POST", "/v1/nodes"), Call("POST", call.target, "another node")):
        with pytest.raises(Unauthorized):
            proof.read_proof(text, node.public, other, NOW)
    with pytest.raises(Unauthorized) as refused:
        proof.read_proof(text, node.public, call, NOW + 61)
    assert refused.value.members["now"] == NOW + 61
    with pytest.raises(Unauthorized):
        proof.read_proof(text, Key.new().public, call, NOW)
    nonces = Nonces()
    assert nonces.use("n", found.nonce)
    assert not nonces.use("n", found.nonce)


def test_none_of_the_three_passes_for_another() -> None:
    signer, node = Key.new(), Key.new()
    ticket = proof.issue(signer, Ticket("n", "/x", "who", NOW + 60, NOW + 90))
    with pytest.raises(Unauthorized):
        proof.read_certificate(ticket, {signer.kid: signer.public}, NOW)
    with pytest.raises(Unauthorized):
        proof.read_ticket(certificate(signer, node), {signer.kid: signer.public}, Call("GET", "/x", "n"), NOW)


def test_a_ticket_opens_one_path_of_one_node_for_a_while() -> None:
    signer = Key.new()
    keys = {signer.kid: signer.public}
    text = proof.issue(signer, Ticket("n", "/stream.jpg", "who", NOW + 60, NOW + 90, session="s", token=3))
    found = proof.read_ticket(text, keys, Call("GET", "/stream.jpg", "n"), NOW)
    assert (found.token, found.session, found.ends) == (3, "s", NOW + 90)
    for call in (Call("GET", "/image.jpg", "n"), Call("POST", "/stream.jpg", "n"), Call("GET", "/stream.jpg", "m")):
        with pytest.raises(Unauthorized, match="something else"):
            proof.read_ticket(text, keys, call, NOW)
    with pytest.raises(Unauthorized, match="expired"):
        proof.read_ticket(text, keys, Call("GET", "/stream.jpg", "n"), NOW + 61)
    content, _, signature = text.rpartition(".")
    # All of the signature: its last few characters are by chance the ones that would be put there.
    for broken in ("", "a.b.c", f"{content}.{'A' * len(signature)}", "x" * 5000):
        with pytest.raises(Unauthorized):
            proof.read_ticket(broken, keys, Call("GET", "/stream.jpg", "n"), NOW)


@pytest.mark.parametrize("claim", ["exp", "end"])
def test_a_number_without_measure_is_refused(claim: str) -> None:
    """Also by whoever has the right key: what no float holds is no time."""
    signer, node, beyond = Key.new(), Key.new(), 10**400
    keys = {signer.kid: signer.public}
    said: dict[str, Any] = {"sub": "who", "m": "GET", "p": "/x", "n": "n", "exp": NOW + 60, "end": NOW + 90}
    with pytest.raises(Unauthorized):
        proof.read_ticket(signer.sign(proof.TICKET, said | {claim: beyond}), keys, Call("GET", "/x", "n"), NOW)
    held = {"sub": "n", "kind": "compute", "name": "Press", "cnf": {"jwk": {"x": node.public}}, "exp": beyond}
    with pytest.raises(Unauthorized):
        proof.read_certificate(signer.sign(proof.CERTIFICATE, held), keys, NOW)


def test_a_key_is_kept_for_this_user_alone(tmp_path: Path) -> None:
    file = tmp_path / "identity" / "camera.key"
    assert Key.load(file) is None
    key = Key.new()
    key.save(file)
    assert file.stat().st_mode & 0o777 == 0o600
    loaded = Key.load(file)
    assert loaded is not None
    assert loaded.kid == key.kid == Key.parse(key.secret()).kid
    file.chmod(0o644)
    with pytest.raises(SetupProblem, match="others may read"):
        Key.load(file)


def test_what_a_request_shows() -> None:
    assert presented({}) is None
    for header in ("Bearer abc", "bearer abc", "Basic a2V5OmFiYw==", "Basic YWJjOg=="):
        found = presented({"HTTP_AUTHORIZATION": header})
        assert found is not None
        assert (found.kind, found.value) == ("bearer", "abc"), header
    ticket = presented({}, "t")
    assert ticket is not None
    assert ticket.kind == "ticket"
    node = NodeCredentials("n")
    assert node.headers(Call("GET", "/"), b"") == {}
    node.hold(Key.new(), "certificate")
    shown = node.headers(Call("GET", "/"), b"")
    seen = presented({"HTTP_AUTHORIZATION": shown["Authorization"], "HTTP_FOGLINE_CERTIFICATE": "certificate"})
    assert seen is not None
    assert (seen.kind, seen.certificate) == ("proof", "certificate")
    node.heard(time.time() + 1000)
    assert node.now() > time.time() + 990
    assert Bearer("k").headers(Call("GET", "/"), b"") == {"Authorization": "Bearer k"}
