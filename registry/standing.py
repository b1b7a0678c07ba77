"""How a node stands, in one word and a reason, and the document under which it is listed."""

from __future__ import annotations

import datetime
from typing import Any, Literal, get_args

import msgspec

from registry.store import NodeRecord

NodeState = Literal["ready", "full", "draining", "unreachable", "suspect", "dead"]
PRESERVED = "many nodes vanished at once, so the network is suspected and its sessions stay for now"
# What a manifest says under these names is not what is listed.
_OF_ALL = {"node_id", "kind", "state", "state_reason", "url", "last_seen", "sessions", "draining", "original", "load"}
_OF_ALL |= {"dead_at"}
_OF_COMPUTE = _OF_ALL | {"slots", "free_slots"}
STATES: tuple[str, ...] = get_args(NodeState)


def state_of(node: NodeRecord, *, preserving: bool = False) -> tuple[NodeState, str]:
    """The node's state and its reason when it was read. What is worse comes first. preserving: so many nodes vanished
    at once that the network is suspected."""
    state: NodeState = "ready"
    reason = node.load.no_signal or ""
    if node.dead_at is not None:
        state, reason = "dead", f"{node.dead_reason} at {_clock(node.dead_at)}"
    elif node.suspect_at is not None:
        state, reason = "suspect", f"not heard of since {_clock(node.last_seen)}; "
        reason += PRESERVED if preserving else "its sessions are moved"
    elif node.out_until is not None and node.out_until > node.read_at:
        state, reason = "suspect", f"left out until {_clock(node.out_until)}: {node.out_reason}"
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


def document_of(node: NodeRecord, *, preserving: bool = False) -> dict[str, Any]:
    """The manifest as it was sent, unknown fields too, and how the node does."""
    return sent(node) | _own(node, preserving)


def sent(node: NodeRecord) -> dict[str, Any]:
    """What of a node's document comes from its manifest. It changes only with that."""
    ours = _OF_COMPUTE if node.kind == "compute" else _OF_ALL
    return {"name": node.name} | {key: value for key, value in node.document.items() if key not in ours}


def written(node: NodeRecord, sent: bytes, *, preserving: bool = False) -> bytes:
    """`document_of` as JSON, where `sent` is JSON of the function so called."""
    return sent[:-1] + b"," + msgspec.json.encode(_own(node, preserving))[1:]


def _own(node: NodeRecord, preserving: bool) -> dict[str, Any]:
    """What of a node's document the registry says."""
    state, reason = state_of(node, preserving=preserving)
    own = {
        "node_id": node.node_id,
        "kind": node.kind,
        "state": state,
        "state_reason": reason,
        "url": node.url,
        "last_seen": node.last_seen,
        "sessions": node.used,
        "draining": node.draining,
        "original": node.original,
        "load": node.load,
    }
    if node.kind == "compute":
        own["slots"] = node.slots
        own["free_slots"] = node.free_slots if state == "ready" and not node.original else 0
    if node.dead_at is not None:
        own["dead_at"] = node.dead_at
    return own


def _clock(seconds: float) -> str:
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).strftime("%H:%M:%S UTC")
