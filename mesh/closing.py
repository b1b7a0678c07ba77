"""Saying goodbye to connections beside the thread that accepts everybody else.

gunicorn 27's thread worker ends an answer with `Connection: close` by waiting up to two seconds for the client to close
its side, and does so in its one main thread: six clients that do not hurry stop a whole service for twelve seconds,
long enough for every node's lease to end. Here that wait happens in threads of its own, as many at once as fit.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import Any

from gunicorn.workers import gthread

THREADS = 8  # goodbyes at once
WAITING = 256  # goodbyes that may wait; beyond, connections are closed without a wait
_Close = Callable[..., None]


class Farewells:
    """Closes connections politely, in threads of its own. Any thread may call `close`; it never waits."""

    def __init__(self, close: _Close) -> None:
        self._close = close
        self._waiting: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._threads = 0

    def close(self, connection: Any, graceful: bool = False) -> None:
        """What gunicorn calls in place of its own `TConn.close`. A detached socket is somebody else's by now."""
        if connection.sock.fileno() < 0:
            return
        if not graceful or self._waiting.qsize() >= WAITING:
            self._close(connection)
            return
        self._waiting.put(connection)
        with self._lock:
            if self._threads < THREADS:
                self._threads += 1
                # Daemons: a client that dawdles does not hold the exit.
                threading.Thread(target=self._work, name="farewell", daemon=True).start()

    def _work(self) -> None:
        while True:
            self._close(self._waiting.get(), graceful=True)


def install() -> None:
    """Let gunicorn's thread workers of this process say goodbye aside. Call it before they start; a second call does
    nothing."""
    if not getattr(gthread.TConn.close, "aside", False):
        farewells = Farewells(gthread.TConn.close)

        def close(connection: Any, graceful: bool = False) -> None:
            farewells.close(connection, graceful)

        close.__dict__["aside"] = True
        gthread.TConn.close = close
