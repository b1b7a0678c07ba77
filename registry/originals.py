"""The lists that the original tutorial's cameras, devices and pages read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final
from urllib.parse import quote, urlsplit

from mesh.access import Principal
from mesh.errors import Conflict, Forbidden
from mesh.manifest import CAMERA_PORT, COMPUTE_PORT, Kind, original_id
from registry.store import NodeRecord, Snapshot

UNAUTHENTICATED: Final = "unauthenticated"  # in the document of a node that nobody has vouched for
_OF_OURS: Final = ("hosting", "hosted_by", UNAUTHENTICATED)  # what the original does not have, and somebody reads
_NAMES: Final = ("host_name", "name", "FriendlyName")


def admitted(
    document: dict[str, Any], kind: Kind, by: Principal | None, joined: Callable[[str], bool]
) -> dict[str, Any]:
    """What is taken of a manifest that came by the original's calls. by: who sent it; in open mode all of it is taken.
    joined: whether a node with this id has joined. Raises Forbidden for what only a node that has joined may say, and
    Conflict for one that would be taken for such a node."""
    if by is None or by.kind == "local":
        return document
    if "schema" in document:
        raise Forbidden(
            "schema: a node of Fogline's joins this mesh with a join token (fogline token create), and registers by"
            " POST /v1/nodes"
        )
    names = [name for key in _NAMES if isinstance(name := document.get(key), str)]
    if any(joined(one) for one in (original_id(kind, str(document.get("host_name"))), *names)):
        raise Conflict("host_name: a node that has joined this mesh goes by this name; choose another")
    kept = {key: value for key, value in document.items() if key not in _OF_OURS}
    return kept | {UNAUTHENTICATED: True} if by.kind == "original" else kept


def is_unauthenticated(node: NodeRecord | None) -> bool:
    """Whether nobody has vouched for this node: it came without a credential, by the original's calls."""
    return node is not None and node.original and node.document.get(UNAUTHENTICATED) is True


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
