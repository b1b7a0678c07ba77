"""Who asks the dashboard, and in whose name the dashboard asks the registry.

A person's bearer lives in a cookie that scripts cannot read; programs send it, or an API key, in the Authorization
header. Whoever it is: the calls that the dashboard makes for them carry their bearer, so that the registry itself
decides what they may do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

from flask import Request, Response, request

from mesh import doors
from mesh.access import LOCAL, Guard, Principal, principal_of
from mesh.access_wire import Introspection
from mesh.client import RegistryClient
from mesh.credentials import Bearer, Nobody, presented
from mesh.errors import FoglineError, RegistryAway, Unauthorized
from ui.sign_ins import Held, SignIns

COOKIE: Final = "fogline"
COOKIE_SECONDS: Final = 7 * 24 * 3600  # the registry ends sign-ins earlier: after 12 hours in which nothing was asked
SIGN_OUT: Final = "/api/sign-out"
SAFE: Final = frozenset(("GET", "HEAD", "OPTIONS"))
_BEARER: Final = "fogline.bearer"  # in the WSGI environment: what the request showed
_WHO: Final = "fogline.who"  # the same: the registry's word on whose it is


class Access:
    """Any thread may call any method.

    own: the registry, asked in the dashboard's own name. open: whether this service is in open mode at the moment.
    """

    def __init__(self, own: RegistryClient, sign_ins: SignIns, open: Callable[[], bool]) -> None:
        self.own = own
        self.sign_ins = sign_ins
        self._open = open
        self._plain = own.showing(Nobody())

    @property
    def open(self) -> bool:
        """Whether everybody at this machine may do everything."""
        return self._open()

    def authenticate(self, request: Request) -> Principal | None:
        """For the Guard. Raises Unauthorized for a credential that is not good, RegistryAway when nobody can tell."""
        if _is_public(request):
            return None  # files and the sign-in itself: they must come while the registry is away, too
        return self.whose(request)

    def whose(self, request: Request) -> Principal | None:
        """The same for public doors, where it is wanted."""
        shown = presented(request.environ)
        if shown is None:
            return self._of_cookie(request)
        if shown.kind != "bearer":
            raise Unauthorized("the dashboard is for people and programs: nodes ask the registry", reason="wrong")
        return self._of_bearer(request, shown.value)

    def asking(self) -> RegistryClient:
        """The registry, asked in the name of whoever made the request under way."""
        secret = request.environ.get(_BEARER)
        if secret is None:
            return self._plain
        return self.own.showing(Bearer(secret))

    def forget(self) -> None:
        """The sign-in with which the request under way was made has ended: what it opened here ends, too."""
        secret = request.environ.get(_BEARER)
        if secret is not None:
            self.sign_ins.forget(secret)

    @contextmanager
    def hold(self, environ: Mapping[str, Any]) -> Iterator[Callable[[], bool]]:
        """Whether the sign-in of this request is over, cheap to ask, as long as the context is open."""
        secret = environ.get(_BEARER)
        if secret is None:
            yield lambda: False
            return
        held: Held
        with self.sign_ins.hold(secret, str(environ.get("REMOTE_ADDR", ""))) as held:
            yield lambda: held.over

    def _of_cookie(self, request: Request) -> Principal | None:
        secret = cookie_of(request)
        if secret is None:
            return None
        try:
            return self._of_bearer(request, secret)
        except FoglineError:
            # Left over from when this mesh was locked: whoever is at this machine may do everything all the same.
            if self._open():
                return None
            raise

    def _of_bearer(self, request: Request, secret: str) -> Principal:
        found, fresh = self.sign_ins.find(secret, request.remote_addr or "")
        if not found.active:
            raise Unauthorized("this sign-in has ended, or the key is not good: sign in again", reason="ended")
        if not fresh and request.method not in SAFE and request.path != SIGN_OUT:
            raise RegistryAway("the registry is away: what runs can be watched, and nothing can be changed")
        request.environ[_BEARER] = secret
        request.environ[_WHO] = found
        if found.kind == "local":
            return LOCAL
        kind: Any = found.kind
        return Principal(kind, found.id, found.name, frozenset(found.scopes), until=found.expires_at)


class DashboardGuard(Guard):
    """The guard of the dashboard. It is in open mode until the dashboard has joined a locked mesh."""

    def __init__(self, access: Access) -> None:
        super().__init__(doors.DASHBOARD, access.authenticate, open=access.open)
        self._access = access

    def check(self, request: Any) -> Principal | None:
        """As a Guard does."""
        self.open = self._access.open
        return super().check(request)


def person_of(environ: Mapping[str, Any]) -> Introspection | None:
    """The registry's word on who makes the request under way; None where nobody signs in."""
    if principal_of(environ) in (None, LOCAL):
        return None
    found: Introspection | None = environ.get(_WHO)
    return found


# --- the cookie


def cookie_of(request: Request) -> str | None:
    """The bearer in the request's cookie."""
    return request.cookies.get(cookie_name(request)) or None


def cookie_name(request: Request) -> str:
    """Its name makes browsers refuse what another host, or a page without TLS, wants to put in its place."""
    if not request.is_secure:
        return COOKIE
    return f"__Secure-{COOKIE}" if request.root_path else f"__Host-{COOKIE}"


def give_cookie(answer: Response, secret: str) -> None:
    """Keep a sign-in in the browser."""
    answer.set_cookie(
        cookie_name(request),
        secret,
        max_age=COOKIE_SECONDS,
        path=f"{request.root_path}/",
        secure=request.is_secure,
        httponly=True,
        samesite="Lax",
    )


def take_cookie(answer: Response) -> None:
    """Let the browser forget it."""
    answer.delete_cookie(
        cookie_name(request),
        path=f"{request.root_path}/",
        secure=request.is_secure,
        httponly=True,
        samesite="Lax",
    )


def _is_public(request: Request) -> bool:
    method = "GET" if request.method == "HEAD" else request.method
    door = doors.DASHBOARD.get(f"{method} {request.url_rule}")
    return door is not None and door.public
