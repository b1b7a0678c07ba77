"""Which cameras there are, as the registry says: the only addresses that this node ever fetches from."""

from __future__ import annotations

import threading
import time
from typing import Any
from urllib.parse import urlsplit

from mesh.client import RegistryClient
from mesh.errors import Conflict, NotFound, RegistryAway
from mesh.wire import CameraAddress

FRESH = 2.0  # seconds for which a list is used without asking again
AGAIN = 0.3  # seconds for which a list is used that lacks what is wanted: a wrong name in a loop must not flood


class Cameras:
    """Finds registered cameras by name, id or address. Any thread may call."""

    def __init__(self, client: RegistryClient) -> None:
        self._client = client
        self._lock = threading.Lock()
        self._listed: list[dict[str, Any]] = []
        self._read_at = float("-inf")

    def find(self, wanted: str) -> CameraAddress:
        """The camera that `wanted` names: node_id, name, host name, IP address, or its URL in any length.

        Raises NotFound for anything else, an address of something that is no registered camera included; Conflict
        when several cameras have the name.
        """
        listed = self._list(FRESH)
        matches = _matches(listed, wanted)
        if not matches:  # it may have joined a moment ago
            listed = self._list(AGAIN)
            matches = _matches(listed, wanted)
        if not matches:
            raise NotFound.among("camera", wanted, (camera["name"] for camera in listed))
        if len(matches) > 1:
            ids = ", ".join(camera["node_id"] for camera in matches)
            raise Conflict(f"{len(matches)} cameras are called {wanted!r}; use one of their ids: {ids}")
        found = matches[0]
        return CameraAddress(
            node_id=found["node_id"], name=found["name"], url=found["url"], original=bool(found.get("original"))
        )

    def _list(self, max_age: float) -> list[dict[str, Any]]:
        with self._lock:
            if time.monotonic() - self._read_at > max_age:
                try:
                    listed: list[dict[str, Any]] = []
                    cursor = ""
                    while True:
                        page = self._client.nodes(kind="camera", **({"cursor": cursor} if cursor else {}))
                        listed += [node for node in page["nodes"] if node.get("url")]
                        cursor = page.get("next_cursor") or ""
                        if not cursor:
                            break
                    self._listed = listed
                except RegistryAway:
                    if not self._listed:
                        raise
                    # The last list still names real cameras; a stream must not stop because the registry restarts.
                self._read_at = time.monotonic()
            return self._listed


def _matches(listed: list[dict[str, Any]], wanted: str) -> list[dict[str, Any]]:
    by_id = [camera for camera in listed if wanted == camera["node_id"]]
    return by_id or [camera for camera in listed if _is_named(camera, wanted)]


def _is_named(camera: dict[str, Any], wanted: str) -> bool:
    names = {camera.get(key) for key in ("name", "FriendlyName", "host_name", "ip_address")}
    if wanted in names - {"", None}:
        return True
    # The original's pages pass an address: `10.0.0.5`, `10.0.0.5:5000`, `http://10.0.0.5:5000/image.jpg?…`.
    own = urlsplit(str(camera["url"]))
    try:
        given = urlsplit(wanted if "://" in wanted else f"//{wanted}")
        port = given.port
    except ValueError:
        return False
    hosts = {own.hostname, str(camera.get("ip_address") or "").lower()}
    return bool(given.hostname) and given.hostname in hosts and (port is None or port == own.port)
