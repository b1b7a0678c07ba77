"""The shapes of the registry's answers and of its calls' parameters, for the handlers and for the description."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

from mesh.manifest import Identifier, Kind, Name
from mesh.wire import Gate, Speed
from registry.standing import NodeState
from registry.store import SessionState

MAX_PAGE = 10_000  # items of one page; without a limit a list is whole

Limit = Annotated[int, msgspec.Meta(ge=1, le=MAX_PAGE)]
Cursor = Annotated[str, msgspec.Meta(max_length=2000)]


class NodeQuery(msgspec.Struct, frozen=True, kw_only=True):
    """state: without it the dead are left out; `any` for all."""

    kind: Kind | None = None
    algorithm: Identifier | None = None
    state: Literal["ready", "full", "draining", "unreachable", "suspect", "dead", "any"] | None = None
    limit: Limit | None = None
    cursor: Cursor | None = None


class SessionQuery(msgspec.Struct, frozen=True, kw_only=True):
    """state: without it those that ended are left out; `any` for all. camera: a node_id or a name."""

    state: Literal["requested", "placed", "running", "moving", "ended", "any"] | None = None
    camera: Name | None = None
    limit: Limit | None = None
    cursor: Cursor | None = None


class EventQuery(msgspec.Struct, frozen=True, kw_only=True):
    """since: the id of the last event that was heard, for clients that cannot send `Last-Event-ID`."""

    since: Cursor | None = None


class NodeDocument(msgspec.Struct, kw_only=True):
    """A node's manifest with every field that it sent, and these besides. last_seen: Unix seconds of the store's
    clock. sessions: how many it serves. original: it speaks the original's calls only. unauthenticated: it came without
    a credential, to a registry with --legacy-open."""

    node_id: str
    kind: Kind
    name: str
    state: NodeState
    state_reason: str
    url: str
    last_seen: float
    sessions: int
    draining: bool
    original: bool
    load: dict[str, Any]
    free_slots: int | None = None
    dead_at: float | None = None
    unauthenticated: bool | None = None


class SessionDocument(msgspec.Struct, kw_only=True):
    """node: the id of the node that serves it, null while none does; the addresses are on that node. token: grows with
    every placement. fps: measured; max_fps: asked for. created_at, changed_at: Unix seconds of the store's clock.
    problem: why it gives nothing now, in words; empty when there is none."""

    session_id: str
    state: SessionState
    state_reason: str
    problem: str
    camera: str
    camera_name: str
    algorithm: str
    node: str | None
    node_name: str | None
    node_url: str | None
    token: int
    stream_url: str | None
    snapshot_url: str | None
    detections_url: str | None
    stats_url: str | None
    why: str
    pinned: bool
    viewers: int
    fps: float
    width: int | None
    height: int | None
    max_fps: float | None
    gate: Gate | None
    require: dict[str, str]
    prefer: dict[str, str]
    speed: Speed
    following: str | None
    expires_at: float | None
    created_at: float
    changed_at: float


class MovedDocument(SessionDocument, kw_only=True):
    """outcome: what the request for failover led to, in words."""

    outcome: str


class _Listed(msgspec.Struct, kw_only=True):
    next_cursor: str | None
    stale: bool
    age_seconds: float | None = None
    preserving: bool = False


class NodeList(_Listed, kw_only=True):
    """stale: Redis is away; this was true `age_seconds` ago."""

    nodes: list[NodeDocument]


class SessionList(_Listed, kw_only=True):
    sessions: list[SessionDocument]


class AlgorithmNode(msgspec.Struct, kw_only=True):
    """fps: frames a second that the node measured at its start."""

    id: str
    name: str
    fps: float | None
    model: str | None
    path: str | None
    free_slots: int
    state: NodeState
    state_reason: str
    original: bool


class AlgorithmDocument(msgspec.Struct, kw_only=True):
    id: str
    name: str
    category: str
    free_slots: int
    nodes: list[AlgorithmNode]


class AlgorithmList(_Listed, kw_only=True):
    algorithms: list[AlgorithmDocument]
