"""What the mesh can do now."""

from __future__ import annotations

from typing import Any

from registry import standing
from registry.store import NodeRecord, Snapshot


def offered(snapshot: Snapshot) -> list[dict[str, Any]]:
    """Every algorithm of the live compute nodes with its nodes and free slots.

    In the order in which nodes list them, the most useful first; by id where nodes differ, so that a page stands still.
    """
    found: dict[str, dict[str, Any]] = {}
    place: dict[str, int] = {}
    for node in sorted(snapshot.nodes, key=lambda n: (n.original, n.name.casefold(), n.node_id)):
        if not node.alive or node.kind != "compute":
            continue
        state, reason = standing.state_of(node, preserving=snapshot.preserving is not None)
        free = node.free_slots if state == "ready" and not node.original else 0
        for at, (ident, entry) in enumerate(_entries(node).items()):
            place[ident] = min(at, place.get(ident, at))
            algorithm = found.setdefault(
                ident,
                {
                    "id": ident,
                    "name": entry.get("name") or ident,
                    "category": entry.get("category", ""),
                    "class": entry.get("class", ""),
                    "free_slots": 0,
                    "nodes": [],
                },
            )
            algorithm["free_slots"] += free
            algorithm["nodes"].append(
                {
                    "id": node.node_id,
                    "name": node.name,
                    "fps": entry.get("fps"),
                    "model": entry.get("model"),
                    "path": entry.get("path"),
                    "free_slots": free,
                    "state": state,
                    "state_reason": reason,
                    "original": node.original,
                }
            )
    return [found[ident] for ident in sorted(found, key=lambda ident: (place[ident], ident))]


def _entries(node: NodeRecord) -> dict[str, dict[str, Any]]:
    """The document's entries by the ids that placement knows; the original's have only a path."""
    entries = {}
    for entry in node.document.get("algorithm", ()):
        ident = entry.get("id") if not node.original else str(entry.get("path", "")).strip("/").partition("/")[0]
        if ident in node.algorithms:
            entries[ident] = entry
    return entries
