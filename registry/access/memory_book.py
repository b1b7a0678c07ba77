"""The book in this process alone, for a registry without Redis."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from registry.access.book import Kind


@dataclass(frozen=True, slots=True)
class _Document:
    text: bytes
    revision: int
    ends: float | None


class MemoryBook:
    """Implements registry.access.book.Book. clock: Unix seconds."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._documents: dict[Kind, dict[str, _Document]] = {}
        self._versions: dict[Kind, int] = {}
        self._counts: dict[str, tuple[int, float]] = {}  # with the time at which it is forgotten
        self._firsts: dict[str, float] = {}
        self._audit: deque[tuple[tuple[int, int], bytes]] = deque()
        self._tidied = clock()

    def get(self, kind: Kind, ident: str) -> tuple[bytes, int] | None:
        with self._lock:
            found = self._find(kind, ident)
            return (found.text, found.revision) if found else None

    def all(self, kind: Kind) -> dict[str, bytes]:
        with self._lock:
            now = self._clock()
            return {ident: one.text for ident, one in self._documents.get(kind, {}).items() if _lasts(one.ends, now)}

    def put(
        self, kind: Kind, ident: str, document: bytes, *, revision: int | None = None, seconds: float | None = None
    ) -> bool:
        with self._lock:
            self._tidy()
            found = self._find(kind, ident)
            if revision is not None and revision != (found.revision if found else 0):
                return False
            version = self._versions[kind] = self._versions.get(kind, 0) + 1
            ends = None if seconds is None else self._clock() + seconds
            self._documents.setdefault(kind, {})[ident] = _Document(document, version, ends)
            return True

    def remove(self, kind: Kind, ident: str) -> bool:
        with self._lock:
            if self._find(kind, ident) is None:
                return False
            del self._documents[kind][ident]
            self._versions[kind] += 1
            return True

    def version(self, kind: Kind) -> int:
        with self._lock:
            return self._versions.get(kind, 0)

    def count(self, name: str, seconds: float, by: int = 1) -> int:
        with self._lock:
            self._tidy()
            now = self._clock()
            value, ends = self._counts.get(name, (0, 0.0))
            if ends <= now:
                value, ends = 0, now + seconds
            if by:
                self._counts[name] = value + by, ends
            return value + by

    def forget(self, name: str) -> None:
        with self._lock:
            self._counts.pop(name, None)

    def first(self, name: str, seconds: float) -> bool:
        with self._lock:
            self._tidy()
            now = self._clock()
            if self._firsts.get(name, 0.0) > now:
                return False
            self._firsts[name] = now + seconds
            return True

    def append(self, entry: bytes, most: int) -> str:
        with self._lock:
            place = round(self._clock() * 1000), 0
            if self._audit and self._audit[-1][0] >= place:  # in the same millisecond, or the clock was set back
                last, number = self._audit[-1][0]
                place = last, number + 1
            self._audit.append((place, entry))
            while len(self._audit) > most:
                self._audit.popleft()
            return _ident(place)

    def entries(self, before: str | None, limit: int) -> list[tuple[str, bytes]]:
        with self._lock:
            found: list[tuple[str, bytes]] = []
            for place, entry in reversed(self._audit):
                if len(found) >= limit:
                    break
                if before is None or place < _place(before):
                    found.append((_ident(place), entry))
            return found

    def now(self) -> float:
        return self._clock()

    def _find(self, kind: Kind, ident: str) -> _Document | None:
        found = self._documents.get(kind, {}).get(ident)
        return found if found is not None and _lasts(found.ends, self._clock()) else None

    def _tidy(self) -> None:
        """Drop what has ended, once a minute."""
        now = self._clock()
        if now - self._tidied < 60:
            return
        self._tidied = now
        for kind, documents in self._documents.items():
            self._documents[kind] = {ident: one for ident, one in documents.items() if _lasts(one.ends, now)}
        self._counts = {name: one for name, one in self._counts.items() if one[1] > now}
        self._firsts = {name: ends for name, ends in self._firsts.items() if ends > now}


def _lasts(ends: float | None, now: float) -> bool:
    return ends is None or ends > now


def _ident(place: tuple[int, int]) -> str:
    return f"{place[0]}-{place[1]}"


def _place(ident: str) -> tuple[int, int]:
    milliseconds, _, number = ident.partition("-")
    return int(milliseconds), int(number or 0)
