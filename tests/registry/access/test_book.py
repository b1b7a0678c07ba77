"""What both books must do alike."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import redis

from registry.access.book import Book
from registry.access.redis_book import RedisBook
from tests.registry.access.houses import House


def at_once(calls: int, work: Callable[[], Any]) -> list[Any]:
    """What so many threads get that do it together."""
    gate, results = threading.Barrier(calls), []

    def run() -> None:
        gate.wait(5)
        results.append(work())

    threads = [threading.Thread(target=run) for _ in range(calls)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert len(results) == calls
    return results


def test_a_document_is_kept_with_a_revision_that_grows(house: House) -> None:
    """What is written is read again, whatever characters are in it, and each change has a higher revision."""
    book = house.book
    assert book.get("user", "anna") is None
    assert book.put("user", "anna", b'{"a": "\xc3\xa4 b\\n"}')
    first = book.get("user", "anna")
    assert first is not None
    assert first[0] == b'{"a": "\xc3\xa4 b\\n"}'
    assert book.put("user", "anna", b"{}\n\n{}")
    second = book.get("user", "anna")
    assert second is not None
    assert second[0] == b"{}\n\n{}"
    assert second[1] > first[1]
    assert book.get("key", "anna") is None


def test_a_revision_guards_a_document(house: House) -> None:
    """Only over the revision that was read, and only a new one where 0 is said."""
    book = house.book
    assert book.put("user", "anna", b"1", revision=0)
    assert not book.put("user", "anna", b"2", revision=0)
    _, revision = book.get("user", "anna") or (b"", 0)
    assert book.put("user", "anna", b"2", revision=revision)
    assert not book.put("user", "anna", b"3", revision=revision)
    assert (book.get("user", "anna") or (b"", 0))[0] == b"2"
    assert not book.put("user", "otto", b"1", revision=revision)
    assert book.get("user", "otto") is None


def test_a_revision_never_comes_again(house: House) -> None:
    """Who read a document that was removed and made anew writes over neither."""
    book = house.book
    book.put("user", "anna", b"1")
    _, revision = book.get("user", "anna") or (b"", 0)
    book.remove("user", "anna")
    assert not book.put("user", "anna", b"2", revision=revision)
    book.put("user", "anna", b"3")
    assert not book.put("user", "anna", b"4", revision=revision)


def test_of_many_writers_at_once_one_wins(house: House) -> None:
    """A new document is put in by one of those who try at the same moment, even when all put the same."""
    assert sum(at_once(8, lambda: house.book.put("mesh", "one", b"{}", revision=0))) == 1


def test_of_many_removers_at_once_one_is_told_so(house: House) -> None:
    """A link is used once."""
    house.book.put("link", "x", b"{}")
    assert sum(at_once(8, lambda: house.book.remove("link", "x"))) == 1
    assert not house.book.remove("link", "x")


def test_documents_end_by_themselves(house: House) -> None:
    """After its seconds a document is neither read nor listed nor removed, and a new one takes its place."""
    book = house.book
    book.put("link", "short", b"1", seconds=10)
    book.put("link", "long", b"2", seconds=1000)
    book.put("link", "lasting", b"3")
    house.clock.advance(9.9)
    assert set(book.all("link")) == {"short", "long", "lasting"}
    house.clock.advance(0.2)
    assert book.all("link") == {"long": b"2", "lasting": b"3"}
    assert book.get("link", "short") is None
    assert not book.remove("link", "short")
    assert book.put("link", "short", b"4", revision=0)
    house.clock.advance(2000)
    assert book.all("link") == {"short": b"4", "lasting": b"3"}


def test_a_kinds_version_grows_with_every_change(house: House) -> None:
    """By what is written and removed, not by what is refused, and not by other kinds."""
    book = house.book
    versions = [book.version("user")]
    book.put("user", "anna", b"1")
    versions.append(book.version("user"))
    book.remove("user", "anna")
    versions.append(book.version("user"))
    assert versions == sorted(set(versions))
    assert versions[0] == 0
    book.remove("user", "anna")
    book.put("user", "otto", b"1", revision=7)
    book.put("key", "otto", b"1")
    assert book.version("user") == versions[-1]


def test_counters_count_and_are_forgotten(house: House) -> None:
    """From its beginning on a counter lasts its seconds, however often it is added to; reading begins none."""
    book = house.book
    assert book.count("a", 10, by=0) == 0
    assert [book.count("a", 10), book.count("a", 10, by=4), book.count("a", 10, by=0)] == [1, 5, 5]
    house.clock.advance(6)
    assert book.count("a", 10, by=-1) == 4
    house.clock.advance(5)
    assert book.count("a", 10) == 1
    book.forget("a")
    assert book.count("a", 10, by=0) == 0
    assert sorted(at_once(8, lambda: book.count("b", 10))) == list(range(1, 9))


def test_a_name_is_said_first_once(house: House) -> None:
    """Until it is forgotten, and of many at once by one."""
    assert sum(at_once(8, lambda: house.book.first("nonce", 60))) == 1
    house.clock.advance(59)
    assert not house.book.first("nonce", 60)
    house.clock.advance(2)
    assert house.book.first("nonce", 60)


def test_the_audit_is_read_newest_first(house: House) -> None:
    """Page by page, those before an id."""
    ids = [house.book.append(str(number).encode(), 1000) for number in range(25)]
    page = house.book.entries(None, 10)
    assert [entry for _, entry in page] == [str(number).encode() for number in range(24, 14, -1)]
    assert [ident for ident, _ in page] == ids[:14:-1]
    rest = house.book.entries(page[-1][0], 100)
    assert [entry for _, entry in rest] == [str(number).encode() for number in range(14, -1, -1)]
    assert house.book.entries(ids[0], 10) == []


class _Cut(redis.Redis):
    """A client whose connection is cut after each script has run, once."""

    def execute_command(self, *args: Any, **options: Any) -> Any:
        answer = super().execute_command(*args, **options)  # type: ignore[no-untyped-call]
        if args[0] == "EVALSHA" and args not in self.__dict__.setdefault("cut", []):
            self.__dict__["cut"].append(args)
            raise redis.exceptions.ConnectionError("cut")
        return answer


def test_a_call_that_is_repeated_after_a_cut_is_told_the_same(books_valkey: redis.Redis) -> None:
    """Redis did what was asked, and the answer was lost: the retry is told of success, and nothing is done twice."""
    books_valkey.flushall()
    client = _Cut(connection_pool=books_valkey.connection_pool)
    book: Book = RedisBook(client)
    assert book.put("user", "anna", b"1", revision=0)
    assert book.version("user") == 1
    assert not book.put("user", "anna", b"1", revision=0)
    assert book.first("nonce", 60)
    assert not book.first("nonce", 60)
    assert book.remove("user", "anna")
    assert not book.remove("user", "anna")
    assert book.version("user") == 2
    assert [book.count("sign-ins", 60), book.count("sign-ins", 60), book.count("sign-ins", 60, 0)] == [1, 2, 2]
    ids = [book.append(b"came", 1000), book.append(b"came", 1000)]
    assert [ident for ident, _ in book.entries(None, 10)] == ids[::-1]
    assert len(client.__dict__["cut"]) == 11
