"""`/v1/events`: the watch."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, request

from mesh import codec
from mesh.openapi import Answer, operation
from registry.answers import EventQuery
from registry.watch import Watch

# The dashboard, and whoever else watches, may be served by another host than the registry.
OPEN = {"Access-Control-Allow-Origin": "*", "Cache-Control": "no-store", "X-Accel-Buffering": "no"}


def blueprint(watch: Watch) -> Blueprint:
    routes = Blueprint("events", __name__)

    @routes.get("/v1/events")
    @operation(
        "Changes of nodes and sessions as server-sent events",
        {200: Answer("One event a change", media="text/event-stream"), 503: Answer("Too many watchers")},
        query=EventQuery,
        tag="events",
    )
    def events() -> Any:
        """`node` and `session`: the document as it is listed, or its id with the state `gone`. `mesh`: whether the
        network is suspected (`preserving`) and whether Redis is away (`stale`). `snapshot`: everything, for who is new
        or has missed too much: forget what you knew. With `Last-Event-ID` it goes on where the watcher was."""
        wanted = codec.from_query(request.args, EventQuery)
        body = watch.reader(request.environ, request.headers.get("Last-Event-ID") or wanted.since)
        return Response(body, content_type="text/event-stream; charset=utf-8", headers=OPEN, direct_passthrough=True)

    return routes
