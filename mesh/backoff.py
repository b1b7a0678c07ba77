"""Waiting longer after each failure, and never in step with others."""

from __future__ import annotations

import random

FIRST = 0.5  # seconds before the first retry: a restart of a peer takes about as long
CEILING = 15.0  # seconds: a cable that is plugged in again is noticed within this time


class Backoff:
    """Delays that double from `first` to `ceiling` seconds, each drawn between half and the whole of its value.

    The jitter keeps a hundred nodes from knocking at once on a registry that comes back. Not shared between threads.
    """

    def __init__(self, first: float = FIRST, ceiling: float = CEILING) -> None:
        self._first = first
        self._ceiling = ceiling
        self._next = first

    def delay(self) -> float:
        """Seconds to wait before the next try."""
        value = self._next
        self._next = min(self._ceiling, value * 2)
        return random.uniform(value / 2, value)

    def reset(self) -> None:
        """Start from the first delay again, after a success."""
        self._next = self._first
