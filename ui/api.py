"""The calls that the pages make: parse, call, respond."""

from __future__ import annotations

from typing import Any

import msgspec
from flask import Blueprint, Response, request

from mesh import codec
from mesh.errors import NotFound
from mesh.openapi import Answer, operation
from mesh.service import Reply, json_reply
from mesh.wire import FailoverRequest, Problem, SessionRequest
from ui.access import Access
from ui.overview import Overview

FRESH = {"Cache-Control": "no-store"}


class RegistryStanding(msgspec.Struct, kw_only=True):
    """ok: it answers, and what it says is of this moment. since: Unix seconds from which on it was not so."""

    ok: bool
    url: str
    reason: str | None
    since: float | None


class OverviewDocument(msgspec.Struct, kw_only=True):
    """nodes, algorithms, sessions: as the registry lists them. now: Unix seconds of this host. stale: they were true
    `age_seconds` ago. known: the registry has answered at least once. preserving: so many nodes vanished at once that
    the network is suspected. cameras, hosts: added cameras and the nodes that run them, see `GET /v1/cameras`."""

    registry: RegistryStanding
    now: float
    stale: bool
    known: bool
    age_seconds: float | None
    nodes: list[dict[str, Any]]
    algorithms: list[dict[str, Any]]
    sessions: list[dict[str, Any]]
    preserving: bool
    cameras: list[dict[str, Any]]
    hosts: list[dict[str, Any]]


def api_routes(access: Access, overview: Overview) -> Blueprint:
    """What the pages call."""
    routes = Blueprint("api", __name__, url_prefix="/api")

    @routes.get("/overview")
    @operation("The mesh in one answer", {200: Answer("Nodes, algorithms, sessions", OverviewDocument)}, tag="pages")
    def show() -> Reply:
        """Also when the registry is away: `registry` then says so, and the lists are the last known."""
        return json_reply(overview.read(), headers=FRESH)

    @routes.get("/events")
    @operation(
        "The mesh as it changes",
        {200: Answer("Server-sent events", media="text/event-stream"), 503: Answer("Too many watchers", Problem)},
        tag="pages",
    )
    def events() -> Response:
        """`snapshot`: the overview; forget what you knew. `node`, `session`: one document as it is now, with the state
        `gone` when it is forgotten. `vitals`: what moves all the time, by id, and lists that changed. `registry`:
        whether it answers. `mesh`: whether the network is suspected. It ends with the sign-in."""
        return Response(
            overview.reader(request.environ, access.hold(request.environ)),
            content_type="text/event-stream; charset=utf-8",
            headers={**FRESH, "X-Accel-Buffering": "no"},
            direct_passthrough=True,
        )

    @routes.post("/sessions")
    @operation(
        "Start an algorithm on a camera",
        {
            201: Answer("The session, as the registry made it"),
            403: Answer("From another site's page", Problem),
            503: Answer("No free slot, or the registry is away", Problem),
        },
        body=SessionRequest,
        tag="pages",
    )
    def start() -> Reply:
        made = access.asking().create_session(codec.parse(request.get_data(), SessionRequest))
        overview.outdate()
        return json_reply(made, 201, FRESH)

    @routes.get("/sessions/<session_id>")
    @operation("A session as the registry knows it", {200: Answer("The session")}, tag="pages")
    def look(session_id: str) -> Reply:
        return json_reply(access.asking().session(session_id), headers=FRESH)

    @routes.delete("/sessions/<session_id>")
    @operation(
        "Stop a session", {204: Answer("It is stopped"), 403: Answer("From another site's page", Problem)}, tag="pages"
    )
    def stop(session_id: str) -> Reply:
        """A session that is not there counts as stopped."""
        try:
            access.asking().end_session(session_id)
        except NotFound:
            pass
        finally:
            overview.outdate()
        return b"", 204, FRESH

    @routes.post("/sessions/<session_id>/failover")
    @operation(
        "No pictures come: move a session",
        {
            200: Answer("The session as it is placed now, and `outcome` in words"),
            403: Answer("From another site's page", Problem),
            404: Answer("No such session", Problem),
        },
        body=FailoverRequest,
        tag="pages",
    )
    def failover(session_id: str) -> Reply:
        """Moves it once for each token, however many pages ask."""
        wish = codec.parse(request.get_data(), FailoverRequest)
        try:
            return json_reply(access.asking().failover(session_id, wish.token), headers=FRESH)
        finally:
            overview.outdate()

    return routes
