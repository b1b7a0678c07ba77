"""The bodies of streaming answers: each holds a viewer's place and a pipeline until the viewer goes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from weakref import WeakValueDictionary

import msgspec

from compute_node.metrics import Metrics
from compute_node.pipeline import Pipeline, PipelineKey
from compute_node.pipelines import Pipelines
from compute_node.sessions import Session, Sessions
from compute_node.stills import Wanted
from mesh import codec, multipart
from mesh.audience import Audience
from mesh.errors import FoglineError, SourceLost, Unavailable
from mesh.frame import Frame
from mesh.node_door import Right, right_of
from mesh.stills import Newest
from mesh.stream import Broadcast, Feed, Live, Manner, Published
from mesh.wire import Detections, StreamStats

SILENCE = 15.0  # seconds without a picture after which a stream ends, so that the viewer connects again
FIRST_PICTURE = 8.0  # seconds that a snapshot waits for a picture: a camera that is far away needs a few
FRESH = 0.5  # seconds: an older picture is not what the camera sees now
# The same where every frame that is searched is at hand: a younger one is the newest there is, or a placard would have
# come. A wall of slow cameras need not wait for their next frames.
FRESH_STILL = 2.0


class Streams:
    """Any thread may call any method. stopping: whether the service ends.

    environ, in each method: the WSGI environment of the viewer's request.
    """

    def __init__(
        self,
        pipelines: Pipelines,
        sessions: Sessions,
        audience: Audience,
        metrics: Metrics,
        stopping: Callable[[], bool],
    ) -> None:
        self._pipelines = pipelines
        self._sessions = sessions
        self._audience = audience
        self._metrics = metrics
        self._stopping = stopping
        # An event carries its session, so those who follow one session share a feed; it goes with the last of them.
        self._events: WeakValueDictionary[tuple[str, Published[Detections]], Feed[Detections]] = WeakValueDictionary()
        # Likewise with pictures, whose parts carry the session's token.
        self._parts: WeakValueDictionary[tuple[Session, Broadcast], Feed[Frame]] = WeakValueDictionary()

    def of_session(self, session: Session, fps: float | None, environ: dict[str, Any]) -> Live:
        """A session's MJPEG; ends when the registry takes the session away, or may have done so unheard."""
        held = ExitStack()
        pipeline = held.enter_context(self._sessions.open(session))
        manner = Manner(
            ended=self._until(environ, session),
            lost=_refusal(environ, session),
            fps=fps,
            silence=SILENCE,
            fresh=FRESH,
        )
        return self._seat(environ, self._pictures(session, pipeline), manner, held)

    def of_pipeline(self, key: PipelineKey, environ: dict[str, Any]) -> Live:
        """MJPEG without a session, as the original's calls ask for it. Raises NoCapacity without a free slot."""
        held = ExitStack()
        pipeline = held.enter_context(self._pipelines.use(key, beside=self._sessions.keys()))
        manner = Manner(ended=self._until(environ), lost=_refusal(environ), silence=SILENCE, fresh=FRESH)
        return self._seat(environ, pipeline.pictures.feed, manner, held)

    def events(self, session: Session, environ: dict[str, Any]) -> Live:
        """A session's detections as server-sent events."""
        held = ExitStack()
        pipeline = held.enter_context(self._sessions.open(session))
        manner = Manner(
            ended=self._until(environ, session),
            lost=_refusal(environ, session),
            chunked=True,
            hello=b": connected\n\n",
            keep_alive=b": nothing new\n\n",
        )
        return self._seat(environ, self._feed(session, pipeline), manner, held)

    def snapshot(self, session: Session, wanted: Wanted) -> Frame:
        """A session's newest picture as it is `wanted`. Raises SourceLost when none comes in time, and what
        `Session.refusal` and `Stills.get` give."""
        with self._sessions.open(session) as pipeline:
            if wanted == Wanted():
                frame = pipeline.pictures.fresh(FRESH, FIRST_PICTURE)
            else:
                with pipeline.results.watch():
                    frame = pipeline.stills.get(wanted, FRESH_STILL, FIRST_PICTURE)
            if refusal := session.refusal():  # the wait may have been long
                raise refusal
            if frame is None:
                raise SourceLost(pipeline.problem or "no picture came in time", retry_after=2)
            return session.marked(frame)

    @contextmanager
    def snapshots(self, session: Session, wanted: Wanted, right: Right) -> Iterator[Newest]:
        """While open, the session is being watched and its newest picture is there without a wait, if it is fresh and
        there is a `right` to ask for it again.

        Raises Unavailable for one of another size: it would be drawn by the thread that serves everybody.
        """
        if wanted != Wanted():
            raise Unavailable("only pictures of the stream's own size are there without a wait")
        with self._sessions.open(session) as pipeline, pipeline.pictures.watch():
            pictures = pipeline.pictures

            def newest() -> Frame | None:
                over = session.over() or pictures.closed or right.once()
                frame = None if over else pictures.recent(FRESH)
                return None if frame is None else session.marked(frame)

            yield newest

    def stats(self, session: Session) -> StreamStats:
        """How a session's frames fare. Raises Unavailable while nobody watches it: nothing runs then."""
        pipeline = self._pipelines.find(session.key)
        if pipeline is None:
            raise Unavailable("nobody watches this session, so nothing runs", retry_after=1)
        return pipeline.stats(session.assignment.session_id, session.viewers)

    def sweep(self) -> None:
        """Cut the viewers that take nothing. Called about once a second."""
        self._audience.sweep()

    def close(self) -> None:
        """See that every stream ends soon."""
        self._audience.close()

    def _until(self, environ: dict[str, Any], session: Session | None = None) -> Callable[[], bool]:
        """Whether not one more part may be sent in answer to this request."""
        stopping = self._stopping
        ended = stopping if session is None else lambda: stopping() or session.over()
        return right_of(environ).ending(ended)

    def _pictures(self, session: Session, pipeline: Pipeline) -> Feed[Frame]:
        def part(frame: Frame) -> bytes:
            return multipart.part(session.marked(frame))

        return self._parts.setdefault((session, pipeline.pictures), Feed(pipeline.pictures, part))

    def _feed(self, session: Session, pipeline: Pipeline) -> Feed[Detections]:
        session_id = session.assignment.session_id

        def event(result: Detections) -> bytes:
            return b"data: " + codec.dump(msgspec.structs.replace(result, session=session_id)) + b"\n\n"

        return self._events.setdefault((session_id, pipeline.results), Feed(pipeline.results, event))

    def _seat(self, environ: dict[str, Any], feed: Feed[Any], manner: Manner, held: ExitStack) -> Live:
        held.enter_context(self._metrics.viewers.track_inprogress())
        return self._audience.seat(environ, feed, manner, held)


def _refusal(environ: dict[str, Any], session: Session | None = None) -> Callable[[], FoglineError]:
    """What to tell a viewer for whom no first part came."""
    right = right_of(environ)

    def say() -> FoglineError:
        return right.refusal() or (session.refusal() if session is not None else None) or _lost()

    return say


def _lost() -> FoglineError:
    return SourceLost("no picture came in time; the session's state at the registry says why", retry_after=2)
