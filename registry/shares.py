"""How many of the running sessions one person or API key made: nobody takes every slot of a mesh by mistake.

Each registry process counts those that were made through it, and forgets them with its end.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from mesh.access import Principal
from mesh.errors import TooMany
from mesh.limits import MAX_SESSIONS_PER_PRINCIPAL

NEW_SECONDS: Final = 10.0  # for which a session counts that the lists do not have yet


class Shares:
    """Any thread may call any method. runs: whether the session with this id goes on; None when the lists do not
    have it."""

    def __init__(self, runs: Callable[[str], bool | None], most: int = MAX_SESSIONS_PER_PRINCIPAL) -> None:
        self._runs = runs
        self._most = most
        self._lock = threading.Lock()
        self._made: dict[str, dict[str, float]] = {}  # by maker: sessions, and monotonic seconds when each was made
        self._begun: dict[str, int] = {}  # by maker: those that are being made now

    @contextmanager
    def take(self, maker: Principal | None) -> Iterator[Callable[[str], None]]:
        """While the context is open, one more session is made; the function that it gives hears which. Raises TooMany
        when the maker has too many."""
        who = _name(maker)
        if who is None:
            yield lambda _session_id: None
            return
        with self._lock:
            if self._count(who) + self._begun.get(who, 0) >= self._most:
                raise TooMany(
                    f"{maker.name if maker else who} has {self._most} sessions running, and can have no more"
                    " (MAX_SESSIONS_PER_PRINCIPAL): end some first",
                    limit="MAX_SESSIONS_PER_PRINCIPAL",
                    retry_after=10,
                )
            self._begun[who] = self._begun.get(who, 0) + 1
        try:
            yield lambda session_id: self._note(who, session_id)
        finally:
            with self._lock:
                self._begun[who] -= 1
                if not self._begun[who]:
                    del self._begun[who]

    def _note(self, who: str, session_id: str) -> None:
        with self._lock:
            self._made.setdefault(who, {})[session_id] = time.monotonic()

    def _count(self, who: str) -> int:
        """Inside the lock."""
        made = self._made.get(who, {})
        old = time.monotonic() - NEW_SECONDS
        for session_id, at in list(made.items()):
            runs = self._runs(session_id)
            if runs is False or (runs is None and at < old):
                del made[session_id]
        return len(made)


def _name(maker: Principal | None) -> str | None:
    """By what a maker is told apart: a person has one share, however often they are signed in. None for who has no
    share."""
    if maker is None or maker.kind not in ("person", "key"):
        return None
    return f"person {maker.name}" if maker.kind == "person" else f"key {maker.id}"
