"""The lists that the original tutorial's cameras, devices and pages read."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote, urlsplit

from mesh.manifest import CAMERA_PORT, COMPUTE_PORT, Kind
from registry.store import NodeRecord, Snapshot


def documents(snapshot: Snapshot, kind: Kind) -> list[dict[str, Any]]:
    """The manifests of the live nodes of `kind`: the original's as they were sent, ours as its clients read them."""
    return [_as_original(node) for node in _ordered(snapshot, kind)]


def combinations(snapshot: Snapshot) -> list[dict[str, Any]]:
    """Every camera with every algorithm of every compute node, and its address in the original's shape."""
    cameras = _ordered(snapshot, "camera")
    names = [camera.name for camera in cameras]
    rows = []
    for camera in cameras:
        # A name that two cameras share would not say which.
        word = camera.name if names.count(camera.name) == 1 else camera.node_id
        links = [
            {
                "node": node.name,
                "label": entry.get("name") or entry["path"],
                "category": entry.get("category", ""),
                "href": f"{node.url}/{quote(entry['path'].lstrip('/'))}?camera={quote(word, safe='')}",
            }
            for node in _ordered(snapshot, "compute")
            for entry in node.document.get("algorithm", ())
            if entry.get("path")
        ]
        picture = f"{camera.url}/stream.jpg"
        rows.append({"camera": camera.name, "problem": camera.load.no_signal, "picture": picture, "links": links})
    return rows


def _ordered(snapshot: Snapshot, kind: Kind) -> list[NodeRecord]:
    nodes = (node for node in snapshot.nodes if node.alive and node.kind == kind)
    return sorted(nodes, key=lambda n: (n.name.casefold(), n.node_id))


def _as_original(node: NodeRecord) -> dict[str, Any]:
    if node.original:
        return node.document
    parts = urlsplit(node.url)
    usual = CAMERA_PORT if node.kind == "camera" else COMPUTE_PORT
    return {
        **node.document,
        "FriendlyName": node.document.get("FriendlyName") or node.name,
        # Where the node was reached, whatever it thinks its address is.
        "ip_address": parts.hostname or node.document.get("ip_address", ""),
        "port": parts.port or usual,
    }
