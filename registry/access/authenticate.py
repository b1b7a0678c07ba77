"""Who asks the registry: a person or a program by a bearer, a node by its proof."""

from __future__ import annotations

import hmac
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

import jwt

from mesh import proof as proofs
from mesh.access import Principal
from mesh.credentials import Presented, presented
from mesh.errors import RegistryAway, Unauthorized
from mesh.proof import PROOF_SECONDS, Call, Nonces, Proof
from registry.access.bearers import Bearers
from registry.access.book import Book
from registry.access.enrolments import Enrolled, Enrolments
from registry.access.trust import Trust

KID: Final = "fogline.kid"  # in the WSGI environment: of the key with which the request was signed
NONCE_SECONDS: Final = 2 * PROOF_SECONDS + 5  # for which a nonce is known: longer than its proof could be good

ADDRESS: Final = "fogline.address"  # in the WSGI environment: of the browser, when its dashboard asks


class RegistryAuthenticator:
    """Finds out who a request is from. Any thread may call it.

    body: reads the present request's body, or raises TooLarge; it is read for no one whose signature is wrong. While
    the book is away nodes that it was asked for lately are known still, and each replica looks after its own nonces.
    """

    def __init__(
        self, trust: Trust, enrolments: Enrolments, bearers: Bearers, book: Book, body: Callable[[], bytes]
    ) -> None:
        self._trust = trust
        self._enrolments = enrolments
        self._bearers = bearers
        self._book = book
        self._body = body
        self._nonces = Nonces(NONCE_SECONDS)

    def __call__(self, request: Any) -> Principal | None:
        """None when the request shows nothing. Raises Unauthorized for a credential that is not good."""
        shown = presented(request.environ, request.args.get("ticket"))
        if shown is None:
            return None
        if shown.kind == "bearer":
            seen = request.remote_addr or ""
            found = self._bearers.find(shown.value, seen)
            request.environ[ADDRESS] = found.address(seen)
            return found.principal
        if shown.kind == "ticket":
            raise Unauthorized("a signed address opens what it names at its node, and nothing here", reason="ticket")
        return self._node(request, shown)

    def _node(self, request: Any, shown: Presented) -> Principal:
        node_id, kid = proofs.claimed_issuer(shown.value), _claimed_kid(shown.value)
        if self._enrolments.is_revoked(node_id):
            raise Unauthorized(
                "this node was revoked: to let the machine in again, remove its files in DATA/identity, so that it"
                " joins as a new node",
                reason="revoked",
            )
        now = self._trust.clock()
        enrolled, public = self._key(node_id, kid, now)
        lost: proofs.NodeCertificate | None = None
        if enrolled is None:
            lost = self._certified(node_id, shown.certificate, now)
            public = lost.public
        if public is None:
            raise Unauthorized(
                "the proof is not signed with the key with which this node has joined", reason="wrong key"
            )
        call = Call(request.method, proofs.target_of(request.environ))
        found = proofs.read_proof(shown.value, public, call, now)
        if not hmac.compare_digest(found.body, proofs.digest(self._body())):
            raise Unauthorized("the proof is for another body", reason="other request")
        self._once(found)
        if enrolled is None:
            assert lost is not None
            enrolled = self._enrolments.restore(lost)
            if enrolled.revoked_at is not None or enrolled.public != public:
                raise Unauthorized("this node has joined with another key, or was revoked", reason="wrong key")
        request.environ[KID] = kid
        return Principal("node", id=node_id, name=enrolled.name, node_kind=enrolled.kind)

    def _key(self, node_id: str, kid: str, now: float) -> tuple[Enrolled | None, str | None]:
        """The node, and the one of its keys that is called `kid`."""
        enrolled = self._enrolments.find(node_id)
        public = enrolled.key_of(kid, now) if enrolled else None
        if enrolled is not None and public is None:  # it may have a new key since
            enrolled = self._enrolments.find(node_id, fresh=True)
            public = enrolled.key_of(kid, now) if enrolled else None
        return enrolled, public

    def _certified(self, node_id: str, certificate: str, now: float) -> proofs.NodeCertificate:
        """What the certificate of a node says that the book has lost."""
        again = "this registry does not know this node: it joins with a join token"
        if not certificate:
            raise Unauthorized(again, reason="unknown")
        try:
            found = proofs.read_certificate(certificate, self._trust.keys, now)
        except Unauthorized:
            raise Unauthorized(again, reason="unknown") from None
        if found.node_id != node_id:
            raise Unauthorized("the certificate is another node's", reason="wrong")
        return found

    def _once(self, found: Proof) -> None:
        fresh = self._nonces.use(found.node_id, found.nonce)
        if fresh:
            # What comes to another replica while the book is away that one cannot carry out either.
            with suppress(RegistryAway):
                fresh = self._book.first(f"nonce {found.node_id} {found.nonce}", NONCE_SECONDS)
        if not fresh:
            raise Unauthorized("this request was sent before: a proof is good for one", reason="replayed")


def _claimed_kid(proof: str) -> str:
    try:
        return str(jwt.get_unverified_header(proof).get("kid"))
    except (jwt.PyJWTError, ValueError):
        raise Unauthorized("the proof is not one that this mesh signed", reason="wrong") from None
