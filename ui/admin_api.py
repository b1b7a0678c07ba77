"""What admins manage: people, API keys, nodes' keys, and who did what. Each call is the registry's own of that name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from flask import Blueprint, request

from mesh.access_wire import (
    AuditPage,
    AuditQuery,
    EnrolmentList,
    JoinTokenList,
    JoinTokenRequest,
    KeyList,
    KeyRequest,
    Link,
    NewJoinToken,
    NewKey,
    NewUser,
    User,
    UserChange,
    UserList,
    UserRequest,
)
from mesh.openapi import Answer, operation
from mesh.service import Reply
from mesh.wire import Problem
from ui.access import Access
from ui.forwarding import FRESH, body_of_request, passed_on, send

FOREIGN = Answer("From another site's page, or you are no admin", Problem)
AWAY = Answer("The registry is away", Problem)
LINES = "application/x-ndjson"


@dataclass(frozen=True)
class Call:
    """One call. path: below /api here and below /v1 there. answer: None for an empty one."""

    method: str
    path: str
    summary: str
    answer: type[Any] | None = None
    body: type[Any] | None = None
    status: int = 200


CALLS = (
    Call("GET", "/users", "The people who may sign in", UserList),
    Call("POST", "/users", "Add a person", NewUser, UserRequest, 201),
    Call("PATCH", "/users/<name>", "Change a person's role, or disable them", User, UserChange),
    Call("DELETE", "/users/<name>", "Remove a person"),
    Call("POST", "/users/<name>/link", "A one-time link with which a person chooses a password", Link, None, 201),
    Call("DELETE", "/users/<name>/sign-ins", "Sign a person out everywhere"),
    Call("GET", "/keys", "The API keys", KeyList),
    Call("POST", "/keys", "Make an API key; it is shown once", NewKey, KeyRequest, 201),
    Call("DELETE", "/keys/<key_id>", "Revoke an API key"),
    Call("GET", "/enrolments", "The nodes that have joined", EnrolmentList),
    Call("DELETE", "/enrolments/<node_id>", "Revoke a node"),
    Call("GET", "/join-tokens", "The join tokens", JoinTokenList),
    Call("POST", "/join-tokens", "Make a join token; it is shown once", NewJoinToken, JoinTokenRequest, 201),
    Call("DELETE", "/join-tokens/<token_id>", "Remove a join token"),
)


def admin_routes(access: Access) -> Blueprint:
    """What the pages of admins call."""
    routes = Blueprint("admin", __name__, url_prefix="/api")
    for call in CALLS:
        name = f"{call.method.lower()}_{call.path.strip('/').translate({ord(c): '_' for c in '/<>-'})}"
        routes.add_url_rule(call.path, name, _handler(access, call), methods=[call.method])

    @routes.get("/audit")
    @operation(
        "Who did what from where",
        {200: Answer("Newest first", AuditPage), 403: FOREIGN, 503: AWAY},
        query=AuditQuery,
        tag="admin",
    )
    def audit() -> Reply:
        """`?format=jsonl`: all of it as a file of JSON lines, oldest first."""
        content = send(access.asking(), "GET", "/v1/audit", query=request.args.to_dict())
        if request.args.get("format") != "jsonl":
            return passed_on(content)
        name = 'attachment; filename="fogline-audit.jsonl"'
        return content, 200, {"Content-Type": LINES, "Content-Disposition": name, **FRESH}

    return routes


def _handler(access: Access, call: Call) -> Callable[..., Reply]:
    done = Answer("Done", call.answer) if call.answer else Answer("Done")
    answers = {call.status if call.answer else 204: done, 403: FOREIGN, 404: Answer("No such one", Problem), 503: AWAY}

    @operation(call.summary, answers, body=call.body, tag="admin")
    def handle(**variables: str) -> Reply:
        path = "/v1" + call.path
        for name, value in variables.items():
            path = path.replace(f"<{name}>", quote(value, safe=""))
        body = body_of_request() if call.method in ("POST", "PATCH") else None
        content = send(access.asking(), call.method, path, body)
        if call.method != "GET":
            access.sign_ins.outdate()
        return passed_on(content, call.status)

    return handle
