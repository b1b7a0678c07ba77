"""The bodies of streaming answers: each holds a viewer's place and a pipeline until the viewer goes."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import msgspec

from compute_node.metrics import Metrics
from compute_node.pipeline import PipelineKey
from compute_node.pipelines import Pipelines
from compute_node.sessions import Session, Sessions
from mesh import codec
from mesh.errors import SourceLost
from mesh.stream import Body, Places, mjpeg
from mesh.viewers import Viewers

SILENCE = 15.0  # seconds without a picture after which a stream ends, so that the viewer connects again
KEEP_ALIVE = 10.0  # seconds between two comments on a quiet event stream, so that proxies leave it open


class Streams:
    """Any thread may call any method. stopping: whether the service ends.

    connection, in each method: the viewer's, where the server tells it (`gunicorn.socket`), so that a viewer who takes
    nothing can be cut.
    """

    def __init__(
        self, pipelines: Pipelines, sessions: Sessions, places: Places, metrics: Metrics, stopping: Callable[[], bool]
    ) -> None:
        self._pipelines = pipelines
        self._sessions = sessions
        self._places = places
        self._metrics = metrics
        self._stopping = stopping
        self._viewers = Viewers(metrics.evicted.inc)

    def of_session(self, session: Session, fps: float | None, connection: socket.socket | None) -> Body:
        """A session's MJPEG; ends when the registry takes the session away."""

        def parts() -> Iterator[bytes]:
            with self._sessions.open(session) as pipeline:
                yield from mjpeg(
                    pipeline.pictures,
                    fps=fps,
                    stopping=lambda: self._stopping() or session.ended.is_set(),
                    silence=SILENCE,
                )

        return self._begin(parts(), connection)

    def of_pipeline(self, key: PipelineKey, connection: socket.socket | None) -> Body:
        """MJPEG without a session, as the original's calls ask for it. Raises NoCapacity without a free slot."""

        def parts() -> Iterator[bytes]:
            with self._pipelines.use(key, beside=self._sessions.keys()) as pipeline:
                yield from mjpeg(pipeline.pictures, fps=None, stopping=self._stopping, silence=SILENCE)

        return self._begin(parts(), connection)

    def events(self, session: Session, connection: socket.socket | None) -> Body:
        """A session's detections as server-sent events."""

        def parts() -> Iterator[bytes]:
            with self._sessions.open(session) as pipeline, pipeline.results.watch():
                yield b": connected\n\n"
                seen = 0
                quiet_since = time.monotonic()
                while not (self._stopping() or session.ended.is_set() or pipeline.results.closed):
                    result, seen = pipeline.results.wait(seen, 1.0)
                    if result is not None:
                        quiet_since = time.monotonic()
                        event = msgspec.structs.replace(result, session=session.assignment.session_id)
                        yield b"data: " + codec.dump(event) + b"\n\n"
                    elif time.monotonic() - quiet_since > KEEP_ALIVE:
                        quiet_since = time.monotonic()
                        yield b": nothing new\n\n"

        return self._begin(parts(), connection)

    def sweep(self) -> None:
        """Cut the viewers that take nothing. Called about once a second."""
        self._viewers.sweep()

    def close(self) -> None:
        """See that every stream ends soon."""
        self._viewers.close()

    def _begin(self, parts: Iterator[bytes], connection: socket.socket | None) -> Body:
        with ExitStack() as stack:
            stack.enter_context(self._places.take())
            stack.enter_context(self._metrics.viewers.track_inprogress())
            viewer = stack.enter_context(self._viewers.enter(connection))
            body = Body(viewer.parts(parts), stack.pop_all().close, viewer.begins)
        if not body.begin():
            raise SourceLost("no picture came in time; the session's state at the registry says why", retry_after=2)
        return body
