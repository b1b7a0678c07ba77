"""What nodes say to a locked registry is signed, and good once, for the node that says it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import pytest
import redis
import requests

from mesh import proof
from mesh.credentials import ADMIN_KEY, Bearer, NodeCredentials
from mesh.keys import Key
from mesh.proof import Call
from registry.access.first_run import FAMILY
from tests.processes import wait_for
from tests.registry.access_trust.members import Locked, Member
from tests.registry.servers import Server

Make = Callable[..., Member]


def headers(one: Member, call: Call, body: bytes = b"", *, key: Key | None = None, at: float = 0.0) -> dict[str, str]:
    """A proof of `one` for `call`. key: instead of its own. at: seconds by which its clock is ahead."""
    shown = one.credentials.headers(call, body)
    if key is not None or at:
        shown["Authorization"] = proof.prove(key or one.key, one.node_id, call, body, time.time() + at)
    return shown


def reason(answer: requests.Response) -> tuple[int, str]:
    return answer.status_code, answer.json().get("reason", "")


def test_nothing_is_told_to_nobody(registry: Locked, member: Make) -> None:
    """Without a signature a node that has joined is nobody: it can neither register nor beat nor read."""
    node = member().join().node()
    for method, path, body in (
        ("POST", "/v1/nodes", node.manifest),
        ("POST", f"/v1/nodes/{node.node_id}/heartbeat", {"boot_id": "b"}),
        ("GET", "/v1/nodes", None),
        ("GET", "/v1/trust", None),
        ("POST", "/v1/introspect", {"credential": "x"}),
    ):
        assert reason(registry.ask(method, path, body, headers={})) == (401, "missing"), path


def test_a_request_is_good_once(registry: Locked, other: Locked, member: Make) -> None:
    """A signed request that is sent again is refused, by the replica that took it and by the other one."""
    one = member().join()
    shown = headers(one, Call("GET", "/v1/trust"))
    assert registry.ask("GET", "/v1/trust", headers=shown).status_code == 200
    assert reason(registry.ask("GET", "/v1/trust", headers=shown)) == (401, "replayed")
    assert reason(other.ask("GET", "/v1/trust", headers=shown)) == (401, "replayed")


def test_a_signature_is_for_one_request(registry: Locked, member: Make) -> None:
    """A proof for another method, path, query, body or receiver lets nothing through."""
    one = member().join()
    manifest = one.node().manifest
    body = json.dumps(manifest).encode()
    changed = json.dumps(manifest | {"name": "another"}).encode()
    for call, sent in (
        (Call("PUT", "/v1/nodes"), body),
        (Call("POST", "/v1/node"), body),
        (Call("POST", "/v1/nodes?x=1"), body),
        (Call("POST", "/v1/nodes", receiver="another node"), body),
        (Call("POST", "/v1/nodes"), changed),
    ):
        answer = registry.ask("POST", "/v1/nodes", manifest, headers=headers(one, call, sent))
        assert answer.status_code == 401, call


def test_a_wrong_clock_is_told_the_right_time(registry: Locked, member: Make) -> None:
    """A node whose clock is ten minutes off is told the registry's time, and gets through with that."""
    one, call = member().join(), Call("GET", "/v1/trust")
    refused = registry.ask("GET", "/v1/trust", headers=headers(one, call, at=-600))
    assert reason(refused) == (401, "clock")
    now = refused.json()["now"]
    assert abs(now - time.time()) < 5
    one.credentials.heard(now)
    assert one.registry.get("/v1/trust").status_code == 200


def test_another_key_is_not_the_nodes(registry: Locked, other: Locked, member: Make) -> None:
    """A node's id with a key that it has not joined with is refused, with or without a certificate of somebody else."""
    one, thief = member().join(), member().join()
    call = Call("GET", "/v1/trust")
    for where in (registry, other):
        assert reason(where.ask("GET", "/v1/trust", headers=headers(one, call, key=Key.new()))) == (401, "wrong key")
        shown = headers(one, call, key=thief.key) | {proof.CERTIFICATE_HEADER: _certificate(thief)}
        assert reason(where.ask("GET", "/v1/trust", headers=shown)) == (401, "wrong key")


def test_a_node_that_has_not_joined_is_nobody(registry: Locked, member: Make) -> None:
    """A proof of an unknown node is refused in words that name the remedy, also with another node's certificate or one
    that it has signed itself."""
    stranger, known, call = member(), member().join(), Call("GET", "/v1/trust")
    signed = proof.prove(stranger.key, stranger.node_id, call, b"", time.time())
    own = proof.certify(
        stranger.key,
        proof.NodeCertificate(stranger.node_id, "camera", "x", stranger.key.public, time.time() + 999),
        time.time(),
    )
    for certificate, words in (("", "unknown"), (own, "unknown"), ("x", "unknown"), (_certificate(known), "wrong")):
        shown = {"Authorization": signed} | ({proof.CERTIFICATE_HEADER: certificate} if certificate else {})
        answer = registry.ask("GET", "/v1/trust", headers=shown)
        assert reason(answer) == (401, words)
    borrowed = proof.prove(known.key, stranger.node_id, call, b"", time.time())
    shown = {"Authorization": borrowed, proof.CERTIFICATE_HEADER: _certificate(known)}
    assert reason(registry.ask("GET", "/v1/trust", headers=shown)) == (401, "wrong")
    assert "join token" in registry.ask("GET", "/v1/trust", headers={"Authorization": signed}).json()["detail"]


def test_a_node_speaks_for_itself_alone(member: Make) -> None:
    """A node's manifest, beat, leave and drain are refused for another id, and so is another kind than it joined as."""
    one, victim = member().join(), member().join()
    node = victim.live()
    registry = one.registry
    stolen = node.manifest | {"advertise_url": "http://127.0.0.1:1"}
    for method, path, body in (
        ("POST", "/v1/nodes", stolen),
        ("POST", f"/v1/nodes/{victim.node_id}/heartbeat", {"boot_id": node.manifest["boot_id"]}),
        ("POST", f"/v1/nodes/{victim.node_id}/drain", None),
        ("POST", f"/v1/nodes/{victim.node_id}/cameras", {"boot_id": "b", "capacity": 1}),
        ("POST", f"/v1/enrolments/{victim.node_id}/certificate", {}),
        ("DELETE", f"/v1/nodes/{victim.node_id}", None),
        ("POST", "/v1/nodes", one.node().manifest | {"kind": "compute", "slots": 1, "algorithm": []}),
        ("GET", "/v1/join-tokens", None),
        ("POST", "/v1/sessions", {"camera": "line-3", "algorithm": "yolo"}),
    ):
        assert registry.ask(method, path, body).status_code == 403, path
    assert node.listed()["state"] == "ready"


def test_a_host_does_not_come_by_another_nodes_id(registry: Locked, member: Make) -> None:
    """A camera host that claims to run an added camera with the id of a node that has joined speaks for it no more
    than before."""
    victim, rogue = member(name="belt-9").join(), member(name="rogue").join()
    node, own = victim.live(), rogue.live(hosting=4)
    claim = {"camera_id": victim.node_id, "revision": 1, "name": "belt-9", "source": "rtsp://10.0.0.9/s"}
    asked = {"boot_id": own.manifest["boot_id"], "capacity": 4, "cameras": [claim]}
    assert rogue.registry.post(f"/v1/nodes/{rogue.node_id}/cameras", asked).ok
    stolen = node.manifest | {"boot_id": "stolen", "hosted_by": rogue.node_id}
    assert rogue.registry.post("/v1/nodes", stolen).status_code == 403
    assert rogue.registry.delete(f"/v1/nodes/{victim.node_id}").status_code == 403
    registry.delete(f"/v1/cameras/{victim.node_id}")


def test_a_body_that_is_too_large_is_not_read(member: Make) -> None:
    """The limit of bodies holds for signed requests as for others."""
    one = member().join()
    answer = one.registry.post("/v1/nodes", {"x": "y" * 2_000_000})
    assert answer.status_code == 413


def test_keys_change_without_a_refused_request(registry: Locked, other: Locked, member: Make) -> None:
    """A node that takes a new key is let in with both for a while, at both replicas; the old one names no third."""
    one = member().join()
    old = one.credentials
    assert other.as_(old).get("/v1/trust").status_code == 200
    new = Key.new()
    answer = one.renew(new)
    assert answer.status_code == 200, answer.text
    fresh = NodeCredentials(one.node_id)
    fresh.hold(new, answer.json()["certificate"])
    for where in (registry, other):
        for credentials in (old, fresh):
            assert where.as_(credentials).get("/v1/trust").status_code == 200
    assert one.renew(Key.new()).status_code == 403
    one.registry = registry.as_(fresh)
    assert one.renew().status_code == 200
    assert one.renew(Key.new(), proof="x").status_code == 401


def test_the_signing_key_changes_without_a_refused_request(registry: Locked, other: Locked, member: Make) -> None:
    """What the old signing key signed stays good at both replicas, new certificates are the new one's, and nodes are
    told that the trust has changed."""
    one = member().join()
    node = one.node()
    before = node.register().json()["trust"]
    old = set(registry.json("/v1/trust")["keys"])
    changed = registry.post("/v1/signing-keys")
    assert changed.status_code == 201
    (new,) = set(changed.json()["keys"]) - old
    assert old < set(changed.json()["keys"])
    assert node.beat().json()["trust"] not in (0, before)
    assert one.registry.get("/v1/nodes").status_code == 200
    certificate = one.renew().json()["certificate"]
    proof.read_certificate(certificate, {new: changed.json()["keys"][new]}, time.time())
    wait_for(lambda: new in other.json("/v1/trust")["keys"], 3, "the new key at the other replica")


def test_a_revoked_node_is_out_at_once(registry: Locked, other: Locked, member: Make) -> None:
    """A node that is revoked is refused at both replicas, its session moves, its id stays refused, and the trust says
    so; the audit says who did it."""
    camera = member("camera", "hall-1").join().live()
    first, second = member("compute", "gpu-1").join(), member("compute", "gpu-2").join()
    nodes = {one.node_id: (one, one.live()) for one in (first, second)}
    session = registry.open("hall-1", pinned=True)
    bad, node = nodes[session["node"]]
    version = registry.json("/v1/trust")["version"]
    began = time.monotonic()
    assert registry.delete(f"/v1/enrolments/{bad.node_id}").status_code == 204
    moved = registry.session(session["session_id"])
    assert time.monotonic() - began < 3
    assert moved["node"] not in (None, bad.node_id)
    registry.delete(f"/v1/sessions/{session['session_id']}")
    assert reason(node.beat()) == (401, "revoked")
    wait_for(lambda: reason(other.as_(bad.credentials).get("/v1/nodes")) == (401, "revoked"), 3, "refusal")
    assert bad.try_to_join(registry.token()).status_code == 403
    trust = registry.json("/v1/trust")
    assert bad.node_id in trust["revoked"]
    assert trust["version"] != version
    (listed,) = [one for one in registry.json("/v1/enrolments")["enrolments"] if one["node_id"] == bad.node_id]
    assert listed["revoked_at"]
    assert any(
        one["action"] == "node revoked" and bad.node_id in one["subject"]
        for one in registry.json("/v1/audit")["entries"]
    )
    assert camera.listed()["state"] == "ready"
    assert registry.delete("/v1/enrolments/nobody").status_code == 404


def test_after_a_wipe_nodes_are_back_without_a_token(
    registry: Locked, other: Locked, member: Make, server: Server
) -> None:
    """When Redis has lost everything a node that had joined registers again by its certificate, at either replica; a
    revoked one does not."""
    one, two, bad = member().join(), member().join(), member().join()
    bad_node = bad.node()
    registry.delete(f"/v1/enrolments/{bad.node_id}")
    wait_for(lambda: bad.node_id in other.json("/v1/trust")["revoked"], 3, "the revocation at the other replica")
    copy = registry.data / "access" / "book.json"

    def copied() -> bool:
        """The revocation is in the copy, and so is what it changed of the node, which may come a second later."""
        kept = json.loads(copy.read_text())["documents"]
        return f"revoked.{bad.node_id}" in kept["signer"] and bool(kept["node"].get(bad.node_id, {}).get("revoked_at"))

    wait_for(copied, 10, "the revocation in the copy")
    family = registry.data / FAMILY
    made_at = family.stat().st_mtime_ns
    with redis.Redis(port=server.port) as store:
        store.flushall()
    assert one.node().register().status_code == 201
    two.registry = other.as_(two.credentials)
    assert two.node().register().status_code == 201
    for where in (registry, other):
        bad.registry = where.as_(bad.credentials)
        assert bad.registry.post("/v1/nodes", bad_node.manifest).status_code == 401
    assert one.node().register().status_code == 200

    def back() -> Any:
        # Of the two, which share a folder here, the one that puts the copy back may also make this machine's key anew.
        # When that is done it writes the family: before, a test that comes next could read a key that is just dropped.
        if family.stat().st_mtime_ns == made_at:
            return None
        admin = Bearer((registry.data / ADMIN_KEY).read_text().strip())
        answer = registry.as_(admin).get("/v1/enrolments")
        found = {entry["node_id"]: entry for entry in answer.json()["enrolments"]} if answer.ok else {}
        return found.get(bad.node_id, {}).get("revoked_at") and one.node_id in found

    wait_for(back, 10, "the copy of the book to be put back")


def test_nodes_ask_whose_a_bearer_is(registry: Locked, member: Make) -> None:
    """A node learns the scopes of an API key that it was shown, and that others are nobody's."""
    one = member().join()
    made = registry.post("/v1/keys", {"name": "wall", "scopes": ["view"]}).json()
    told = one.registry.post("/v1/introspect", {"credential": made["secret"], "address": "10.0.0.9"}).json()
    assert told["active"]
    assert (told["kind"], told["id"], told["scopes"]) == ("key", f"k:{made['key']['key_id']}", ["view"])
    assert not one.registry.post("/v1/introspect", {"credential": "fgk_0_x"}).json()["active"]
    registry.delete(f"/v1/keys/{made['key']['key_id']}")
    assert not one.registry.post("/v1/introspect", {"credential": made["secret"]}).json()["active"]
    assert f"k:{made['key']['key_id']}" in registry.json("/v1/trust")["revoked"]


@pytest.mark.parametrize("path", ["/v1/trust", "/v1/enrolments", "/v1/ca", "/healthz"])
def test_signed_addresses_open_nothing_at_the_registry(registry: Locked, path: str) -> None:
    """A ticket in the query is refused at every door of the registry that is not public."""
    answer = registry.ask("GET", f"{path}?ticket=x", headers={})
    assert answer.status_code == {"/healthz": 200, "/v1/ca": 404}.get(path, 401)


def _certificate(one: Member) -> str:
    return one.credentials.headers(Call("GET", "/"), b"")[proof.CERTIFICATE_HEADER]
