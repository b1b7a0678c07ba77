"""A store filled with nodes without their beating: what placement costs is asked here, not what beats cost."""

from __future__ import annotations

from cli.simulation.node import Node
from cli.simulation.placements import store_of
from mesh import manifest as manifests
from registry.store import Dialled

LEASE_SECONDS = 86_400.0
AGAIN_SECONDS = 3.0
CAMERAS = 4  # of them only the ids are needed


def stock(address: str, compute: int) -> list[str]:
    """Register CAMERAS cameras and `compute` reachable compute nodes in the empty store. Returns the cameras' ids."""
    store = store_of(address)
    cameras: list[str] = []
    index = 0
    while compute or len(cameras) < CAMERAS:
        node = Node(index, "http://127.0.0.1:9")
        index += 1
        if node.kind == "camera":
            if len(cameras) == CAMERAS:
                continue
            cameras.append(node.node_id)
        elif compute:
            compute -= 1
        else:
            continue
        manifest = manifests.parse(node.manifest())
        store.register(manifest, node.url, [node.name], LEASE_SECONDS)
        store.reached([Dialled(node_id=node.node_id, url=node.url)], AGAIN_SECONDS)
    store.close()
    return cameras
