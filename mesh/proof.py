"""What is signed, and how it is checked: certificates of nodes, proofs of their requests, and signed addresses.

Everything is a JSON Web Token (RFC 7519) signed with Ed25519 (RFC 8037) by PyJWT; each of the three kinds has its own
`typ`, so that none passes for another.

- A **certificate** is the registry's word that a key is a node's: `sub` the node's id, `kind`, `name`, `cnf` its public
  key (RFC 7800). Every node can check it with the registry's public keys, without asking.
- A **proof** accompanies each request of a node, in the manner of DPoP (RFC 9449): signed with the node's own key over
  method, target, body, the receiver, the time and a nonce. It is good for one request within a minute.
- A **ticket** in an address opens one path of one node for a short while: the query's parameter `ticket`.

The *target* of a request is its path below the address of the service, decoded, with the query behind a `?` if there is
one: whatever proxy stands in between, both sides see the same. Times are Unix seconds of the registry's clock.
"""

from __future__ import annotations

import functools
import hashlib
import secrets
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote, unquote

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from mesh.errors import Unauthorized
from mesh.keys import ALGORITHM, Key, b64, thumbprint, unb64

CERTIFICATE: Final = "fogline-node+jwt"
PROOF: Final = "fogline-proof+jwt"
TICKET: Final = "fogline-ticket+jwt"
SCHEME: Final = "Fogline"  # of the Authorization header that carries a proof
CERTIFICATE_HEADER: Final = "Fogline-Certificate"
REGISTRY: Final = "registry"  # the receiver of what nodes say to the registry
PROOF_SECONDS: Final = 60.0  # that a proof may be old or ahead: clocks differ
MAX_TOKEN: Final = 4096  # characters of any of the three


@dataclass(frozen=True, slots=True)
class NodeCertificate:
    """What a certificate says. public: the node's public key, base64url. until: Unix seconds."""

    node_id: str
    kind: str
    name: str
    public: str
    until: float


@dataclass(frozen=True, slots=True)
class Ticket:
    """What a signed address says. path: below the node's address, decoded. session: its id, empty for a camera's
    pictures. token: the placement, None for a camera. subject: whom a revocation would name. opens_until: for how long
    it may be opened; ends: when what it opened must end."""

    node_id: str
    path: str
    subject: str
    opens_until: float
    ends: float
    session: str = ""
    token: int | None = None
    method: str = "GET"
    name: str = ""


# --- certificates


def certify(signer: Key, certificate: NodeCertificate, now: float) -> str:
    return signer.sign(
        CERTIFICATE,
        {
            "sub": certificate.node_id,
            "kind": certificate.kind,
            "name": certificate.name,
            "iat": int(now),
            "exp": int(certificate.until),
            "cnf": {"jwk": {"kty": "OKP", "crv": "Ed25519", "x": certificate.public}},
        },
    )


def read_certificate(text: str, keys: Mapping[str, str], now: float) -> NodeCertificate:
    """keys: the registry's public keys by kid. Raises Unauthorized."""
    found = _certificate(text, _frozen(keys))
    if found.until < now:
        raise Unauthorized("the node's certificate has expired: it renews it at the registry", reason="expired")
    return found


@functools.lru_cache(maxsize=4096)
def _certificate(text: str, keys: tuple[tuple[str, str], ...]) -> NodeCertificate:
    claims = _read(text, CERTIFICATE, dict(keys), "certificate")
    try:
        jwk = claims["cnf"]["jwk"]
        return NodeCertificate(
            str(claims["sub"]), str(claims["kind"]), str(claims["name"]), str(jwk["x"]), float(claims["exp"])
        )
    except (KeyError, TypeError, ValueError, OverflowError):
        raise _wrong("certificate") from None


# --- proofs


@dataclass(frozen=True, slots=True)
class Call:
    """A request as both sides see it. target: see above. receiver: REGISTRY, or the id of the node that is asked."""

    method: str
    target: str
    receiver: str = REGISTRY


def prove(key: Key, node_id: str, call: Call, body: bytes, now: float) -> str:
    """The value of the Authorization header for one request."""
    claims = {
        "iss": node_id,
        "aud": call.receiver,
        "iat": round(now, 3),
        "jti": secrets.token_urlsafe(16),
        "htm": call.method,
        "htu": call.target,
        "bsh": digest(body),
    }
    return f"{SCHEME} {key.sign(PROOF, claims)}"


@dataclass(frozen=True, slots=True)
class Proof:
    """A proof whose signature, receiver, method, target and time are right; the nonce is the caller's to look at, and
    the body: `body` is its digest."""

    node_id: str
    nonce: str
    body: str
    at: float


def claimed_issuer(proof: str) -> str:
    """Who a proof says that it is from, unchecked: to find the key by. Raises Unauthorized when it is none."""
    try:
        _bounded(proof)
        issuer = jwt.decode(proof, options={"verify_signature": False})["iss"]
    except (jwt.PyJWTError, KeyError, ValueError):
        raise _wrong("proof") from None
    if not _is_plain(issuer):
        raise _wrong("proof")
    return str(issuer)


def read_proof(proof: str, public: str, call: Call, now: float) -> Proof:
    """proof: without the scheme. public: the key of the node that it is to be from. Raises Unauthorized; with the
    member `now` where only the clocks differ."""
    claims = _read(proof, PROOF, {thumbprint(public): public}, "proof", audience=call.receiver)
    try:
        node_id, nonce, body, at = claims["iss"], claims["jti"], claims["bsh"], float(claims["iat"])
        right = (claims["htm"], claims["htu"]) == (call.method, call.target)
    except (KeyError, TypeError, ValueError, OverflowError):
        raise _wrong("proof") from None
    if not right or not all(map(_is_plain, (node_id, nonce, body))):
        raise Unauthorized("the proof is for another request", reason="other request")
    if not abs(at - now) <= PROOF_SECONDS:  # so that NaN is no time either
        raise Unauthorized(
            f"the proof's time is {at - now:+.0f} s off this clock: set the clocks (NTP)",
            reason="clock",
            now=round(now, 3),
        )
    return Proof(node_id, nonce, body, at)


class Nonces:
    """Those of the last minutes, in this process. Any thread may call."""

    def __init__(self, keep: float = 2 * PROOF_SECONDS + 5) -> None:
        self._keep = keep
        self._lock = threading.Lock()
        self._young: set[str] = set()
        self._old: set[str] = set()
        self._turned = time.monotonic()

    def use(self, node_id: str, nonce: str) -> bool:
        """Whether it is new; from then on it is not."""
        seen = f"{node_id} {nonce}"
        with self._lock:
            now = time.monotonic()
            if now - self._turned > self._keep:  # two halves: each is kept for at least so long
                self._old = self._young if now - self._turned < 2 * self._keep else set()
                self._young = set()
                self._turned = now
            if seen in self._young or seen in self._old:
                return False
            self._young.add(seen)
            return True


# --- tickets


def issue(signer: Key, ticket: Ticket) -> str:
    """The text of a ticket, for the query."""
    claims: dict[str, Any] = {
        "sub": ticket.subject,
        "m": ticket.method,
        "p": ticket.path,
        "n": ticket.node_id,
        "exp": round(ticket.opens_until, 3),
        "end": round(ticket.ends, 3),
    }
    if ticket.session:
        claims |= {"s": ticket.session, "t": ticket.token}
    if ticket.name:
        claims["name"] = ticket.name
    return signer.sign(TICKET, claims)


def read_ticket(text: str, keys: Mapping[str, str], call: Call, now: float) -> Ticket:
    """A ticket that opens this call now. call: its target is the path without the query, its receiver the node. keys:
    the registry's public keys by kid. Raises Unauthorized."""
    found = _ticket(text, _frozen(keys))
    if (found.method, found.path, found.node_id) != (call.method, call.target, call.receiver):
        raise Unauthorized("this signed address is for something else", reason="other address")
    if found.opens_until < now:
        raise Unauthorized("this signed address has expired: ask for a new one at the registry", reason="expired")
    return found


@functools.lru_cache(maxsize=4096)
def _ticket(text: str, keys: tuple[tuple[str, str], ...]) -> Ticket:
    claims = _read(text, TICKET, dict(keys), "signed address")
    try:
        token = claims.get("t")
        return Ticket(
            node_id=str(claims["n"]),
            path=str(claims["p"]),
            subject=str(claims["sub"]),
            opens_until=float(claims["exp"]),
            ends=float(claims["end"]),
            session=str(claims.get("s", "")),
            token=None if token is None else int(token),
            method=str(claims["m"]),
            name=str(claims.get("name", "")),
        )
    except (KeyError, TypeError, ValueError, OverflowError):
        raise _wrong("signed address") from None


def with_ticket(address: str, ticket: str) -> str:
    """`address` with the ticket in its query."""
    return f"{address}{'&' if '?' in address else '?'}ticket={quote(ticket)}"


# --- small things


def target_of(environ: Mapping[str, Any]) -> str:
    """The target of a WSGI request, below the application."""
    path = path_of(environ)
    query = environ.get("QUERY_STRING") or ""
    return f"{path}?{query}" if query else path


def path_of(environ: Mapping[str, Any]) -> str:
    """The decoded path of a WSGI request, below the application."""
    return str(environ.get("PATH_INFO") or "/").encode("latin-1", "replace").decode("utf-8", "replace")


def target(path: str, query: str = "") -> str:
    """The same on the asking side: `path` below the service's address as it is sent, percent-encoded."""
    decoded = unquote(path) or "/"
    return f"{decoded}?{query}" if query else decoded


def digest(body: bytes) -> str:
    return b64(hashlib.sha256(body).digest())


def _frozen(keys: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    return tuple(sorted(keys.items()))


def _read(text: str, typ: str, keys: Mapping[str, str], what: str, audience: str | None = None) -> dict[str, Any]:
    """The claims of a token of this type that one of `keys` signed. Times are the caller's to look at: this clock may
    be wrong. Raises Unauthorized."""
    try:
        _bounded(text)
        header = jwt.get_unverified_header(text)
        public = keys.get(str(header.get("kid")))
        if header.get("typ") != typ or public is None:
            raise _wrong(what)
        claims: dict[str, Any] = jwt.decode(
            text,
            _public(public),
            algorithms=[ALGORITHM],
            audience=audience,
            options={"verify_exp": False, "verify_iat": False, "verify_nbf": False, "verify_aud": audience is not None},
        )
        return claims
    except (jwt.PyJWTError, ValueError):
        raise _wrong(what) from None


@functools.lru_cache(maxsize=4096)
def _public(public: str) -> Ed25519PublicKey:
    return Ed25519PublicKey.from_public_bytes(unb64(public))


def _is_plain(value: object) -> bool:
    """Whether a claim is a text that can be looked up and compared: JSON has strings that no encoding has."""
    return isinstance(value, str) and value != "" and value.isascii()


def _bounded(text: str) -> None:
    if len(text) > MAX_TOKEN:
        raise ValueError("too long")


def _wrong(what: str) -> Unauthorized:
    return Unauthorized(f"the {what} is not one that this mesh signed", reason="wrong")
