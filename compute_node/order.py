"""The order of one camera's frames: an older one is never taken for new, and a restarted camera is believed."""

from __future__ import annotations

from mesh.frame import Stamps

BELIEVED = 2.0  # seconds for which a camera must send nothing but old frames until its new count is taken for good: it
#                 has restarted, and its clock was set back


class Order:
    """Numbers frames so that the numbers only go up. One thread.

    A camera counts its frames and stamps them. It counts from 0 again when it restarts, but its clock goes on; a frame
    whose number and stamp both have not grown is an old one, sent again. A camera without stamps is taken by its word.
    """

    def __init__(self) -> None:
        self._number = 0  # ours, of the newest frame
        self._base = 0  # ours less the camera's, since it started
        self._newest: tuple[int, float] | None = None  # the camera's number and stamp of the newest frame
        self._old_since: float | None = None
        self._old: tuple[int, float] | None = None

    def number(self, stamps: Stamps, now: float) -> int | None:
        """The number of a frame with `stamps` that has come at `now` (monotonic seconds); None when it is old."""
        if stamps.sequence is None or stamps.captured_at is None:
            self._number += 1
            return self._number
        came = (stamps.sequence, stamps.captured_at)
        newest = self._newest
        if newest is not None and came[0] <= newest[0]:
            if came[1] <= newest[1] and not self._restarted(came, now):
                return None
            self._base = self._number + 1 - came[0]  # it counts anew
        self._old_since = self._old = None
        self._newest = came
        self._number = max(self._number + 1, self._base + came[0])
        return self._number

    def _restarted(self, came: tuple[int, float], now: float) -> bool:
        """Whether old frames have come in an order of their own for so long that it must be the camera's new one."""
        in_order = self._old is not None and came > self._old
        if self._old_since is None or not in_order:
            self._old_since = now
        self._old = came
        return now - self._old_since >= BELIEVED
