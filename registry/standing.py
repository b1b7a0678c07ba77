"""How a node stands, in one word and a reason, and the document under which it is listed."""

from __future__ import annotations

import datetime
from typing import Any, Literal, get_args

import msgspec

from registry.store import NodeRecord

NodeState = Literal["ready", "full", "draining", "unreachable", "suspect", "dead"]
STATES: tuple[str, ...] = get_args(NodeState)


def state_of(node: NodeRecord) -> tuple[NodeState, str]:
    """The node's state and its reason when it was read. What is worse comes first."""
    state: NodeState = "ready"
    reason = node.load.no_signal or ""
    if node.dead_at is not None:
        state, reason = "dead", f"{node.dead_reason} at {_clock(node.dead_at)}"
    elif node.lease_ends <= node.read_at:
        # Nobody is declared dead while the registry or Redis was away: all were unheard of then.
        state, reason = "suspect", f"no beat since {_clock(node.last_seen)}"
    elif node.reach == "checking":
        state, reason = "unreachable", "being checked"
    elif node.reach == "failed":
        state, reason = "unreachable", f"unreachable at {node.url}: set FOGLINE_ADVERTISE ({node.reach_reason})"
    elif node.draining:
        state, reason = "draining", f"takes no new sessions; {node.used} still run"
    elif node.kind == "compute" and not node.original and node.free_slots == 0:
        direct = f" and {node.load.direct} direct streams" if node.load.direct else ""
        state, reason = "full", f"{node.used} sessions{direct} on {node.slots} slots"
    return state, reason


def document_of(node: NodeRecord) -> dict[str, Any]:
    """The manifest as it was sent, unknown fields too, and how the node does."""
    state, reason = state_of(node)
    listed = {
        **node.document,
        "node_id": node.node_id,
        "kind": node.kind,
        "state": state,
        "state_reason": reason,
        "url": node.url,
        "last_seen": node.last_seen,
        "sessions": node.used,
        "draining": node.draining,
        "original": node.original,
        "load": msgspec.to_builtins(node.load),
    }
    if node.kind == "compute":
        listed["slots"] = node.slots
        listed["free_slots"] = node.free_slots if state == "ready" and not node.original else 0
    if node.dead_at is not None:
        listed["dead_at"] = node.dead_at
    listed.setdefault("name", node.name)
    return listed


def _clock(seconds: float) -> str:
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).strftime("%H:%M:%S UTC")
