"""Who may do what: principals, doors, and the guard that stands before every route of every service.

Each service has a table of doors in `mesh.doors`, one for each of its routes. `Guard.check` runs before every request:
it finds out who asks, and lets nobody through whom the route's door does not name. A route without a door is shut.

There are two modes. *open*: the service listens on this machine alone, where whoever can reach it may do everything, as
long as the request names this machine (so that no page of another site, and no proxy in front of it, gets in by it).
*locked*: on every other address, and on demand, everybody must show who they are.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, Protocol

from mesh.errors import Forbidden, Unauthorized
from mesh.settings import ServiceSettings

Scope = Literal["view", "detect", "operate", "admin", "metrics"]
Role = Literal["viewer", "operator", "admin"]
NodeKind = Literal["camera", "compute", "ui"]

SCOPES: Final[tuple[Scope, ...]] = ("view", "detect", "operate", "admin", "metrics")  # that a key may be given
# Not `metrics`: who may see the mesh may see its figures, and nodes of version 0.1 know no such scope.
ALL_SCOPES: Final[frozenset[Scope]] = frozenset({"view", "detect", "operate", "admin"})
ROLES: Final[Mapping[Role, frozenset[Scope]]] = {
    "viewer": frozenset({"view"}),
    "operator": frozenset({"view", "detect", "operate"}),
    "admin": ALL_SCOPES,
}
NEEDS: Final[Mapping[Scope, str]] = {
    "view": "the role viewer, or an API key with the scope view",
    "detect": "the role operator, or an API key with the scope detect",
    "operate": "the role operator, or an API key with the scope operate",
    "admin": "the role admin, or an API key with the scope admin",
    "metrics": "the role viewer, or an API key with the scope metrics or view",
}
PRINCIPAL: Final = "fogline.principal"  # in the WSGI environment of a request that was let through
FORWARDED: Final = ("HTTP_FORWARDED", "HTTP_X_FORWARDED_FOR", "HTTP_X_FORWARDED_HOST", "HTTP_X_REAL_IP", "HTTP_VIA")


@dataclass(frozen=True, slots=True)
class Principal:
    """Who asks.

    id: what a revocation names: of a person's sign-in, a key, a node; empty for nobody in particular. name: for people
    and the audit. node_kind: of a node. token: the fencing token to which a signed URL is bound. until: Unix seconds of
    the registry's clock after which what was opened by a signed URL must end.
    """

    kind: Literal["local", "person", "key", "node", "ticket", "original"]
    id: str = ""
    name: str = ""
    scopes: frozenset[Scope] = frozenset()
    node_kind: NodeKind | None = None
    token: int | None = None
    until: float | None = None

    def may(self, scope: Scope) -> bool:
        """Whether this scope is among those of a person or a program. Who may see the mesh may see its figures."""
        return scope in self.scopes or (scope == "metrics" and "view" in self.scopes)


LOCAL: Final = Principal("local", name="this machine", scopes=ALL_SCOPES)
ORIGINAL: Final = Principal("original", name="unauthenticated")


@dataclass(frozen=True, slots=True)
class Door:
    """Whom a route lets in; each member adds somebody.

    scope: people and API keys that have it. nodes: enrolled nodes of these kinds; own: only the one whose id is this
    variable of the path. ticket: whoever has the route's signed URL. original: everybody, with --legacy-open. public:
    everybody.
    """

    scope: Scope | None = None
    nodes: frozenset[NodeKind] = frozenset()
    own: str = ""
    ticket: bool = False
    original: bool = False
    public: bool = False


class Request(Protocol):
    """The part of a werkzeug request that is used here."""

    method: str
    environ: dict[str, Any]
    url_rule: Any
    view_args: dict[str, Any] | None


Authenticate = Callable[[Any], Principal | None]


class Guard:
    """Stands before every route of one service. Any thread may call.

    doors: the service's table, by `METHOD rule`. authenticate: who a request is from, None when it shows no credential;
    raises Unauthorized for one that is wrong. open: this service is in open mode. legacy: the original's calls need
    no credential. speaks_for: whether a node may act for another id: a host for the cameras that it runs.
    """

    def __init__(
        self,
        doors: Mapping[str, Door],
        authenticate: Authenticate,
        *,
        open: bool,
        legacy: bool = False,
        speaks_for: Callable[[Principal, str], bool] = lambda _principal, _node_id: False,
    ) -> None:
        self.doors = doors
        self.open = open
        self._authenticate = authenticate
        self._legacy = legacy
        self._speaks_for = speaks_for

    def check(self, request: Any) -> Principal | None:
        """Let the request through or raise Unauthorized or Forbidden. Whoever it is from is in its environment then;
        nobody at a public door."""
        if request.url_rule is None or request.method == "OPTIONS":
            return None  # there is no such route, or nothing but its methods is told
        if self.open:
            require_this_machine(request.environ)
        principal = self._find(request)
        if principal is not None:
            request.environ[PRINCIPAL] = principal
        return principal

    def _find(self, request: Any) -> Principal | None:
        method = "GET" if request.method == "HEAD" else request.method
        door = self.doors.get(f"{method} {request.url_rule.rule}")
        if door is None:
            raise Forbidden("this call has no door: that is a defect of Fogline")
        try:
            principal = self._authenticate(request)
        except Unauthorized:
            if door.public:
                return None
            raise
        if door.public:
            return principal
        if principal is None:
            if self.open:
                return LOCAL
            if door.original and self._legacy:
                return ORIGINAL
            raise Unauthorized(
                "this needs a sign-in at the dashboard or an API key (Authorization: Bearer KEY)"
                + (", or a registry that was started with --legacy-open" if door.original else ""),
                reason="missing",
            )
        self._admit(door, principal, request.view_args or {})
        return principal

    def _admit(self, door: Door, principal: Principal, variables: Mapping[str, Any]) -> None:
        if principal.kind == "node":
            if principal.node_kind not in door.nodes:
                raise Forbidden(f"{principal.name or 'this node'} is a node, and this call is not for such")
            if door.own and not self.may_speak(principal, str(variables.get(door.own))):
                raise Forbidden("a node may say this of itself alone")
        elif principal.kind == "ticket":
            if not door.ticket:
                raise Forbidden("a signed address is good for the one thing that it names")
        elif door.scope is None:
            raise Forbidden("this call is for nodes")
        elif not principal.may(door.scope):
            raise Forbidden(f"{principal.name} may not do this: it needs {NEEDS[door.scope]}")

    def may_speak(self, principal: Principal | None, node_id: str) -> bool:
        """Whether `principal` may act as the node `node_id`. In open mode whoever shows no credential may."""
        if principal is None:
            return self.open
        if principal.kind == "node":
            return principal.id == node_id or self._speaks_for(principal, node_id)
        return principal.kind == "local"


def principal_of(environ: Mapping[str, Any]) -> Principal | None:
    """Who the request is from, as the guard found out."""
    found: Principal | None = environ.get(PRINCIPAL)
    return found


def is_open(settings: ServiceSettings) -> bool:
    """Whether a service with these settings is in open mode: it listens on this machine alone, and nobody wanted it
    locked."""
    return settings.access == "auto" and is_loopback(settings.host)


def is_loopback(host: str) -> bool:
    """Whether `host` (a name or an address, without port) can only be this machine."""
    host = host.strip("[]").rstrip(".").lower()
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return address.is_loopback


def require_this_machine(environ: Mapping[str, Any]) -> None:
    """Refuse what reached an open service through a proxy, or through a name that somebody else's DNS gave this
    machine. Raises Forbidden."""
    if any(name in environ for name in FORWARDED):
        raise Forbidden(
            "this came through a proxy to a service that is open to this machine alone:"
            " start it with --access locked (FOGLINE_ACCESS) so that people sign in"
        )
    host = str(environ.get("HTTP_HOST", ""))
    name = host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() else host
    if host and not is_loopback(name):
        raise Forbidden("this service is open to this machine alone: call it by the name localhost or 127.0.0.1")
