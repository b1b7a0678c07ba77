"""One wanted size, quality or rate of a camera as a stream of its own, made once for all who watch it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from mesh.frame import Frame
from mesh.stream import Broadcast, Pacer

POLL = 1.0  # seconds without a frame after which the thread looks whether it is still wanted


class Derived:
    """Publishes what `make` makes of the newest frame of `source`, in one thread, until `stop` or until the source
    ends. Frames that come while one is being made are passed over. fps: frames a second at most."""

    def __init__(self, source: Broadcast, make: Callable[[Frame], Frame], fps: float | None) -> None:
        self.broadcast = Broadcast(source.outflow)
        self._source = source
        self._make = make
        self._fps = fps
        self._stopping = threading.Event()
        threading.Thread(target=self._run, name="variant", daemon=True).start()

    def stop(self) -> None:
        """Nobody wants it any more. Does not wait."""
        self._stopping.set()

    def _run(self) -> None:
        pacer = Pacer(self._fps)
        seen = 0
        frame: Frame | None = None
        with self._source.watch():
            while not (self._stopping.is_set() or self._source.closed):
                item = self._source.after(seen, POLL)
                if item is not None:
                    seen, frame = item.version, item.value
                if frame is not None and pacer.admits(time.monotonic()):
                    self.broadcast.publish(self._make(frame))
                    frame = None
        self.broadcast.close()
