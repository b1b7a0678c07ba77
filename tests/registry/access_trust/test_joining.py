"""Nodes join with a token, and have a certificate of their own key from then on."""

from __future__ import annotations

import stat
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from mesh.access_wire import JoinTokenRequest
from mesh.errors import TooMany, Unauthorized
from mesh.joining import join_proof
from mesh.keys import Key
from mesh.proof import read_certificate
from registry.access.join_tokens import WRONG_SECONDS, WRONG_TRIES, JoinTokens
from registry.access.memory_book import MemoryBook
from tests.registry.access_trust.members import Locked, Member

Make = Callable[..., Member]


def test_a_node_that_joins_has_a_certificate_of_its_key(registry: Locked, member: Make) -> None:
    """What a join gives names the node and its key, and is signed with a key of the trust that comes with it."""
    one = member()
    joined = one.try_to_join(registry.token()).json()
    trust = joined["trust"]
    found = read_certificate(joined["certificate"], trust["keys"], trust["now"])
    assert (found.node_id, found.kind, found.name, found.public) == (one.node_id, "camera", "line-3", one.key.public)
    assert found.until == joined["expires_at"]
    assert 86_300 < joined["expires_at"] - trust["now"] < 86_500
    assert trust["version"] > 0
    assert trust["legacy_open"]


def test_a_node_that_has_joined_registers_and_beats_signed(member: Make) -> None:
    """With its certificate a node registers, beats and leaves, and is told the version of the trust."""
    one = member().join()
    node = one.node()
    registered = node.register()
    assert registered.status_code == 201
    beaten = node.beat()
    assert beaten.status_code == 200
    assert beaten.json()["trust"] == registered.json()["trust"] > 0
    assert one.registry.delete(f"/v1/nodes/{one.node_id}").status_code == 204


@pytest.mark.parametrize("token", ["fgj_000000000000_wrong", "fgj_", "x", "fgk_a_b", "fgj_%2e_é"])
def test_a_wrong_token_lets_nobody_in(member: Make, token: str) -> None:
    """A token that the registry did not make is refused, and is not repeated to whoever tried it."""
    one = member()
    answer = one.try_to_join(token)
    assert answer.status_code == 401
    assert answer.json()["reason"] == "wrong"
    if len(token) > 4:
        assert token not in answer.text


def test_a_token_is_good_for_its_uses(registry: Locked, member: Make) -> None:
    """A token of two uses lets two nodes in, and says to the third that it is used up."""
    token = registry.token(uses=2)
    for _ in range(2):
        member().join(token)
    refused = member().try_to_join(token)
    assert (refused.status_code, refused.json()["reason"]) == (401, "used up")


def test_the_last_use_is_given_once(registry: Locked, other: Locked) -> None:
    """Of many nodes that join at two replicas at the same moment with one use left, one gets in."""
    token = registry.token(uses=3)
    several = [Member(where) for where in (registry, other) * 6]
    with ThreadPoolExecutor(len(several)) as pool:
        codes = list(pool.map(lambda one: one.try_to_join(token).status_code, several))
    assert sorted(codes) == [201] * 3 + [401] * 9


def test_a_token_ends(registry: Locked, member: Make) -> None:
    """A token that is out of date or was removed lets nobody in, and is not listed any more."""
    short = registry.token(expires_in=0.2)
    made = registry.post("/v1/join-tokens", {"name": "hall 1"}).json()
    assert made["token"] in registry.json("/v1/join-tokens")["tokens"]
    assert registry.delete(f"/v1/join-tokens/{made['token']['token_id']}").status_code == 204
    time.sleep(0.25)
    for token in (short, made["secret"]):
        assert member().try_to_join(token).status_code == 401
    listed = [one["token_id"] for one in registry.json("/v1/join-tokens")["tokens"]]
    assert made["token"]["token_id"] not in listed
    assert short.split("_")[1] not in listed


def test_a_node_that_asks_again_needs_no_further_use(registry: Locked, member: Make) -> None:
    """A node whose first answer was lost on the way joins with the same key, though the token is used up by it."""
    token, one = registry.token(), member()
    assert one.try_to_join(token).status_code == 201
    assert one.try_to_join(token).status_code == 201


def test_an_id_stays_with_its_key(registry: Locked, member: Make) -> None:
    """Whoever joins with another node's id and a key of their own is refused in words that name the remedy."""
    one, thief = member().join(), member()
    thief.node_id = one.node_id
    answer = thief.try_to_join(registry.token())
    assert answer.status_code == 409
    assert "DATA/identity" in answer.json()["detail"]
    one.kind = "compute"
    assert one.try_to_join(registry.token()).status_code == 409


def test_who_joins_has_the_key(registry: Locked, member: Make) -> None:
    """A proof of another key, for another node, for another token, or one that was used is refused; no use is lost."""
    token, one = registry.token(), member()
    for proof in (
        join_proof(Key.new(), one.node_id, token, time.time()),
        join_proof(one.key, "another", token, time.time()),
        join_proof(one.key, one.node_id, registry.token(), time.time()),
        "no proof",
    ):
        assert one.try_to_join(token, proof=proof).status_code == 401
    late = one.try_to_join(token, proof=join_proof(one.key, one.node_id, token, time.time() - 600))
    assert (late.status_code, late.json()["reason"]) == (401, "clock")
    assert abs(late.json()["now"] - time.time()) < 5
    used = one.request(token)
    assert one.registry.ask("POST", "/v1/join", used, headers={}).status_code == 201
    again = one.registry.ask("POST", "/v1/join", used, headers={})
    assert (again.status_code, again.json()["reason"]) == (401, "replayed")


def test_the_token_of_this_machine(registry: Locked, member: Make) -> None:
    """The data folder has a token for nodes of the same machine, which nobody else may read and no list shows."""
    file = registry.data / "joining" / "token"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    for _ in range(3):
        member().join(file.read_text().strip())
    assert "this machine" not in [one["name"] for one in registry.json("/v1/join-tokens")["tokens"]]


def test_the_token_of_this_machine_is_made_anew_at_each_start(tmp_path: Path) -> None:
    """The processes of one registry share a token; those of the next one make another, and the first is no good."""
    tokens = JoinTokens(MemoryBook(), lambda: "ab" * 32)
    file = tmp_path / "joining" / "token"
    texts = []
    for family in ("1", "1", "2"):
        tokens.keep_local(tmp_path, family)
        texts.append(file.read_text().strip())
    assert texts[0] == texts[1] != texts[2]
    assert texts[2].endswith(f".{'ab' * 32}")
    assert tokens.name_of(texts[2], "10.0.0.1") == "this machine"
    with pytest.raises(Unauthorized):
        tokens.name_of(texts[0], "10.0.0.1")


def test_wrong_tokens_are_limited_for_each_address() -> None:
    """After many wrong tokens an address has to wait, also with a right one; others and later ones do not."""
    now = [1_000_000.0]
    tokens = JoinTokens(MemoryBook(lambda: now[0]), lambda: None, lambda: now[0])
    _, right = tokens.make(JoinTokenRequest(uses=9), "admin")
    for _ in range(WRONG_TRIES):
        with pytest.raises(Unauthorized):
            tokens.take("fgj_0123456789ab_guess", "10.0.0.1")
    with pytest.raises(TooMany) as refused:
        tokens.take(right, "10.0.0.1")
    assert refused.value.retry_after == WRONG_SECONDS
    tokens.take(right, "10.0.0.2")
    now[0] += WRONG_SECONDS + 1
    tokens.take(right, "10.0.0.1")


def test_joins_are_audited(registry: Locked, member: Make) -> None:
    """The audit says which nodes have joined, and which were refused, and never has a token or a proof."""
    token, one = registry.token(), member(name="press-7")
    one.try_to_join("fgj_000000000000_guess")
    one.join(token)
    entries = [one for one in registry.json("/v1/audit")["entries"] if "press-7" in one["subject"]]
    assert [one["action"] for one in entries] == ["node joined", "node refused"]
    text = registry.get("/v1/audit").text
    assert token not in text
    assert token.split("_", 2)[2] not in text
