"""Sign-ins end, and nobody finds a password by trying."""

from __future__ import annotations

import threading

import pytest

from mesh.access_wire import UserChange
from mesh.errors import TooMany, Unauthorized, Unavailable
from registry.access.lockouts import ADDRESS_MOST, HERE_MOST
from registry.access.passwords import Passwords
from registry.access.sign_ins import hash_of
from tests.registry.access.houses import BY, PASSWORD, QUICK, House

WRONG = "not the right one"
HOUR = 3600.0


def is_in(house: House, token: str) -> bool:
    try:
        house.bearers.find(token, "")
    except Unauthorized:
        return False
    return True


def test_a_sign_in_ends_when_it_is_not_used(house: House) -> None:
    """After twelve hours without a call."""
    house.add("anna")
    token = house.sign_in("anna").token
    house.clock.advance(11.9 * HOUR)
    assert is_in(house, token)
    house.clock.advance(11.9 * HOUR)
    assert is_in(house, token)
    house.clock.advance(12.1 * HOUR)
    assert not is_in(house, token)


def test_a_sign_in_ends_after_a_week(house: House) -> None:
    """However often it is used; the answer says when."""
    house.add("anna")
    token, begun = house.sign_in("anna").token, house.clock()
    for _ in range(7 * 3 - 1):
        house.clock.advance(8 * HOUR)
        assert house.bearers.find(token, "").expires_at == min(house.clock() + 12 * HOUR, begun + 7 * 24 * HOUR)
    house.clock.advance(8 * HOUR + 1)
    assert not is_in(house, token)


def test_each_sign_in_has_a_bearer_of_its_own(house: House) -> None:
    """The registry keeps none of them."""
    house.add("anna")
    tokens = {house.sign_in("anna").token for _ in range(5)}
    assert len(tokens) == 5
    assert all(token.startswith("fgs_") and len(token) == 47 for token in tokens)
    kept = str(house.book.all("sign-in")) + str(house.book.all("user")) + str(house.book.entries(None, 100))
    assert not any(token[4:] in kept for token in tokens)
    assert PASSWORD not in kept


def test_the_oldest_of_too_many_sign_ins_goes(house: House) -> None:
    """At the 21st of one person; others keep theirs."""
    house.add("anna")
    house.add("otto", "viewer")
    others = house.sign_in("otto").token
    tokens = []
    for _ in range(21):
        tokens.append(house.sign_in("anna").token)
        house.clock.advance(1)
    assert [is_in(house, token) for token in tokens] == [False] + [True] * 20
    assert house.revoked == [f"s:{hash_of(tokens[0])[:16]}"]
    assert is_in(house, others)


def test_signing_out_ends_one_sign_in(house: House) -> None:
    """At once, also what it has opened."""
    house.add("anna")
    one, other = house.sign_in("anna").token, house.sign_in("anna").token
    assert is_in(house, one)
    house.people.sign_out(hash_of(one), BY)
    assert not is_in(house, one)
    assert is_in(house, other)
    assert house.revoked == [f"s:{hash_of(one)[:16]}"]


def fail(house: House, name: str, address: str) -> int | None:
    """A wrong password; for how many seconds it is locked then. Fails unless it was looked at."""
    with pytest.raises(Unauthorized) as refused:
        house.sign_in(name, address, WRONG)
    return refused.value.retry_after


def locked(house: House, name: str, address: str) -> int:
    """For how many seconds even the right password is refused."""
    with pytest.raises(TooMany) as refused:
        house.sign_in(name, address)
    assert refused.value.retry_after
    assert str(refused.value.retry_after) in refused.value.detail
    return refused.value.retry_after


@pytest.mark.parametrize("name", ["anna", "nobody"])
def test_five_wrong_passwords_lock_a_name_at_an_address(house: House, name: str) -> None:
    """For 30 seconds, and twice as long after each further one, up to 15 minutes; unknown names alike."""
    house.add("anna")
    assert [fail(house, name, "10.0.0.7") for _ in range(5)] == [None] * 4 + [30]
    for seconds in (30, 60, 120, 240, 480, 900, 900):
        assert locked(house, name, "10.0.0.7") == seconds
        house.clock.advance(seconds - 1)
        assert locked(house, name, "10.0.0.7") == 1
        house.clock.advance(1.1)
        assert fail(house, name, "10.0.0.7") == min(2 * seconds, 900)


def test_a_right_password_begins_the_row_anew(house: House) -> None:
    """Four wrong ones, the right one, and again four wrong ones lock nobody out."""
    house.add("anna")
    for _ in range(3):
        for _ in range(4):
            assert fail(house, "anna", "10.0.0.7") is None
        house.sign_in("anna", "10.0.0.7")


def test_others_lock_nobody_out_at_another_address(house: House) -> None:
    """Who fails locks the name for himself; the list says that it is locked somewhere."""
    house.add("anna")
    for _ in range(5):
        fail(house, "anna", "10.0.0.66")
    locked(house, "anna", "10.0.0.66")
    assert house.people.one("anna").locked_until == pytest.approx(house.clock() + 30, abs=1)
    house.sign_in("anna", "10.0.0.7")


def test_a_name_that_many_addresses_try_is_locked_but_for_its_owner(house: House) -> None:
    """After fifty wrong ones in all, everywhere but at the address where the person has signed in lately."""
    house.add("anna")
    house.sign_in("anna", "10.0.0.7")
    for number in range(50):
        fail(house, "anna", f"10.1.{number}.1")
    assert locked(house, "anna", "10.2.0.1") == 30
    house.clock.advance(31)
    assert fail(house, "anna", "10.2.0.1") == 60
    assert locked(house, "anna", "10.2.0.2") == 60
    house.sign_in("anna", "10.0.0.7")


def test_an_address_that_tries_many_names_is_refused(house: House) -> None:
    """After twenty wrong ones within five minutes, whoever it says it is; for five minutes."""
    house.add("anna")
    for number in range(20):
        fail(house, f"name-{number}", "10.0.0.66")
    assert locked(house, "anna", "10.0.0.66") == 300
    house.sign_in("anna", "10.0.0.7")
    house.clock.advance(301)
    house.sign_in("anna", "10.0.0.66")
    for number in range(19):
        fail(house, f"name-{number}", "10.0.0.66")
    house.clock.advance(301)
    fail(house, "name-20", "10.0.0.66")
    house.sign_in("anna", "10.0.0.66")


def test_an_ipv6_network_counts_as_one_address(house: House) -> None:
    """A host has as many addresses as it likes in its own."""
    house.add("anna")
    for number in range(5):
        fail(house, "anna", f"2001:db8:0:1::{number:x}")
    locked(house, "anna", "2001:db8:0:1:ffff::1")
    house.sign_in("anna", "2001:db8:0:2::1")
    for _ in range(5):
        fail(house, "anna", "10.0.0.8")
    locked(house, "anna", "::ffff:10.0.0.8")


@pytest.mark.parametrize("crowd", [ADDRESS_MOST - 1, 30])
def test_many_tries_at_once_are_no_way_around(house: House, crowd: int) -> None:
    """Of so many wrong passwords at the same moment five are looked at. Where there are enough of them to lock the
    address too, some of the five may find that closed."""
    house.add("anna")
    gate, looked, refused = threading.Barrier(crowd), [], []

    def attempt() -> None:
        gate.wait(5)
        try:
            house.sign_in("anna", "10.0.0.66", WRONG)
        except Unauthorized:
            looked.append(1)
        except TooMany:
            refused.append(1)

    threads = [threading.Thread(target=attempt) for _ in range(crowd)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert len(looked) + len(refused) == crowd
    assert len(looked) == HERE_MOST if crowd < ADDRESS_MOST else 1 <= len(looked) <= HERE_MOST
    assert locked(house, "anna", "10.0.0.66") <= 300


def test_a_try_that_nobody_could_look_at_counts_for_nothing(house: House) -> None:
    """When too many others sign in at the moment."""
    busy = House(house.book, house.clock, house.data, Passwords(QUICK, at_once=1, wait_seconds=0.001))
    busy.add("anna")
    with busy.people._passwords._turns:
        for _ in range(10):
            with pytest.raises(Unavailable):
                busy.sign_in("anna")
    assert [fail(busy, "anna", "10.0.0.7") for _ in range(4)] == [None] * 4
    busy.sign_in("anna")


def test_a_new_password_from_an_admin_ends_the_locks(house: House) -> None:
    """Everywhere: who forgot the password need not wait besides."""
    house.add("anna")
    for _ in range(5):
        fail(house, "anna", "10.0.0.7")
    house.people.change("anna", UserChange(password="another good staple"), BY)
    assert house.people.one("anna").locked_until is None
    house.sign_in("anna", "10.0.0.7", "another good staple")


def test_refusals_are_written_down_without_what_was_typed(house: House) -> None:
    """An unknown name may be a password in the wrong field."""
    house.add("anna")
    fail(house, "anna", "10.0.0.7")
    fail(house, "hunter2hunter2", "10.0.0.7")
    assert house.noted("sign-in refused") == [
        ("nobody", "an unknown name", "unknown name"),
        ("nobody", "anna", "wrong password"),
    ]
    for _ in range(4):
        fail(house, "anna", "10.0.0.7")
    assert house.noted("sign-in refused")[0] == ("nobody", "anna", "wrong password: locked for 30 s")
    assert b"hunter2" not in b"".join(entry for _, entry in house.book.entries(None, 100))
