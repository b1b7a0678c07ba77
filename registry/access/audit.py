"""Who did what, from where. Entries are added and read; nothing changes or removes one."""

from __future__ import annotations

import re
import threading
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import msgspec

from mesh import codec
from mesh.access import Principal
from mesh.access_wire import AuditEntry, AuditPage
from mesh.errors import InvalidInput, RegistryAway
from mesh.logs import logger, redact
from registry.access.book import Book

MOST_ENTRIES: Final = 100_000  # the newest; about 30 MB in Redis
MOST_TEXT: Final = 200  # characters of each string of an entry
MOST_WAITING: Final = 1000  # entries kept while Redis is away, in this process
PAGE: Final = 1000  # entries that are read at once
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]+")
_ENTRY_ID: Final = re.compile(r"[0-9]{1,15}-[0-9]{1,10}")
log = logger(__name__)


class _Written(msgspec.Struct, frozen=True, kw_only=True):
    at: float
    who: str
    address: str
    action: str
    subject: str
    outcome: str


@dataclass(frozen=True, slots=True)
class Asker:
    """On whose behalf something is done. address: from where."""

    who: Principal | None
    address: str = ""

    @property
    def name(self) -> str:
        return name_of(self.who)


class Audit:
    """Any thread may call."""

    def __init__(self, book: Book) -> None:
        self._book = book
        self._lock = threading.Lock()
        self._waiting: deque[bytes] = deque(maxlen=MOST_WAITING)

    def note(self, who: Principal | None, address: str, action: str, subject: str = "", outcome: str = "ok") -> None:
        """Write down that `who` did `action` to `subject`. Never raises: while Redis is away it is kept in this process
        and in the log. Give no secrets."""
        entry = _Written(
            at=self._now(),
            who=_clean(name_of(who)),
            address=_clean(address),
            action=_clean(action),
            subject=_clean(subject),
            outcome=_clean(outcome),
        )
        log.info(
            "audit",
            who=entry.who,
            address=entry.address,
            action=entry.action,
            subject=entry.subject,
            outcome=entry.outcome,
        )
        with self._lock:
            self._waiting.append(codec.dump(entry))
            try:
                while self._waiting:
                    self._book.append(self._waiting[0], MOST_ENTRIES)
                    self._waiting.popleft()
            except RegistryAway as error:
                log.warning("the audit is kept back until Redis answers", waiting=len(self._waiting), why=error.detail)

    def page(self, cursor: str | None, limit: int) -> AuditPage:
        """The newest entries, or those before `cursor`. Raises InvalidInput, RegistryAway."""
        if cursor is not None and not _ENTRY_ID.fullmatch(cursor):
            raise InvalidInput("cursor: give the next_cursor of the page before", field="cursor")
        found = self._read(cursor, limit + 1)
        more = len(found) > limit
        return AuditPage(entries=found[:limit], next_cursor=found[limit - 1].entry_id if more else None)

    def oldest_first(self) -> Iterator[AuditEntry]:
        """All entries that there are now. Where the pages begin is read at once, then one page at a time. Raises
        RegistryAway, also in between."""
        newest = self._read(None, PAGE)
        begins = []
        last = newest[-1].entry_id if len(newest) == PAGE else None
        while last is not None:
            begins.append(last)
            page = self._read(last, PAGE)
            last = page[-1].entry_id if len(page) == PAGE else None

        def read() -> Iterator[AuditEntry]:
            for begin in reversed(begins):
                yield from reversed(self._read(begin, PAGE))
            yield from reversed(newest)

        return read()

    def _read(self, before: str | None, limit: int) -> list[AuditEntry]:
        return [_entry(ident, text) for ident, text in self._book.entries(before, limit)]

    def _now(self) -> float:
        try:
            return self._book.now()
        except RegistryAway:
            return time.time()


def name_of(who: Principal | None) -> str:
    """How the audit calls a principal."""
    if who is None:
        return "nobody"
    return f"{who.kind} {who.name}" if who.kind in ("key", "node") else who.name


def _clean(text: str) -> str:
    """Without what would break a line, turn the writing's direction or show a password."""
    return _CONTROL.sub(" ", redact(text[: 2 * MOST_TEXT])).strip()[:MOST_TEXT]


def _entry(ident: str, text: bytes) -> AuditEntry:
    one = codec.decode(text, _Written)
    return AuditEntry(
        entry_id=ident,
        at=one.at,
        who=one.who,
        address=one.address,
        action=one.action,
        subject=one.subject,
        outcome=one.outcome,
    )
