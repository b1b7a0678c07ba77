"""All that the store in memory knows, and the steps of which its changes are made."""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice
from typing import Literal

from mesh.manifest import Kind
from registry.memory.ranking import Ranking
from registry.memory.rows import Node, Session
from registry.store import Changes, NodeRecord, SessionRecord, SessionState, Step

LOG = 20_000  # changes that are kept for those who follow them
What = Literal["node", "session", "mesh", "camera"]


class Mesh:
    """The rows, and who is where. Only `changes` may be called without being inside `at_work`.

    Rankings by time are in milliseconds. alive, originals: when each node's lease ends; suspects: since when;
    stranded: when the sessions of a suspect are moved; lost: when nodes were given up; dead, ended: when they are
    forgotten; draining, waiting: when a node was sought last; ejected: until when; unreached: when to dial next;
    warming: by when the following node must have taken over; idle: since when nobody watches; expiring: when the time
    to live ends. free: for each algorithm who may be given sessions, the least loaded first. has: for each algorithm
    who has it. named: for each kind and name whom people call so.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._changed = threading.Condition()
        self._told: set[tuple[What, str]] = set()
        self._bumped: set[str] = set()
        self._log: deque[tuple[int, What, str]] = deque(maxlen=LOG)
        self.now = 0
        self.revision = 0
        self.token = 0
        self._orders = 0
        self._turn = 0
        self.nodes: dict[str, Node] = {}
        self.sessions: dict[str, Session] = {}
        self.joins: dict[str, str] = {}
        self.has: dict[str, Ranking[int]] = {}
        self.free: dict[str, Ranking[tuple[int, int]]] = {}
        self.named: dict[tuple[Kind, str], set[str]] = {}
        self.alive: Ranking[int] = Ranking()
        self.originals: Ranking[int] = Ranking()
        self.suspects: Ranking[int] = Ranking()
        self.stranded: Ranking[int] = Ranking()
        self.lost: Ranking[int] = Ranking()
        self.dead: Ranking[int] = Ranking()
        self.draining: Ranking[int] = Ranking()
        self.ejected: Ranking[int] = Ranking()
        self.unreached: Ranking[int] = Ranking()
        self.waiting: Ranking[int] = Ranking()
        self.warming: Ranking[int] = Ranking()
        self.idle: Ranking[int] = Ranking()
        self.expiring: Ranking[int] = Ranking()
        self.ended: Ranking[int] = Ranking()
        self.counts: Counter[str] = Counter()
        self.swept: int | None = None
        self.grace = 0
        self.preserving: int | None = None
        self.leader: tuple[str, int] = "", 0

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Do something at one moment, alone, and tell its changes to those who follow."""
        with self._changed:
            self.now = round(self._clock() * 1000)
            self._told.clear()
            self._bumped.clear()
            yield
            if self._told:
                self._changed.notify_all()

    # --- the log of changes

    def changed(self, what: What, ident: str = "") -> None:
        """Somebody may want to know of this; each is told once in one work, for it is read afterwards."""
        if (what, ident) in self._told:
            return
        self._told.add((what, ident))
        self.revision = (self.revision or self.now * 1000) + 1
        self._log.append((self.revision, what, ident))

    def changes(self, place: str, most: int, wait: float) -> Changes:
        with self._changed:
            after = int(place)
            self._changed.wait_for(lambda: self.revision > after, wait)
            behind = min(max(0, self.revision - after), len(self._log))
            start = len(self._log) - behind
            found = list(islice(self._log, start, start + most))
        if not found:
            return Changes(place=place, revisions=None)
        return Changes(
            place=str(found[-1][0]),
            revisions=(found[0][0], found[-1][0]),
            nodes=tuple(dict.fromkeys(ident for _, what, ident in found if what == "node")),
            sessions=tuple(dict.fromkeys(ident for _, what, ident in found if what == "session")),
            mesh=any(what == "mesh" for _, what, _ in found),
        )

    # --- rows as others read them

    def node_record(self, node: Node) -> NodeRecord:
        lease_ends = self.alive.get(node.node_id) or self.originals.get(node.node_id) or 0
        return node.record(self.now, lease_ends)

    def session_record(self, session: Session) -> SessionRecord:
        serving = self.nodes.get(session.node) if session.node is not None else None
        return session.record(serving, self.nodes.get(session.facts.camera))

    def name_of(self, node_id: str) -> str:
        node = self.nodes.get(node_id)
        return node.name if node else node_id

    # --- numbers that never repeat, not even after everything was forgotten: the first one is the time

    def new_token(self) -> int:
        self.token = (self.token or self.now) + 1
        return self.token

    def bump(self, node_id: str | None) -> None:
        """What a node should be serving has changed."""
        if node_id is None or node_id in self._bumped or node_id not in self.nodes:
            return
        self._bumped.add(node_id)
        self._orders = (self._orders or self.now) + 1
        self.nodes[node_id].orders = self._orders
        self.changed("node", node_id)

    # --- who is where

    def reindex(self, node: Node) -> None:
        """Put a node where placement looks for it, or take it away from there. Call it after each change of what
        `Node.placeable` and `Node.rank` read."""
        placeable = node.placeable(self.now)
        for algorithm in node.manifest.algorithms:
            free = self.free.setdefault(algorithm, Ranking())
            if placeable:
                free.put(node.node_id, node.rank)
            else:
                free.drop(node.node_id)

    def enlist(self, node: Node) -> None:
        for algorithm in node.manifest.algorithms:
            self.has.setdefault(algorithm, Ranking()).put(node.node_id, 0)
        for name in node.names:
            self.named.setdefault((node.manifest.kind, name), set()).add(node.node_id)

    def unlist(self, node: Node) -> None:
        """Take a node out of all that `enlist` and `reindex` filled."""
        for algorithm in node.manifest.algorithms:
            self.has[algorithm].drop(node.node_id)
            self.free[algorithm].drop(node.node_id)
            if len(self.has[algorithm]) == 0:
                del self.has[algorithm], self.free[algorithm]
        for name in node.names:
            self.named[node.manifest.kind, name].discard(node.node_id)
            if not self.named[node.manifest.kind, name]:
                del self.named[node.manifest.kind, name]

    def probe(self, node: Node) -> None:
        """Have a node dialled before it is given more."""
        node.reach = "checking"
        self.unreached.put(node.node_id, self.now)
        self.reindex(node)
        self.changed("node", node.node_id)

    # --- slots

    def hold(self, session: Session, node: Node) -> None:
        """Let a session hold a slot of a node."""
        node.held[session.session_id] = node.share(session.facts)
        self._turn += 1
        node.turn = self._turn
        self.reindex(node)
        self.bump(node.node_id)

    def _unhold(self, session: Session, node_id: str) -> None:
        node = self.nodes.get(node_id)
        if node is None:
            return
        node.held.pop(session.session_id, None)
        if node.there:
            self.reindex(node)
        self.bump(node_id)

    def release(self, session: Session) -> None:
        """Free the slot that a session holds on the node that serves it."""
        if session.node is not None:
            self._unhold(session, session.node)
            session.node = None

    def drop_next(self, session: Session) -> None:
        """Free the slot that a session's following node holds."""
        if session.following is not None:
            self._unhold(session, session.following)
            session.following = None
            self.warming.drop(session.session_id)
            self.changed("session", session.session_id)

    def set_state(self, session: Session, state: SessionState, reason: str) -> None:
        session.state, session.state_reason, session.changed = state, reason, self.now
        node = self.name_of(session.node) if session.node is not None else None
        session.history.append(Step(at=self.now / 1000, state=state, node=node, reason=reason))
        self.changed("session", session.session_id)
