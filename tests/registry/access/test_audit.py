"""The audit: who did what from where, and nobody alters it."""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest

from mesh import doors
from mesh.access import LOCAL, ORIGINAL, Principal
from mesh.errors import InvalidInput
from registry.access import audit as audit_module
from registry.access.audit import Audit
from registry.access.book import Book
from registry.access.redis_book import RedisBook
from registry.redis_connection import connection
from registry.settings import RegistrySettings
from tests.registry.access.houses import House
from tests.registry.servers import Server

ANNA = Principal("person", id="s:1", name="anna")


def test_an_entry_says_who_did_what_from_where(house: House) -> None:
    """People by name, keys and nodes as such; newest first."""
    for who in (ANNA, Principal("key", name="VLC"), Principal("node", name="Line 3"), LOCAL, ORIGINAL, None):
        house.audit.note(who, "10.0.0.7", "session made", "line-3", "ok")
        house.clock.advance(1)
    entries = house.audit.page(None, 100).entries
    assert [entry.who for entry in entries] == [
        "nobody", "unauthenticated", "this machine", "node Line 3", "key VLC", "anna",
    ]  # fmt: skip
    assert {(entry.address, entry.action, entry.subject, entry.outcome) for entry in entries} == {
        ("10.0.0.7", "session made", "line-3", "ok")
    }
    assert entries[-1].at == house.clock() - 6


def test_an_entry_is_also_a_line_of_the_log(house: House, capsys: pytest.CaptureFixture[str]) -> None:
    """One line, whatever its strings are."""
    house.audit.note(ANNA, "10.0.0.7", "camera added", "line-3\nfake=line rtsp://user:secret@cam/1")
    said = "".join(capsys.readouterr()).splitlines()
    assert len(said) == 1
    assert all(word in said[0] for word in ("anna", "10.0.0.7", "camera added", "line-3 fake=line rtsp://***@cam/1"))


def test_pages_follow_each_other(house: House) -> None:
    """Each entry once, also when others are written meanwhile."""
    for number in range(25):
        house.audit.note(ANNA, "", str(number))
    seen, cursor = [], None
    while True:
        page = house.audit.page(cursor, 10)
        seen += [entry.action for entry in page.entries]
        cursor = page.next_cursor
        if cursor is None:
            break
        house.audit.note(ANNA, "", "meanwhile")
    assert seen == [str(number) for number in range(24, -1, -1)]
    for wrong in ("x", "-", "1-", "(1-1", "+", "1-1 2"):
        with pytest.raises(InvalidInput):
            house.audit.page(wrong, 10)


@pytest.mark.parametrize("entries", [0, 1, 9, 10, 11, 35])
def test_all_of_it_is_read_oldest_first(house: House, entries: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever comes meanwhile is not in it."""
    monkeypatch.setattr(audit_module, "PAGE", 10)
    for number in range(entries):
        house.audit.note(ANNA, "", str(number))
    reading = house.audit.oldest_first()
    house.audit.note(ANNA, "", "meanwhile")
    assert [entry.action for entry in reading] == [str(number) for number in range(entries)]


def test_only_the_newest_are_kept(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Redis drops whole blocks: it may keep a few more."""
    monkeypatch.setattr(audit_module, "MOST_ENTRIES", 300)
    for number in range(700):
        house.book.append(str(number).encode(), audit_module.MOST_ENTRIES)
    kept = [int(entry) for _, entry in house.book.entries(None, 1000)]
    assert kept == list(range(699, 699 - len(kept), -1))
    assert 300 <= len(kept) <= 420


def test_strings_are_bounded_and_harmless(house: House) -> None:
    """No line breaks, no direction marks, no passwords of addresses; not too long."""
    house.audit.note(ANNA, "10.0.0.7", "a\r\nb\x1b[31m", "rtsp://user:secret@cam/1 \u202e" + "x" * 5000, "no\u2028way")
    (entry,) = house.audit.page(None, 1).entries
    assert (entry.action, entry.outcome) == ("a b [31m", "no way")
    assert entry.subject.startswith("rtsp://***@cam/1 ")
    assert len(entry.subject) == 200
    assert b"secret" not in b"".join(text for _, text in house.book.entries(None, 10))


def test_nothing_alters_or_removes_an_entry() -> None:
    """There is no call for it: neither of the audit, nor of the book, nor of the registry."""
    assert {name for name in vars(Audit) if not name.startswith("_")} == {"note", "page", "oldest_first"}
    about = {
        name for name, call in inspect.getmembers(Book, inspect.isfunction) if "audit" in (call.__doc__ or "").lower()
    }
    assert about == {"append", "entries"}
    assert [door for door in doors.REGISTRY if "audit" in door] == ["GET /v1/audit"]


def test_what_is_done_while_redis_is_away_is_written_down_later(tmp_path: Path) -> None:
    """In its order; whoever notes it is not held up by an error."""
    with Server(tmp_path) as server:
        audit = Audit(RedisBook(connection(RegistrySettings(redis=server.url, redis_timeout=5.0)), retries=0))
        audit.note(ANNA, "", "before")
        server.kill()
        for number in range(3):
            audit.note(ANNA, "", f"while away {number}")
        server.start()
        audit.note(ANNA, "", "after")
        said = [entry.action for entry in audit.page(None, 10).entries]
    assert said[:4] == ["after", "while away 2", "while away 1", "while away 0"]
