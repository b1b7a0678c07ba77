"""Everybody who may get in, on a book of each kind, with a clock that only the test moves."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import redis
from argon2 import PasswordHasher

from mesh.access import LOCAL
from mesh.access_wire import SignedIn, UserRequest
from registry.access.api_keys import ApiKeys
from registry.access.audit import Asker, Audit
from registry.access.bearers import Bearers
from registry.access.book import Book
from registry.access.memory_book import MemoryBook
from registry.access.passwords import Passwords
from registry.access.people import People
from registry.access.redis_book import SCRIPTS, RedisBook
from registry.redis_store import PREFIX, sources

KINDS = ("redis", "memory")
BEGIN = 1_800_000_000.0  # Unix seconds: the clock at its start
CLOCK = f"{PREFIX}:clock"
TOLD = f"(function() local ms = redis.call('GET', '{CLOCK}') return {{math.floor(ms / 1000), ms % 1000 * 1000}} end)()"
BY = Asker(LOCAL, "10.0.0.1")
PASSWORD = "correct horse battery"
QUICK = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)  # no test needs a password to be safe


class Clock:
    """Unix seconds."""

    def __init__(self, valkey: redis.Redis | None = None) -> None:
        self._valkey = valkey
        self.now = BEGIN
        self.advance(0)

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds
        if self._valkey is not None:
            self._valkey.set(CLOCK, round(self.now * 1000))


class TimedRedisBook(RedisBook):
    """The book on Redis with a clock that is told. What Redis forgets by itself it forgets by its own."""

    def __init__(self, client: redis.Redis, clock: Clock) -> None:
        super().__init__(client)
        texts = {name: sources()[f"book_{name}"].replace("redis.call('TIME')", TOLD) for name in SCRIPTS}
        assert all(TOLD in text for text in texts.values())
        self._scripts = {name: client.register_script(text) for name, text in texts.items()}
        self._clock = clock

    def now(self) -> float:
        return self._clock()


def books(kind: str, valkey: redis.Redis, replicas: int = 1) -> tuple[Clock, list[Book]]:
    """Several processes' views of one empty book; the one in memory can have one only."""
    if kind == "memory":
        clock = Clock()
        return clock, [cast(Book, MemoryBook(clock))] * replicas
    valkey.flushall()
    clock = Clock(valkey)
    return clock, [TimedRedisBook(valkey, clock) for _ in range(replicas)]


class House:
    """One process of a registry. revoked: whom it was told to revoke. time: monotonic seconds, of what it remembers."""

    def __init__(self, book: Book, clock: Clock, data: Path, passwords: Passwords | None = None) -> None:
        self.book = book
        self.clock = clock
        self.data = data
        self.revoked: list[str] = []
        self.audit = Audit(book)
        self.people = People(book, self.audit, self.revoked.append, passwords or Passwords(QUICK))
        self.keys = ApiKeys(book, self.audit, self.revoked.append)
        self.bearers = Bearers(self.people, self.keys, clock)

    def add(self, name: str, role: Any = "admin") -> None:
        self.people.add(UserRequest(name=name, role=role, password=PASSWORD), BY)

    def sign_in(self, name: str, address: str = "10.0.0.7", password: str = PASSWORD) -> SignedIn:
        return self.people.sign_in(name, password, address)

    def noted(self, action: str) -> list[tuple[str, str, str]]:
        """Who did it to whom with what outcome, as the audit says; newest first."""
        entries = self.audit.page(None, 1000).entries
        return [(one.who, one.subject, one.outcome) for one in entries if one.action == action]
