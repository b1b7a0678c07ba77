"""The calls that the pages make, and the addresses under which a session can always be found: parse, call, respond."""

from __future__ import annotations

from typing import Any, Literal

import msgspec
from flask import Blueprint, Response, request

from mesh import codec
from mesh.client import RegistryClient
from mesh.errors import NotFound, RegistryAway, Unavailable
from mesh.openapi import Answer, operation
from mesh.service import Reply, json_reply
from mesh.wire import FailoverRequest, Problem, SessionRequest
from ui.overview import Overview

View = Literal["stream", "snapshot", "detections", "stats"]
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


def api_routes(client: RegistryClient, overview: Overview) -> Blueprint:
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
        whether it answers. `mesh`: whether the network is suspected."""
        return Response(
            overview.reader(request.environ),
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
        made = client.create_session(codec.parse(request.get_data(), SessionRequest))
        overview.outdate()
        return json_reply(made, 201, FRESH)

    @routes.get("/sessions/<session_id>")
    @operation("A session as the registry knows it", {200: Answer("The session")}, tag="pages")
    def look(session_id: str) -> Reply:
        return json_reply(client.session(session_id), headers=FRESH)

    @routes.delete("/sessions/<session_id>")
    @operation(
        "Stop a session", {204: Answer("It is stopped"), 403: Answer("From another site's page", Problem)}, tag="pages"
    )
    def stop(session_id: str) -> Reply:
        """A session that is not there counts as stopped."""
        try:
            client.end_session(session_id)
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
            return json_reply(client.failover(session_id, wish.token), headers=FRESH)
        finally:
            overview.outdate()

    return routes


def stream_routes(client: RegistryClient, overview: Overview) -> Blueprint:
    """Where a session's pictures are now. A client that comes back here finds them after any move."""
    routes = Blueprint("streams", __name__, url_prefix="/sessions/<session_id>")

    def found(session_id: str) -> dict[str, Any]:
        try:
            return client.session(session_id)
        except RegistryAway:
            # What runs goes on without the registry, and so does its address.
            remembered = overview.session(session_id)
            if remembered is None:
                raise
            return remembered

    def to_node(session_id: str, view: View) -> Response:
        session = found(session_id)
        if session.get("state") == "ended":
            raise NotFound(f"session {session_id} has ended ({session.get('state_reason') or 'no reason given'})")
        address = _address(session, session_id, view)
        if address is None:
            reason = session.get("state_reason") or "it is being placed"
            raise Unavailable(f"no node serves session {session_id} now: {reason}", retry_after=1)
        query = request.query_string.decode("ascii", "replace")
        joined = f"{address}{'&' if '?' in address else '?'}{query}" if query else address
        return Response(status=307, headers={**FRESH, "Location": joined})

    # A handler each, not a variable in the path: the description then lists them, each with what it answers.
    @routes.get("/stream")
    @operation("To a session's annotated stream", {307: Answer("The node that serves it now")}, tag="streams")
    def stream(session_id: str) -> Response:
        return to_node(session_id, "stream")

    @routes.get("/snapshot")
    @operation("To a session's newest picture", {307: Answer("The node that serves it now")}, tag="streams")
    def snapshot(session_id: str) -> Response:
        return to_node(session_id, "snapshot")

    @routes.get("/detections")
    @operation("To a session's detections", {307: Answer("The node that serves it now")}, tag="streams")
    def detections(session_id: str) -> Response:
        return to_node(session_id, "detections")

    @routes.get("/stats")
    @operation("To how a session's frames fare", {307: Answer("The node that serves it now")}, tag="streams")
    def stats(session_id: str) -> Response:
        return to_node(session_id, "stats")

    return routes


def _address(session: dict[str, Any], session_id: str, view: str) -> str | None:
    given = session.get(f"{view}_url")
    if not given and session.get("node_url"):
        given = f"{str(session['node_url']).rstrip('/')}/v1/sessions/{session_id}/{view}"
        if isinstance(session.get("token"), int):
            given += f"?token={session['token']}"
    return str(given) if given and str(given).startswith(("http://", "https://")) else None
