"""API keys, and whose a bearer is."""

from __future__ import annotations

from pathlib import Path

import pytest

from mesh.access import Role, Scope
from mesh.access_wire import KeyRequest, UserChange
from mesh.errors import Conflict, NotFound, RegistryAway, Unauthorized
from registry.access import api_keys, backup, first_run
from registry.access.redis_book import RedisBook
from registry.redis_connection import connection
from registry.settings import RegistrySettings
from tests.registry.access.houses import BY, Clock, House
from tests.registry.servers import Server


def make(house: House, *scopes: Scope, expires_in: float | None = None) -> tuple[str, str]:
    """A key's id and its secret."""
    made = house.keys.make(KeyRequest(name="VLC", scopes=list(scopes or ("view",)), expires_in=expires_in), BY)
    return made.key.key_id, made.secret


def test_a_key_is_good_for_its_scopes(house: House) -> None:
    """And for nothing else; who has admin may do everything."""
    key_id, secret = make(house, "view", "detect")
    found = house.bearers.find(secret, "10.0.0.9")
    assert (found.principal.kind, found.principal.id, found.principal.name) == ("key", f"k:{key_id}", "VLC")
    assert found.principal.scopes == {"view", "detect"}
    assert (found.role, found.expires_at) == (None, None)
    assert house.bearers.find(make(house, "admin")[1], "").principal.scopes == {"view", "detect", "operate", "admin"}


def test_the_registry_keeps_no_secret_of_a_key(house: House) -> None:
    """Neither in the book nor in the list nor in the audit; the right id with another secret opens nothing."""
    key_id, secret = make(house)
    tail = secret.removeprefix(f"fgk_{key_id}_")
    assert len(tail) == 43
    kept = f"{house.book.all('key')}{house.keys.all()}{house.book.entries(None, 100)}"
    assert key_id in kept
    assert tail not in kept
    for wrong in (secret[:-1], secret + "x", f"fgk_{key_id}_", f"fgk_{key_id}", "fgk_", "", "\udcff", secret.upper()):
        with pytest.raises(Unauthorized) as refused:
            house.bearers.find(wrong, "")
        assert not tail or tail not in refused.value.detail


def test_a_key_expires(house: House) -> None:
    """At once, also where it was remembered."""
    _, secret = make(house, expires_in=100)
    assert house.bearers.find(secret, "").expires_at == house.clock() + 100
    house.clock.advance(99)
    house.bearers.find(secret, "")
    house.clock.advance(1.1)
    with pytest.raises(Unauthorized):
        house.bearers.find(secret, "")
    assert house.keys.all() == []


def test_a_removed_key_is_good_for_nothing(two: tuple[House, House]) -> None:
    """At once here, within seconds on replicas, and what it opened ends."""
    here, there = two
    key_id, secret = make(here)
    for house in two:
        house.bearers.find(secret, "")
    here.keys.remove(key_id, BY)
    assert here.revoked == [f"k:{key_id}"]
    with pytest.raises(Unauthorized):
        here.bearers.find(secret, "")
    there.clock.advance(5)
    with pytest.raises(Unauthorized):
        there.bearers.find(secret, "")
    with pytest.raises(NotFound):
        here.keys.remove(key_id, BY)
    assert here.noted("key removed") == [("this machine", "VLC", "ok")]


def test_the_list_says_when_and_from_where_a_key_was_used(house: House) -> None:
    """To the minute."""
    _, secret = make(house)
    assert (house.keys.all()[0].last_used, house.keys.all()[0].last_address) == (None, None)
    begun = house.clock()
    house.bearers.find(secret, "10.0.0.9")
    written = house.book.version("key")
    for _ in range(5):
        house.clock.advance(10)
        house.bearers.find(secret, "10.0.0.10")
    assert house.book.version("key") == written
    assert (house.keys.all()[0].last_used, house.keys.all()[0].last_address) == (begun, "10.0.0.9")
    house.clock.advance(10)
    house.bearers.find(secret, "10.0.0.10")
    assert (house.keys.all()[0].last_used, house.keys.all()[0].last_address) == (house.clock(), "10.0.0.10")


def test_a_key_that_is_removed_while_it_is_used_stays_removed(house: House) -> None:
    """The note that it was used does not bring it back."""
    key_id, secret = make(house)
    document, revision = house.book.get("key", key_id) or (b"", 0)
    house.keys.remove(key_id, BY)
    assert not house.book.put("key", key_id, document, revision=revision)
    with pytest.raises(Unauthorized):
        house.bearers.find(secret, "")


def test_there_are_not_too_many_keys(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """The one over the limit is refused with what to do."""
    monkeypatch.setattr(api_keys, "MOST", 3)
    for _ in range(3):
        make(house)
    with pytest.raises(Conflict, match="remove some"):
        make(house)


def test_a_bearer_is_looked_up_once_in_five_seconds(house: House) -> None:
    """Each request must not ask Redis."""
    _, secret = make(house)
    house.bearers.find(secret, "")
    house.book.remove("key", secret.split("_")[1])  # as another replica would
    house.clock.advance(4.9)
    house.bearers.find(secret, "")
    house.clock.advance(0.2)
    with pytest.raises(Unauthorized):
        house.bearers.find(secret, "")


@pytest.mark.parametrize("role", ["viewer", "operator"])
def test_an_answer_that_a_change_overtook_is_not_remembered(house: House, role: Role) -> None:
    """It was read before the change, and comes after it."""
    house.add("anna")
    house.add("otto", "admin")
    token = house.sign_in("otto").token
    find = house.people.find

    def slow(ident: str) -> object:
        found = find(ident)
        house.people.change("otto", UserChange(role=role), BY)
        return found

    house.people.find = slow  # type: ignore[method-assign,assignment]
    assert house.bearers.find(token, "").role == "admin"
    del house.people.find
    assert house.bearers.find(token, "").role == role


def test_who_was_known_lately_is_known_while_redis_is_away(tmp_path: Path) -> None:
    """For five minutes, so that lists can be read; nobody else is let in, and nobody is told to sign in again."""
    with Server(tmp_path) as server:
        client = connection(RegistrySettings(redis=server.url, redis_timeout=5.0))
        clock = Clock()
        house = House(RedisBook(client, retries=0), clock, tmp_path)
        _, known = make(house)
        _, unknown = make(house)
        house.bearers.find(known, "")
        server.kill()
        clock.advance(299)
        assert house.bearers.find(known, "").principal.name == "VLC"
        with pytest.raises(RegistryAway):
            house.bearers.find(unknown, "")
        clock.advance(2)
        with pytest.raises(RegistryAway):
            house.bearers.find(known, "")


def test_a_wiped_book_tells_nobody_to_sign_in_again(house: House) -> None:
    """Until it is put back the answer is: try again."""
    first_run.prepare(house.book, house.data, house.people, house.keys)
    house.add("anna")
    _, secret = make(house)
    house.bearers.find(secret, "")
    for kind in backup.KEPT:
        for ident in house.book.all(kind):
            house.book.remove(kind, ident)
    house.clock.advance(301)
    for look in (lambda: house.bearers.find(secret, ""), lambda: house.sign_in("anna"), house.people.needed):
        with pytest.raises(RegistryAway, match="put back"):
            look()
    backup.begin(house.book, house.data)  # there is no copy: it is another book now
    with pytest.raises(Unauthorized):
        house.bearers.find(secret, "")
