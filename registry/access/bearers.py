"""Whose a bearer is: a person's sign-in or an API key."""

from __future__ import annotations

import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from mesh.access import Principal, Role
from mesh.errors import RegistryAway, Unauthorized
from registry.access import api_keys, sign_ins
from registry.access.api_keys import ApiKeys
from registry.access.people import People

FRESH_SECONDS: Final = 5.0  # for which an answer is good: what another replica ended counts here that late
AWAY_SECONDS: Final = 300.0  # for which an answer still counts while Redis is away
MOST: Final = 10_000  # answers that are remembered


@dataclass(frozen=True, slots=True)
class Found:
    """role: of a person. expires_at: Unix seconds. behind: of a person who signed in at a dashboard, its address and
    the browser's."""

    principal: Principal
    role: Role | None
    expires_at: float | None
    behind: tuple[str, str] | None = None

    def address(self, seen: str) -> str:
        """From where a request comes that was `seen` from there: the dashboard asks for people at their browsers."""
        return self.behind[1] if self.behind is not None and self.behind[0] == seen else seen


@dataclass(frozen=True, slots=True)
class _Answer:
    """at, ends: when it was given and when it expires: monotonic seconds."""

    found: Found
    at: float
    ends: float


class Bearers:
    """Remembers answers, by the hash of what was shown. Any thread may call. clock: monotonic seconds."""

    def __init__(self, people: People, keys: ApiKeys, clock: Callable[[], float] = time.monotonic) -> None:
        self._people = people
        self._keys = keys
        self._clock = clock
        self._lock = threading.Lock()
        self._known: OrderedDict[str, _Answer] = OrderedDict()
        self._changes = 0
        people.listen(self.forget)
        keys.listen(self.forget)

    def find(self, secret: str, address: str) -> Found:
        """Raises Unauthorized; RegistryAway when nobody can tell."""
        ident = sign_ins.hash_of(secret)
        now, changes = self._clock(), self._changes
        known = self._known.get(ident)
        if known is not None and now < min(known.at + FRESH_SECONDS, known.ends):
            return known.found
        try:
            found = self._look(secret, ident, address)
            ends = math.inf if found.expires_at is None else now + found.expires_at - self._people.now()
        except RegistryAway:
            if known is not None and now < min(known.at + AWAY_SECONDS, known.ends):
                return known.found
            raise
        except Unauthorized:
            with self._lock:
                self._known.pop(ident, None)
            raise
        with self._lock:
            if changes == self._changes:  # else it may have been read before what was changed
                self._known[ident] = _Answer(found, now, ends)
                self._known.move_to_end(ident)
                while len(self._known) > MOST:
                    self._known.popitem(last=False)
        return found

    def forget(self) -> None:
        """Somebody's rights have changed here."""
        with self._lock:
            self._changes += 1
            self._known.clear()

    def _look(self, secret: str, ident: str, address: str) -> Found:
        try:
            if secret.startswith(api_keys.PREFIX):
                principal, expires_at = self._keys.find(secret, address)
                found = Found(principal, None, expires_at)
            elif secret.startswith(sign_ins.PREFIX):
                principal, role, sign_in = self._people.find(ident)
                behind = (sign_in.via, sign_in.address) if sign_in.via else None
                found = Found(principal, role, sign_in.expires_at, behind)
            else:
                raise Unauthorized(
                    "this is neither an API key (fgk_…) nor a sign-in: give a key, or sign in at the dashboard",
                    reason="wrong",
                )
        except Unauthorized:
            self._people.require_book()
            raise
        return found
