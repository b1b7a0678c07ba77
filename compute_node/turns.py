"""Fair turns: as many frames at work at once as the machine does well, in the order in which they asked."""

from __future__ import annotations

import threading
import time
from collections import deque
from types import TracebackType

HUNG = 10.0  # seconds after which somebody's turn is over for the others: an algorithm that hangs must not stop them
_LOOK = 1.0  # seconds between two looks for such a turn, by those who wait


class Turn:
    """One stay in the queue and at work. `with turns.take() as turn`; `waited`: seconds until the turn came."""

    def __init__(self, turns: Turns) -> None:
        self._turns = turns
        self.waited = 0.0
        self.since = 0.0  # monotonic seconds when the turn came
        self.came = threading.Lock()  # held until it does
        self.came.acquire()

    def __enter__(self) -> Turn:
        asked = time.monotonic()
        self._turns.ask(self)
        while not self.came.acquire(timeout=_LOOK):
            self._turns.look()
        self.waited = time.monotonic() - asked
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._turns.end(self)


class Turns:
    """Any thread may call any method. most: turns at once.

    The camera that asked first is served first, so under overload each gets as many frames as the others. Whoever gets
    a turn takes the newest frame then: what became old meanwhile is dropped before any work went into it.
    """

    def __init__(self, most: int) -> None:
        self.most = max(1, most)
        self._lock = threading.Lock()
        self._waiting: deque[Turn] = deque()
        self._at_work: set[Turn] = set()

    def take(self) -> Turn:
        return Turn(self)

    def ask(self, turn: Turn) -> None:
        """Join the queue; for `Turn`."""
        with self._lock:
            self._waiting.append(turn)
            self._admit()

    def end(self, turn: Turn) -> None:
        """Leave; for `Turn`."""
        with self._lock:
            self._at_work.discard(turn)
            self._admit()

    def look(self) -> None:
        """Pass over turns that hang; for `Turn`."""
        with self._lock:
            before = time.monotonic() - HUNG
            self._at_work = {turn for turn in self._at_work if turn.since > before}
            self._admit()

    def _admit(self) -> None:
        while self._waiting and len(self._at_work) < self.most:
            turn = self._waiting.popleft()
            turn.since = time.monotonic()
            self._at_work.add(turn)
            turn.came.release()
