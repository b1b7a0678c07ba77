"""The MJPEG streams that this node sends."""

from __future__ import annotations

import socket
from collections.abc import Callable
from contextlib import ExitStack

from camera_node.metrics import Metrics
from camera_node.variants import Variants, Wanted
from mesh.errors import SourceLost, UnsupportedMedia
from mesh.frame import Frame
from mesh.stream import Body, Broadcast, Places, mjpeg
from mesh.viewers import Viewers


class Streams:
    """Any thread may call any method. stopping: whether the service ends."""

    def __init__(
        self,
        broadcast: Broadcast,
        variants: Variants,
        places: Places,
        metrics: Metrics,
        stopping: Callable[[], bool],
    ) -> None:
        self._broadcast = broadcast
        self._variants = variants
        self._places = places
        self._metrics = metrics
        self._stopping = stopping
        self._viewers = Viewers(metrics.evicted.inc)

    def open(self, wanted: Wanted, fps: float | None, connection: socket.socket | None) -> Body:
        """One viewer's stream, which must be closed. connection: the viewer's, where the server tells it.

        Raises Unavailable without a free place, SourceLost when there is no picture to begin with.
        """
        with ExitStack() as stack:
            stack.enter_context(self._places.take())
            stack.enter_context(self._variants.hold(wanted))
            viewer = stack.enter_context(self._viewers.enter(connection))
            variant = None if wanted == Wanted() else lambda frame: self._variant(frame, wanted)
            parts = mjpeg(self._broadcast, fps=fps, stopping=self._stopping, variant=variant)
            body = Body(viewer.parts(parts), stack.pop_all().close, viewer.begins)
        if not body.begin():
            raise SourceLost("this camera is stopping", retry_after=5)
        return body

    def sweep(self) -> None:
        """Cut the viewers that take nothing. Called every few seconds."""
        self._viewers.sweep()

    def close(self) -> None:
        """See that every stream ends soon."""
        self._viewers.close()

    def _variant(self, frame: Frame, wanted: Wanted) -> Frame:
        try:
            return self._variants.get(frame, wanted)
        except UnsupportedMedia:
            # Checked by its header but broken inside. The stream goes on; a viewer sees the picture as it came.
            self._metrics.refused("undecodable")
            return frame
