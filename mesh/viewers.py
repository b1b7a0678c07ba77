"""The connections over which threads send streams: those that take nothing are cut, and all end with the service.

A viewer that reads nothing blocks the thread that sends to it. Only its connection can be told so: once that is shut
down, the send fails and the thread is free. (Viewers that the fan-out serves hold no thread; it looks after them.)
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

STALLED = 10.0  # seconds in which a viewer must take one picture
GRACE = 0.7  # seconds that viewers have to take their last picture when the service stops


@dataclass(slots=True, eq=False)
class Viewer:
    """One viewer. sending_since: monotonic seconds since when the server tries to send one part, None between two.
    answered: the answer has begun; before that the connection is still needed for one that says what is wrong."""

    connection: socket.socket | None
    sending_since: float | None = None
    answered: bool = False

    def cut(self) -> None:
        """Shut the connection down. Any thread may call it, at any time, again."""
        if self.connection is not None:
            with suppress(OSError):  # it went by itself
                self.connection.shutdown(socket.SHUT_RDWR)


class Viewers:
    """Any thread may call any method. evicted: called for each viewer that was cut because it took nothing."""

    def __init__(self, evicted: Callable[[], None] = lambda: None) -> None:
        self._evicted = evicted
        self._changed = threading.Condition()
        self._here: set[Viewer] = set()

    @contextmanager
    def enter(self, connection: socket.socket | None) -> Iterator[Viewer]:
        """Watch over one viewer. connection: its own, where the server tells (`gunicorn.socket`).

        The connection is shut down at the end: gunicorn would otherwise wait two seconds for the viewer to close its
        side, in the one thread that accepts everybody else.
        """
        viewer = Viewer(connection)
        with self._changed:
            self._here.add(viewer)
        try:
            yield viewer
        finally:
            if viewer.answered:
                viewer.cut()
            with self._changed:
                self._here.discard(viewer)
                self._changed.notify_all()

    def sweep(self) -> None:
        """Cut the viewers that have stalled. Call it every few seconds."""
        now = time.monotonic()
        for viewer in self._all():
            since = viewer.sending_since
            if since is not None and now - since > STALLED:
                viewer.cut()
                self._evicted()

    def close(self) -> None:
        """Wait a moment for the viewers, whose streams have been ended, to go; then cut the rest."""
        with self._changed:
            self._changed.wait_for(lambda: not self._here, GRACE)
        for viewer in self._all():
            viewer.cut()

    def _all(self) -> list[Viewer]:
        with self._changed:
            return list(self._here)
