"""People: roles, passwords and links, and that somebody can always let others in."""

from __future__ import annotations

import threading

import pytest
from argon2 import PasswordHasher, extract_parameters

from mesh.access_wire import PasswordChange, SetupRequest, UserChange, UserRequest
from mesh.errors import Conflict, FoglineError, InvalidInput, NotFound, Unauthorized, Unavailable
from registry.access.passwords import OWASP, Passwords, require_good
from registry.access.people import People
from registry.access.sign_ins import hash_of
from tests.registry.access.houses import BY, PASSWORD, QUICK, House

NEW = "another good staple"


def test_who_is_added_with_a_password_can_sign_in(house: House) -> None:
    """By name and password, the name in whatever case, with the role."""
    house.add("Anna", "operator")
    signed_in = house.sign_in("anna")
    assert (signed_in.name, signed_in.role) == ("Anna", "operator")
    found = house.bearers.find(signed_in.token, "10.0.0.7")
    assert (found.principal.name, found.role) == ("Anna", "operator")
    assert found.principal.scopes == {"view", "detect", "operate"}
    assert found.principal.id == f"s:{hash_of(signed_in.token)[:16]}"
    (user,) = house.people.all()
    assert (user.name, user.sign_ins, user.last_sign_in) == ("Anna", 1, house.clock())


def test_a_name_is_one_persons(house: House) -> None:
    """Nobody gets a name that differs from another's by its case only."""
    house.add("Anna")
    with pytest.raises(Conflict, match="already somebody called Anna"):
        house.add("ANNA")


@pytest.mark.parametrize(
    ("password", "why"),
    [
        ("short 9ch", "fewer than 10"),
        ("password123", "first that are tried"),
        ("Password123!", "first that are tried"),
        ("aaaaaaaaaaaaab", "repeats a few"),
        ("marie-louise1", "little more than the name"),
    ],
)
def test_passwords_that_are_guessed_first_are_refused(house: House, password: str, why: str) -> None:
    """Short ones, common ones and the name, with a reason that does not repeat them."""
    with pytest.raises(InvalidInput, match=why) as refused:
        house.people.add(UserRequest(name="marie-louise", role="viewer", password=password), BY)
    assert password not in str(refused.value)
    assert refused.value.members["field"] == "password"
    assert house.people.all() == []


def test_a_password_is_the_same_however_it_is_typed() -> None:
    """An ü is an ü, composed or not, and ten characters are counted as people count them."""
    passwords = Passwords(QUICK)
    assert passwords.matches(passwords.hash("gr\u00fcne Gurken"), "gru\u0308ne Gurken")
    with pytest.raises(InvalidInput):
        require_good("abcdefgu\u0308\u0308", "anna")


def test_passwords_are_hashed_as_owasp_wants() -> None:
    """argon2id with 19 MiB and two passes, salted."""
    hashed = Passwords().hash(PASSWORD)
    found = extract_parameters(hashed)
    assert (found.type.name, found.memory_cost, found.time_cost, found.parallelism) == ("ID", 19_456, 2, 1)
    assert hashed != Passwords().hash(PASSWORD)
    assert not OWASP.check_needs_rehash(hashed)


def test_an_old_hash_is_made_anew_at_the_next_sign_in(house: House) -> None:
    """When the parameters have changed since."""
    house.add("anna")
    before = house.book.get("user", "anna")
    stronger = Passwords(PasswordHasher(time_cost=2, memory_cost=16, parallelism=1))
    later = People(house.book, house.audit, house.revoked.append, stronger)
    later.sign_in("anna", PASSWORD, "10.0.0.7")
    after = house.book.get("user", "anna")
    assert before is not None
    assert after is not None
    assert b"m=8,t=1" in before[0]
    assert b"m=16,t=2" in after[0]
    later.sign_in("anna", PASSWORD, "10.0.0.7")


def test_an_unknown_name_takes_as_much_work_as_a_known_one(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever is unknown, switched off or has no password yet: one hash is checked, and the answer is the same."""
    house.add("anna")
    house.add("otto", "viewer")
    house.people.change("otto", UserChange(disabled=True), BY)
    house.people.add(UserRequest(name="pending", role="viewer"), BY)
    checked: list[str] = []
    verify = PasswordHasher.verify

    def noting(self: PasswordHasher, hashed: str, password: str) -> bool:
        checked.append(hashed)
        return verify(self, hashed, password)

    monkeypatch.setattr(PasswordHasher, "verify", noting)
    said = set()
    for name in ("anna", "otto", "pending", "nobody"):
        with pytest.raises(Unauthorized) as refused:
            house.sign_in(name, password="the wrong password")
        said.add((str(refused.value), *sorted(refused.value.members.items())))
    assert len(checked) == 4
    assert len({extract_parameters(hashed).memory_cost for hashed in checked}) == 1
    assert len(said) == 1
    with pytest.raises(Unauthorized):
        house.sign_in("otto")


def test_only_two_passwords_are_checked_at_once() -> None:
    """Others wait a moment, and are then told to try again."""
    passwords = Passwords(QUICK, at_once=2, wait_seconds=0.05)
    hashed = passwords.hash(PASSWORD)
    inside, go = threading.Barrier(3), threading.Event()

    def hold() -> None:
        passwords._in_turn(lambda: (inside.wait(5), go.wait(5)))

    threads = [threading.Thread(target=hold) for _ in range(2)]
    for thread in threads:
        thread.start()
    inside.wait(5)
    with pytest.raises(Unavailable) as refused:
        passwords.matches(hashed, PASSWORD)
    assert refused.value.retry_after
    go.set()
    for thread in threads:
        thread.join(5)
    assert passwords.matches(hashed, PASSWORD)


def test_the_last_admin_stays(house: House) -> None:
    """Neither removed nor demoted nor switched off, as long as no other admin can sign in."""
    house.add("anna")
    house.people.add(UserRequest(name="pending", role="admin"), BY)  # cannot sign in yet
    house.add("off")
    house.people.change("off", UserChange(disabled=True), BY)
    for change in (UserChange(role="operator"), UserChange(disabled=True)):
        with pytest.raises(Conflict, match="only admin"):
            house.people.change("anna", change, BY)
    with pytest.raises(Conflict, match="only admin"):
        house.people.remove("Anna", BY)
    house.people.change("off", UserChange(disabled=False), BY)
    house.people.remove("anna", BY)
    assert {user.name for user in house.people.all()} == {"pending", "off"}


def test_two_admins_who_demote_each_other_leave_one(two: tuple[House, House]) -> None:
    """At the same moment, on two replicas."""
    for _ in range(5):
        for name in ("anna", "otto"):
            if name in {user.name for user in two[0].people.all()}:
                two[0].people.change(name, UserChange(role="admin"), BY)
            else:
                two[0].add(name)
        gate = threading.Barrier(2)
        refused: list[FoglineError] = []

        def demote(house: House, name: str, gate: threading.Barrier, refused: list[FoglineError]) -> None:
            gate.wait(5)
            try:
                house.people.change(name, UserChange(role="viewer"), BY)
            except FoglineError as error:
                refused.append(error)  # noqa: B023  # what it is bound to here

        threads = [
            threading.Thread(target=demote, args=(house, name, gate, refused))
            for house, name in zip(two, ("anna", "otto"), strict=True)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(10)
        assert [type(error) for error in refused] == [Conflict]
        assert [user.role for user in two[0].people.all()].count("admin") == 1


def test_a_role_counts_at_once_and_on_replicas_within_seconds(two: tuple[House, House]) -> None:
    """The sign-in goes on, with the new rights."""
    here, there = two
    here.add("anna")
    here.add("otto", "operator")
    token = here.sign_in("otto").token
    for house in two:
        assert house.bearers.find(token, "").role == "operator"
    here.people.change("otto", UserChange(role="viewer"), BY)
    assert here.bearers.find(token, "").principal.scopes == {"view"}
    here.clock.advance(5)
    assert there.bearers.find(token, "").principal.scopes == {"view"}
    assert here.revoked == []


@pytest.mark.parametrize("what", ["switched off", "removed", "new password", "signed out"])
def test_what_an_admin_takes_away_ends_all_that_was_opened(two: tuple[House, House], what: str) -> None:
    """At once here, within seconds on replicas; each sign-in is revoked so that its streams end."""
    here, there = two
    here.add("anna")
    here.add("otto", "viewer")
    tokens = [here.sign_in("otto").token for _ in range(2)]
    for token in tokens:
        there.bearers.find(token, "")
        here.bearers.find(token, "")
    if what == "removed":
        here.people.remove("otto", BY)
    elif what == "signed out":
        here.people.sign_out_everywhere("otto", BY)
    else:
        here.people.change(
            "otto", UserChange(disabled=True) if what == "switched off" else UserChange(password=NEW), BY
        )
    there.clock.advance(5)
    for token in tokens:
        for house in two:
            with pytest.raises(Unauthorized):
                house.bearers.find(token, "")
    assert set(here.revoked) == {f"s:{hash_of(token)[:16]}" for token in tokens}


def test_a_namesake_gets_nothing_of_who_was_there_before(house: House) -> None:
    """Neither their sign-ins nor their links, even those that were made while they were removed."""
    house.add("anna")
    house.add("otto", "viewer")
    link = house.people.new_link("otto", BY)
    token = house.sign_in("otto").token
    kept = house.book.get("sign-in", hash_of(token)), house.book.get("link", hash_of(link.token))
    house.people.remove("otto", BY)
    house.add("otto", "admin")
    for kind, ident, document in (("sign-in", token, kept[0]), ("link", link.token, kept[1])):
        assert document is not None
        house.book.put(kind, hash_of(ident), document[0])  # type: ignore[arg-type]
    house.bearers.forget()
    with pytest.raises(Unauthorized):
        house.bearers.find(token, "")
    with pytest.raises(Unauthorized):
        house.people.set_up(SetupRequest(token=link.token, password=NEW), "10.0.0.7")


def test_a_link_makes_a_password_once(house: House) -> None:
    """Within a day; then, and the second time, it is good for nothing."""
    house.add("anna")
    link = house.people.add(UserRequest(name="otto", role="viewer"), BY).link
    assert link is not None
    assert house.people.one("otto").link_pending
    with pytest.raises(InvalidInput):
        house.people.set_up(SetupRequest(token=link.token, password="password123"), "10.0.0.7")
    signed_in = house.people.set_up(SetupRequest(token=link.token, password=NEW, name="ignored"), "10.0.0.7")
    assert (signed_in.name, signed_in.role) == ("otto", "viewer")
    assert house.bearers.find(signed_in.token, "").role == "viewer"
    assert not house.people.one("otto").link_pending
    with pytest.raises(Unauthorized, match="used"):
        house.people.set_up(SetupRequest(token=link.token, password=PASSWORD), "10.0.0.7")
    house.sign_in("otto", password=NEW)
    late = house.people.new_link("otto", BY)
    house.clock.advance(24 * 3600 + 1)
    with pytest.raises(Unauthorized):
        house.people.set_up(SetupRequest(token=late.token, password=PASSWORD), "10.0.0.7")


def test_many_at_once_use_a_link_once(house: House) -> None:
    """One of them chooses the password."""
    house.add("anna")
    link = house.people.add(UserRequest(name="otto", role="viewer"), BY).link
    assert link is not None
    gate, good, refused = threading.Barrier(4), [], []

    def use(number: int) -> None:
        gate.wait(5)
        try:
            house.people.set_up(SetupRequest(token=link.token, password=f"{NEW} {number}"), "10.0.0.7")
            good.append(number)
        except Unauthorized:
            refused.append(number)

    threads = [threading.Thread(target=use, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert (len(good), len(refused)) == (1, 3)
    house.sign_in("otto", password=f"{NEW} {good[0]}")


def test_a_newer_link_replaces_the_older(house: House) -> None:
    """And a password that is chosen otherwise ends both; who is switched off gets none."""
    house.add("anna")
    older, newer = house.people.new_link("anna", BY), house.people.new_link("anna", BY)
    assert house.people.links.find(older.token) is None
    assert house.people.links.find(newer.token) is not None
    house.people.change("anna", UserChange(password=NEW), BY)
    assert house.people.links.find(newer.token) is None
    house.add("otto", "viewer")
    house.people.change("otto", UserChange(disabled=True), BY)
    with pytest.raises(Conflict, match="switched off"):
        house.people.new_link("otto", BY)


def test_a_new_password_ends_the_other_sign_ins(house: House) -> None:
    """It needs the old one; the sign-in that asks goes on."""
    house.add("anna")
    mine, others = house.sign_in("anna").token, [house.sign_in("anna").token for _ in range(2)]
    change = PasswordChange(old=PASSWORD, new=NEW)
    with pytest.raises(Unauthorized, match="old password"):
        house.people.change_password(hash_of(mine), "not the old one", change.new, BY)
    assert house.sign_in("anna", "10.9.9.9").name == "anna"
    house.people.change_password(hash_of(mine), change.old, change.new, BY)
    assert house.bearers.find(mine, "").principal.name == "anna"
    for token in others:
        with pytest.raises(Unauthorized):
            house.bearers.find(token, "")
    assert {f"s:{hash_of(token)[:16]}" for token in others} < set(house.revoked)
    assert f"s:{hash_of(mine)[:16]}" not in house.revoked
    with pytest.raises(Unauthorized):
        house.sign_in("anna")
    house.sign_in("anna", password=NEW)


def test_nobody_is_found_under_an_unknown_name(house: House) -> None:
    """Whoever asks as admin is told who there is."""
    house.add("anna")
    with pytest.raises(NotFound, match="anna"):
        house.people.one("otto")


def test_people_find_each_other_again_after_a_restart(house: House) -> None:
    """Sign-ins are the book's, not the process's."""
    house.add("anna")
    token = house.sign_in("anna").token
    again = House(house.book, house.clock, house.data)
    assert again.bearers.find(token, "").principal.name == "anna"
