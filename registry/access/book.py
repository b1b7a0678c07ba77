"""Where accounts, keys and trust are kept: small documents by kind and id, and a few counters.

`registry.access.redis_book` keeps them in Redis for all replicas, `registry.access.memory_book` in this process. All
rules stand above it, once. Every call may raise RegistryAway.
"""

from __future__ import annotations

from typing import Literal, Protocol

Kind = Literal["user", "sign-in", "key", "link", "join", "node", "signer", "mesh", "place"]


class Book(Protocol):
    """Any thread may call any method.

    A document is JSON bytes with a revision, which grows with every change of it. seconds: after which a document or
    counter is forgotten by itself; None for never.
    """

    def get(self, kind: Kind, ident: str) -> tuple[bytes, int] | None:
        """The document and its revision."""
        ...

    def all(self, kind: Kind) -> dict[str, bytes]:
        """All documents of a kind, by id."""
        ...

    def put(
        self, kind: Kind, ident: str, document: bytes, *, revision: int | None = None, seconds: float | None = None
    ) -> bool:
        """Write a document. revision: only over this one (0: only a new one); None for whatever there is. Whether it
        was written."""
        ...

    def remove(self, kind: Kind, ident: str) -> bool:
        """Whether it was there. Of several who remove it at once one is told so: a link is used once."""
        ...

    def version(self, kind: Kind) -> int:
        """Grows with every `put` and `remove` of this kind; 0 in an empty book."""
        ...

    def count(self, name: str, seconds: float, by: int = 1) -> int:
        """Add to a counter and return its value; it is forgotten `seconds` after it began. by: 0 only reads."""
        ...

    def forget(self, name: str) -> None:
        """Begin this counter anew."""
        ...

    def first(self, name: str, seconds: float) -> bool:
        """Whether nobody has said this name within the last `seconds`: a nonce is used once."""
        ...

    def append(self, entry: bytes, most: int) -> str:
        """Add an entry to the audit, which keeps the newest `most`; returns its id, which sorts by time."""
        ...

    def entries(self, before: str | None, limit: int) -> list[tuple[str, bytes]]:
        """Audit entries with their ids, newest first, those before the id `before`."""
        ...

    def now(self) -> float:
        """Unix seconds of the store's clock."""
        ...
