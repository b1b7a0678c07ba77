"""Giving pictures at a steady rate."""

from __future__ import annotations

import time


class Pace:
    """Lets its caller go on `fps` times a second. One thread."""

    def __init__(self, fps: float) -> None:
        self.period = 1.0 / fps
        self._due: float | None = None

    def wait(self) -> int:
        """Sleep until the next picture is due. Returns how many were due before it and are late by a whole period:
        a caller that fell behind passes over so many instead of hurrying after them."""
        now = time.monotonic()
        if self._due is None:
            self._due = now
        late = int(max(0.0, now - self._due) / self.period)
        self._due += late * self.period
        if self._due > now:
            time.sleep(self._due - now)
        self._due += self.period
        return late
