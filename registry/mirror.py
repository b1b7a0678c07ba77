"""A copy of the store in this process's memory, which follows the store's log of changes.

Every list, every ETag and every watcher is served from here, so that a thousand readers cost one read of Redis.
"""

from __future__ import annotations

import threading
import time
from bisect import bisect_left, insort
from collections.abc import Callable, Sequence
from typing import Protocol

from msgspec.structs import replace

from mesh.backoff import Backoff
from mesh.errors import RegistryAway
from mesh.logs import logger
from mesh.wire import Load
from registry.attic import Attic
from registry.store import Changes, NodeRecord, SessionRecord, Snapshot, Store

MOST = 512  # changes read at once: their rows are one call to Redis
WAIT = 1.0  # seconds that a read waits for the first change; then it is looked whether the log is still the same one
CROWD = 8  # changes at once: more come at the same moment, often of the same rows, …
CROWD_SECONDS = 0.02  # … and are read together after such a time: a row costs more than a change
AGAIN_FIRST, AGAIN_LAST = 0.1, 1.0  # seconds between two tries while Redis is away: watchers wait for its return
NEWS_SECONDS = 0.05  # for the thread to take in a change that somebody has just made: it needs a millisecond or two
VITALS_SECONDS = 1.0  # loads and frame rates are read again when somebody wants them and these are older …
VITALS_WAIT = 0.1  # … a moment after his answer is out, which would be held up by it, …
VITALS_LAST = 3.0  # … while he gets these; who comes when they are older than this waits for the new ones

Listener = Callable[[tuple[str, ...], tuple[str, ...]], None]
log = logger(__name__)


class Follower(Protocol):
    """Is told by the mirror what has changed in it, in order, one call at a time. It must be quick and not fail."""

    def changed(self, nodes: Sequence[str], sessions: Sequence[str]) -> None:
        """The rows with these ids are new, different or gone."""
        ...

    def anew(self) -> None:
        """Changes were missed: everything may be different."""
        ...

    def mesh(self) -> None:
        """`Mirror.preserving` or `Mirror.stale` has changed."""
        ...


class Mirror:
    """Any thread may call any method. `start` begins the thread that follows the log.

    life: counts how often everything was read anew. revision: of the last change that is in here; None before the
    first reading. live: how many nodes there are, without the dead. preserving: see registry.store.Snapshot. attic:
    what a wipe of the store took away.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self.attic = Attic()
        self._updating = threading.RLock()  # held by whoever changes the mirror: what is told is told in order
        self._changed = threading.Condition()  # guards what follows, for a moment at a time
        self.life = 0
        self.revision: int | None = None
        self.live = 0
        self.preserving: float | None = None
        self._place = ""
        self._nodes: dict[str, NodeRecord] = {}
        self._order: list[tuple[str, str]] = []  # of the nodes: by name, then by id
        self._sessions: dict[str, SessionRecord] = {}
        self._counts: dict[str, int] = {}
        self._taken_at = 0.0
        self._true_at = 0.0  # monotonic: when this was how things are, for sure
        self._away = False
        self._doubtful = True  # something may have been missed: only the whole tells
        self._behind = False  # the store was ahead when its log had nothing to tell
        self._built: Snapshot | None = None
        self._vitals_lock = threading.Lock()
        self._vitals_at = 0.0
        self._followers: list[Follower] = []
        self._listeners: list[Listener] = []
        self._stopping = threading.Event()
        self._wake = threading.Event()
        self._thread: threading.Thread | None = None

    # --- its thread

    def start(self) -> None:
        self._thread = threading.Thread(target=self._run, name="mirror", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Follow no longer. A read that waits for changes ends by itself."""
        self._stopping.set()
        self._wake.set()

    # --- reading

    @property
    def stale(self) -> bool:
        """Redis is away, so far as is known."""
        return self._away

    @property
    def age(self) -> float:
        """Seconds since this was how things are, for sure."""
        return time.monotonic() - self._true_at

    def node(self, node_id: str) -> NodeRecord | None:
        return self._nodes.get(node_id)

    def session(self, session_id: str) -> SessionRecord | None:
        """The session with its nodes' names and addresses."""
        return self._sessions.get(session_id)

    def orders(self, node_id: str) -> int | None:
        """Number of the node's orders; None for a node that is unknown or dead."""
        node = self._nodes.get(node_id)
        return node.orders if node is not None and node.alive else None

    def snapshot_of_life(self) -> tuple[int, Snapshot]:
        """`life` and `snapshot` of one moment."""
        with self._changed:
            return self.life, self.snapshot()

    def snapshot(self) -> Snapshot:
        """Everything as it is here now; nodes by name. Raises RegistryAway before the first reading."""
        with self._changed:
            if self.revision is None:
                raise RegistryAway("the registry has not read its Redis yet; try again", retry_after=1)
            if self._built is None:
                nodes = self._nodes
                self._built = Snapshot(
                    revision=self.revision,
                    place=self._place,
                    taken_at=self._taken_at,
                    nodes=tuple([nodes[node_id] for _, node_id in self._order]),
                    sessions=tuple(self._sessions.values()),
                    counts=self._counts,
                    preserving=self.preserving,
                )
            return self._built

    # --- keeping up

    def catch_up(self) -> None:
        """Have in here what the store has now. Raises RegistryAway."""
        before = self.revision
        self.reach(self._store.revision(), before)

    def reach(self, revision: int, before: int | None) -> None:
        """Have the change `revision` in here, which the store has just named as its last.

        before: what `self.revision` was before the store was asked. Raises RegistryAway.
        """
        if before is None or revision < before:
            # Wiped, or failed over to one that had heard less: its log may have nothing to tell.
            with self._updating:
                if self.revision == before:  # else somebody read everything meanwhile
                    self.read_anew()
        elif not self.wait(revision, NEWS_SECONDS):
            # The thread has not got round to it: whoever waits reads what is missing.
            with self._updating:
                while (self.revision or 0) < revision:
                    found = self._store.changes(self._place, MOST, 0.0)
                    if found.revisions is None:
                        self.read_anew()
                        return
                    self._take(found)

    def wait(self, revision: int, seconds: float) -> bool:
        """Whether the change `revision` is in here, `seconds` from now at the latest."""
        if self._away:
            self._wake.set()
        with self._changed:
            return self._changed.wait_for(lambda: (self.revision or -1) >= revision, seconds)

    def refresh(self, oldest: float | None = None) -> float:
        """Have loads, times, frame rates and counts that are at most `oldest` seconds old, VITALS_LAST when None, where
        the store answers. Returns when they were read (monotonic seconds)."""
        age = time.monotonic() - self._vitals_at
        if oldest is None and VITALS_SECONDS < age <= VITALS_LAST:
            if self._vitals_lock.acquire(blocking=False):  # else somebody reads them already
                aside = threading.Timer(VITALS_WAIT, self._freshen_aside)
                aside.daemon = True
                aside.start()
        elif age > (VITALS_LAST if oldest is None else oldest):
            with self._vitals_lock:
                if time.monotonic() - self._vitals_at > (VITALS_LAST if oldest is None else oldest):
                    self._freshen()
        return self._vitals_at

    def read_anew(self) -> None:
        """Read everything from the store. Raises RegistryAway."""
        with self._updating:
            self._install(self._store.snapshot())

    def listen(self, listener: Listener) -> None:
        """Have the ids of changed nodes and sessions told after each change. It must be quick and not fail. Call this
        and `follow` before `start`."""
        self._listeners.append(listener)

    def follow(self, follower: Follower) -> None:
        self._followers.append(follower)

    def _run(self) -> None:
        backoff = Backoff(AGAIN_FIRST, AGAIN_LAST)
        while not self._stopping.is_set():
            try:
                self._step()
                backoff.reset()
                continue
            except RegistryAway as error:
                self._note_away(True, str(error.__cause__ or error))
            except Exception:  # a defect met in one change must not leave every list as it is for ever
                if self._stopping.is_set():
                    return  # what it read from is being closed
                log.exception("following the store failed; everything is read anew")
            self._doubtful = True
            self._wake.wait(backoff.delay())
            self._wake.clear()

    def _step(self) -> None:
        """Read what comes next in the log, and take it in."""
        if self._doubtful:
            self.read_anew()
        life, place = self.life, self._place
        found = self._store.changes(place, MOST, WAIT)
        with self._updating:
            if (life, place) == (self.life, self._place):  # else somebody who waits has read it meanwhile
                self._take(found)
        if len(found.nodes) + len(found.sessions) >= CROWD:
            self._stopping.wait(CROWD_SECONDS)

    def _take(self, found: Changes) -> None:
        if found.revisions is None:
            ahead = self._store.revision() - (self.revision or 0)
            if ahead == 0:
                self._true_at = time.monotonic()
            # A change may have come between the two calls; when the log does not tell it next time, it never will.
            if ahead < 0 or (ahead > 0 and self._behind):
                self.read_anew()
            self._behind = ahead > 0
            return
        self._behind = False
        first, last = found.revisions
        if first != (self.revision or 0) + 1:
            self.read_anew()
            return
        preserving = self._store.preserving() if found.mesh else self.preserving
        nodes, sessions = self._store.rows(found.nodes, found.sessions)
        touched = dict.fromkeys(found.sessions)
        self.attic.forget(found.nodes)
        with self._changed:
            moved = {node_id for node_id in found.nodes if self._put(node_id, nodes.get(node_id))}
            for session_id in found.sessions:
                self._put_session(session_id, sessions.get(session_id))
            for session_id, session in list(self._sessions.items()) if moved else ():
                if (session.camera in moved or session.node in moved) and session_id not in touched:
                    touched[session_id] = None
                    self._put_session(session_id, session)
            told, self.preserving = self.preserving, preserving
            self.revision, self._place = last, found.place
            self._news()
        for listener in self._listeners:
            listener(found.nodes, tuple(touched))
        for follower in self._followers:
            follower.changed(found.nodes, tuple(touched))
        if (told is None) != (preserving is None):
            self._tell_mesh()

    def _install(self, snapshot: Snapshot) -> None:
        """Take over the whole `snapshot`, and tell what is different."""
        with self._changed:
            same = (self.revision, self._place) == (snapshot.revision, snapshot.place)
            old_nodes, old_sessions = self._nodes, self._sessions
            self._nodes = {node.node_id: node for node in snapshot.nodes}
            # The dead are shown for a quarter of an hour: who is not there at all has not died and has not left.
            self.attic.keep(n for i, n in old_nodes.items() if n.alive and i not in self._nodes)
            self.attic.forget(self._nodes)
            self._order = sorted(map(_place_of, snapshot.nodes))
            self.live = sum(node.alive for node in snapshot.nodes)
            self._sessions = {}
            for session in snapshot.sessions:
                self._put_session(session.session_id, session)
            self._counts = snapshot.counts
            self._taken_at = snapshot.taken_at
            self._place, self.revision, self.preserving = snapshot.place, snapshot.revision, snapshot.preserving
            self.life += not same
            self._vitals_at = time.monotonic()
            self._news()
            nodes = [i for i in old_nodes | self._nodes if _steady(old_nodes.get(i)) != _steady(self._nodes.get(i))]
            sessions = [i for i in old_sessions | self._sessions if old_sessions.get(i) != self._sessions.get(i)]
        self._doubtful = self._behind = False
        if not same:
            for listener in self._listeners:
                listener(tuple(nodes), tuple(sessions))
            for follower in self._followers:
                follower.anew()
        self._note_away(False)

    def _freshen_aside(self) -> None:
        try:
            self._freshen()
        finally:
            self._vitals_lock.release()

    def _freshen(self) -> None:
        """Read the vitals. Whoever calls this holds their lock."""
        now = time.monotonic()
        if self._away:
            return
        try:
            vitals = self._store.vitals()
        except RegistryAway:
            return  # the lists are as they were; the thread notices the absence and has it told
        with self._changed:
            for node_id, vital in vitals.nodes.items():
                node = self._nodes.get(node_id)
                if node is not None and vital.seen > node.last_seen:
                    self._nodes[node_id] = replace(node, load=vital.load, last_seen=vital.seen)
            for session_id, session in self._sessions.items():
                fps = vitals.fps.get(session_id, 0.0)
                if session.fps != fps:
                    self._sessions[session_id] = replace(session, fps=fps)
            self._counts = vitals.counts
            self._vitals_at = now
            self._built = None

    def _put(self, node_id: str, node: NodeRecord | None) -> bool:
        """Put a node's row in; whether its sessions show something else now."""
        old = self._nodes.get(node_id)
        self.live += (node is not None and node.alive) - (old is not None and old.alive)
        if old is not None and (node is None or _place_of(node) != _place_of(old)):
            del self._order[bisect_left(self._order, _place_of(old))]
        if node is None:
            self._nodes.pop(node_id, None)
        else:
            if old is None or _place_of(node) != _place_of(old):
                insort(self._order, _place_of(node))
            self._nodes[node_id] = node
        return _face(old) != _face(node)

    def _put_session(self, session_id: str, session: SessionRecord | None) -> None:
        """Put a session's row in, with what it shows of its node and its camera."""
        if session is None:
            self._sessions.pop(session_id, None)
            return
        node = self._nodes.get(session.node) if session.node is not None else None
        camera = self._nodes.get(session.camera)
        gone = None if camera is not None and camera.alive else (camera and camera.dead_reason) or "it is unknown"
        self._sessions[session_id] = replace(
            session,
            node_name=node.name if node is not None else None,
            node_url=node.url if node is not None else None,
            camera_gone=gone,
        )

    def _news(self) -> None:
        self._built = None
        self._true_at = time.monotonic()
        self._changed.notify_all()

    def _note_away(self, away: bool, reason: str = "") -> None:
        with self._updating:
            if away == self._away:
                return
            self._away = away
            if away and not self._stopping.is_set():
                log.warning("Redis is away; lists are served as they were", reason=reason)
            self._tell_mesh()

    def _tell_mesh(self) -> None:
        for follower in self._followers:
            follower.mesh()


def _place_of(node: NodeRecord) -> tuple[str, str]:
    return node.name.casefold(), node.node_id


def _face(node: NodeRecord | None) -> tuple[object, ...]:
    """What a node's sessions show of it."""
    return () if node is None else (node.name, node.url, node.dead_at, node.dead_reason)


def _steady(node: NodeRecord | None) -> NodeRecord | None:
    """A node without what every beat changes."""
    return None if node is None else replace(node, load=Load(), read_at=0.0, lease_ends=0.0, last_seen=0.0)
