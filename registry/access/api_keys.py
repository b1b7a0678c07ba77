"""API keys: for programs, other services and the command line."""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Callable
from contextlib import suppress
from typing import Final

import msgspec

from mesh import codec
from mesh.access import ALL_SCOPES, SCOPES, Principal, Scope
from mesh.access_wire import ApiKey, KeyRequest, NewKey
from mesh.errors import Conflict, NotFound, RegistryAway, Unauthorized
from registry.access.audit import Asker, Audit
from registry.access.book import Book
from registry.access.sign_ins import hash_of

PREFIX: Final = "fgk_"
MOST: Final = 500
USED_SECONDS: Final = 60.0  # between two notes that a key is used


class KeyRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One key as the book keeps it. hash: SHA-256 of its secret. machine: of which registry's own it is. metrics: it
    has that scope, which does not stand in `scopes`: a registry of version 0.1 on the same Redis could not read it."""

    name: str
    scopes: list[Scope]
    hash: str
    created_at: float
    created_by: str
    expires_at: float | None = None
    last_used: float | None = None
    last_address: str | None = None
    machine: str | None = None
    metrics: bool = False

    @property
    def granted(self) -> list[Scope]:
        return [*self.scopes, "metrics"] if self.metrics else self.scopes


class ApiKeys:
    """Any thread may call any method; all of them raise RegistryAway.

    revoke: called with the principal's id of each key that is removed.
    """

    def __init__(self, book: Book, audit: Audit, revoke: Callable[[str], None]) -> None:
        self._book = book
        self._audit = audit
        self._revoke = revoke
        self._listeners: list[Callable[[], None]] = []

    def listen(self, changed: Callable[[], None]) -> None:
        """`changed` is called when a key was removed here."""
        self._listeners.append(changed)

    def all(self) -> list[ApiKey]:
        """By name."""
        records = {key_id: codec.decode(text, KeyRecord) for key_id, text in self._book.all("key").items()}
        return sorted((_shown(*item) for item in records.items()), key=lambda key: (key.name.lower(), key.created_at))

    def make(self, wish: KeyRequest, by: Asker, machine: str | None = None) -> NewKey:
        """A new key, with its secret. Raises Conflict when there are too many."""
        if len(self._book.all("key")) >= MOST:
            raise Conflict(f"there are {MOST} API keys, which is the most: remove some that are not used")
        now = self._book.now()
        key_id, secret = secrets.token_hex(6), secrets.token_urlsafe(32)
        record = KeyRecord(
            name=wish.name,
            scopes=[scope for scope in SCOPES if scope in wish.scopes and scope != "metrics"],
            metrics="metrics" in wish.scopes,
            hash=hash_of(secret),
            created_at=now,
            created_by=by.name,
            expires_at=None if wish.expires_in is None else now + wish.expires_in,
            machine=machine,
        )
        self._book.put("key", key_id, codec.dump(record), revision=0, seconds=wish.expires_in)
        self._audit.note(by.who, by.address, "key made", wish.name)
        return NewKey(key=_shown(key_id, record), secret=f"{PREFIX}{key_id}_{secret}")

    def remove(self, key_id: str, by: Asker) -> None:
        """Raises NotFound."""
        found = self._book.get("key", key_id)
        if found is None:
            raise NotFound(f"there is no API key {key_id!r}: it was removed, has expired or never was")
        self.drop(key_id)
        self._audit.note(by.who, by.address, "key removed", codec.decode(found[0], KeyRecord).name)

    def drop(self, key_id: str) -> None:
        """Let it be good for nothing: what it has opened ends. First that, so that a try that fails half-way can be
        made again."""
        self._revoke(f"k:{key_id}")
        self._book.remove("key", key_id)
        for changed in self._listeners:
            changed()

    def of_machines(self) -> dict[str, str]:
        """The keys that registries made for themselves: the machine by the key's id."""
        records = {key_id: codec.decode(text, KeyRecord) for key_id, text in self._book.all("key").items()}
        return {key_id: record.machine for key_id, record in records.items() if record.machine is not None}

    def find(self, shown: str, address: str) -> tuple[Principal, float | None]:
        """Whose key `shown` is, and when it ends. Raises Unauthorized."""
        key_id, _, secret = shown.removeprefix(PREFIX).partition("_")
        found = self._book.get("key", key_id) if secret else None
        record = codec.decode(found[0], KeyRecord) if found else None
        if record is None or found is None or not hmac.compare_digest(record.hash, hash_of(secret)):
            raise Unauthorized(
                "this API key was removed, has expired or never was: make one with `fogline key create`", reason="wrong"
            )
        now = self._book.now()
        if record.expires_at is not None and record.expires_at <= now:
            raise Unauthorized("this API key has expired: make a new one with `fogline key create`", reason="expired")
        if record.last_used is None or now - record.last_used >= USED_SECONDS:
            self._note_use(key_id, record, found[1], address, now)
        scopes = ALL_SCOPES if "admin" in record.scopes else frozenset(record.granted)
        return Principal("key", id=f"k:{key_id}", name=record.name, scopes=scopes), record.expires_at

    def _note_use(self, key_id: str, record: KeyRecord, revision: int, address: str, now: float) -> None:
        used = msgspec.structs.replace(record, last_used=now, last_address=address)
        left = None if record.expires_at is None else record.expires_at - now
        with suppress(RegistryAway):  # it answers but takes no writes: the key is as good as before
            # Only over what was read: a key that was removed meanwhile must not come back.
            self._book.put("key", key_id, codec.dump(used), revision=revision, seconds=left)


def _shown(key_id: str, record: KeyRecord) -> ApiKey:
    return ApiKey(
        key_id=key_id,
        name=record.name,
        scopes=record.granted,
        created_at=record.created_at,
        created_by=record.created_by,
        expires_at=record.expires_at,
        last_used=record.last_used,
        last_address=record.last_address,
    )
