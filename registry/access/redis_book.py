"""The book in Redis, for all replicas. Every change is one Lua script from `lua/`.

Keys, below the prefix of registry.redis_store:

- `book:<kind>` hash, `book-ends:<kind>` zset: documents by id with their revisions; when those with an end are
  forgotten (ms)
- `book-versions` hash: each kind's version
- `book-count:<name>`, `book-first:<name>`: counters, nonces
- `book-removed:<word>`, `book-counted:<word>`: the calls that removed or counted something a moment ago
- `book-audit` stream: the audit
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, cast

import redis

from registry.access.book import Kind
from registry.redis_connection import Guard, word
from registry.redis_store import PREFIX, sources

SCRIPTS: Final = ("get", "all", "put", "remove", "count", "first", "append")
RETRIES: Final = 2  # further tries of a call that failed: each script finds what it has done already
REPEATED_MS: Final = 30_000  # for which a removal or a count can be repeated by those retries


class RedisBook:
    """Implements registry.access.book.Book.

    client: decodes responses, as registry.redis_connection.connection makes them. on_error: called with each failure's
    reason, from the caller's thread.
    """

    def __init__(
        self,
        client: redis.Redis,
        *,
        retries: int = RETRIES,
        on_error: Callable[[str], None] = lambda _reason: None,
    ) -> None:
        self._redis = client
        self._guard = Guard(retries, on_error)
        texts = sources()
        self._scripts = {name: client.register_script(texts[f"book_{name}"]) for name in SCRIPTS}

    def get(self, kind: Kind, ident: str) -> tuple[bytes, int] | None:
        found = self._run("get", kind, ident)
        return (found[1].encode(), int(found[0])) if found else None

    def all(self, kind: Kind) -> dict[str, bytes]:
        flat: list[str] = self._run("all", kind)
        return {ident: document.encode() for ident, document in zip(flat[::2], flat[1::2], strict=True)}

    def put(
        self, kind: Kind, ident: str, document: bytes, *, revision: int | None = None, seconds: float | None = None
    ) -> bool:
        expected = -1 if revision is None else revision
        life = 0 if seconds is None else _milliseconds(seconds)
        return bool(self._run("put", kind, ident, document, expected, life, word()))

    def remove(self, kind: Kind, ident: str) -> bool:
        return bool(self._run("remove", kind, ident, word(), REPEATED_MS))

    def version(self, kind: Kind) -> int:
        return int(self._guard(lambda: cast("str | None", self._redis.hget(_key("versions"), kind))) or 0)

    def count(self, name: str, seconds: float, by: int = 1) -> int:
        return int(self._run("count", name, _milliseconds(seconds), by, word(), REPEATED_MS))

    def forget(self, name: str) -> None:
        self._guard(lambda: self._redis.delete(_key(f"count:{name}")))

    def first(self, name: str, seconds: float) -> bool:
        return bool(self._run("first", name, _milliseconds(seconds), word()))

    def append(self, entry: bytes, most: int) -> str:
        return cast(str, self._run("append", entry, most, word()))

    def entries(self, before: str | None, limit: int) -> list[tuple[str, bytes]]:
        newest = "+" if before is None else f"({before}"
        found: Any = self._guard(lambda: self._redis.xrevrange(_key("audit"), newest, "-", limit))
        return [(ident, fields["e"].encode()) for ident, fields in found]

    def now(self) -> float:
        seconds, micros = self._guard(self._redis.time)
        return seconds + micros / 1e6

    def _run(self, script: str, *arguments: Any) -> Any:
        return self._guard(lambda: self._scripts[script](keys=[PREFIX], args=list(arguments)))


def _key(name: str) -> str:
    return f"{PREFIX}:book-{name}"


def _milliseconds(seconds: float) -> int:
    return max(1, round(seconds * 1000))
