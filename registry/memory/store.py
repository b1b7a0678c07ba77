"""The store in memory: for a mesh of one registry process that may forget everything when it ends."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Sequence

from mesh.errors import SetupProblem
from mesh.manifest import Kind, Manifest
from mesh.wire import Beat
from registry.memory import beating, moving, sweeping
from registry.memory.cameras import MemoryCameras
from registry.memory.mesh import Mesh
from registry.memory.placing import Wish, choose
from registry.memory.rows import Session, Ticket, join_of, text_of
from registry.settings import RegistrySettings
from registry.store import (
    BeatResult,
    Changes,
    Dialled,
    Failover,
    Full,
    NodeRecord,
    Opening,
    Pulse,
    Registered,
    Registering,
    Remembered,
    SessionRecord,
    Snapshot,
    Step,
    Swept,
    Vital,
    Vitals,
)


class MemoryStore(MemoryCameras):
    """Implements registry.store.Store, with the same answers as the store on Redis; the two pass the same tests.

    clock: Unix seconds; nobody else's clock counts.
    """

    def __init__(self, settings: RegistrySettings, clock: Callable[[], float] = time.time) -> None:
        self._settings = settings
        super().__init__(Mesh(clock))
        self._secret = secrets.token_bytes(32)

    # --- reading

    def ping(self) -> None:
        """It always answers."""

    def revision(self) -> int:
        return self._mesh.revision

    def snapshot(self) -> Snapshot:
        mesh = self._mesh
        with mesh.at_work():
            oldest_first = sorted(mesh.sessions.values(), key=lambda s: (s.state == "ended", s.facts.created))
            return Snapshot(
                revision=mesh.revision,
                place=str(mesh.revision),
                taken_at=mesh.now / 1000,
                nodes=tuple(mesh.node_record(node) for node in mesh.nodes.values()),
                sessions=tuple(mesh.session_record(session) for session in oldest_first),
                counts=dict(mesh.counts),
                preserving=self._preserving(),
            )

    def changes(self, place: str, most: int, wait: float) -> Changes:
        return self._mesh.changes(place, most, wait)

    def preserving(self) -> float | None:
        with self._mesh.at_work():
            return self._preserving()

    def rows(
        self, nodes: Sequence[str], sessions: Sequence[str]
    ) -> tuple[dict[str, NodeRecord], dict[str, SessionRecord]]:
        mesh = self._mesh
        with mesh.at_work():
            return (
                {node_id: mesh.node_record(mesh.nodes[node_id]) for node_id in nodes if node_id in mesh.nodes},
                {one: mesh.session_record(mesh.sessions[one]) for one in sessions if one in mesh.sessions},
            )

    def vitals(self) -> Vitals:
        mesh = self._mesh
        with mesh.at_work():
            return Vitals(
                nodes={i: Vital(load=node.load, seen=node.seen / 1000) for i, node in mesh.nodes.items()},
                fps={i: session.fps for i, session in mesh.sessions.items() if session.fps is not None},
                counts=dict(mesh.counts),
            )

    def node(self, node_id: str) -> NodeRecord | None:
        return self.rows([node_id], [])[0].get(node_id)

    def find(self, kind: Kind, text: str) -> list[tuple[str, str]]:
        mesh = self._mesh
        with mesh.at_work():
            node = mesh.nodes.get(text)
            if node is not None and node.there and node.manifest.kind == kind:
                return [(text, node.name)]
            return sorted((node_id, mesh.name_of(node_id)) for node_id in mesh.named.get((kind, text), ()))

    def has_algorithm(self, algorithm: str) -> bool:
        return algorithm in self._mesh.has

    def session(self, session_id: str) -> SessionRecord | None:
        return self.rows([], [session_id])[1].get(session_id)

    def history(self, session_id: str) -> list[Step]:
        with self._mesh.at_work():
            session = self._mesh.sessions.get(session_id)
            return list(session.history) if session else []

    def secret(self) -> bytes:
        return self._secret

    # --- nodes

    def register(
        self, manifest: Manifest, url: str, names: list[str], lease: float, remembered: Remembered | None = None
    ) -> Registered:
        with self._mesh.at_work():
            return beating.register(self._mesh, manifest, url, names, _milliseconds(lease), remembered=remembered)

    def register_many(self, nodes: Sequence[Registering], lease: float) -> None:
        for one in nodes:
            self.register(one.manifest, one.url, one.names, lease, one.remembered)

    def beat(self, node_id: str, beat: Beat, lease: float) -> BeatResult | None:
        with self._mesh.at_work():
            return beating.beat(self._mesh, node_id, beat, _milliseconds(lease))

    def pulse(self, pulses: Sequence[Pulse], lease: float) -> list[str]:
        with self._mesh.at_work():
            return beating.pulse(self._mesh, pulses, _milliseconds(lease))

    def leave(self, node_id: str, reason: str) -> bool:
        mesh = self._mesh
        with mesh.at_work():
            node = mesh.nodes.get(node_id)
            if node is not None and node.there:
                moving.bury(mesh, node, reason)
                mesh.counts["nodes_left"] += 1
            return node is not None

    def drain(self, node_id: str, on: bool) -> bool:
        mesh = self._mesh
        with mesh.at_work():
            node = mesh.nodes.get(node_id)
            if node is None or not node.there:
                return False
            if node.draining != on:
                node.draining = on
                if on:
                    mesh.draining.put(node_id, mesh.now)
                else:
                    mesh.draining.drop(node_id)
                mesh.reindex(node)
                mesh.bump(node_id)
            if on:
                moving.hand_all_over(mesh, node)
            return True

    def reached(self, results: Sequence[Dialled], again_after: float) -> None:
        mesh = self._mesh
        with mesh.at_work():
            for one in results:
                node = mesh.nodes.get(one.node_id)
                if node is not None and node.there and node.url == one.url:
                    moving.dialled(mesh, node, one, _milliseconds(again_after))

    def due(self, most: int, claim_seconds: float) -> list[tuple[str, str]]:
        mesh = self._mesh
        with mesh.at_work():
            found = [(node_id, mesh.nodes[node_id].url) for node_id in mesh.unreached.until(mesh.now, most)]
            for node_id, _ in found:
                mesh.unreached.put(node_id, mesh.now + _milliseconds(claim_seconds))
            return found

    # --- sessions

    def open(self, wish: Opening) -> SessionRecord | Full | None:
        with self._mesh.at_work():
            outcome = self._join(wish) or self._new(wish)
            return self._mesh.session_record(outcome) if isinstance(outcome, Session) else outcome

    def touch(self, session_id: str) -> SessionRecord | None:
        mesh = self._mesh
        with mesh.at_work():
            session = mesh.sessions.get(session_id)
            if session is None:
                return None
            self._visit(session)
            return mesh.session_record(session)

    def end(self, session_id: str, reason: str) -> bool:
        mesh = self._mesh
        with mesh.at_work():
            session = mesh.sessions.get(session_id)
            if session is not None and session.state != "ended":
                moving.finish(mesh, session, reason)
            return session is not None

    def failover(self, session_id: str, token: int, reporter: str) -> Failover | None:
        mesh = self._mesh
        with mesh.at_work():
            session = mesh.sessions.get(session_id)
            if session is None:
                return None
            outcome = moving.failover(mesh, session, token, reporter)
            return Failover(outcome=outcome, session=mesh.session_record(session))

    # --- periodic work

    def lead(self, who: str, seconds: float) -> bool:
        mesh = self._mesh
        with mesh.at_work():
            leader, until = mesh.leader
            if leader != who and until > mesh.now:
                return False
            mesh.leader = who, mesh.now + _milliseconds(seconds)
            return True

    def sweep(self) -> Swept:
        lease, idle = _milliseconds(self._settings.lease_seconds), _milliseconds(self._settings.idle_seconds)
        with self._mesh.at_work():
            return sweeping.sweep(self._mesh, lease, idle)

    def close(self) -> None:
        """There is nothing to close."""

    # --- steps of the above, inside `at_work`

    def _preserving(self) -> float | None:
        since = self._mesh.preserving
        return since / 1000 if since is not None else None

    def _join(self, wish: Opening) -> Session | None:
        mesh = self._mesh
        session = mesh.sessions.get(mesh.joins.get(join_of(wish), ""))
        if session is None:
            return None
        if wish.pinned and not session.facts.pinned:
            moving.pin(mesh, session)
        self._visit(session)
        mesh.counts["joins"] += 1
        return session

    def _new(self, wish: Opening) -> Session | Full | None:
        mesh = self._mesh
        camera = mesh.nodes.get(wish.camera)
        if camera is None or not camera.there:
            return None
        rates = [fps for fps in (camera.manifest.fps, wish.max_fps) if fps]
        facts = Ticket(
            join=join_of(wish),
            camera=wish.camera,
            camera_name=camera.name,
            camera_url=camera.url,
            camera_original="1" if camera.manifest.original else "0",
            algorithm=wish.algorithm,
            demand=min(rates, default=0.0),
            created=mesh.now,
            only=wish.only or "",
            width=wish.width,
            height=wish.height,
            fps=wish.max_fps,
            pinned=wish.pinned,
            gate=wish.gate,
            require=text_of(wish.require),
            prefer=text_of(wish.prefer),
            speed=wish.speed,
            expires=mesh.now + int(wish.ttl * 1000) if wish.ttl is not None else None,
        )
        node, why = choose(mesh, Wish.of(facts), None)
        if node is None and not wish.wait:
            mesh.counts["refusals"] += 1
            return Full(why=why)
        session = beating.remember(mesh, wish.session_id, facts)
        if node is not None:
            moving.place(mesh, session, node, why)
            mesh.set_state(session, "placed", "")
        else:
            session.why = why
            mesh.waiting.put(session.session_id, mesh.now)
            mesh.set_state(session, "requested", f"waiting for a free slot: {why}")
        return session

    def _visit(self, session: Session) -> None:
        """Somebody comes to see it: it is not idle, and worth looking for a node once more."""
        mesh = self._mesh
        if session.session_id in mesh.idle:
            mesh.idle.put(session.session_id, mesh.now)
        if session.node is None and session.state != "ended":
            moving.move(mesh, session, None, moving.SLOT_FREE)


def require_one_process(settings: RegistrySettings) -> None:
    """Raises SetupProblem for several workers: each would have a mesh of its own."""
    if settings.workers > 1:
        raise SetupProblem(
            f"--workers (FOGLINE_WORKERS) is {settings.workers}: a registry that keeps its state in memory is one"
            " process; leave --redis (FOGLINE_REDIS) empty, or name a Redis, to run several"
        )


def _milliseconds(seconds: float) -> int:
    return round(seconds * 1000)
