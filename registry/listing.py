"""Lists: served from the mirror of the store, in pages, with an ETag; as they were when Redis is away."""

from __future__ import annotations

import base64
import binascii
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

import msgspec

from mesh.errors import InvalidInput, RegistryAway
from registry.mirror import Mirror
from registry.store import Snapshot, Store

AWAY_SECONDS = 1.0  # after a failure nobody asks again for so long: those who wait here all want to read
KEPT_BYTES = 64 * 1024 * 1024  # of lists that were built, until something changes: a few of 10,000 nodes
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class View:
    """A snapshot as a reader gets it. age: seconds since it was true for sure, when it is stale. moment: changes with
    what moves without a change of `tag`."""

    snapshot: Snapshot
    stale: bool
    age: float
    moment: float = 0.0

    @property
    def tag(self) -> str:
        """Changes with what the lists show, but not with every beat's load."""
        return f"{self.snapshot.revision:x}{'-stale' if self.stale else ''}"


class Snapshots:
    """What readers get to see of a store: never less than what was so when they asked, unless the store is away. Any
    thread may call any method."""

    def __init__(self, store: Store, mirror: Mirror) -> None:
        self.mirror = mirror
        self._revision = _Shared(store.revision)
        self._away_until = 0.0
        self._lock = threading.Lock()
        self._bodies: dict[str, tuple[tuple[int, float], bytes]] = {}  # by question, with what they are true for

    def view(self) -> View:
        """The present snapshot, or the last one marked stale. Raises RegistryAway when there never was one."""
        mirror = self.mirror
        if mirror.revision is not None and time.monotonic() < self._away_until:
            return self._stale()
        try:
            before = mirror.revision
            mirror.reach(self._revision.read(), before)
        except RegistryAway:
            if mirror.revision is None:
                raise
            self._away_until = time.monotonic() + AWAY_SECONDS
            return self._stale()
        return View(mirror.snapshot(), stale=False, age=0.0)

    def current(self, view: View, oldest: float | None = None) -> View:
        """`view` with loads, times, frame rates and counts that are at most `oldest` seconds old; about a second while
        others read, too, and three in any case when None."""
        moment = self.mirror.refresh(oldest)
        return View(self.mirror.snapshot(), view.stale, view.age, moment)

    def body(self, view: View, question: str, build: Callable[[], bytes]) -> bytes:
        """What `build` gives for a `question` about `view`, built once until something changes."""
        if view.stale:
            return build()  # it says how old it is
        key = (view.snapshot.revision, view.moment)
        with self._lock:
            known, body = self._bodies.get(question, (None, b""))
            if known != key:
                body = build()
                self._bodies.pop(question, None)
                if sum(len(other) for _, other in self._bodies.values()) + len(body) > KEPT_BYTES:
                    self._bodies.clear()
                self._bodies[question] = key, body
            return body

    def keep_warm(self) -> None:
        """Look whether the store is there, so that its absence is known before somebody reads."""
        try:
            self.view()
        except RegistryAway:
            return  # its readers get told; there is nothing to keep

    def _stale(self) -> View:
        return View(self.mirror.snapshot(), stale=True, age=self.mirror.age)


class _Shared(Generic[T]):
    """A read that one caller makes for all who wait: each gets an answer that was asked for after it came."""

    def __init__(self, read: Callable[[], T]) -> None:
        self._read = read
        self._changed = threading.Condition()
        self._begun = self._done = 0  # readings
        self._outcome: tuple[T | None, RegistryAway | None] = (None, None)

    def read(self) -> T:
        with self._changed:
            wanted = self._begun + 1
            self._changed.wait_for(lambda: self._done >= wanted or self._done == self._begun)
            if self._done >= wanted:
                return self._told()
            self._begun = wanted
        outcome: tuple[T | None, RegistryAway | None] = (None, None)
        try:
            outcome = self._read(), None
        except RegistryAway as error:
            outcome = None, error
        finally:
            with self._changed:
                self._outcome, self._done = outcome, wanted
                self._changed.notify_all()
        with self._changed:
            return self._told()

    def _told(self) -> T:
        value, error = self._outcome
        if error is not None or value is None:
            raise RegistryAway(error.detail if error else "the registry's Redis was not read", retry_after=1) from error
        return value


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
