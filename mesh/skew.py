"""How far this machine's clock is ahead of the registry's, by the stamps of the registry's answers."""

from __future__ import annotations

from collections import deque

KEPT = 8  # answers that are compared: a slow one says little, and of so many one was quick
WANDER = 0.005  # seconds by which two clocks may part between two answers: a cheap quartz does so in a minute or two


class Skew:
    """One thread tells what it `heard`; any may ask.

    An answer was stamped between the sending of the question and its own arrival. Those two are taken from a clock that
    nobody sets (`mesh.lease.now`), so what is known of the registry's clock stays true when this machine's is set; and
    when the registry's is set, the next answer contradicts the ones before, which are forgotten.
    """

    def __init__(self) -> None:
        # By how many seconds the registry's clock was ahead of the one that nobody sets: at least, at most.
        self._known: deque[tuple[float, float]] = deque(maxlen=KEPT)
        self._best: tuple[float, float] | None = None

    def heard(self, stamp: float | None, sent_at: float, received_at: float) -> None:
        """An answer came with the registry's time (Unix seconds), if it says it. sent_at, received_at: when, in seconds
        of the clock that nobody sets."""
        if stamp is None:
            return
        least, most = stamp - received_at, stamp - sent_at
        if self._best is not None and (least > self._best[1] + WANDER or most < self._best[0] - WANDER):
            self._known.clear()
        self._known.append((least, most))
        self._best = min(self._known, key=lambda bounds: bounds[1] - bounds[0])

    def ahead(self, wall: float, steady: float) -> float | None:
        """Seconds by which this machine's clock is ahead, to the millisecond; negative: behind; None: not known yet.
        wall, steady: the time now by this machine's clock (Unix seconds), and by the one that nobody sets."""
        if self._best is None:
            return None
        least, most = self._best
        return round(wall - (steady + (least + most) / 2), 3)
