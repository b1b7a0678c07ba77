"""Something wrong that is logged once, until it is over."""

from __future__ import annotations

from typing import Any

from mesh.logs import logger

log = logger(__name__)


class Trouble:
    """One thread calls the methods. words: for the log, when it begins."""

    def __init__(self, words: str) -> None:
        self._words = words
        self._on = False

    def begins(self, **facts: Any) -> None:
        if not self._on:
            self._on = True
            log.warning(self._words, **facts)

    def ends(self) -> None:
        self._on = False
