"""Where a page finds the pictures of sessions and cameras: at their nodes, or here, for browsers that reach no node."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Literal

import msgspec
from flask import Request

from mesh.access_wire import CameraAddresses, SessionAddresses, TicketRequest, Tickets
from mesh.client import RegistryClient
from mesh.errors import NotFound, RegistryAway
from ui.overview import Overview

Streams = Literal["auto", "direct", "relay"]
ORIGINAL = "werkzeug.proxy_fix.orig"  # in the environment of a request that a trusted proxy passed on


def relayed(streams: str, request: Request) -> bool:
    """Whether whoever asks gets pictures through this service. `auto`: if the request came by https, under a path or
    a name that a trusted proxy gave us; a page of https may show nothing of a node that speaks http.

    streams: the setting.
    """
    if streams != "auto":
        return streams == "relay"
    before: dict[str, Any] = request.environ.get(ORIGINAL) or {}
    host = before.get("HTTP_HOST", request.environ.get("HTTP_HOST"))
    return request.is_secure or bool(request.script_root) or host != request.environ.get("HTTP_HOST")


class Addresses:
    """Any thread may call any method. open: whether nothing has to be signed, because this service is open to its own
    machine alone. streams: the setting."""

    def __init__(self, overview: Overview, open: Callable[[], bool], streams: str) -> None:
        self._overview = overview
        self._open = open
        self._streams = streams

    def for_page(self, client: RegistryClient, wish: TicketRequest, request: Request) -> Tickets:
        """What a page is given that sent `request`. See `at_nodes` and `here`."""
        return self.here(client, wish) if relayed(self._streams, request) else self.at_nodes(client, wish)

    def at_nodes(self, client: RegistryClient, wish: TicketRequest) -> Tickets:
        """Those of the wish that there are now. client: speaks for whoever asks. Raises what the registry answers, and
        RegistryAway when it does not."""
        try:
            return fetchable(client.tickets(wish))
        except (RegistryAway, NotFound) as error:  # away, or of an earlier version
            if not self._open():
                raise
            return self._known(wish, error)

    def here(self, client: RegistryClient, wish: TicketRequest) -> Tickets:
        """The same through this service, also while the registry is away: what runs can be watched."""
        try:
            found = client.tickets(wish)
        except (RegistryAway, NotFound) as error:
            found = self._known(wish, error)
        return through_here(found)

    def token(self, session_id: str) -> int | None:
        """Of the session's placement, as it was heard of last; None when it was not."""
        token = (self._overview.session(session_id) or {}).get("token")
        return token if isinstance(token, int) else None

    def _known(self, wish: TicketRequest, error: RegistryAway | NotFound) -> Tickets:
        found = listed(self._overview.read(), wish)
        if not found.sessions and not found.cameras and isinstance(error, RegistryAway):
            raise RegistryAway("the registry is away, and nothing is known of what was asked for", retry_after=1)
        return found


def through_here(found: Tickets) -> Tickets:
    """The same through this service: relative to its root. They need no signature, for the sign-in opens them, and no
    renewal."""
    return Tickets(
        sessions={
            ident: SessionAddresses(
                token=one.token,
                node=one.node,
                **{
                    f"{view}_url": f"relay/sessions/{ident}/{view}"
                    for view in ("stream", "snapshot", "detections", "stats")
                },
            )
            for ident, one in found.sessions.items()
        },
        cameras={
            ident: CameraAddresses(image_url=f"relay/cameras/{ident}/image", stream_url=f"relay/cameras/{ident}/stream")
            for ident in found.cameras
        },
        seconds=None,
        stream_seconds=None,
    )


def fetchable(found: Tickets) -> Tickets:
    """Those of `found` that a page may be told to fetch: a registry that was taken over may say anything."""

    def good(one: SessionAddresses | CameraAddresses) -> bool:
        addresses = (value for name, value in msgspec.structs.asdict(one).items() if name.endswith("_url"))
        return all(address.startswith(("http://", "https://")) for address in addresses)

    return msgspec.structs.replace(
        found,
        sessions={ident: one for ident, one in found.sessions.items() if good(one)},
        cameras={ident: one for ident, one in found.cameras.items() if good(one)},
    )


def listed(known: dict[str, Any], wish: TicketRequest) -> Tickets:
    """Those of the overview `known`, unsigned."""
    sessions = _by_id(known["sessions"], "session_id", wish.sessions)
    cameras = _by_id(known["nodes"], "node_id", wish.cameras)
    return Tickets(
        sessions={ident: found for ident, one in sessions.items() if (found := _of_session(one))},
        cameras={ident: place for ident, one in cameras.items() if (place := _of_camera(one))},
        seconds=None,
        stream_seconds=None,
    )


def _by_id(documents: Iterable[dict[str, Any]], name: str, wanted: Iterable[str]) -> dict[str, dict[str, Any]]:
    asked = set(wanted)
    return {one[name]: one for one in documents if one.get(name) in asked}


def _of_session(session: dict[str, Any]) -> SessionAddresses | None:
    node, url, token = session.get("node"), str(session.get("node_url") or ""), session.get("token")
    if not node or not isinstance(token, int) or not url.startswith(("http://", "https://")):
        return None
    base = f"{url.rstrip('/')}/v1/sessions/{session['session_id']}"
    return SessionAddresses(
        token=token,
        node=str(node),
        stream_url=f"{base}/stream?token={token}",
        snapshot_url=f"{base}/snapshot?token={token}",
        detections_url=f"{base}/detections?token={token}",
        stats_url=f"{base}/stats?token={token}",
    )


def _of_camera(camera: dict[str, Any]) -> CameraAddresses | None:
    url = str(camera.get("url") or "").rstrip("/")
    if camera.get("kind") != "camera" or not url.startswith(("http://", "https://")):
        return None
    return CameraAddresses(image_url=f"{url}/image.jpg", stream_url=f"{url}/stream.jpg")
