"""Lists: one snapshot of the store for all readers, in pages, with an ETag; the last one when Redis is away."""

from __future__ import annotations

import base64
import binascii
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeVar

import msgspec

from mesh.errors import InvalidInput, RegistryAway
from registry.store import Snapshot, Store

FRESH_SECONDS = 1.0  # a snapshot without changes is kept so long: loads and frame rates move with every beat
AWAY_SECONDS = 1.0  # after a failure nobody asks again for so long: those who wait here all want to read
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class View:
    """A snapshot as a reader gets it. age: seconds since it was true for sure, when it is stale."""

    snapshot: Snapshot
    stale: bool
    age: float

    @property
    def tag(self) -> str:
        """Changes with what the lists show, but not with every beat's load."""
        return f"{self.snapshot.revision:x}{'-stale' if self.stale else ''}"


class Snapshots:
    """The newest snapshot of a store. Any thread may call any method."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._last: Snapshot | None = None
        self._read_at = 0.0
        self._away_until = 0.0

    def view(self) -> View:
        """The present snapshot, or the last one marked stale. Raises RegistryAway when there never was one."""
        with self._lock:
            if self._last is not None and time.monotonic() < self._away_until:
                return View(self._last, stale=True, age=time.monotonic() - self._read_at)
            try:
                if self._last is None or time.monotonic() - self._read_at > FRESH_SECONDS:
                    return self._renewed()
                if self._store.revision() != self._last.revision:
                    return self._renewed()
            except RegistryAway:
                if self._last is None:
                    raise
                self._away_until = time.monotonic() + AWAY_SECONDS
                return View(self._last, stale=True, age=time.monotonic() - self._read_at)
            return View(self._last, stale=False, age=0.0)

    def keep_warm(self) -> None:
        """Read again if somebody changed something, so that there is a recent one when Redis goes away."""
        try:
            self.view()
        except RegistryAway:
            return  # its readers get told; there is nothing to keep

    def _renewed(self) -> View:
        self._last = self._store.snapshot()
        self._read_at = time.monotonic()
        return View(self._last, stale=False, age=0.0)


def page(
    items: Iterable[T], order: Callable[[T], tuple[str, ...]], *, limit: int | None, cursor: str | None
) -> tuple[list[T], str | None]:
    """At most `limit` of `items` after `cursor` in their `order`, and the cursor of the next page if there is one.

    The cursor is the place of the last item: a page stays right when others come and go.
    """
    ordered = sorted(items, key=order)
    if cursor is not None:
        after = _read(cursor)
        ordered = [item for item in ordered if order(item) > after]
    if limit is None or len(ordered) <= limit:
        return ordered, None
    return ordered[:limit], _written(order(ordered[limit - 1]))


def _written(place: tuple[str, ...]) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode(place)).decode().rstrip("=")


def _read(cursor: str) -> tuple[str, ...]:
    try:
        return msgspec.json.decode(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)), type=tuple[str, ...])
    except (binascii.Error, ValueError, msgspec.MsgspecError):
        raise InvalidInput("cursor: not one that this registry gave; begin without a cursor", field="cursor") from None
