"""`/v1/sessions`."""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote_plus

from flask import Blueprint, request

from mesh import codec
from mesh.openapi import Answer, operation
from mesh.service import Reply, json_reply
from mesh.wire import FailoverRequest, SessionRequest
from registry.access.tickets import Addresses
from registry.answers import MovedDocument, SessionDocument, SessionList, SessionQuery
from registry.listing import Snapshots
from registry.routes import exchange
from registry.routes.noting import Note, asker
from registry.sessions import Sessions

NO_STORE = {"Cache-Control": "no-store"}
OURS = ("ticket", "token")  # parameters that a caller cannot give: they are of the place where the session is served


def blueprint(sessions: Sessions, snapshots: Snapshots, addresses: Addresses, note: Note) -> Blueprint:
    routes = Blueprint("sessions", __name__)

    def shown(document: dict[str, Any], status: int = 200) -> Reply:
        """One session, with addresses that open for who asks."""
        return json_reply(addresses.signed(asker(), document), status, NO_STORE)

    def by_people(action: str, session_id: str) -> None:
        principal = asker()
        if principal is not None and principal.kind in ("person", "key"):
            note(action, session_id)

    def redirect(session_id: str, view: str) -> Reply:
        """To where the session is served now, with the caller's own parameters."""
        place = addresses.view(asker(), sessions.served(session_id), view)
        given = request.query_string.decode("ascii", "ignore").split("&")
        kept = "&".join(one for one in given if one and unquote_plus(one.partition("=")[0]) not in OURS)
        # The place moves with the session: nobody may remember it.
        return b"", 307, {"Location": f"{place}&{kept}" if kept else str(place), **NO_STORE}

    @routes.post("/v1/sessions")
    @operation(
        "Run an algorithm on a camera",
        {
            201: Answer("The session, and where to watch it", SessionDocument),
            404: Answer("No such camera, algorithm or node; the known ones are listed"),
            409: Answer("Several cameras or nodes have this name; their ids are listed"),
            503: Answer("Every node that could do it is full, or the store is away"),
        },
        body=SessionRequest,
        tag="sessions",
    )
    def open_session() -> Reply:
        """The same request joins the session that already does it."""
        document = sessions.open(codec.parse(exchange.body(), SessionRequest), asker())
        by_people("session opened", f"{document['session_id']} ({document['algorithm']} on {document['camera_name']})")
        return shown(document, 201)

    @routes.get("/v1/sessions")
    @operation(
        "The sessions that go on",
        {200: Answer("A page of them", SessionList), 304: Answer("Nothing has changed since the ETag that was sent")},
        query=SessionQuery,
        tag="sessions",
    )
    def list_sessions() -> Reply:
        """The ETag stays the same while only frame rates move; `GET /v1/sessions/{id}` has them as they are now."""
        wanted = exchange.query(SessionQuery)
        return exchange.list_reply(
            snapshots,
            "sessions",
            lambda view: sessions.listed(
                view, state=wanted.state, camera=wanted.camera, limit=wanted.limit, cursor=wanted.cursor
            ),
        )

    @routes.get("/v1/sessions/<session_id>")
    @operation("One session", {200: Answer("The session", SessionDocument)}, tag="sessions")
    def one_session(session_id: str) -> Reply:
        """A session that ended can be read for 10 minutes; its state says why."""
        return shown(sessions.one(session_id))

    @routes.delete("/v1/sessions/<session_id>")
    @operation("End a session", {204: Answer("It has ended; its slot is free")}, tag="sessions")
    def end_session(session_id: str) -> Reply:
        sessions.end(session_id)
        by_people("session ended", session_id)
        return b"", 204, {}

    @routes.post("/v1/sessions/<session_id>/failover")
    @operation(
        "A viewer gets no frames: move the session",
        {200: Answer("The session as it is placed now", MovedDocument)},
        body=FailoverRequest,
        tag="sessions",
    )
    def failover(session_id: str) -> Reply:
        """Moves it once for each token. A token that is no longer in force changes nothing."""
        wish = codec.parse(exchange.body(), FailoverRequest)
        return shown(sessions.failover(session_id, wish.token, request.remote_addr or "unknown"))

    @routes.get("/v1/sessions/<session_id>/stream")
    @operation("The annotated stream", {307: Answer("Where it is served now")}, tag="sessions")
    def stream(session_id: str) -> Reply:
        """A client that comes back here survives any failover."""
        return redirect(session_id, "stream")

    @routes.get("/v1/sessions/<session_id>/snapshot")
    @operation("The newest annotated frame", {307: Answer("Where it is served now")}, tag="sessions")
    def snapshot(session_id: str) -> Reply:
        return redirect(session_id, "snapshot")

    @routes.get("/v1/sessions/<session_id>/detections")
    @operation("The detections as server-sent events", {307: Answer("Where they are served now")}, tag="sessions")
    def detections(session_id: str) -> Reply:
        return redirect(session_id, "detections")

    @routes.get("/v1/sessions/<session_id>/stats")
    @operation("How the session's frames fare", {307: Answer("Where it is told now")}, tag="sessions")
    def stats(session_id: str) -> Reply:
        return redirect(session_id, "stats")

    return routes
