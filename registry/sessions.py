"""What viewers ask for: sessions, where they run, and what is read of them."""

from __future__ import annotations

import uuid
from typing import Any

import msgspec

from mesh.access import Principal
from mesh.errors import Conflict, NoCapacity, NotFound, RegistryAway, Unavailable
from mesh.logs import logger
from mesh.manifest import Kind
from mesh.wire import SessionRequest
from registry import originals
from registry.listing import Snapshots, View, page
from registry.shares import Shares
from registry.store import Full, Opening, SessionRecord, Store

FULL_RETRY_SECONDS = 5  # a slot is freed when somebody stops watching: seconds to minutes
WAIT_RETRY_SECONDS = 1  # a session that waits for a slot is tried twice a second
VIEWS = ("stream", "snapshot", "detections", "stats")

log = logger(__name__)


class Sessions:
    """The registry's sessions. Any thread may call any method."""

    def __init__(self, store: Store, snapshots: Snapshots) -> None:
        self._store = store
        self._snapshots = snapshots
        self._shares = Shares(self._runs)

    def open(self, request: SessionRequest, maker: Principal | None = None) -> dict[str, Any]:
        """Place a session, or join the one that does the same. Raises NoCapacity when every node is full, TooMany when
        `maker` has made too many."""
        with self._shares.take(maker) as made:
            record, new = self._open(request)
            if new:
                made(record.session_id)
        return document_of(record)

    def _open(self, request: SessionRequest) -> tuple[SessionRecord, bool]:
        """The session, and whether it is new."""
        camera = self._resolve("camera", request.camera)
        if not self._store.has_algorithm(request.algorithm):
            raise NotFound.among("algorithm", request.algorithm, self._algorithms())
        only = self._resolve("compute", request.node) if request.node else None
        session_id = str(uuid.uuid4())
        outcome = self._store.open(
            Opening(
                session_id=session_id,
                camera=camera,
                algorithm=request.algorithm,
                only=only,
                width=request.width,
                height=request.height,
                max_fps=request.fps,
                pinned=request.pinned,
                gate=request.gate,
                require=request.require,
                prefer=request.prefer,
                speed=request.speed,
                ttl=request.ttl,
                wait=request.wait,
            )
        )
        if outcome is None:
            raise self._unknown("camera", request.camera)
        if isinstance(outcome, Full):
            raise NoCapacity(
                f"no free slot for {request.algorithm}: {outcome.why};"
                " stop a session, add a compute node, or try again",
                retry_after=FULL_RETRY_SECONDS,
            )
        return outcome, outcome.session_id == session_id

    def _runs(self, session_id: str) -> bool | None:
        known = self.known(session_id)
        return None if known is None else known.state != "ended"

    def one(self, session_id: str) -> dict[str, Any]:
        """The session as it is listed; from the last snapshot when the store is away."""
        try:
            record = self._store.session(session_id)
        except RegistryAway:
            return document_of(self._remembered(session_id)) | {"stale": True}
        if record is None:
            raise self._no_session(session_id)
        steps = self._store.history(session_id)
        return document_of(record) | {"history": [msgspec.to_builtins(step) for step in steps]}

    def end(self, session_id: str) -> None:
        if not self._store.end(session_id, "ended by request"):
            raise self._no_session(session_id)

    def failover(self, session_id: str, token: int, reporter: str) -> dict[str, Any]:
        """A viewer gets no frames from the placement with `token`: move the session, once for each token.

        reporter: who says so; a node is left out only when several do.
        """
        result = self._store.failover(session_id, token, reporter)
        if result is None:
            raise self._no_session(session_id)
        log.info(
            "a viewer asks for failover",
            session_id=session_id,
            token=token,
            reporter=reporter,
            outcome=result.outcome,
        )
        return document_of(result.session) | {"outcome": result.outcome}

    def served(self, session_id: str) -> SessionRecord:
        """The session, which somebody goes to watch. Raises NotFound when it has ended, Unavailable while no node
        serves it."""
        try:
            record = self._store.touch(session_id)
        except RegistryAway:
            record = self._remembered(session_id)
        if record is None:
            raise self._no_session(session_id)
        if record.state == "ended":
            raise NotFound(f"session {session_id} has ended ({record.state_reason}); create it again")
        if record.node_url is None:
            raise Unavailable(
                f"no node serves session {session_id} now: {record.state_reason}", retry_after=WAIT_RETRY_SECONDS
            )
        return record

    def known(self, session_id: str) -> SessionRecord | None:
        """The session as the lists have it."""
        return self._snapshots.mirror.session(session_id)

    def listed(
        self,
        view: View,
        *,
        state: str | None = None,
        camera: str | None = None,
        limit: int | None = None,
        cursor: str | None = None,
    ) -> tuple[list[dict[str, Any]], str | None]:
        """The sessions of `view` that fit, oldest first, and the next page's cursor. Without `state` those that ended
        are left out; `any` is every state."""
        fitting = [
            session
            for session in view.snapshot.sessions
            if (session.state != "ended" if state is None else state in ("any", session.state))
            and (camera is None or camera in (session.camera, session.camera_name))
        ]
        chosen, following = page(
            fitting, lambda s: (f"{s.created_at:020.3f}", s.session_id), limit=limit, cursor=cursor
        )
        return [document_of(session) for session in chosen], following

    def _resolve(self, kind: Kind, text: str) -> str:
        found = self._store.find(kind, text)
        if not found:
            raise self._unknown(kind, text)
        vouched = [one for one in found if self._is_vouched_for(one[0])]
        if not vouched and found[0][0] != text:
            self._require_own_name(kind, text)
        found = vouched or found
        if len(found) > 1:
            ids = [node_id for node_id, _ in found]
            what = "cameras" if kind == "camera" else "nodes"
            raise Conflict(f"{len(found)} {what} are called {text!r}; say which by its id: {', '.join(ids)}", known=ids)
        return found[0][0]

    def _is_vouched_for(self, node_id: str) -> bool:
        """Whether somebody has vouched for this node, of which the store knows."""
        node = self._snapshots.mirror.node(node_id)
        if node is None:  # it registered a moment ago, and the mirror follows the store
            self._snapshots.view()
            node = self._snapshots.mirror.node(node_id)
        return node is not None and not originals.is_unauthenticated(node)

    def _require_own_name(self, kind: Kind, text: str) -> None:
        """Only unauthenticated nodes are called so now. Raises Conflict when another one was so called a moment ago:
        nobody takes its place by taking its name."""
        for node in self._snapshots.view().snapshot.nodes:
            if node.kind == kind and node.name == text and not originals.is_unauthenticated(node):
                raise Conflict(
                    f"{text!r} ({node.node_id}) is away, and an unauthenticated device has its name now; say which by"
                    " its id"
                )

    def _unknown(self, kind: Kind, text: str) -> NotFound:
        known = (n.name for n in self._snapshots.view().snapshot.nodes if n.alive and n.kind == kind)
        return NotFound.among("camera" if kind == "camera" else "node", text, known)

    def _algorithms(self) -> set[str]:
        nodes = self._snapshots.view().snapshot.nodes
        return {ident for n in nodes if n.alive and n.kind == "compute" for ident in n.algorithms}

    def _no_session(self, session_id: str) -> NotFound:
        return NotFound(f"unknown session {session_id!r}; POST /v1/sessions makes one")

    def _remembered(self, session_id: str) -> SessionRecord:
        for record in self._snapshots.view().snapshot.sessions:
            if record.session_id == session_id:
                return record
        raise RegistryAway("the registry's Redis does not answer, and this session is not remembered", retry_after=1)


def address_of(session: SessionRecord, view: str) -> str | None:
    """Where the `view` of the session is served now; None while no node serves it."""
    if session.node_url is None:
        return None
    return f"{session.node_url}/v1/sessions/{session.session_id}/{view}?token={session.token}"


def document_of(session: SessionRecord) -> dict[str, Any]:
    """The session as clients read it. The addresses are those on the node that serves it now, None while none does.
    `state_reason` says how it came to this state, which may be nothing bad; `problem` why it gives nothing now."""
    reason, problem = session.state_reason, ""
    if session.state != "ended":
        if session.problem:
            reason = problem = session.problem
        if session.camera_gone is not None:
            gone = f"camera {session.camera_name} is gone ({session.camera_gone}); it is waited for"
            reason = f"{gone}; {reason}" if session.node is None else gone
            problem = gone
    return {
        "session_id": session.session_id,
        "state": session.state,
        "state_reason": reason,
        "problem": problem,
        "camera": session.camera,
        "camera_name": session.camera_name,
        "algorithm": session.algorithm,
        "node": session.node,
        "node_name": session.node_name,
        "node_url": session.node_url,
        "token": session.token,
        **{f"{view}_url": address_of(session, view) for view in VIEWS},
        "why": session.why,
        "pinned": session.pinned,
        "viewers": session.viewers,
        "fps": session.fps,
        "width": session.width,
        "height": session.height,
        "max_fps": session.max_fps,
        "gate": session.gate,
        "require": session.require,
        "prefer": session.prefer,
        "speed": session.speed,
        "following": session.following,
        "expires_at": session.expires_at,
        "created_at": session.created_at,
        "changed_at": session.changed_at,
    }
