"""One thread that waits for thousands of sockets and timers."""

from __future__ import annotations

import heapq
import itertools
import selectors
import socket
import time
from collections.abc import Callable
from typing import IO

READ = selectors.EVENT_READ
WRITE = selectors.EVENT_WRITE
IDLE_SECONDS = 0.5  # the longest wait when nothing is due


class Loop:
    """Calls back when a socket is ready or a time has come. Everything happens in the thread that calls `run`."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._timers: list[tuple[float, int, Callable[[], object]]] = []
        self._order = itertools.count()  # of timers for the same moment
        self._ended = False

    def watch(self, source: socket.socket | IO[bytes], events: int, ready: Callable[[int], object]) -> None:
        """Call `ready` with what is possible, READ or WRITE or both, from now on; replaces an earlier wish."""
        if source in self._selector.get_map():
            self._selector.modify(source, events, ready)
        else:
            self._selector.register(source, events, ready)

    def forget(self, source: socket.socket | IO[bytes]) -> None:
        if source in self._selector.get_map():
            self._selector.unregister(source)

    def at(self, when: float, call: Callable[[], object]) -> None:
        """Call `call` once, when time.monotonic() is `when`."""
        heapq.heappush(self._timers, (when, next(self._order), call))

    def after(self, seconds: float, call: Callable[[], object]) -> None:
        self.at(time.monotonic() + seconds, call)

    def end(self) -> None:
        self._ended = True

    def run(self) -> None:
        """Until `end` is called from a callback."""
        while not self._ended:
            now = time.monotonic()
            while self._timers and self._timers[0][0] <= now:
                heapq.heappop(self._timers)[2]()
            wait = min(IDLE_SECONDS, self._timers[0][0] - time.monotonic()) if self._timers else IDLE_SECONDS
            for key, events in self._selector.select(max(0.0, wait)):
                key.data(events)
        self._selector.close()
