"""The doors of camera and compute nodes: who asks, and for how long what was opened may stay open.

A node decides by itself about signed addresses and about other nodes, by what it knows of whom to trust; about API keys
and people it asks the registry, and remembers the answer for a moment. So streams go on while the registry is away.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Protocol

import jwt

from mesh import proof
from mesh.access import Door, Guard, NodeKind, Principal, principal_of
from mesh.access_wire import Introspection, IntrospectRequest
from mesh.client import RegistryClient
from mesh.credentials import NodeCredentials, Presented, presented
from mesh.errors import FoglineError, Forbidden, RegistryAway, Unauthorized, Unavailable
from mesh.proof import Call, Nonces
from mesh.trusted import Trusted, ends_at

RIGHT: Final = "fogline.right"  # in the WSGI environment of a request that was let through
FRESH: Final = 10.0  # seconds for which the registry's answer about a key is not asked for again
FRESH_FIGURES: Final = 300.0  # the same about a key for figures alone, which Prometheus shows to each node every 15 s
STALE: Final = 300.0  # seconds for which a good one counts while the registry is away
REMEMBERED: Final = 1024  # keys and sign-ins
ASK_TIMEOUT: Final = (0.5, 2.0)  # seconds to connect and to answer, while somebody waits


class Enrolled(Protocol):
    """What is used here of mesh.enrolment.Enrolment."""

    node_id: str
    credentials: NodeCredentials
    trusted: Trusted

    @property
    def locked(self) -> bool: ...
    @property
    def problem(self) -> str | None: ...
    def ask_trust(self) -> None: ...
    def registry(self, timeout: tuple[float, float]) -> RegistryClient: ...


@dataclass(frozen=True, slots=True)
class Right:
    """For how long what a request has opened may go on. Both are asked for every part, and are cheap.

    over: nothing more may be sent. once: the very same request would not be let through again. ends: monotonic seconds
    of the end; subject, trusted: who asks, and whom this node trusts; None where only `over` tells.
    """

    over: Callable[[], bool]
    once: Callable[[], bool]
    ends: float = float("inf")
    subject: str = ""
    trusted: Trusted | None = None

    def ending(self, ended: Callable[[], bool]) -> Callable[[], bool]:
        """Whether it has `ended` or this is over, with as few calls as can be."""
        if self is EVER:
            return ended
        over, ends, subject, trusted, monotonic = self.over, self.ends, self.subject, self.trusted, time.monotonic
        if trusted is None:
            return lambda: ended() or over()
        return lambda: ended() or monotonic() > ends or subject in trusted.revoked_ids

    def refusal(self) -> FoglineError | None:
        """What to tell a viewer who has got nothing yet, once it is over."""
        if self.over():
            return Unauthorized("this was opened for a time that is over: ask the registry for its address again")
        return None


def _never() -> bool:
    return False


EVER: Final = Right(_never, _never)


def right_of(environ: Mapping[str, Any]) -> Right:
    """Of the request whose WSGI environment this is."""
    found: Right = environ.get(RIGHT, EVER)
    return found


def placement_of(environ: Mapping[str, Any], asked: int | None) -> int | None:
    """The fencing token that the request is good for: the signed address's, else the one that is asked for."""
    who = principal_of(environ)
    return who.token if who is not None and who.token is not None else asked


def guard_of(enrolment: Enrolled, doors: Mapping[str, Door], node_id: str | None = None) -> NodeGuard:
    """The guard of a node. node_id: of an added camera that it runs."""
    return NodeGuard(doors, enrolment, NodeAuthenticator(enrolment, node_id or enrolment.node_id))


class NodeGuard(Guard):
    """The guard of a node. It is in open mode until the node has joined a locked mesh."""

    def __init__(self, doors: Mapping[str, Door], enrolment: Enrolled, authenticate: NodeAuthenticator) -> None:
        super().__init__(doors, authenticate, open=not enrolment.locked)
        self._enrolment = enrolment

    def check(self, request: Any) -> Principal | None:
        """As a Guard does. Raises Unavailable for everything that is not public as long as the node has not joined."""
        enrolment = self._enrolment
        self.open = not enrolment.locked
        self._legacy = enrolment.trusted.legacy_open
        if not self.open and not enrolment.credentials.joined and not self._public(request):
            raise Unavailable(f"this node has not joined the mesh yet: {enrolment.problem}", retry_after=2)
        principal = super().check(request)
        if principal is not None and principal.kind == "original":
            request.environ[RIGHT] = Right(self._shut, self._shut)
        return principal

    def _shut(self) -> bool:
        """Whether the original's calls need a credential by now."""
        return not self._enrolment.trusted.legacy_open

    def _public(self, request: Any) -> bool:
        if request.url_rule is None or request.method == "OPTIONS":
            return True
        method = "GET" if request.method == "HEAD" else request.method
        door = self.doors.get(f"{method} {request.url_rule.rule}")
        return door is not None and door.public


class NodeAuthenticator:
    """Finds out who a request is from. Any thread may call. node_id: of the node, or of the camera that it runs."""

    def __init__(self, enrolment: Enrolled, node_id: str) -> None:
        self._enrolment = enrolment
        self._node_id = node_id
        self._introspector = Introspector(enrolment)
        self._nonces = Nonces()

    def __call__(self, request: Any) -> Principal | None:
        """None for a request that shows nothing, and in open mode. Raises Unauthorized, or Unavailable when it cannot
        be found out."""
        shown = presented(request.environ, request.args.get("ticket"))
        if shown is None or not self._enrolment.locked:
            return None
        if shown.kind == "ticket":
            principal, right = self._by_ticket(shown.value, request)
        elif shown.kind == "proof":
            principal, right = self._by_proof(shown, request)
        else:
            principal, right = self._by_bearer(shown.value, request)
        if self._enrolment.trusted.revoked(principal.id):
            raise Unauthorized("this was revoked", reason="revoked")
        request.environ[RIGHT] = right
        return principal

    def _by_ticket(self, text: str, request: Any) -> tuple[Principal, Right]:
        method = "GET" if request.method == "HEAD" else request.method
        self._know(text)
        now = self._enrolment.credentials.now()
        call = Call(method, proof.path_of(request.environ), self._node_id)
        ticket = proof.read_ticket(text, self._enrolment.trusted.keys, call, now)
        principal = Principal("ticket", id=ticket.subject, name=ticket.name, token=ticket.token, until=ticket.ends)
        return principal, self._right(ticket.subject, ends_at(ticket.ends, now), ends_at(ticket.opens_until, now))

    def _by_proof(self, shown: Presented, request: Any) -> tuple[Principal, Right]:
        self._know(shown.certificate)
        now = self._enrolment.credentials.now()
        certificate = proof.read_certificate(shown.certificate, self._enrolment.trusted.keys, now)
        call = Call(request.method, proof.target_of(request.environ), self._node_id)
        found = proof.read_proof(shown.value, certificate.public, call, now)
        if found.node_id != certificate.node_id:
            raise Unauthorized("the proof is of another node than the certificate", reason="wrong")
        if found.body != proof.digest(request.get_data(cache=True)):
            raise Unauthorized("the proof is for another body", reason="other request")
        if not self._nonces.use(found.node_id, found.nonce):
            raise Unauthorized("this request was sent before: each needs a proof of its own", reason="replayed")
        kind: NodeKind = "compute" if certificate.kind == "compute" else "ui" if certificate.kind == "ui" else "camera"
        right = self._right(found.node_id)
        principal = Principal("node", id=certificate.node_id, name=certificate.name, node_kind=kind)
        return principal, replace(right, once=lambda: True)

    def _by_bearer(self, secret: str, request: Any) -> tuple[Principal, Right]:
        found = self._introspector.find(secret, request.remote_addr or "")
        if not found.active:
            raise Unauthorized("this API key or sign-in is not good (any more)", reason="wrong")
        ends = float("inf")
        if found.expires_at is not None:
            ends = ends_at(found.expires_at, self._enrolment.credentials.now())
        principal = Principal(
            "person" if found.kind == "person" else "key",
            id=found.id,
            name=found.name,
            scopes=frozenset(found.scopes),
            until=found.expires_at,
        )
        return principal, self._right(found.id, ends, ends)

    def _right(self, subject: str, ends: float = float("inf"), again: float = float("inf")) -> Right:
        """ends, again: monotonic seconds after which nothing may be sent, and after which the request is too old."""
        trusted, monotonic = self._enrolment.trusted, time.monotonic
        return Right(
            lambda: monotonic() > ends or subject in trusted.revoked_ids,
            lambda: monotonic() > min(ends, again) or subject in trusted.revoked_ids,
            ends,
            subject,
            trusted,
        )

    def _know(self, text: str) -> None:
        """See that the key with which the registry signed this is known: it may have a new one since a moment."""
        try:
            kid = jwt.get_unverified_header(text).get("kid")
        except jwt.PyJWTError:
            return  # whoever reads it says what is wrong
        if kid not in self._enrolment.trusted.keys:
            self._enrolment.ask_trust()


class Introspector:
    """Asks the registry whose an API key or a sign-in is, and remembers that. Any thread may call."""

    def __init__(self, enrolment: Enrolled) -> None:
        self._client = enrolment.registry(ASK_TIMEOUT)
        self._lock = threading.Lock()
        self._trusted = enrolment.trusted
        # By hash: the answer, when it came (monotonic seconds), and the trust document's version then: after a
        # revocation all are asked for again.
        self._known: OrderedDict[bytes, tuple[Introspection, float, int]] = OrderedDict()

    def find(self, secret: str, address: str) -> Introspection:
        """address: from where it came. Raises Unavailable when the registry is away and nothing good is remembered."""
        key = hashlib.sha256(secret.encode()).digest()
        with self._lock:
            found, at, version = self._known.get(key, (None, 0.0, 0))
        trust = self._trusted.version
        if found is not None and version == trust and time.monotonic() - at < _lasts(found):
            return found
        try:
            found = self._client.introspect(IntrospectRequest(credential=secret[:200] or "-", address=address))
        except (RegistryAway, Unauthorized, Forbidden) as error:  # the latter two are said of this node
            good = found is not None and found.active and time.monotonic() - at < STALE
            if found is not None and good and isinstance(error, RegistryAway):
                return found
            raise Unavailable(
                f"whose API key or sign-in this is cannot be found out: {error.detail}", retry_after=2
            ) from None
        with self._lock:
            self._known[key] = found, time.monotonic(), trust
            self._known.move_to_end(key)
            if len(self._known) > REMEMBERED:
                self._known.popitem(last=False)
        return found


def _lasts(found: Introspection) -> float:
    """Seconds for which an answer is not asked for again, unless something is revoked."""
    figures = found.active and found.scopes == ["metrics"] and found.expires_at is None
    return FRESH_FIGURES if figures else FRESH
