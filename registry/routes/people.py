"""People, API keys and the audit over HTTP. What is answered here is nobody's to keep: no cache may."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator

from flask import Blueprint, Response, request

from mesh import codec
from mesh.access import SCOPES, Principal, Scope, is_open, principal_of
from mesh.access_wire import (
    AuditEntry,
    AuditPage,
    AuditQuery,
    KeyList,
    KeyRequest,
    Link,
    Me,
    NewKey,
    NewUser,
    PasswordChange,
    SetupRequest,
    SetupState,
    SignedIn,
    SignInRequest,
    User,
    UserChange,
    UserList,
    UserRequest,
)
from mesh.credentials import presented
from mesh.errors import Conflict, Forbidden, InvalidInput
from mesh.openapi import Answer, operation
from mesh.service import Reply, json_reply
from registry.access import first_run
from registry.access.api_keys import ApiKeys
from registry.access.audit import Asker, Audit
from registry.access.bearers import Bearers
from registry.access.people import People
from registry.access.sign_ins import hash_of
from registry.routes import exchange
from registry.settings import RegistrySettings

NO_STORE = {"Cache-Control": "no-store"}
JSON_LINES = "application/x-ndjson"
TAG = "people"
WRONG = Answer("Wrong; the detail says what to do")
OFTEN = Answer("Too many wrong passwords; Retry-After says when the next try is possible")
BUSY = Answer("Too many people sign in at this moment; try again")
NOBODY = Answer("There is nobody of that name; the known ones are listed")


def blueprint(people: People, keys: ApiKeys, audit: Audit, bearers: Bearers, settings: RegistrySettings) -> Blueprint:
    routes = Blueprint("people", __name__)
    _signing_in(routes, people, settings)
    _oneself(routes, people, bearers)
    _others(routes, people, bearers)
    _keys(routes, keys, bearers)
    _audit(routes, audit)
    return routes


def _signing_in(routes: Blueprint, people: People, settings: RegistrySettings) -> None:
    @routes.get("/v1/setup")
    @operation(
        "Does this mesh ask for a sign-in, and can anybody sign in?", {200: Answer("So it is", SetupState)}, tag=TAG
    )
    def setup_state() -> Reply:
        state = SetupState(needed=people.needed(), locked=not is_open(settings), legacy_open=settings.legacy_open)
        return json_reply(state, headers=NO_STORE)

    @routes.post("/v1/setup")
    @operation(
        "Choose a password with a one-time link, and sign in",
        {
            200: Answer("Signed in", SignedIn),
            401: Answer("The link was used, is too old or never was"),
            409: Answer("The name is taken"),
            422: Answer("The name or the password is no good"),
            503: BUSY,
        },
        body=SetupRequest,
        tag=TAG,
    )
    def set_up() -> Reply:
        """With the link of the first start it makes the first admin."""
        wish = codec.parse(exchange.body(), SetupRequest)
        signed_in = people.set_up(wish, *_address(wish.address, settings))
        first_run.finish(settings.data)
        return json_reply(signed_in, headers=NO_STORE)

    @routes.post("/v1/sign-in")
    @operation(
        "Sign in", {200: Answer("Signed in", SignedIn), 401: WRONG, 429: OFTEN, 503: BUSY}, body=SignInRequest, tag=TAG
    )
    def sign_in() -> Reply:
        """Each sign-in gets a bearer of its own; it ends after 12 hours without a call, and after 7 days."""
        wish = codec.parse(exchange.body(), SignInRequest)
        signed_in = people.sign_in(wish.name, wish.password, *_address(wish.address, settings))
        return json_reply(signed_in, headers=NO_STORE)


def _oneself(routes: Blueprint, people: People, bearers: Bearers) -> None:
    @routes.get("/v1/me")
    @operation("Who asks, and what they may do", {200: Answer("You", Me)}, tag=TAG)
    def me() -> Reply:
        who = _who()
        if who.kind not in ("person", "key"):
            return json_reply(Me(kind=who.kind, name=who.name, scopes=_scopes(who)), headers=NO_STORE)
        found = bearers.find(_bearer(), request.remote_addr or "")
        sign_ins = people.count_sign_ins(who.name) if who.kind == "person" else None
        return json_reply(
            Me(
                kind=who.kind,
                name=who.name,
                scopes=_scopes(who),
                role=found.role,
                expires_at=found.expires_at,
                sign_ins=sign_ins,
            ),
            headers=NO_STORE,
        )

    @routes.post("/v1/me/password")
    @operation(
        "Change one's password; one's other sign-ins end",
        {
            204: Answer("It is changed"),
            401: WRONG,
            403: Answer("Only people have one"),
            422: Answer("The new password is no good"),
            429: OFTEN,
            503: BUSY,
        },
        body=PasswordChange,
        tag=TAG,
    )
    def change_password() -> Reply:
        _require_person()
        wish = codec.parse(exchange.body(), PasswordChange)
        people.change_password(hash_of(_bearer()), wish.old, wish.new, _asker(bearers))
        return b"", 204, NO_STORE

    @routes.post("/v1/sign-out")
    @operation("Sign out", {204: Answer("Signed out"), 403: Answer("Only people can sign out")}, tag=TAG)
    def sign_out() -> Reply:
        _require_person()
        people.sign_out(hash_of(_bearer()), _asker(bearers))
        return b"", 204, NO_STORE

    @routes.delete("/v1/me/sign-ins")
    @operation(
        "Sign out everywhere", {204: Answer("Signed out, here too"), 403: Answer("Only people can sign out")}, tag=TAG
    )
    def sign_out_everywhere() -> Reply:
        people.sign_out_everywhere(_require_person().name, _asker(bearers))
        return b"", 204, NO_STORE


def _others(routes: Blueprint, people: People, bearers: Bearers) -> None:
    @routes.get("/v1/users")
    @operation("Who may sign in", {200: Answer("All of them", UserList)}, tag=TAG)
    def list_users() -> Reply:
        return json_reply(UserList(users=people.all()), headers=NO_STORE)

    @routes.post("/v1/users")
    @operation(
        "Add a person",
        {
            201: Answer("The person, and a one-time link when no password was given", NewUser),
            409: Answer("The name is taken"),
            422: Answer("The name or the password is no good"),
        },
        body=UserRequest,
        tag=TAG,
    )
    def add_user() -> Reply:
        return json_reply(people.add(codec.parse(exchange.body(), UserRequest), _asker(bearers)), 201, NO_STORE)

    @routes.patch("/v1/users/<name>")
    @operation(
        "Change a person's role or password, or switch a person off or on",
        {
            200: Answer("The person", User),
            404: NOBODY,
            409: Answer("The only admin, or oneself"),
            422: Answer("The password is no good"),
        },
        body=UserChange,
        tag=TAG,
    )
    def change_user(name: str) -> Reply:
        """What is missing stays. A new password, and switching off, end all sign-ins of the person."""
        wish = codec.parse(exchange.body(), UserChange)
        if _is_oneself(name) and wish.disabled:
            raise Conflict("nobody switches themselves off: another admin can")
        if _is_oneself(name) and wish.password is not None:
            raise Conflict("change your own password with the old one: POST /v1/me/password")
        return json_reply(people.change(name, wish, _asker(bearers)), headers=NO_STORE)

    @routes.delete("/v1/users/<name>")
    @operation(
        "Remove a person", {204: Answer("Removed"), 404: NOBODY, 409: Answer("The only admin, or oneself")}, tag=TAG
    )
    def remove_user(name: str) -> Reply:
        if _is_oneself(name):
            raise Conflict("nobody removes themselves: another admin can")
        people.remove(name, _asker(bearers))
        return b"", 204, NO_STORE

    @routes.post("/v1/users/<name>/link")
    @operation(
        "Make a one-time link with which a person chooses a new password",
        {201: Answer("The link; its token is shown this once", Link), 404: NOBODY, 409: Answer("Switched off")},
        tag=TAG,
    )
    def make_link(name: str) -> Reply:
        """Earlier links of the person are good for nothing then. The present password stays until the link is used."""
        return json_reply(people.new_link(name, _asker(bearers)), 201, NO_STORE)

    @routes.delete("/v1/users/<name>/sign-ins")
    @operation("Sign a person out everywhere", {204: Answer("Signed out"), 404: NOBODY}, tag=TAG)
    def end_sign_ins(name: str) -> Reply:
        people.sign_out_everywhere(name, _asker(bearers))
        return b"", 204, NO_STORE


def _keys(routes: Blueprint, keys: ApiKeys, bearers: Bearers) -> None:
    @routes.get("/v1/keys")
    @operation("The API keys", {200: Answer("Without their secrets", KeyList)}, tag=TAG)
    def list_keys() -> Reply:
        return json_reply(KeyList(keys=keys.all()), headers=NO_STORE)

    @routes.post("/v1/keys")
    @operation(
        "Make an API key",
        {201: Answer("The key; its secret is shown this once", NewKey), 409: Answer("There are too many")},
        body=KeyRequest,
        tag=TAG,
    )
    def make_key() -> Reply:
        return json_reply(keys.make(codec.parse(exchange.body(), KeyRequest), _asker(bearers)), 201, NO_STORE)

    @routes.delete("/v1/keys/<key_id>")
    @operation("Remove an API key", {204: Answer("Good for nothing now"), 404: Answer("No such key")}, tag=TAG)
    def remove_key(key_id: str) -> Reply:
        keys.remove(key_id, _asker(bearers))
        return b"", 204, NO_STORE


def _audit(routes: Blueprint, audit: Audit) -> None:
    @routes.get("/v1/audit")
    @operation("Who did what, from where", {200: Answer("Newest first", AuditPage)}, query=AuditQuery, tag=TAG)
    def read_audit() -> Reply | Response:
        """`format=jsonl` gives all of it as JSON lines, oldest first. Nothing in it is ever changed or removed but by
        age: the newest 100,000 are kept."""
        wish = exchange.query(AuditQuery)
        if wish.format == "json":
            return json_reply(audit.page(wish.cursor, wish.limit), headers=NO_STORE)
        if wish.format != "jsonl":
            raise InvalidInput("format: json or jsonl", field="format")
        attachment = {"Content-Disposition": 'attachment; filename="fogline-audit.jsonl"'}
        return Response(_lines(audit.oldest_first()), mimetype=JSON_LINES, headers=NO_STORE | attachment)


def _lines(entries: Iterator[AuditEntry]) -> Iterator[bytes]:
    for entry in entries:
        yield codec.dump(entry) + b"\n"


def _who() -> Principal:
    who = principal_of(request.environ)
    if who is None:
        raise Forbidden("this is for people and API keys")
    return who


def _require_person() -> Principal:
    who = _who()
    if who.kind != "person":
        raise Forbidden("only a person who has signed in can do this")
    return who


def _is_oneself(name: str) -> bool:
    who = principal_of(request.environ)
    return who is not None and who.kind == "person" and who.name.lower() == name.lower()


def _bearer() -> str:
    shown = presented(request.environ)
    return shown.value if shown is not None and shown.kind == "bearer" else ""


def _asker(bearers: Bearers) -> Asker:
    who, seen = principal_of(request.environ), request.remote_addr or ""
    if who is not None and who.kind == "person":
        seen = bearers.find(_bearer(), seen).address(seen)
    return Asker(who, seen)


def _address(told: str | None, settings: RegistrySettings) -> tuple[str, str]:
    """From where somebody signs in, and the address of the dashboard that said so, if one did. Others are believed only
    where all are on this machine."""
    seen = request.remote_addr or ""
    who = principal_of(request.environ)
    trusted = is_open(settings) if who is None else who.kind == "local" or who.node_kind == "ui"
    if told is None or not trusted:
        return seen, ""
    try:
        return str(ipaddress.ip_address(told)), seen
    except ValueError:
        return seen, ""


def _scopes(who: Principal) -> list[Scope]:
    return [scope for scope in SCOPES if scope in who.scopes]
