"""How often something happens, and how long it takes: over the last few seconds or times."""

from __future__ import annotations

import time
from collections import deque

from mesh.wire import Times

WINDOW = 3.0  # seconds: long enough to be steady, short enough to show a change
FEWEST = 3  # ticks that are looked at even when the window holds fewer: a source of one frame in ten seconds has a rate
MISSED = 2.5  # of its own intervals after which a source slower than the window has stopped


class Rate:
    """Counts ticks and tells how many there were a second lately. One thread ticks, any may read."""

    def __init__(self) -> None:
        self._ticks: deque[float] = deque(maxlen=1024)

    def tick(self) -> None:
        self._ticks.append(time.monotonic())

    @property
    def per_second(self) -> float:
        """Ticks a second over the last three seconds, or over the last three ticks where those took longer; 0 when
        there were fewer than two, or once they have stopped."""
        now = time.monotonic()
        ticks = self._ticks.copy()
        recent = [tick for tick in ticks if now - tick <= WINDOW]
        if len(recent) < FEWEST:
            recent = list(ticks)[-FEWEST:]
        if len(recent) < 2:
            return 0.0
        between = (recent[-1] - recent[0]) / (len(recent) - 1)
        if now - recent[-1] > max(WINDOW, MISSED * between):
            return 0.0
        # Between ticks, unless they have stopped: then the silence counts too.
        span = max(recent[-1] - recent[0], now - recent[0] - 2 * between)
        return round((len(recent) - 1) / span, 2) if span > 0 else 0.0


class Recent:
    """The last so many durations of one thing. Any thread may call."""

    def __init__(self, most: int = 256) -> None:
        self._seconds: deque[float] = deque(maxlen=most)

    def add(self, seconds: float) -> None:
        self._seconds.append(seconds)

    def times(self) -> Times | None:
        """Their mean and percentiles in milliseconds; None before the first."""
        ordered = sorted(self._seconds.copy())
        if not ordered:
            return None

        def at(share: float) -> float:
            return round(ordered[round((len(ordered) - 1) * share)] * 1000, 2)

        return Times(count=len(ordered), mean=round(sum(ordered) / len(ordered) * 1000, 2), p50=at(0.5), p99=at(0.99))
