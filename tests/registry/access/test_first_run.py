"""What a registry makes at its start, and the copy of who may get in."""

from __future__ import annotations

import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest
import redis

from mesh.access_wire import KeyRequest, SetupRequest, UserChange, UserRequest
from mesh.credentials import ADMIN_KEY, METRICS_KEY, SETUP_LINK
from mesh.errors import RegistryAway, SetupProblem, Unauthorized
from registry.access import backup, first_run
from registry.access.backup import COPY, Backup
from registry.access.memory_book import MemoryBook
from registry.access.redis_book import RedisBook
from tests.processes import wait_for
from tests.registry.access.houses import BY, PASSWORD, Clock, House


def prepare(house: House) -> None:
    first_run.prepare(house.book, house.data, house.people, house.keys)


def restart(house: House) -> House:
    """Another registry with the same data folder."""
    (house.data / first_run.FAMILY).write_text("another")
    again = House(house.book, house.clock, house.data)
    prepare(again)
    return again


def key_of(house: House) -> str:
    return (house.data / ADMIN_KEY).read_text()


def link_of(house: House) -> str:
    return (house.data / SETUP_LINK).read_text()


def test_the_machine_has_a_key_and_a_link(house: House) -> None:
    """The key opens everything, the link makes the first admin, and only the registry's user may read them."""
    prepare(house)
    found = house.bearers.find(key_of(house), "127.0.0.1")
    assert found.principal.name.startswith("this machine (")
    assert "admin" in found.principal.scopes
    assert house.people.needed()
    for file in (ADMIN_KEY, SETUP_LINK):
        assert stat.S_IMODE((house.data / file).stat().st_mode) == 0o600
    assert stat.S_IMODE((house.data / ADMIN_KEY).parent.stat().st_mode) == 0o700
    signed_in = house.people.set_up(SetupRequest(token=link_of(house), password=PASSWORD, name="anna"), "10.0.0.7")
    assert signed_in.role == "admin"
    assert not house.people.needed()
    assert house.noted("first admin made") == [("anna", "anna", "ok")]


def test_prometheus_has_a_key_for_figures_alone(house: House) -> None:
    """Its group may read it; one that was revoked is replaced; a registry of version 0.1 can read the book, too."""
    prepare(house)
    secret = (house.data / METRICS_KEY).read_text()
    assert stat.S_IMODE((house.data / METRICS_KEY).stat().st_mode) == 0o640
    assert stat.S_IMODE((house.data / METRICS_KEY).parent.stat().st_mode) == 0o750
    assert house.bearers.find(secret, "").principal.scopes == {"metrics"}
    shown = {key.name.partition(" (")[0]: key for key in house.keys.all()}["monitoring on this machine"]
    assert shown.scopes == ["metrics"]
    known_before = {"view", "detect", "operate", "admin"}
    assert all(set(msgspec.json.decode(text)["scopes"]) <= known_before for text in house.book.all("key").values())
    house.keys.drop(shown.key_id)
    prepare(house)
    assert (house.data / METRICS_KEY).read_text() != secret
    assert key_of(house)
    assert house.bearers.find((house.data / METRICS_KEY).read_text(), "").principal.scopes == {"metrics"}


def test_the_log_says_how_to_get_in_without_the_secret(house: House, capsys: pytest.CaptureFixture[str]) -> None:
    """By which command, and neither the link nor the key."""
    prepare(house)
    said = "".join(capsys.readouterr())
    assert "run `fogline user link` on this machine" in said
    for secret in (key_of(house), link_of(house)):
        assert secret not in said
        assert secret[-20:] not in said


def test_the_link_of_the_first_start_is_used_once(house: House) -> None:
    """By one, with a name; and links of other replicas are good for nothing then."""
    prepare(house)
    other = House(house.book, house.clock, house.data / "other")
    prepare(other)
    with pytest.raises(Exception, match="name: choose one"):
        house.people.set_up(SetupRequest(token=link_of(house), password=PASSWORD), "")
    house.people.set_up(SetupRequest(token=link_of(house), password=PASSWORD, name="anna"), "")
    for token in (link_of(house), link_of(other)):
        with pytest.raises(Unauthorized, match="used"):
            other.people.set_up(SetupRequest(token=token, password=PASSWORD, name="eve"), "")
    assert [user.name for user in house.people.all()] == ["anna"]


def test_a_restart_replaces_the_key_and_the_link(house: House) -> None:
    """The ones before are good for nothing, and no second key of this machine is left."""
    prepare(house)
    key, link = key_of(house), link_of(house)
    again = restart(house)
    assert (key_of(house), link_of(house)) != (key, link)
    with pytest.raises(Unauthorized):
        again.bearers.find(key, "")
    again.bearers.find(key_of(house), "")
    assert len(again.keys.all()) == 2
    assert house.people.links.find(link) is None
    house.people.set_up(SetupRequest(token=link_of(house), password=PASSWORD, name="anna"), "")
    restart(house)
    assert not (house.data / SETUP_LINK).exists()


def test_a_container_with_a_new_host_name_leaves_no_key_behind(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """The old one is known by the data folder."""
    prepare(house)
    monkeypatch.setattr("socket.gethostname", lambda: "another")
    again = restart(house)
    assert [key.name for key in again.keys.all()] == ["monitoring on this machine (another)", "this machine (another)"]
    again.keys.make(KeyRequest(name="VLC", scopes=["view"]), BY)
    other = House(house.book, house.clock, house.data / "elsewhere")
    prepare(other)
    assert len(other.keys.all()) == 5


def test_many_workers_make_one_key(two: tuple[House, House]) -> None:
    """At the same moment, with one data folder."""
    data = two[0].data
    workers = [House(two[number % 2].book, two[0].clock, data) for number in range(6)]
    gate = threading.Barrier(6)

    def begin(house: House) -> None:
        gate.wait(5)
        prepare(house)

    threads = [threading.Thread(target=begin, args=(house,)) for house in workers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert len(two[0].keys.all()) == 2
    two[1].bearers.find((data / ADMIN_KEY).read_text(), "")
    assert len(two[0].book.all("link")) == 1
    assert two[0].people.links.find((data / SETUP_LINK).read_text()) is not None


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Changes are looked for more often than once a second."""
    monkeypatch.setattr(backup, "LOOK_SECONDS", 0.1)


@contextmanager
def kept(house: House) -> Iterator[Backup]:
    one = Backup(house.book, house.data, lambda: prepare(house))
    one.start()
    try:
        yield one
    finally:
        one.stop()
        one._thread.join(30)  # a slow disk may hold it up for longer: it must not look at the next test's book


def test_a_wipe_of_redis_lets_everybody_in_again(books_valkey: redis.Redis, two: tuple[House, House]) -> None:
    """People with their passwords and roles, and API keys, within seconds; sign-ins and links are gone."""
    house = House(RedisBook(books_valkey), two[0].clock, two[0].data)
    with kept(house):
        house.people.set_up(SetupRequest(token=link_of(house), password=PASSWORD, name="anna"), "")
        house.add("otto", "operator")
        house.people.change("otto", UserChange(disabled=True), BY)
        key = house.keys.make(KeyRequest(name="VLC", scopes=["view"], expires_in=3600), BY).secret
        short = house.keys.make(KeyRequest(name="short", scopes=["view"], expires_in=1), BY).secret
        house.book.put("node", "line-3", b'{"kid": "x"}')
        token, machine = house.sign_in("anna").token, key_of(house)
        link = house.people.add(UserRequest(name="pending", role="viewer"), BY).link
        version = house.book.version("user")
        copy = house.data / COPY
        wait_for(lambda: copy.exists() and b"pending" in copy.read_bytes(), 5, "copy")
        assert stat.S_IMODE(copy.stat().st_mode) == 0o600
        assert version == house.book.version("user")
        wait_for(lambda: short.split("_")[1] not in house.book.all("key"), 3, "end of the short key")
        books_valkey.flushall()
        wait_for(lambda: not backup.is_empty(house.book), 5, "the book back")
        house.bearers.forget()
        assert house.bearers.find(key, "").principal.name == "VLC"
        assert house.bearers.find(machine, "").principal.name.startswith("this machine")
        assert [(user.name, user.role, user.disabled) for user in house.people.all()] == [
            ("anna", "admin", False), ("otto", "operator", True), ("pending", "viewer", False),
        ]  # fmt: skip
        assert house.book.all("node") == {"line-3": b'{"kid": "x"}'}
        for gone in (token, short):
            with pytest.raises(Unauthorized):
                house.bearers.find(gone, "")
        assert link is not None
        assert house.people.links.find(link.token) is None
        house.sign_in("anna")
        assert not house.people.needed()


def test_a_wipe_before_the_first_sign_in_leaves_a_link_that_works(two: tuple[House, House]) -> None:
    """The file has a new one."""
    house, redis_side = two[0], two[1]
    with kept(house):
        first = link_of(house)
        wait_for((house.data / COPY).exists, 5, "copy")
        # The identity goes last: from then on the copy is put back, and it is looked whether the link is good.
        for kind in ("link", *backup.KEPT):
            for ident in redis_side.book.all(kind):
                redis_side.book.remove(kind, ident)
        wait_for(lambda: link_of(house) != first, 5, "new link")
    house.people.set_up(SetupRequest(token=link_of(house), password=PASSWORD, name="anna"), "")


def test_what_follows_a_wipe_is_done_though_redis_goes_away_amid_it(house: House) -> None:
    """With the next look, for the book is no longer empty then."""
    backup.begin(house.book, house.data)
    Backup(house.book, house.data).look()
    for kind in backup.KEPT:
        for ident in house.book.all(kind):
            house.book.remove(kind, ident)
    tries: list[int] = []

    def amid() -> None:
        tries.append(1)
        if len(tries) == 1:
            raise RegistryAway("Redis does not answer")

    one = Backup(house.book, house.data, amid)
    with pytest.raises(RegistryAway):
        one.look()
    assert not backup.is_empty(house.book)
    one.look()
    one.look()
    assert len(tries) == 2


def test_many_put_the_copy_back_once(two: tuple[House, House]) -> None:
    """Replicas that find the book empty at the same moment do no harm, and newer words stay."""
    here = two[0]
    backup.begin(here.book, here.data)
    here.add("anna")
    Backup(here.book, here.data).look()
    wiped = {kind: here.book.all(kind) for kind in backup.KEPT}
    for kind in backup.KEPT:
        for ident in wiped[kind]:
            here.book.remove(kind, ident)
    here.book.put("node", "newer", b"{}")
    gate, results = threading.Barrier(4), []

    def begin(house: House) -> None:
        gate.wait(5)
        results.append(backup.begin(house.book, here.data))

    threads = [threading.Thread(target=begin, args=(house,)) for house in two * 2]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert any(results)
    assert {kind: here.book.all(kind) for kind in backup.KEPT} == wiped | {"node": {"newer": b"{}"}}
    assert not backup.begin(here.book, here.data)


def test_a_copy_is_put_into_an_empty_book_only(house: House, tmp_path: Path) -> None:
    """The copy of another Redis is laid aside: neither mixed with this one nor lost."""
    backup.begin(house.book, tmp_path / "a")
    house.add("anna")
    Backup(house.book, tmp_path / "a").look()
    other = House(MemoryBook(), Clock(), tmp_path)
    backup.begin(other.book, tmp_path / "b")
    other.add("otto")
    (tmp_path / "b" / "access").mkdir(parents=True)
    (tmp_path / "b" / COPY).write_bytes((tmp_path / "a" / COPY).read_bytes())
    assert not backup.begin(other.book, tmp_path / "b")
    Backup(other.book, tmp_path / "b").look()
    assert [user.name for user in other.people.all()] == ["otto"]
    assert b"otto" in (tmp_path / "b" / COPY).read_bytes()
    (aside,) = (tmp_path / "b" / "access").glob("book-*.json")
    assert aside.read_bytes() == (tmp_path / "a" / COPY).read_bytes()


def test_a_copy_that_cannot_be_read_stops_the_start(house: House) -> None:
    """Else everybody would be locked out, and the next copy would write over it."""
    (house.data / COPY).parent.mkdir(parents=True)
    (house.data / COPY).write_text("{")
    with pytest.raises(SetupProblem, match="move it away"):
        prepare(house)
    assert (house.data / COPY).read_text() == "{"


def test_the_copy_is_written_once_a_change(house: House) -> None:
    """A disk is not worn out by a mesh in which nothing happens; the last change is written when it stops."""
    copy = house.data / COPY
    with kept(house) as one:
        wait_for(lambda: one._written, 5, "copy")  # set after the file is there: a look in between writes it again
        before = copy.stat().st_mtime_ns
        for _ in range(3):
            one.look()
        assert copy.stat().st_mtime_ns == before
        house.add("anna")
    assert b"anna" in copy.read_bytes()
