"""What the registry signs with, and what it has revoked: shared by replicas, and outliving a wipe."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from mesh.credentials import NodeCredentials
from mesh.joining import join_proof
from mesh.keys import Key
from mesh.proof import Call
from registry.access.memory_book import MemoryBook
from registry.access.signers import TRUSTED_SECONDS
from registry.access.trust import LOOK_SECONDS, Trust
from registry.app import RegistryService
from registry.settings import KEY_STREAM_SECONDS, RegistrySettings
from tests.processes import wait_for
from tests.registry.servers import Server

NOWHERE = Path("/nonexistent")
HOUR = 3600.0


def clock(start: float = 1_800_000_000.0) -> tuple[list[float], Callable[[], float]]:
    """A clock that a test sets."""
    now = [start]
    return now, lambda: now[0]


def later(trust: Trust) -> None:
    """Let the next look at the book be a new one."""
    trust._looked_at = time.monotonic() - LOOK_SECONDS


def test_replicas_that_start_at_once_have_one_key() -> None:
    """Of many that find an empty book each signs with the same key."""
    book = MemoryBook()
    together = threading.Barrier(8)

    def begin(_number: int) -> str:
        trust = Trust(book, NOWHERE)
        together.wait(5)
        return trust.signer.kid

    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(begin, range(8)))) == 1


def test_an_old_signing_key_is_trusted_for_its_time() -> None:
    """A new key signs at once; the one before it is trusted as long as its certificates may last, then it goes, and its
    private part is kept no more."""
    now, read = clock()
    book = MemoryBook(read)
    trust = Trust(book, NOWHERE, clock=read)
    old, version = trust.signer, trust.version
    trust.rotate()
    new = trust.signer
    assert new.kid != old.kid
    assert trust.version != version
    assert set(trust.keys) == set(trust.document().keys) == {old.kid, new.kid}
    assert old.secret().encode() not in b"".join(book.all("signer").values())
    now[0] += TRUSTED_SECONDS - 1
    assert set(trust.keys) == {old.kid, new.kid}
    now[0] += 2
    assert set(trust.keys) == set(trust.document().keys) == {new.kid}
    assert trust.signer.kid == new.kid


def test_a_revocation_lasts_as_long_as_something_could_be_in_force() -> None:
    """Nodes and keys stay revoked until their certificates and streams must have ended; a person's sign-in, of which
    there are many, is forgotten earlier."""
    now, read = clock()
    trust = Trust(MemoryBook(read), NOWHERE, clock=read)
    for ident in ("node", "k:key", "s:person"):
        trust.revoke(ident)
        assert trust.is_revoked(ident)
    now[0] += 900 + 120
    assert trust.document().revoked == ["k:key", "node", "s:person"]
    now[0] += 2 * HOUR
    assert trust.document().revoked == ["k:key", "node"]
    now[0] += 25 * HOUR + KEY_STREAM_SECONDS
    assert trust.document().revoked == []


def test_another_replica_notices() -> None:
    """What one replica rotates or revokes the others know as soon as they look again."""
    book = MemoryBook()
    one, other = Trust(book, NOWHERE), Trust(book, NOWHERE)
    assert one.signer.kid == other.signer.kid
    one.rotate()
    one.revoke("node")
    later(other)
    assert other.signer.kid == one.signer.kid
    assert other.is_revoked("node")
    assert other.version == one.version


def test_a_wiped_book_gets_its_keys_back() -> None:
    """A replica that finds the book empty puts back what it knows: no key is lost, and what was revoked stays so."""
    trust = Trust(MemoryBook(), NOWHERE)
    trust.rotate()
    trust.revoke("node")
    keys, signer, version = trust.keys, trust.signer.kid, trust.version
    empty = MemoryBook()
    trust._book = empty
    later(trust)
    assert (trust.keys, trust.signer.kid) == (keys, signer)
    assert trust.is_revoked("node")
    assert trust.version == version
    another = Trust(empty, NOWHERE)
    assert (another.keys, another.signer.kid) == (keys, signer)
    assert another.is_revoked("node")


def test_a_revocation_after_a_wipe_is_not_overlooked() -> None:
    """A book that was wiped counts its changes anew: that it comes to the same count hides no change, neither from
    replicas nor, by the version, from nodes. A replica that began anew meanwhile does not make the old key void."""
    trust = Trust(MemoryBook(), NOWHERE)
    key = trust.signer.kid
    trust.revoke("one")
    trust.revoke("two")
    version, wiped = trust.version, MemoryBook()
    newcomer = Trust(wiped, NOWHERE)
    newcomer.revoke("three")
    trust._book = wiped  # within a second of the last look
    trust.revoke("four")
    assert trust.document().revoked == ["four", "one", "three", "two"]
    later(newcomer)
    assert set(newcomer.keys) == set(trust.keys) == {key, newcomer.signer.kid}
    assert trust.version != version


def test_the_meshs_authority_is_told(tmp_path: Path) -> None:
    """Where the data folder has the certificate of an authority the trust document carries it."""
    trust = Trust(MemoryBook(), tmp_path)
    assert trust.document().ca is None
    (tmp_path / "access").mkdir()
    (tmp_path / "access" / "authority.pem").write_text("PEM")
    assert trust.document().ca == "PEM"


def test_nodes_are_known_while_redis_is_away(tmp_path: Path) -> None:
    """With Redis gone a node that was there is still known by its signature, a request that is sent twice is still
    refused, and a node that nobody has seen before is told to try again."""
    with Server(tmp_path) as server:
        settings = RegistrySettings(
            redis=server.url, access="locked", data=tmp_path, datagrams="off", announce="off", redis_timeout=5.0
        )
        service = RegistryService(settings)
        service._house.start()
        client = service.application().test_client()
        token = (tmp_path / "joining" / "token").read_text().strip()
        node = NodeCredentials("camera-1")
        key = Key.new()
        joined = client.post(
            "/v1/join",
            json={
                "token": token,
                "node_id": node.node_id,
                "kind": "camera",
                "name": "line-3",
                "public_key": key.public,
                "proof": join_proof(key, node.node_id, token, time.time()),
            },
        )
        node.hold(key, joined.get_json()["certificate"])
        call = Call("GET", "/v1/trust")
        assert client.get("/v1/trust", headers=node.headers(call, b"")).status_code == 200
        server.kill()
        wait_for(lambda: _is_away(service), 5, "the absence of Redis")
        shown = node.headers(call, b"")
        assert client.get("/v1/trust", headers=shown).status_code == 200
        assert client.get("/v1/trust", headers=shown).status_code == 401
        stranger = NodeCredentials("camera-2")
        stranger.hold(key, joined.get_json()["certificate"])
        assert client.get("/v1/trust", headers=stranger.headers(call, b"")).status_code == 503
        service._house.stop()


def _is_away(service: RegistryService) -> bool:
    return service.application().test_client().get("/readyz").status_code == 503
