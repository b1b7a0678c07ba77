"""People's sign-ins: kept at the registry, each by the hash of its bearer, which only the person's browser has."""

from __future__ import annotations

import hashlib
import secrets
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from typing import Final

import msgspec

from mesh import codec
from mesh.errors import RegistryAway
from registry.access.book import Book

PREFIX: Final = "fgs_"
IDLE_SECONDS: Final = 12 * 3600.0  # without a call, after which a sign-in ends: a shift
LONGEST_SECONDS: Final = 7 * 86_400.0  # after which everybody signs in again
MOST: Final = 20  # of one person; a further one ends the oldest
TOUCH_SECONDS: Final = 60.0  # between two notes that a sign-in is used


class SignIn(msgspec.Struct, frozen=True, kw_only=True):
    """One sign-in. user: the person's id in the book; era: the person's at that time, it ends with that. address: from
    where; via: the address of the dashboard that said so, empty for none. Times are Unix seconds."""

    user: str
    era: str
    created_at: float
    used_at: float
    address: str
    via: str = ""

    @property
    def expires_at(self) -> float:
        """When it ends unless it is used again before."""
        return min(self.used_at + IDLE_SECONDS, self.created_at + LONGEST_SECONDS)


class SignIns:
    """Any thread may call any method; all of them raise RegistryAway.

    An id is the hash of a bearer. revoke: called with the principal's id of each sign-in that is ended.
    """

    def __init__(self, book: Book, revoke: Callable[[str], None]) -> None:
        self._book = book
        self._revoke = revoke

    def begin(self, user: str, era: str, address: str, via: str = "") -> tuple[str, SignIn]:
        """A new sign-in with its bearer, which is told once."""
        now = self._book.now()
        mine = sorted(self._of(user).items(), key=lambda item: item[1].created_at)
        for ident, _old in mine[: max(0, len(mine) - MOST + 1)]:
            self.end(ident)
        bearer = PREFIX + secrets.token_urlsafe(32)
        one = SignIn(user=user, era=era, created_at=now, used_at=now, address=address, via=via)
        self._book.put("sign-in", hash_of(bearer), codec.dump(one), revision=0, seconds=one.expires_at - now)
        return bearer, one

    def find(self, ident: str) -> SignIn | None:
        """The sign-in, which is noted as used."""
        found = self._book.get("sign-in", ident)
        if found is None:
            return None
        one, revision = codec.decode(found[0], SignIn), found[1]
        now = self._book.now()
        if now - one.used_at >= TOUCH_SECONDS:
            one = msgspec.structs.replace(one, used_at=now)
            left = one.expires_at - now
            if left <= 0:
                return None
            with suppress(RegistryAway):  # it answers but takes no writes: the sign-in is as good as before
                self._book.put("sign-in", ident, codec.dump(one), revision=revision, seconds=left)
        return one

    def renew(self, ident: str, era: str) -> None:
        """It goes on into the person's new era."""
        found = self._book.get("sign-in", ident)
        if found is not None:
            one = msgspec.structs.replace(codec.decode(found[0], SignIn), era=era)
            left = one.expires_at - self._book.now()
            if left > 0:
                self._book.put("sign-in", ident, codec.dump(one), seconds=left)

    def end(self, ident: str) -> None:
        """First what it has opened, so that a try that fails half-way can be made again."""
        self._revoke(principal_of(ident))
        self._book.remove("sign-in", ident)

    def end_all(self, user: str, keep: str | None = None) -> int:
        """End those of a person but `keep`; how many those were."""
        others = [ident for ident in self._of(user) if ident != keep]
        for ident in others:
            self.end(ident)
        return len(others)

    def counts(self) -> Counter[str]:
        """How many sign-ins each person has."""
        return Counter(codec.decode(text, SignIn).user for text in self._book.all("sign-in").values())

    def _of(self, user: str) -> dict[str, SignIn]:
        every = {ident: codec.decode(text, SignIn) for ident, text in self._book.all("sign-in").items()}
        return {ident: one for ident, one in every.items() if one.user == user}


def hash_of(secret: str) -> str:
    """How a secret of 256 random bits is kept: no slow hash is needed for those."""
    return hashlib.sha256(secret.encode(errors="replace")).hexdigest()


def principal_of(ident: str) -> str:
    """The principal's id of a sign-in."""
    return f"s:{ident[:16]}"
