"""What the registry remembers, and the changes to it. Each change is atomic, and only the store's clock counts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, Protocol

import msgspec

from mesh.manifest import Kind, Manifest
from mesh.wire import Assignment, Beat, Gate, Load, Speed
from registry.camera_store import CameraStore

Reach = Literal["checking", "ok", "failed"]
SessionState = Literal["requested", "placed", "running", "moving", "ended"]


class NodeRecord(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One node as the store has it.

    document: the manifest as sent. used: slots that sessions hold on it. reach: whether the registry could dial it.
    read_at: when this was so. lease_ends, last_seen, dead_at: as read_at seconds of the store's clock; dead_at is None
    while it lives. suspect_at: its lease ended then, and it is not given up yet; None for all others. out_until,
    out_reason: it is left out of placement until then, for pictures that did not come; None when it is not. orders:
    number of what it should be serving, see mesh.wire.BeatReply.
    """

    node_id: str
    kind: Kind
    name: str
    boot_id: str
    url: str
    slots: int
    used: int
    load: Load
    document: dict[str, Any]
    algorithms: tuple[str, ...]
    original: bool
    draining: bool
    reach: Reach
    reach_reason: str
    read_at: float
    lease_ends: float
    last_seen: float
    dead_at: float | None = None
    dead_reason: str = ""
    suspect_at: float | None = None
    out_until: float | None = None
    out_reason: str = ""
    orders: int = 0

    @property
    def alive(self) -> bool:
        return self.dead_at is None

    @property
    def free_slots(self) -> int:
        return max(0, self.slots - self.used - self.load.direct)


class SessionRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One session as the store has it.

    node: the id of the node that serves it, None while none does. following: the id of the node that runs it already
    and takes over soon. fps: measured; max_fps: asked for. camera_gone: why the camera is not there now, None when it
    is. created_at, changed_at, expires_at: seconds of the store's clock.
    """

    session_id: str
    camera: str
    camera_name: str
    algorithm: str
    state: SessionState
    state_reason: str
    node: str | None
    node_name: str | None
    node_url: str | None
    token: int
    why: str
    pinned: bool
    viewers: int
    fps: float
    problem: str
    width: int | None
    height: int | None
    max_fps: float | None
    gate: Gate | None
    created_at: float
    changed_at: float
    camera_gone: str | None = None
    following: str | None = None
    require: dict[str, str] = {}
    prefer: dict[str, str] = {}
    speed: Speed = "any"
    expires_at: float | None = None


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One change of a session's state. at: seconds of the store's clock. node: the name of the node then, if any."""

    at: float
    state: SessionState
    node: str | None = None
    reason: str = ""


class Vital(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What every beat changes of a node. seen: seconds of the store's clock."""

    load: Load
    seen: float


class Vitals(msgspec.Struct, frozen=True, kw_only=True):
    """What changes without an event. nodes: by node_id. fps: measured, by session_id. counts: how often what was."""

    nodes: dict[str, Vital]
    fps: dict[str, float]
    counts: dict[str, int]


class Changes(msgspec.Struct, frozen=True, kw_only=True):
    """What happened since a place in the store's log.

    place: where to go on. revisions: first and last number of what is told, None when nothing happened. A reader whose
    last revision is not `first - 1` has missed something. nodes, sessions: ids of what changed, oldest first, each
    once. mesh: what concerns all of it changed, see `Store.preserving`.
    """

    place: str
    revisions: tuple[int, int] | None
    nodes: tuple[str, ...] = ()
    sessions: tuple[str, ...] = ()
    mesh: bool = False


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """Everything at one moment. revision: changes with every change that a list shows. place: where `Store.changes`
    goes on from here. taken_at: the store's clock. preserving: so many nodes vanished at once that the network is
    suspect; since when, None else."""

    revision: int
    place: str
    taken_at: float
    nodes: tuple[NodeRecord, ...]
    sessions: tuple[SessionRecord, ...]
    counts: dict[str, int]
    preserving: float | None = None


class Registered(msgspec.Struct, frozen=True, kw_only=True):
    """new: the store did not have it. dial: it has to be reached before it counts as free."""

    new: bool
    dial: bool


class Remembered(msgspec.Struct, frozen=True, kw_only=True):
    """What was known of a node that the store has lost. reached: it was dialled with success. orders: the number that
    it follows, 0 for a new one. serving: sessions on it, of which its next full beat will tell."""

    reached: bool
    orders: int = 0
    serving: int = 0


class Registering(msgspec.Struct, frozen=True, kw_only=True):
    """The arguments of one `Store.register`, where many nodes are registered at once."""

    manifest: Manifest
    url: str
    names: list[str]
    remembered: Remembered | None = None


class BeatResult(msgspec.Struct, frozen=True, kw_only=True):
    """As mesh.wire.BeatReply has them. dial: it returns from silence and has to be reached before it counts as free."""

    draining: bool
    assignments: list[Assignment]
    orders: int
    unknown: list[str]
    url: str = ""
    dial: bool = False


class Pulse(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A beat that came as a datagram."""

    node_id: str
    boot_id: str
    load: Load


class Dialled(msgspec.Struct, frozen=True, kw_only=True):
    """What dialling a node's `url` came to. problem: why it was not reached, None when it was. gone: nothing listens
    there."""

    node_id: str
    url: str
    problem: str | None = None
    gone: bool = False


class Opening(msgspec.Struct, frozen=True, kw_only=True):
    """A session that somebody wants. camera, only: node ids. session_id: its id if it has to be made. ttl: seconds."""

    session_id: str
    camera: str
    algorithm: str
    only: str | None = None
    width: int | None = None
    height: int | None = None
    max_fps: float | None = None
    pinned: bool = False
    gate: Gate | None = None
    require: dict[str, str] = {}
    prefer: dict[str, str] = {}
    speed: Speed = "any"
    ttl: float | None = None
    wait: bool = False


class Full(msgspec.Struct, frozen=True, kw_only=True):
    """No node can take the session; why, in words."""

    why: str


class Failover(msgspec.Struct, frozen=True, kw_only=True):
    outcome: str
    session: SessionRecord


class Swept(msgspec.Struct, frozen=True, kw_only=True):
    """What one sweep did. suspects: (id, url) of nodes whose lease has just ended: dial them, to know sooner. more:
    there was more to do than one sweep does."""

    died: int
    ended: int
    suspects: tuple[tuple[str, str], ...]
    preserving: bool
    more: bool


class Store(CameraStore, Protocol):
    """Any thread may call any method. Every method raises RegistryAway when the store does not answer."""

    def ping(self) -> None: ...

    # --- reading

    def revision(self) -> int:
        """The number of the last change; 0 in an empty store."""
        ...

    def snapshot(self) -> Snapshot:
        """Everything. Expensive: for the beginning, and when changes were missed."""
        ...

    def changes(self, place: str, most: int, wait: float) -> Changes:
        """What happened after `place`, at most `most` changes; waits up to `wait` seconds for the first one."""
        ...

    def preserving(self) -> float | None:
        """Since when so many nodes are gone at once that the network is suspected; None while it is not."""
        ...

    def rows(
        self, nodes: Sequence[str], sessions: Sequence[str]
    ) -> tuple[dict[str, NodeRecord], dict[str, SessionRecord]]:
        """The nodes and sessions with these ids as they are now; those that are forgotten are left out. A session's
        `node_name`, `node_url` and `camera_gone` are not filled in: whoever asks knows the nodes."""
        ...

    def vitals(self) -> Vitals: ...
    def node(self, node_id: str) -> NodeRecord | None: ...

    def find(self, kind: Kind, text: str) -> list[tuple[str, str]]:
        """The live nodes of `kind` with this id, else with this name: (id, name) of each."""
        ...

    def has_algorithm(self, algorithm: str) -> bool:
        """Whether any live node has it."""
        ...

    def session(self, session_id: str) -> SessionRecord | None: ...

    def history(self, session_id: str) -> list[Step]:
        """A session's last changes of state, oldest first."""
        ...

    def secret(self) -> bytes:
        """32 random bytes that all registries on this store share; made on first use."""
        ...

    # --- nodes

    def register(
        self, manifest: Manifest, url: str, names: list[str], lease: float, remembered: Remembered | None = None
    ) -> Registered:
        """remembered: the store lost this node a moment ago, and this is what it had of it."""
        ...

    def register_many(self, nodes: Sequence[Registering], lease: float) -> None:
        """Register each of them. When it fails some may be registered."""
        ...

    def beat(self, node_id: str, beat: Beat, lease: float) -> BeatResult | None:
        """None: it is unknown, dead or another boot, and has to register. lease: seconds."""
        ...

    def pulse(self, pulses: Sequence[Pulse], lease: float) -> list[str]:
        """Many beats at once: the ids of the nodes that have to send a full beat (unknown, dead, another boot, or
        returned from silence)."""
        ...

    def leave(self, node_id: str, reason: str) -> bool: ...
    def drain(self, node_id: str, on: bool) -> bool: ...

    def reached(self, results: Sequence[Dialled], again_after: float) -> None:
        """Tell what dialling nodes came to, a few hundred at most in one call; what an old address answers says
        nothing. After a problem a node is due again in `again_after` seconds. One that is gone and silent, too, is
        dead."""
        ...

    def due(self, most: int, claim_seconds: float) -> list[tuple[str, str]]:
        """Nodes (id, url) that have to be dialled now; nobody else gets them for `claim_seconds`."""
        ...

    # --- sessions

    def open(self, wish: Opening) -> SessionRecord | Full | None:
        """Join or place a session; None when the camera has just gone."""
        ...

    def touch(self, session_id: str) -> SessionRecord | None:
        """As `session`, and count as a viewer's visit: the idle time starts anew."""
        ...

    def end(self, session_id: str, reason: str) -> bool: ...

    def failover(self, session_id: str, token: int, reporter: str) -> Failover | None:
        """A viewer gets no frames from the placement with this token. reporter: who says so; a node is left out only
        when several do."""
        ...

    # --- periodic work

    def lead(self, who: str, seconds: float) -> bool:
        """Whether `who` leads, for the next `seconds`: it does, or nobody did."""
        ...

    def sweep(self) -> Swept: ...
    def close(self) -> None: ...
