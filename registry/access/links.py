"""One-time links: with one a person chooses a password."""

from __future__ import annotations

import secrets
from typing import Final

import msgspec

from mesh import codec
from registry.access.book import Book
from registry.access.sign_ins import hash_of

PREFIX: Final = "fgl_"
SECONDS: Final = 24 * 3600.0  # within which one is used
FIRST: Final = ""  # instead of a person's id: whoever has the link becomes the first admin


class LinkRecord(msgspec.Struct, frozen=True, kw_only=True):
    """user: the person's id in the book, FIRST for the first start's. uid: of that very person, should another get the
    name. expires_at: Unix seconds."""

    user: str
    uid: str = ""
    expires_at: float | None = None


class Links:
    """Any thread may call any method; all of them raise RegistryAway."""

    def __init__(self, book: Book) -> None:
        self._book = book

    def make(self, user: str, uid: str) -> tuple[str, float]:
        """A new link's token, and when it ends. The person's earlier ones are good for nothing then."""
        self.drop(user)
        expires_at = self._book.now() + SECONDS
        return self._keep(LinkRecord(user=user, uid=uid, expires_at=expires_at), SECONDS), expires_at

    def make_first(self) -> str:
        """The token with which the first admin is made: good until there is one."""
        return self._keep(LinkRecord(user=FIRST), None)

    def find(self, token: str) -> LinkRecord | None:
        found = self._book.get("link", hash_of(token))
        return codec.decode(found[0], LinkRecord) if found else None

    def take(self, token: str) -> bool:
        """Use it up; of several who do so at once one is told True."""
        return self._book.remove("link", hash_of(token))

    def drop(self, user: str) -> None:
        """The links of this person are good for nothing any more."""
        for ident, text in self._book.all("link").items():
            if codec.decode(text, LinkRecord).user == user:
                self._book.remove("link", ident)

    def pending(self) -> set[str]:
        """Ids of the people who have one."""
        return {codec.decode(text, LinkRecord).user for text in self._book.all("link").values()}

    def _keep(self, record: LinkRecord, seconds: float | None) -> str:
        token = PREFIX + secrets.token_urlsafe(32)
        self._book.put("link", hash_of(token), codec.dump(record), revision=0, seconds=seconds)
        return token
