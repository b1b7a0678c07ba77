"""Whether a node may go on with what it serves: as long as the registry is sure to let nobody else serve it."""

from __future__ import annotations

import threading
import time

# Where there is one, the clock that runs on while the machine sleeps: others do not wait for it.
_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def now() -> float:
    """Seconds of the clock by which leases run."""
    return time.clock_gettime(_CLOCK)


class Lease:
    """A node's lease. Any thread may call any method.

    It runs from the moment at which a beat was sent, and the registry's own from when that beat arrived: so the node's
    always ends first, however slow the network is.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sent_at = float("-inf")
        self._ends = float("-inf")

    @property
    def held(self) -> bool:
        return now() < self._ends

    def renew(self, sent_at: float, seconds: float) -> None:
        """A beat that was sent at `sent_at` was answered: that alone counts from now on, if it is the newest."""
        with self._lock:
            if sent_at >= self._sent_at:
                self._sent_at = sent_at
                self._ends = sent_at + seconds

    def keep(self, sent_at: float, seconds: float) -> None:
        """At `sent_at` or later nobody could give this node's work to another: a lease that is held still goes on; one
        that has ended does not come back, for somebody may have moved the work before."""
        with self._lock:
            if self._sent_at <= sent_at and now() < self._ends:
                self._sent_at = sent_at
                self._ends = max(self._ends, sent_at + seconds)

    def shorten(self, ends: float) -> None:
        """From now on the registry gives shorter leases: the present one ends then at the latest."""
        with self._lock:
            self._ends = min(self._ends, ends)
