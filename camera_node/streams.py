"""The MJPEG streams that this node sends, and its single pictures over connections that are kept open."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from camera_node.variants import Variants, Wanted
from mesh.audience import Audience
from mesh.errors import FoglineError, SourceLost, Unavailable
from mesh.node_door import Right, right_of
from mesh.stills import Newest
from mesh.stream import Broadcast, Live, Manner


class Streams:
    """Any thread may call any method. audience: of all cameras of this process. stopping: whether this one ends."""

    def __init__(
        self, broadcast: Broadcast, variants: Variants, audience: Audience, stopping: Callable[[], bool]
    ) -> None:
        self._broadcast = broadcast
        self._variants = variants
        self._audience = audience
        self._stopping = stopping
        self._lock = threading.Lock()
        self._viewers = 0

    @property
    def viewers(self) -> int:
        """Viewers of this camera now."""
        return self._viewers

    def open(self, wanted: Wanted, fps: float | None, environ: dict[str, Any]) -> Live:
        """One viewer's stream. environ: of its request.

        Raises Unavailable without a free place, SourceLost when there is no picture to begin with.
        """
        held = ExitStack()
        whole = wanted == Wanted()
        # A variant is made at the rate at which it is wanted: who wants another rate shares what is made of a frame.
        broadcast = self._broadcast if whole else held.enter_context(self._variants.stream(wanted, fps))
        held.enter_context(self._counted())
        right = right_of(environ)
        manner = Manner(
            ended=right.ending(self._stopping),
            lost=lambda: right.refusal() or _stopped(),
            fps=fps if whole else None,
        )
        return self._audience.seat(environ, broadcast.feed, manner, held)

    @contextmanager
    def _counted(self) -> Iterator[None]:
        with self._lock:
            self._viewers += 1
        try:
            yield
        finally:
            with self._lock:
                self._viewers -= 1

    @contextmanager
    def stills(self, wanted: Wanted, right: Right) -> Iterator[Newest]:
        """While open, the newest picture as it is `wanted` is there without a wait, as long as there is a `right` to
        ask for it again.

        Raises Unavailable for a variant that nobody watches: to make one of every frame would be work in vain.
        """
        broadcast = self._broadcast if wanted == Wanted() else self._variants.running(wanted)
        if broadcast is None:
            raise Unavailable("nobody watches this size")
        with broadcast.watch():
            yield lambda: None if broadcast.closed or right.once() else broadcast.newest()


def _stopped() -> FoglineError:
    return SourceLost("this camera is stopping", retry_after=5)
