"""`POST /v1/tickets`: addresses that open streams and pictures at the nodes that serve them."""

from __future__ import annotations

from flask import Blueprint

from mesh import codec
from mesh.access_wire import TicketRequest, Tickets
from mesh.openapi import Answer, operation
from mesh.service import Reply, json_reply
from registry.access.tickets import Addresses
from registry.listing import Snapshots
from registry.routes import exchange
from registry.routes.noting import asker
from registry.sessions import Sessions

NO_STORE = {"Cache-Control": "no-store"}


def blueprint(addresses: Addresses, sessions: Sessions, snapshots: Snapshots) -> Blueprint:
    routes = Blueprint("tickets", __name__)

    @routes.post("/v1/tickets")
    @operation(
        "Signed addresses of many sessions and cameras",
        {200: Answer("By id, those that there are now", Tickets)},
        body=TicketRequest,
        tag="sessions",
    )
    def tickets() -> Reply:
        """Each opens one view of one session, or one camera's pictures, within `seconds`; what it opened ends
        `stream_seconds` after this answer. Ask again before that, and open the new address before the old one ends."""
        wanted = codec.parse(exchange.body(), TicketRequest)
        snapshots.view()  # what was made a moment ago is there
        return json_reply(addresses.many(asker(), wanted, sessions.known, snapshots.mirror.node), headers=NO_STORE)

    return routes
