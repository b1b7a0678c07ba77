"""The sessions that the registry wants this node to serve."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Literal

from compute_node.pipeline import Pipeline, PipelineKey
from compute_node.pipelines import Pipelines
from mesh.errors import Conflict, FoglineError, NotFound, Unavailable
from mesh.frame import Frame
from mesh.logs import logger
from mesh.wire import Assignment, SessionReport

ASK_SECONDS = 2.0  # how long a viewer waits for the registry to confirm a placement that this node has not heard of
LOOK_SECONDS = 0.02  # between two looks whether that has come
POLLING = 3.0  # seconds between two single pictures that still count as watching
READY = 2.0  # seconds: who has a younger picture is ready; without a camera's a placard is drawn each second
Kept = Literal["", "results", "pictures"]
log = logger(__name__)


class Session:
    """One session in force. `ended` is set when the registry takes it away; `assignment` is the newest order for it.

    kept: what runs of it without viewers, as long as `held` is open. unknown: the registry has forgotten it.
    """

    def __init__(self, assignment: Assignment, holds: Callable[[], bool]) -> None:
        self.assignment = assignment
        self.key = _key(assignment)
        self.ended = threading.Event()
        self.unknown = False
        self.kept: Kept = ""
        self.held = ExitStack()
        self.problem: str | None = None
        self.watching = 0
        self.left_at = float("-inf")  # monotonic seconds when somebody last stopped watching
        self._holds = holds
        self._marked: tuple[Frame, Frame] | None = None

    @property
    def viewers(self) -> int:
        """Who watches now. One who fetches a picture every second or so watches, too."""
        return self.watching or int(time.monotonic() - self.left_at < POLLING)

    def follow(self, order: Assignment) -> bool:
        """Take a newer order for the same work, of which viewers need not know; False when the work is another one."""
        if _key(order) != self.key or order.token < self.assignment.token:
            return False
        self.assignment = order
        self.unknown = False
        return True

    def over(self) -> bool:
        """Whether not one more picture may be shown: it serves somewhere else, or may by now. Asked for every part."""
        return self.ended.is_set() or not self._holds()

    def marked(self, frame: Frame) -> Frame:
        """`frame` with the placement's token on it: for the same frame and token the same object, so that whoever has
        built its bytes sees that it is no new one. Any thread may call."""
        last, token = self._marked, self.assignment.token
        if last is None or last[0] is not frame or last[1].token != token:
            last = self._marked = frame, replace(frame, token=token)
        return last[1]

    def refusal(self) -> FoglineError | None:
        """What to tell a viewer once it is over."""
        if self.ended.is_set():
            session_id = self.assignment.session_id
            return NotFound(f"session {session_id!r} is not served here any more; {_open(session_id)}")
        return None if self._holds() else _cut_off()


class Sessions:
    """Follows the registry's wishes. Any thread may call any method. `sweep` must be called about once a second.

    ask_registry: makes the next beat come at once, so that a session placed a moment ago is known here.
    holds: whether this node holds its lease now. Without it the sessions may run elsewhere: nothing of them is shown.
    """

    def __init__(self, pipelines: Pipelines, ask_registry: Callable[[], None], holds: Callable[[], bool]) -> None:
        self._pipelines = pipelines
        self._ask = ask_registry
        self._holds = holds
        self._changed = threading.Condition()
        self._keeping = threading.Lock()
        self._served: dict[str, Session] = {}

    def __len__(self) -> int:
        return len(self._served)

    def obey(self, wanted: list[Assignment], unknown: Collection[str] = ()) -> None:
        """Serve exactly `wanted`, and what of `unknown` runs here: the registry has forgotten those, and hears of them
        with the next beat, which comes at once.

        The viewers of a session that stays the same work stay, whatever else changes of it.
        """
        orders = {order.session_id: order for order in wanted}
        ended: list[Session] = []
        forgotten = False
        with self._changed:
            for session_id, session in list(self._served.items()):
                order = orders.get(session_id)
                if order is not None and session.follow(order):
                    continue
                if order is None and session_id in unknown:
                    forgotten = forgotten or not session.unknown
                    session.unknown = True
                    continue
                ended.append(self._served.pop(session_id))
            for session_id, order in orders.items():
                if session_id not in self._served:
                    self._served[session_id] = Session(order, self._holds)
            self._changed.notify_all()
            served = list(self._served.values())
        for session in ended:
            session.ended.set()
            self._keep(session, allowed=False)
        for session in served:
            self._keep(session, allowed=True)
        if forgotten:
            self._ask()

    def sweep(self) -> None:
        """Without the lease nothing runs that nobody watches; with it, what the orders say."""
        allowed = self._holds()
        with self._changed:
            served = list(self._served.values())
        for session in served:
            self._keep(session, allowed=allowed)

    def _keep(self, session: Session, *, allowed: bool) -> None:
        """Run what is to run without viewers: a pinned session's search, the pictures of one that is to take over."""
        with self._keeping:
            order = session.assignment
            wanted: Kept = "pictures" if order.warm else "results" if order.pinned else ""
            if session.ended.is_set() or not allowed:
                wanted = ""
            if wanted == session.kept:
                return
            held = ExitStack()
            try:
                if wanted:
                    pipeline = held.enter_context(self._pipelines.use(session.key))
                    held.enter_context(pipeline.results.watch())
                    if wanted == "pictures":
                        held.enter_context(self._first_picture_tells(pipeline))
            except FoglineError as error:  # tried again with the next beat; the registry hears why meanwhile
                session.problem = error.detail
                held.close()
                return
            session.problem = None
            session.kept = wanted
            before, session.held = session.held, held
            before.close()

    @contextmanager
    def _first_picture_tells(self, pipeline: Pipeline) -> Iterator[None]:
        """Have pictures drawn, and the registry told at once when there is one."""
        pictures = pipeline.pictures

        def told() -> None:
            pictures.unlisten(told)
            self._ask()

        with pictures.watch():
            pictures.listen(told)
            if pictures.recent(READY) is not None:
                told()
            try:
                yield
            finally:
                pictures.unlisten(told)

    def get(self, session_id: str, token: int | None = None) -> Session:
        """The session called `session_id`; asks the registry when it is new. token: the placement that the viewer was
        sent to, None for any.

        Raises NotFound when it is not this node's, Conflict when the placement is another one, Unavailable without the
        lease.
        """

        def known() -> bool:
            session = self._served.get(session_id)
            return session is not None and session.assignment.token >= (token or 0) and self._holds()

        with self._changed:
            if not known():
                self._ask()
                until = time.monotonic() + ASK_SECONDS
                # The lease comes after the orders, and nobody tells of it.
                while not known() and time.monotonic() < until:
                    self._changed.wait(LOOK_SECONDS)
            session = self._served.get(session_id)
        if not self._holds():  # asked again: a node that joins gets its first session before its first lease
            raise _cut_off()
        if session is None:
            raise NotFound(f"session {session_id!r} is not served here; {_open(session_id)}")
        if token is not None and token != session.assignment.token:
            raise Conflict(
                f"this is placement {session.assignment.token} of session {session_id}, not {token};"
                f" {_open(session_id)}"
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

    def watched(self) -> list[str]:
        """The ids of the sessions that somebody watches."""
        with self._changed:
            return [session_id for session_id, session in self._served.items() if session.viewers]

    def served(self) -> list[tuple[Session, Pipeline | None]]:
        """The sessions in force, each with what runs of it."""
        with self._changed:
            served = list(self._served.values())
        return [(session, self._pipelines.find(session.key)) for session in served]

    def reports(self) -> list[SessionReport]:
        """How each session does, for the beat."""
        with self._changed:
            served = list(self._served.values())
        return [self._report(session) for session in served]

    def _report(self, session: Session) -> SessionReport:
        pipeline, order = self._pipelines.find(session.key), session.assignment
        return SessionReport(
            session_id=order.session_id,
            token=order.token,
            viewers=session.viewers,
            fps=pipeline.rate.per_second if pipeline else 0.0,
            problem=session.problem or (pipeline.problem if pipeline else None),
            ready=pipeline is not None and pipeline.pictures.recent(READY) is not None,
            ticket=(order.ticket or None) if session.unknown else None,
        )

    def close(self) -> None:
        """End every session's viewers."""
        self.obey([])


def _key(order: Assignment) -> PipelineKey:
    return PipelineKey(order.camera, order.algorithm, order.width, order.height, fps=order.fps, gate=order.gate)


def _open(session_id: str) -> str:
    return f"open it at the registry's /v1/sessions/{session_id}/stream, which leads to the node that does"


def _cut_off() -> Unavailable:
    return Unavailable(
        "this node has lost touch with the registry, so its sessions may run elsewhere;"
        " open them at the registry, and try this node again when it is back",
        retry_after=1,
    )
