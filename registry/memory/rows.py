"""A node and a session as the store in memory keeps them. All times are milliseconds of the store's clock."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field
from typing import Literal

import msgspec

from mesh import codec
from mesh.manifest import Manifest
from mesh.wire import Gate, Load, Speed
from registry.store import NodeRecord, Opening, Reach, SessionRecord, SessionState, Step

STEPS = 20  # changes of state that are kept of one session


@dataclass(slots=True, eq=False)
class Node:
    """One node. held: the sessions that hold a slot of it, each with the part of its time that it may need, the oldest
    first. reports: who said lately that it gives no frames, and when. awaited: it serves sessions that the store does
    not know, and nothing is placed on it before it told of them. turn: when it was used last, by counting."""

    manifest: Manifest
    url: str
    names: list[str]
    seen: int
    state: Literal["live", "suspect", "dead"] = "live"
    reach: Reach = "checking"
    reach_reason: str = ""
    reach_since: int = 0
    awaited: bool = False
    draining: bool = False
    load: Load = Load()
    turn: int = 0
    orders: int = 0
    suspect_at: int = 0
    dead_at: int = 0
    dead_reason: str = ""
    ejections: int = 0
    ejected_at: int = 0
    out_until: int = 0
    out_reason: str = ""
    held: dict[str, float] = field(default_factory=dict)
    reports: dict[str, int] = field(default_factory=dict)
    labels: frozenset[str] = field(init=False)

    def __post_init__(self) -> None:
        self.labels = frozenset(f"{name}={value}" for name, value in self.manifest.labels)

    @property
    def node_id(self) -> str:
        return self.manifest.node_id

    @property
    def name(self) -> str:
        return self.manifest.name

    @property
    def there(self) -> bool:
        return self.state != "dead"

    @property
    def free(self) -> int:
        return self.manifest.slots - len(self.held) - self.load.direct

    @property
    def rank(self) -> tuple[int, int]:
        """The less loaded comes first, and within equal load who was used the longest time ago."""
        return (len(self.held) + self.load.direct) * 1000 // self.manifest.slots, self.turn

    def placeable(self, now: int) -> bool:
        return (
            self.state == "live"
            and self.reach == "ok"
            and not (self.draining or self.awaited or self.manifest.original)
            and self.manifest.slots > 0
            and self.out_until <= now
        )

    def fps(self, algorithm: str) -> float | None:
        """Frames per second that it measured; None when it did not."""
        entry = self.manifest.algorithms.get(algorithm)
        return entry.fps if entry is not None else None

    def speed(self, algorithm: str) -> int | None:
        """Its class: 2ⁿ to 2ⁿ⁺¹ frames a second."""
        fps = self.fps(algorithm)
        return math.floor(math.log2(fps)) if fps else None

    def spare(self, algorithm: str) -> int | None:
        """Frames per second that it has left."""
        fps = self.fps(algorithm)
        if fps is None:
            return None
        spare = fps * (1 - sum(self.held.values()))
        # What runs without a session is only known by what it takes.
        if self.load.direct > 0:
            spare = min(spare, fps - self.load.fps)
        return max(0, math.floor(spare + 0.5))

    def share(self, facts: Ticket) -> float:
        """The part of its time that a session may need."""
        fps = self.fps(facts.algorithm)
        return facts.demand / fps if fps else 0.0

    def silence(self, now: int) -> str:
        return f"{(now - self.seen) / 1000:.1f} s"

    def record(self, now: int, lease_ends: int) -> NodeRecord:
        manifest = self.manifest
        return NodeRecord(
            node_id=manifest.node_id,
            kind=manifest.kind,
            name=manifest.name,
            boot_id=manifest.boot_id,
            url=self.url,
            slots=manifest.slots,
            used=len(self.held),
            load=self.load,
            document=manifest.document,
            algorithms=tuple(manifest.algorithms),
            original=manifest.original,
            draining=self.draining,
            reach="checking" if self.awaited else self.reach,
            reach_reason=self.reach_reason,
            read_at=now / 1000,
            lease_ends=lease_ends / 1000,
            last_seen=self.seen / 1000,
            dead_at=self.dead_at / 1000 if self.state == "dead" else None,
            dead_reason=self.dead_reason if self.state == "dead" else "",
            suspect_at=self.suspect_at / 1000 if self.state == "suspect" else None,
            out_until=self.out_until / 1000 if self.out_until else None,
            out_reason=self.out_reason,
            orders=self.orders,
        )


class Ticket(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What was asked for, and what else is needed to know a session again; in the form that the store on Redis uses.

    join: equal wishes have it equal. demand: frames per second that it may need. require, prefer: labels as JSON.
    """

    join: str
    camera: str
    camera_name: str
    camera_url: str
    camera_original: Literal["0", "1"]
    algorithm: str
    demand: float
    created: int
    only: str = ""
    width: int | None = None
    height: int | None = None
    fps: float | None = None
    pinned: bool = False
    gate: Gate | None = None
    require: str = ""
    prefer: str = ""
    speed: Speed = "any"
    expires: int | None = None


@dataclass(slots=True, eq=False)
class Session:
    """One session. node: the id of the node that serves it; following: of the one that runs it already and takes over
    soon, with next_token and next_why. fps: as measured, None before anybody measured."""

    session_id: str
    facts: Ticket
    camera_name: str
    camera_url: str
    camera_original: bool
    state: SessionState = "requested"
    state_reason: str = ""
    changed: int = 0
    node: str | None = None
    token: int = 0
    why: str = ""
    following: str | None = None
    next_token: int = 0
    next_why: str = ""
    viewers: int = 0
    fps: float | None = None
    problem: str = ""
    history: deque[Step] = field(default_factory=lambda: deque(maxlen=STEPS))

    def record(self, node: Node | None, camera: Node | None) -> SessionRecord:
        """node: the one that serves it."""
        facts = self.facts
        gone = None if camera and camera.there else (camera and camera.dead_reason) or "it is unknown"
        return SessionRecord(
            session_id=self.session_id,
            camera=facts.camera,
            camera_name=self.camera_name,
            algorithm=facts.algorithm,
            state=self.state,
            state_reason=self.state_reason,
            node=self.node,
            node_name=node.name if node else None,
            node_url=node.url if node else None,
            token=self.token,
            why=self.why,
            pinned=facts.pinned,
            viewers=self.viewers,
            fps=self.fps or 0.0,
            problem=self.problem,
            width=facts.width,
            height=facts.height,
            max_fps=facts.fps,
            gate=facts.gate,
            created_at=facts.created / 1000,
            changed_at=self.changed / 1000,
            camera_gone=gone,
            following=self.following,
            require=labels_of(facts.require),
            prefer=labels_of(facts.prefer),
            speed=facts.speed,
            expires_at=facts.expires / 1000 if facts.expires is not None else None,
        )


def join_of(wish: Opening) -> str:
    """What joins equal wishes to one session."""
    asked = (
        wish.camera, wish.algorithm, wish.only, wish.width, wish.height, wish.max_fps, wish.gate,
        text_of(wish.require), text_of(wish.prefer), wish.speed,
    )  # fmt: skip
    return "|".join("" if value is None else str(value) for value in asked)


def text_of(labels: dict[str, str]) -> str:
    return msgspec.json.encode(labels, order="sorted").decode() if labels else ""


def labels_of(text: str) -> dict[str, str]:
    return codec.decode(text or "{}", dict[str, str])
