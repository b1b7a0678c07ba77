"""The registry's signing keys: one signs, those before it are trusted until all that they signed is out of date.

They stand in one document of the book, so that all replicas share them and each change of them is one write.
"""

from __future__ import annotations

from typing import Final

import msgspec

from mesh.errors import Conflict
from mesh.keys import Key
from registry.access.book import Book

CERTIFICATE_SECONDS: Final = 86_400.0  # that a node's certificate is good for
TRUSTED_SECONDS: Final = CERTIFICATE_SECONDS + 3600  # after it signs no more: what it signed last, and clocks differ
IDENT: Final = "keys"  # of the document, among those of the kind "signer"
TRIES: Final = 20  # of a change that another replica's comes before


class Signer(msgspec.Struct, frozen=True, kw_only=True):
    """private: None once it signs no more. retired_at: Unix seconds, None for the one that signs."""

    public: str
    private: str | None
    made_at: float
    retired_at: float | None = None


class Signers(msgspec.Struct, frozen=True, kw_only=True):
    """Those that are trusted, the one that signs first."""

    keys: list[Signer]

    @property
    def signing(self) -> Key:
        assert self.keys[0].private is not None
        return Key.parse(self.keys[0].private)


def read(document: bytes) -> Signers:
    return msgspec.json.decode(document, type=Signers)


def write(signers: Signers) -> bytes:
    return msgspec.json.encode(signers)


def ensure(book: Book, now: float, known: Signers | None = None) -> Signers:
    """Those of the book; where it has none, a first one is put in. known: those that this replica had from it: what of
    them the book has lost in a wipe is put back. Of several replicas that do so at once all get the same."""
    for _ in range(TRIES):
        found = book.get("signer", IDENT)
        document, revision = found or (None, 0)
        held = read(document) if document is not None else known or Signers(keys=[_new(now)])
        ensured = Signers(keys=[*held.keys, *_lost(held, known, now)]) if known else held
        if document is not None and len(ensured.keys) == len(held.keys):
            return held
        if book.put("signer", IDENT, write(ensured), revision=revision):
            return ensured
    raise _busy()


def _lost(held: Signers, known: Signers, now: float) -> list[Signer]:
    """What of `known` is missing in `held`, though it is to be trusted. Another one signs now."""
    there = {one.public for one in held.keys}
    return [
        msgspec.structs.replace(one, private=None, retired_at=one.retired_at or now)
        for one in known.keys
        if one.public not in there and is_trusted(one, now)
    ]


def rotate(book: Book, now: float) -> Signers:
    """Let a new one sign from now on. The one before it is trusted for TRUSTED_SECONDS more."""
    for _ in range(TRIES):
        ensure(book, now)
        found = book.get("signer", IDENT)
        if found is None:
            continue  # the book was wiped this moment
        document, revision = found
        old = [
            one if one.retired_at is not None else msgspec.structs.replace(one, private=None, retired_at=now)
            for one in read(document).keys
        ]
        rotated = Signers(keys=[_new(now), *(one for one in old if is_trusted(one, now))])
        if book.put("signer", IDENT, write(rotated), revision=revision):
            return rotated
    raise _busy()


def is_trusted(signer: Signer, now: float) -> bool:
    return signer.retired_at is None or now < signer.retired_at + TRUSTED_SECONDS


def _new(now: float) -> Signer:
    key = Key.new()
    return Signer(public=key.public, private=key.secret(), made_at=now)


def _busy() -> Conflict:
    return Conflict("others change the signing keys at the same moment; try again")
