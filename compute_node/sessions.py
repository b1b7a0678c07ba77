"""The sessions that the registry wants this node to serve."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

from compute_node.pipeline import Pipeline, PipelineKey
from compute_node.pipelines import Pipelines
from mesh.errors import FoglineError, NotFound
from mesh.logs import logger
from mesh.wire import Assignment, SessionReport

ASK_SECONDS = 2.0  # how long a viewer waits for the registry to confirm a session that this node has not heard of
POLLING = 3.0  # seconds between two single pictures that still count as watching
log = logger(__name__)


class Session:
    """One assignment in force. `ended` is set when the registry takes it away."""

    def __init__(self, assignment: Assignment) -> None:
        self.assignment = assignment
        self.ended = threading.Event()
        self.pin = ExitStack()
        self.pinned = False
        self.problem: str | None = None
        self.watching = 0
        self.left_at = float("-inf")  # monotonic seconds when somebody last stopped watching

    @property
    def viewers(self) -> int:
        """Who watches now. One who fetches a picture every second or so watches, too."""
        return self.watching or int(time.monotonic() - self.left_at < POLLING)

    @property
    def key(self) -> PipelineKey:
        a = self.assignment
        return PipelineKey(a.camera, a.algorithm, a.width, a.height, fps=a.fps, gate=a.gate)


class Sessions:
    """Follows the registry's wishes. Any thread may call any method.

    ask_registry: makes the next beat come at once, so that a session placed a moment ago is known here.
    """

    def __init__(self, pipelines: Pipelines, ask_registry: Callable[[], None]) -> None:
        self._pipelines = pipelines
        self._ask = ask_registry
        self._changed = threading.Condition()
        self._served: dict[str, Session] = {}

    def __len__(self) -> int:
        return len(self._served)

    def obey(self, wanted: list[Assignment]) -> None:
        """Serve exactly `wanted`. A newer token replaces the older placement; its viewers connect again."""
        ended: list[Session] = []
        with self._changed:
            now = {a.session_id: a for a in wanted}
            for session_id, session in list(self._served.items()):
                if now.get(session_id) != session.assignment:
                    ended.append(self._served.pop(session_id))
            for session_id, assignment in now.items():
                if session_id not in self._served:
                    self._served[session_id] = Session(assignment)
            self._changed.notify_all()
            served = list(self._served.values())
        for session in ended:
            session.ended.set()
            session.pin.close()
        for session in served:
            self._pin(session)

    def _pin(self, session: Session) -> None:
        """A pinned session runs without viewers."""
        if not session.assignment.pinned or session.pinned:
            return
        try:
            pipeline = session.pin.enter_context(self._pipelines.use(session.key))
            session.pin.enter_context(pipeline.results.watch())
            session.pinned = True
            session.problem = None
        except FoglineError as error:  # tried again with the next beat; the registry hears why meanwhile
            session.problem = error.detail

    def get(self, session_id: str) -> Session:
        """The session called `session_id`; asks the registry when it is new.

        Raises NotFound when it is not this node's.
        """
        with self._changed:
            session = self._served.get(session_id)
            if session is None:
                self._ask()
                self._changed.wait_for(lambda: session_id in self._served, ASK_SECONDS)
                session = self._served.get(session_id)
        if session is None:
            raise NotFound(
                f"session {session_id!r} is not served here; open it at the registry's /v1/sessions/{session_id}/stream"
            )
        return session

    @contextmanager
    def open(self, session: Session) -> Iterator[Pipeline]:
        """The session's pipeline, for one viewer."""
        with self._pipelines.use(session.key) as pipeline:
            with self._changed:
                session.watching += 1
            try:
                yield pipeline
            finally:
                with self._changed:
                    session.watching -= 1
                    session.left_at = time.monotonic()

    def keys(self) -> set[PipelineKey]:
        """The work that sessions stand for."""
        with self._changed:
            return {session.key for session in self._served.values()}

    def reports(self) -> list[SessionReport]:
        """How each session does, for the beat."""
        with self._changed:
            served = list(self._served.values())
        reports = []
        for session in served:
            pipeline = self._pipelines.find(session.key)
            reports.append(
                SessionReport(
                    session_id=session.assignment.session_id,
                    token=session.assignment.token,
                    viewers=session.viewers,
                    fps=pipeline.rate.per_second if pipeline else 0.0,
                    problem=session.problem or (pipeline.problem if pipeline else None),
                )
            )
        return reports

    def close(self) -> None:
        """End every session's viewers."""
        self.obey([])
