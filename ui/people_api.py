"""The calls by which people sign in and out at the dashboard, and look after their own account."""

from __future__ import annotations

from contextlib import suppress

import msgspec
from flask import Blueprint, Response, make_response, request

from mesh import codec
from mesh.access import principal_of
from mesh.access_wire import Me, PasswordChange, SetupRequest, SignedIn, SignInRequest
from mesh.credentials import Bearer
from mesh.errors import FoglineError, RegistryAway, Unauthorized, Unavailable
from mesh.logs import logger
from mesh.openapi import Answer, operation
from mesh.service import Reply, json_reply, problem_reply
from mesh.wire import Problem
from ui.access import SIGN_OUT, Access, cookie_of, give_cookie, person_of, take_cookie
from ui.forwarding import FRESH, forward, passed_on, send
from ui.standing import Standing

WRONG = Answer("Wrong, and what to do", Problem)
OFTEN = Answer("Too many tries; Retry-After says when the next is good", Problem)
FOREIGN = Answer("From another site's page", Problem)
AWAY = Answer("The registry is away", Problem)
log = logger(__name__)


class Myself(Me, frozen=True, kw_only=True):
    """As the registry's GET /v1/me. legacy_open: the original's devices are let in without a key."""

    legacy_open: bool = False


class WelcomedPerson(msgspec.Struct, frozen=True, kw_only=True):
    """Who signed in. The bearer is in the cookie, and nowhere else. expires_at: Unix seconds; later when it is used."""

    name: str
    role: str
    expires_at: float


def myself(access: Access, standing: Standing, *, ask: bool = False) -> Myself:
    """Who makes the request under way. ask: the registry, which knows how many sign-ins there are."""
    principal = principal_of(request.environ)
    assert principal is not None, "the guard let nobody in"
    who = person_of(request.environ)
    here = Myself(
        kind=principal.kind,
        name=principal.name,
        scopes=sorted(principal.scopes),
        role=who.role if who else None,
        expires_at=who.expires_at if who else None,
        legacy_open=standing.legacy_open,
    )
    if not ask or principal.kind != "person":
        return here
    try:
        told = forward(access.asking(), "GET", "/v1/me")
    except RegistryAway:
        return here
    return msgspec.structs.replace(here, sign_ins=told.get("sign_ins"), expires_at=told.get("expires_at"))


def people_routes(access: Access, standing: Standing) -> Blueprint:
    """Signing in and out."""
    routes = Blueprint("people", __name__, url_prefix="/api")

    @routes.post("/sign-in")
    @operation(
        "Sign in",
        {200: Answer("Who; the sign-in is in the cookie", WelcomedPerson), 401: WRONG, 403: FOREIGN, 429: OFTEN},
        body=SignInRequest,
        tag="people",
    )
    def sign_in() -> Response:
        given = codec.parse(request.get_data(), SignInRequest)
        return _welcome(access, "/v1/sign-in", msgspec.structs.replace(given, address=request.remote_addr))

    @routes.post("/setup")
    @operation(
        "Choose a password with a one-time link, and sign in",
        {200: Answer("Who; the sign-in is in the cookie", WelcomedPerson), 401: WRONG, 403: FOREIGN, 429: OFTEN},
        body=SetupRequest,
        tag="people",
    )
    def set_up() -> Response:
        given = codec.parse(request.get_data(), SetupRequest)
        answer = _welcome(access, "/v1/setup", msgspec.structs.replace(given, address=request.remote_addr))
        standing.outdate()
        return answer

    @routes.post("/sign-out")
    @operation("Sign out", {204: Answer("Signed out"), 403: FOREIGN, 503: AWAY}, tag="people")
    def sign_out() -> Response:
        """Where the registry is away, this browser forgets the sign-in all the same, and the answer says so."""
        with suppress(Unauthorized):  # it has ended already
            send(access.asking(), "POST", "/v1/sign-out", {})
        access.forget()
        return _forgetting((b"", 204, FRESH))

    @routes.errorhandler(Unavailable)
    def away(error: Unavailable) -> Response:
        if request.path != SIGN_OUT:
            return make_response(problem_reply(error))
        access.forget()
        words = "you are signed out in this browser; the registry is away, and ends the sign-in itself in a while"
        return _forgetting(problem_reply(RegistryAway(words)))

    @routes.get("/me")
    @operation("Who asks, and what they may do", {200: Answer("You", Myself)}, tag="people")
    def me() -> Reply:
        return json_reply(myself(access, standing, ask=True), headers=FRESH)

    @routes.post("/me/password")
    @operation(
        "Change one's password; the other sign-ins end",
        {204: Answer("It is changed"), 401: WRONG, 403: FOREIGN, 422: Answer("It is no good password", Problem)},
        body=PasswordChange,
        tag="people",
    )
    def change_password() -> Reply:
        wish = codec.parse(request.get_data(), PasswordChange)
        content = send(access.asking(), "POST", "/v1/me/password", wish)
        access.sign_ins.outdate()
        return passed_on(content)

    @routes.delete("/me/sign-ins")
    @operation("Sign out everywhere", {204: Answer("Every sign-in has ended"), 403: FOREIGN, 503: AWAY}, tag="people")
    def end_all() -> Response:
        """This one, too."""
        send(access.asking(), "DELETE", "/v1/me/sign-ins")
        access.sign_ins.outdate()
        access.forget()
        return _forgetting((b"", 204, FRESH))

    return routes


def _welcome(access: Access, path: str, body: SignInRequest | SetupRequest) -> Response:
    """Ask the registry for a sign-in, and give it to the browser. A new one each time: whoever knew the one before
    knows nothing of this."""
    made = codec.decode(send(access.own.once(), "POST", path, body), SignedIn)
    before = cookie_of(request)
    if before is not None:
        _end(access, before)
    told = WelcomedPerson(name=made.name, role=made.role, expires_at=made.expires_at)
    answer = make_response(json_reply(told, headers=FRESH))
    give_cookie(answer, made.token)
    return answer


def _forgetting(reply: Reply) -> Response:
    """`reply`, with which the browser forgets its sign-in."""
    answer = make_response(reply)
    if cookie_of(request) is not None:
        take_cookie(answer)
    return answer


def _end(access: Access, secret: str) -> None:
    access.sign_ins.forget(secret)
    try:
        send(access.own.showing(Bearer(secret)), "POST", "/v1/sign-out", {})
    except FoglineError as error:  # it had ended already, or ends by itself
        log.debug("an older sign-in was left to end by itself", reason=error.title)
