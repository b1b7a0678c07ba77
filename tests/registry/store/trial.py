"""A store on trial: a small mesh on it, and a clock that only the test moves.

Leases, idle times and ejections of minutes pass in no time, and on a busy machine nothing ends too early.
"""

from __future__ import annotations

from typing import Any

import redis

from mesh import manifest as manifests
from mesh.wire import Assignment, Beat, Load, SessionReport
from registry.memory.store import MemoryStore
from registry.redis_store import RedisStore, sources
from registry.settings import RegistrySettings
from registry.store import BeatResult, Dialled, Failover, Full, NodeRecord, Opening, SessionRecord, Store, Swept

LEASE = 1.0  # seconds
IDLE = 30.0  # seconds
BEAT = 0.25  # seconds between two beats and two sweeps while a trial's time passes
BEGIN = 1_800_000_000_000  # ms: a trial's clock at its start
_CLOCK = "{fogline}:clock"
_TIME = "redis.call('TIME')"
_TOLD = (
    "(function() local ms = redis.call('GET', KEYS[1] .. ':clock')"
    " return {math.floor(ms / 1000), ms % 1000 * 1000} end)()"
)


class TimedRedisStore(RedisStore):
    """The store on Redis with a clock that is told."""

    def __init__(self, settings: RegistrySettings) -> None:
        super().__init__(settings)
        texts = {name: text.replace(_TIME, _TOLD) for name, text in sources().items()}
        assert all(_TIME not in text and _TOLD in text for text in texts.values())
        self._scripts = {name: self._redis.register_script(text) for name, text in texts.items()}


class Trial:
    """One store on trial, and a mesh of nodes that answer nobody: the test says what they do.

    A node's id is its name. assigned: what each node was told to serve by its last beat. silent: nodes that do not beat
    while time passes.
    """

    def __init__(self, kind: str, valkey: redis.Redis, settings: RegistrySettings) -> None:
        self._kind = kind
        self._valkey = valkey
        self._settings = settings
        self._ms = BEGIN
        self._opened = 0
        self.boots: dict[str, str] = {}
        self.assigned: dict[str, list[Assignment]] = {}
        self._unknown: dict[str, list[str]] = {}
        self._documents: dict[str, dict[str, Any]] = {}
        self.silent: set[str] = set()
        self.store = self._empty()

    def _empty(self) -> Store:
        if self._kind == "memory":
            return MemoryStore(self._settings, clock=lambda: self._ms / 1000)
        self._valkey.flushall()
        self._valkey.set(_CLOCK, self._ms)
        return TimedRedisStore(self._settings)

    def wipe(self) -> None:
        """The store forgets everything; the nodes go on."""
        self.store.close()
        self.store = self._empty()

    # --- time

    def advance(self, seconds: float) -> None:
        """Nothing happens for so long."""
        self._ms += round(seconds * 1000)
        if self._kind == "redis":
            self._valkey.set(_CLOCK, self._ms)

    def sweep(self) -> Swept:
        return self.store.sweep()

    def live(self, seconds: float) -> None:
        """Nodes beat and the registry sweeps for so long."""
        for _ in range(round(seconds / BEAT)):
            self.advance(BEAT)
            for name in self.boots:
                if name not in self.silent:
                    self.beat(name)
            self.sweep()

    # --- nodes

    def camera(self, name: str = "cam", **fields: Any) -> str:
        return self._register(name, {"kind": "camera", **fields})

    def compute(
        self, name: str, *, slots: int = 2, fps: float | None = 30.0, dialled: bool = True, **fields: Any
    ) -> str:
        """fps: measured for yolo. dialled: it was reached."""
        entry = {"id": "yolo", "name": "YOLO"} | ({} if fps is None else {"fps": fps})
        return self._register(name, {"kind": "compute", "slots": slots, "algorithm": [entry], **fields}, dialled)

    def _register(self, name: str, fields: dict[str, Any], dialled: bool = True) -> str:
        url = fields.pop("advertise_url", f"http://{name}:8000")
        document = {
            "schema": "fogline/1",
            "node_id": name,
            "boot_id": "first",
            "host_name": f"host-{name}",
            "name": name,
        }
        self._documents[name] = document | fields | {"advertise_url": url}
        if self.boots.get(name) != self._documents[name]["boot_id"]:
            self.assigned[name] = []
        self.register(name)
        if dialled:
            self.reached(name)
        return name

    def register(self, name: str) -> None:
        """Send the node's manifest again."""
        document = self._documents[name]
        if document["kind"] == "compute":
            document["serving"] = len(self.assigned[name])
        manifest = manifests.parse(document)
        self.boots[name] = manifest.boot_id
        self.store.register(manifest, document["advertise_url"], [name], LEASE)

    def reached(self, name: str, problem: str | None = None, *, gone: bool = False) -> None:
        self.store.reached([Dialled(node_id=name, url=self.node(name).url, problem=problem, gone=gone)], 3.0)

    def beat(
        self, name: str, *reports: SessionReport, viewers: int = 1, ready: bool = True, **load: Any
    ) -> BeatResult | None:
        """A beat as a node sends it: it reports what the last one was answered with, with the tickets that were asked
        for. `reports` are sent instead."""
        told = reports or tuple(
            SessionReport(
                session_id=one.session_id,
                token=one.token,
                viewers=0 if one.warm else viewers,
                ready=ready,
                ticket=one.ticket if one.session_id in self._unknown.get(name, ()) else None,
            )
            for one in self.assigned[name]
        )
        result = self.store.beat(name, Beat(boot_id=self.boots[name], load=Load(**load), sessions=list(told)), LEASE)
        if result is not None:
            self._unknown[name] = result.unknown
            kept = [one for one in self.assigned[name] if one.session_id in result.unknown]
            self.assigned[name] = result.assignments + kept
        return result

    def serve(self, name: str, *, viewers: int = 1) -> None:
        """The node hears what it should serve, and reports that it does."""
        self.beat(name, viewers=viewers)
        self.beat(name, viewers=viewers)

    def node(self, name: str) -> NodeRecord:
        found = self.store.node(name)
        assert found is not None, f"no node {name}"
        return found

    # --- sessions

    def ask(self, session_id: str, **wishes: Any) -> SessionRecord | Full | None:
        """Ask for a session of its own, unless the wish says otherwise by its `width`."""
        self._opened += 1
        camera = wishes.pop("camera", "cam")
        wish: dict[str, Any] = {"algorithm": "yolo", "width": self._opened, **wishes}
        return self.store.open(Opening(session_id=session_id, camera=camera, **wish))

    def open(self, session_id: str, **wish: Any) -> SessionRecord:
        found = self.ask(session_id, **wish)
        assert isinstance(found, SessionRecord), found
        return found

    def session(self, session_id: str) -> SessionRecord:
        found = self.store.session(session_id)
        assert found is not None, f"no session {session_id}"
        return found

    def failover(self, session_id: str, reporter: str) -> Failover:
        """A viewer gets no frames from the present placement."""
        done = self.store.failover(session_id, self.session(session_id).token, reporter)
        assert done is not None
        return done
