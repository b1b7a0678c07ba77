"""Pictures through this service, for browsers that reach no node: from a page of https, through a proxy, over a VPN.

Each view of a session or camera is read once at its node, however many browsers watch it here.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import Annotated, Any, Literal

import msgspec
from flask import Blueprint, Response, request

from mesh import codec, multipart
from mesh.audience import Audience
from mesh.errors import InvalidInput, NotFound
from mesh.manifest import Identifier, Side
from mesh.openapi import Answer, operation
from mesh.stream import Manner
from mesh.wire import Fps, Problem
from ui.access import Access
from ui.addresses import Addresses
from ui.node_answer import Kind, What
from ui.shared_still import SharedStills
from ui.upstream import Upstreams

SILENCE = 15.0  # seconds without a picture after which a stream ends, so that the browser connects again
FRESH = 0.5  # seconds: an older picture is not what the camera sees now
VIEWS: dict[Kind, tuple[str, ...]] = {
    "sessions": ("stream", "snapshot", "detections", "stats"),
    "cameras": ("image", "stream"),
}
HEADERS = {
    "Cache-Control": "no-store",
    "X-Accel-Buffering": "no",  # nginx would hold a stream back
    "Cross-Origin-Resource-Policy": "same-origin",
}
ANSWERS = {
    200: Answer("What the node gives", media="image/jpeg"),
    404: Answer("It is not there", Problem),
    502: Answer("The node does not answer", Problem),
    503: Answer("No node serves it now, or too many streams are passed on already", Problem),
}


class RelayQuery(msgspec.Struct, frozen=True, kw_only=True):
    """width, height: pixels that the picture fits into, its shape kept. quality: of the JPEG. fps: frames a second at
    most, of a stream."""

    width: Side | None = None
    height: Side | None = None
    quality: Annotated[int, msgspec.Meta(ge=1, le=100)] | None = None
    fps: Fps | None = None

    def size(self) -> tuple[tuple[str, str], ...]:
        """What is said to the node: who wants another rate shares what is read."""
        given = (("height", self.height), ("quality", self.quality), ("width", self.width))
        return tuple((name, str(value)) for name, value in given if value is not None)


class Relay:
    """Any thread may call any method. access: knows who asks, and whether they still may."""

    def __init__(self, addresses: Addresses, audience: Audience, access: Access) -> None:
        self.upstreams = Upstreams(addresses)
        self._stills = SharedStills(addresses)
        self._audience = audience
        self._access = access

    def stream(self, what: What, fps: float | None, environ: dict[str, Any]) -> Response:
        """A stream's answer. Raises Unavailable without a free place for it."""
        held = ExitStack()
        with held:
            over = held.enter_context(self._access.hold(environ))
            upstream = held.enter_context(self.upstreams.watch(what, self._access.asking()))
            events = what.view == "detections"
            manner = Manner(
                ended=over,
                lost=upstream.lost,
                fps=fps,
                silence=None if events else SILENCE,
                fresh=FRESH,
                chunked=events,
                hello=b": connected\n\n" if events else b"",
                keep_alive=b": nothing new\n\n" if events else b"",
            )
            body = self._audience.seat(environ, upstream.published.feed, manner, held.pop_all())
        kind = "text/event-stream; charset=utf-8" if events else multipart.CONTENT_TYPE
        return Response(body, content_type=kind, headers=HEADERS, direct_passthrough=True)

    def still(self, what: What) -> Response:
        """A single answer."""
        found = self._stills.get(what, self._access.asking())
        kind: Literal["application/json", "image/jpeg"] = "application/json" if what.view == "stats" else "image/jpeg"
        return Response(found.body, content_type=kind, headers={**HEADERS, **found.stamps})

    def close(self) -> None:
        """End every stream."""
        self.upstreams.close()
        self._stills.close()


def relay_routes(relay: Relay) -> Blueprint:
    """What a page is given in place of nodes' addresses; see `ui.addresses.through_here`."""
    routes = Blueprint("relay", __name__, url_prefix="/relay")

    def answer(kind: Kind, ident: str, view: str) -> Response:
        if view not in VIEWS[kind]:
            raise NotFound.among("view", view, VIEWS[kind])
        try:
            ident = codec.convert(ident, Identifier)
        except InvalidInput:
            raise NotFound(f"there is nothing of the id {ident!r:.120}") from None
        query = codec.from_query(request.args, RelayQuery)
        if view in ("stream", "detections"):
            size = query.size() if kind == "cameras" else ()
            return relay.stream(What(kind, ident, view, size), query.fps, request.environ)
        return relay.still(What(kind, ident, view, query.size() if view != "stats" else ()))

    @routes.get("/sessions/<session_id>/<view>")
    @operation("A session's pictures, through this service", ANSWERS, query=RelayQuery, tag="relay")
    def session(session_id: str, view: str) -> Response:
        """view: `stream`, `snapshot`, `detections` or `stats`, as its node gives them."""
        return answer("sessions", session_id, view)

    @routes.get("/cameras/<camera_id>/<view>")
    @operation("A camera's pictures, through this service", ANSWERS, query=RelayQuery, tag="relay")
    def camera(camera_id: str, view: str) -> Response:
        """view: `image` or `stream`."""
        return answer("cameras", camera_id, view)

    return routes
