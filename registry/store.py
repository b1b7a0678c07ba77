"""What the registry remembers, and the changes to it. Each change is atomic, and only the store's clock counts."""

from __future__ import annotations

from typing import Any, Literal, Protocol

import msgspec

from mesh.manifest import Kind, Manifest
from mesh.wire import Assignment, Beat, Gate, Load

Reach = Literal["checking", "ok", "failed"]
SessionState = Literal["requested", "placed", "running", "moving", "ended"]


class NodeRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One node as the store has it.

    document: the manifest as sent. used: sessions on it. reach: whether the registry could dial it. read_at: when this
    was so. lease_ends, last_seen, dead_at: as read_at seconds of the store's clock; dead_at is None while it lives.
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

    @property
    def alive(self) -> bool:
        return self.dead_at is None

    @property
    def free_slots(self) -> int:
        return max(0, self.slots - self.used - self.load.direct)


class SessionRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One session as the store has it.

    node: the id of the node that serves it, None while none does. fps: measured; max_fps: asked for. camera_gone: why
    the camera is not there now, None when it is. created_at, changed_at: seconds of the store's clock.
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


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """Everything at one moment. revision: changes with every change that a list shows. taken_at: the store's clock."""

    revision: int
    taken_at: float
    nodes: tuple[NodeRecord, ...]
    sessions: tuple[SessionRecord, ...]
    counts: dict[str, int]


class Registered(msgspec.Struct, frozen=True, kw_only=True):
    """new: the store did not have it. dial: it has to be reached before it counts as free."""

    new: bool
    dial: bool


class BeatResult(msgspec.Struct, frozen=True, kw_only=True):
    draining: bool
    assignments: list[Assignment]


class Opening(msgspec.Struct, frozen=True, kw_only=True):
    """A session that somebody wants. camera, only: node ids. session_id: its id if it has to be made."""

    session_id: str
    camera: str
    algorithm: str
    only: str | None = None
    width: int | None = None
    height: int | None = None
    max_fps: float | None = None
    pinned: bool = False
    gate: Gate | None = None


class Full(msgspec.Struct, frozen=True, kw_only=True):
    """No node can take the session; why, in words."""

    why: str


class Failover(msgspec.Struct, frozen=True, kw_only=True):
    outcome: str
    session: SessionRecord


class Swept(msgspec.Struct, frozen=True, kw_only=True):
    died: int
    ended: int


class Store(Protocol):
    """Any thread may call any method. Every method raises RegistryAway when the store does not answer."""

    def ping(self) -> None: ...
    def revision(self) -> int: ...
    def snapshot(self) -> Snapshot: ...
    def node(self, node_id: str) -> NodeRecord | None: ...

    def find(self, kind: Kind, text: str) -> list[tuple[str, str]]:
        """The live nodes of `kind` with this id, else with this name: (id, name) of each."""
        ...

    def has_algorithm(self, algorithm: str) -> bool:
        """Whether any live node has it."""
        ...

    def register(self, manifest: Manifest, url: str, names: list[str], lease: float) -> Registered: ...

    def beat(self, node_id: str, beat: Beat) -> BeatResult | None:
        """None: it is unknown, dead or another boot, and has to register."""
        ...

    def leave(self, node_id: str, reason: str) -> bool: ...
    def drain(self, node_id: str, on: bool) -> bool: ...

    def reached(self, node_id: str, url: str, problem: str | None, again_after: float) -> None:
        """Tell the outcome of dialling `url`; after a problem it is due again in `again_after` seconds."""
        ...

    def due(self, most: int, claim_seconds: float) -> list[tuple[str, str]]:
        """Nodes (id, url) that have to be dialled now; nobody else gets them for `claim_seconds`."""
        ...

    def open(self, wish: Opening) -> SessionRecord | Full | None:
        """Join or place a session; None when the camera has just gone."""
        ...

    def session(self, session_id: str) -> SessionRecord | None: ...

    def touch(self, session_id: str) -> SessionRecord | None:
        """As `session`, and count as a viewer's visit: the idle time starts anew."""
        ...

    def end(self, session_id: str, reason: str) -> bool: ...
    def failover(self, session_id: str, token: int) -> Failover | None: ...
    def sweep(self) -> Swept: ...
    def close(self) -> None: ...
