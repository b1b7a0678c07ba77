"""Where the pictures are now: signed addresses for pages, and those under which a session can always be found."""

from __future__ import annotations

from typing import Any, Literal
from urllib.parse import parse_qsl, urlencode

from flask import Blueprint, Response, request

from mesh import codec
from mesh.access_wire import TicketRequest, Tickets
from mesh.errors import NotFound, RegistryAway, Unavailable
from mesh.openapi import Answer, operation
from mesh.service import Reply, json_reply
from mesh.wire import Problem
from ui.access import Access
from ui.addresses import Addresses
from ui.forwarding import FRESH
from ui.overview import Overview

View = Literal["stream", "snapshot", "detections", "stats"]
OURS = ("ticket", "token")  # parameters that only the registry sets
TO_NODE = {**FRESH, "Referrer-Policy": "no-referrer"}  # the address is good for whoever has it


def ticket_routes(access: Access, addresses: Addresses) -> Blueprint:
    """Where pages find pictures."""
    routes = Blueprint("tickets", __name__, url_prefix="/api")

    @routes.post("/tickets")
    @operation(
        "Signed addresses of sessions and cameras",
        {200: Answer("Those that there are now, by id", Tickets), 403: Answer("From another site's page", Problem)},
        body=TicketRequest,
        tag="pages",
    )
    def tickets() -> Reply:
        """Good for a short while, for whoever has them. Where browsers reach no node (`--streams`), they are this
        service's own, below its root, and good as long as the sign-in."""
        wish = codec.parse(request.get_data(), TicketRequest)
        return json_reply(addresses.for_page(access.asking(), wish, request), headers=FRESH)

    return routes


def stream_routes(access: Access, overview: Overview) -> Blueprint:
    """Where a session's pictures are now. A client that comes back here finds them after any move."""
    routes = Blueprint("streams", __name__, url_prefix="/sessions/<session_id>")

    def found(session_id: str) -> dict[str, Any]:
        try:
            return access.asking().session(session_id)
        except RegistryAway:
            # What runs goes on without the registry, and so does its address, where nothing has to be signed.
            remembered = overview.session(session_id) if access.open else None
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
        return Response(status=307, headers={**TO_NODE, "Location": _with_wishes(address)})

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


def _with_wishes(address: str) -> str:
    """`address` with what the caller asks of the pictures: their rate, their size."""
    text = request.query_string.decode("ascii", "replace")
    wishes = urlencode([(name, value) for name, value in parse_qsl(text, keep_blank_values=True) if name not in OURS])
    return f"{address}{'&' if '?' in address else '?'}{wishes}" if wishes else address


def _address(session: dict[str, Any], session_id: str, view: View) -> str | None:
    given = session.get(f"{view}_url")
    if not given and session.get("node_url"):
        given = f"{str(session['node_url']).rstrip('/')}/v1/sessions/{session_id}/{view}"
        if isinstance(session.get("token"), int):
            given += f"?token={session['token']}"
    return str(given) if given and str(given).startswith(("http://", "https://")) else None
