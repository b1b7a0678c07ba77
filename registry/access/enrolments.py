"""Nodes that have joined: each with the key that it signs with, and for a while the one before it."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Final, Protocol, TypeVar

import msgspec

from mesh.access import NodeKind
from mesh.access_wire import CertificateRequest, Enrolment, Joined, JoinRequest
from mesh.errors import Conflict, Forbidden, InvalidInput, NotFound, RegistryAway, Unauthorized
from mesh.joining import NO_TOKEN, check_join_proof
from mesh.keys import is_public_key, thumbprint
from mesh.logs import logger
from mesh.proof import PROOF_SECONDS, NodeCertificate, certify
from registry.access.book import Book
from registry.access.ca import Authority
from registry.access.join_tokens import JoinTokens
from registry.access.signers import CERTIFICATE_SECONDS
from registry.access.trust import Trust

PREVIOUS_SECONDS: Final = 600.0  # for which a node's key before the present one is good: for its answers on their way
REMEMBERED_SECONDS: Final = 30.0  # for which a node is not looked up again: revocations come another, quicker way
UNKNOWN_SECONDS: Final = 1.0  # the same for one that has not joined: it may do so at another replica
MOST_REMEMBERED: Final = 20_000  # nodes
TRIES: Final = 20  # of a change that another replica's comes before
FROM_CERTIFICATE: Final = "its certificate"  # instead of a token's name, of a node that a wipe took

T = TypeVar("T", "Enrolled", "Enrolled | None")
log = logger(__name__)


class Enrolled(msgspec.Struct, frozen=True, kw_only=True):
    """A node as the book has it. public: its key, base64url; previous: the one before it, good until previous_until.
    token_name: of the join token. All times are Unix seconds."""

    kind: NodeKind
    name: str
    public: str
    enrolled_at: float
    token_name: str
    renewed_at: float
    previous: str | None = None
    previous_until: float = 0.0
    revoked_at: float | None = None
    revoked_by: str | None = None

    def key_of(self, kid: str, now: float) -> str | None:
        """The key with this thumbprint, if it is good now."""
        if thumbprint(self.public) == kid:
            return self.public
        if self.previous is not None and now < self.previous_until and thumbprint(self.previous) == kid:
            return self.previous
        return None


class Mesh(Protocol):
    """The part of registry.store.Store that is used here."""

    def leave(self, node_id: str, reason: str) -> bool: ...


class Hosted(Protocol):
    """Which node runs which of the cameras that people added, as registry.cameras.Cameras knows it."""

    def host_of(self, camera_id: str) -> str | None: ...
    def run_by(self, node_id: str) -> list[str]: ...


@dataclass(frozen=True, slots=True)
class _Remembered:
    enrolled: Enrolled | None
    until: float  # monotonic seconds


class Enrolments:
    """Any thread may call any method; each but `signs` may raise RegistryAway."""

    def __init__(
        self,
        book: Book,
        trust: Trust,
        tokens: JoinTokens,
        mesh: Mesh,
        hosted: Hosted,
        *,
        authority: Authority | None = None,
    ) -> None:
        """authority: gives certificates for TLS; None where the mesh has none."""
        self._book = book
        self._authority = authority
        self._trust = trust
        self._tokens = tokens
        self._mesh = mesh
        self._hosted = hosted
        self._clock = trust.clock
        self._remembered: dict[str, _Remembered] = {}

    # --- what others ask

    def find(self, node_id: str, *, fresh: bool = False) -> Enrolled | None:
        """The node, None when it has not joined. fresh: look it up in any case. While the book is away what was looked
        up last serves."""
        known = self._remembered.get(node_id)
        if known is not None and not fresh and time.monotonic() < known.until:
            return known.enrolled
        try:
            found = self._book.get("node", node_id)
        except RegistryAway:
            if known is None:
                raise
            return known.enrolled
        return self._remember(node_id, _read(found[0]) if found is not None else None)

    def is_revoked(self, node_id: str) -> bool:
        """Whether the node was revoked, at this replica or, a second ago, at another one."""
        if self._trust.is_revoked(node_id):
            return True
        known = self.find(node_id)
        return known is not None and known.revoked_at is not None

    def signs(self, node_id: str) -> bool:
        """Whether the node, or the host of the added camera, has a key of its own, and so checks signed addresses.
        Never raises: one that is not known while the book is away counts as none."""
        try:
            enrolled = self.find(node_id)
            if enrolled is None:
                host = self._hosted.host_of(node_id)
                enrolled = self.find(host) if host is not None else None
        except RegistryAway:
            return False
        return enrolled is not None and enrolled.revoked_at is None

    def listed(self) -> list[Enrolment]:
        """All of them, by name; the revoked ones too."""
        found = ((ident, _read(document)) for ident, document in self._book.all("node").items())
        documents = [
            Enrolment(
                node_id=ident,
                kind=one.kind,
                name=one.name,
                kid=thumbprint(one.public),
                enrolled_at=one.enrolled_at,
                token_name=one.token_name,
                renewed_at=one.renewed_at,
                revoked_at=one.revoked_at,
                revoked_by=one.revoked_by,
            )
            for ident, one in found
        ]
        return sorted(documents, key=lambda one: (one.name.casefold(), one.node_id))

    # --- joining and going on

    def join(self, request: JoinRequest, address: str) -> Joined:
        """Trade a join token for a certificate. A node that asks again with its own key, for it has not heard the
        answer, needs no further use of the token. Raises Unauthorized, TooMany, Conflict, InvalidInput."""
        token_name = self._tokens.name_of(request.token, address)
        if not is_public_key(request.public_key):
            raise InvalidInput("public_key: is no Ed25519 key (32 bytes, base64url)", field="public_key")
        self._prove(request.proof, request.public_key, request.node_id, request.token)
        known = self.find(request.node_id, fresh=True)
        if known is not None:
            self._require_its_own(known, request)
        elif self._hosted.host_of(request.node_id) is not None:
            raise Conflict(
                f"{request.node_id} is the id of a camera that was added to the mesh: remove this node's file"
                " DATA/identity/….id, so that it joins under an id of its own"
            )
        now = self._clock()
        if known is None:
            self._tokens.take(request.token, address)
            known = Enrolled(
                kind=request.kind,
                name=request.name,
                public=request.public_key,
                enrolled_at=round(now, 3),
                token_name=token_name,
                renewed_at=round(now, 3),
            )
            if not self._book.put("node", request.node_id, msgspec.json.encode(known), revision=0):
                raise Conflict("another node joins with this id at the same moment; try again")
            self._remember(request.node_id, known)
            log.info("a node has joined", kind=known.kind, name=known.name, node_id=request.node_id, token=token_name)
        return self._joined(request.node_id, known, request.csr, address)

    def renew(self, node_id: str, request: CertificateRequest, kid: str, address: str) -> Joined:
        """A new certificate of a node's key, or of the new key that the request names. kid: of the key with which the
        request was signed. Raises Unauthorized, Forbidden, NotFound, Conflict, InvalidInput."""
        for _ in range(TRIES):
            found = self._book.get("node", node_id)
            if found is None:
                raise NotFound(f"node {node_id} has not joined: it joins with a join token")
            before = _read(found[0])
            after = self._renewed(node_id, before, request, kid)
            if self._book.put("node", node_id, msgspec.json.encode(after), revision=found[1]):
                self._remember(node_id, after)
                if after.public != before.public:
                    log.info("a node signs with a new key", node_id=node_id, name=after.name)
                return self._joined(node_id, after, request.csr, address)
        raise Conflict("others change this node at the same moment; try again")

    def restore(self, certificate: NodeCertificate) -> Enrolled:
        """Know a node again from the certificate that one of our keys signed: a wipe took it from the book."""
        now = self._clock()
        if certificate.kind not in ("camera", "compute", "ui"):
            raise Unauthorized("the certificate is for no kind of node", reason="wrong")
        enrolled = Enrolled(
            kind=certificate.kind,  # type: ignore[arg-type]  # it was just looked at
            name=certificate.name,
            public=certificate.public,
            enrolled_at=round(now, 3),
            token_name=FROM_CERTIFICATE,
            renewed_at=round(now, 3),
        )
        if self._book.put("node", certificate.node_id, msgspec.json.encode(enrolled), revision=0):
            log.info("a node is known again from its certificate", node_id=certificate.node_id, name=certificate.name)
            return self._remember(certificate.node_id, enrolled)
        return self.find(certificate.node_id, fresh=True) or enrolled

    def revoke(self, node_id: str, by: str) -> Enrolled:
        """Refuse the node from now on, for good, and take it out of the mesh: its sessions move, and the cameras that
        it runs for others go to other hosts. by: whose wish it is. Raises NotFound, Conflict."""
        for _ in range(TRIES):
            found = self._book.get("node", node_id)
            if found is None:
                raise NotFound(f"node {node_id!r} has not joined; GET /v1/enrolments lists those that have")
            before = _read(found[0])
            revoked = before
            if before.revoked_at is None:
                revoked = msgspec.structs.replace(
                    before, revoked_at=round(self._clock(), 3), revoked_by=by, previous=None, previous_until=0.0
                )
            if self._book.put("node", node_id, msgspec.json.encode(revoked), revision=found[1]):
                self._remember(node_id, revoked)
                self._trust.revoke(node_id)
                self._expel(node_id, by)
                log.info("a node is revoked", node_id=node_id, name=revoked.name, by=by)
                return revoked
        raise Conflict("others change this node at the same moment; try again")

    # --- steps of the above

    def _expel(self, node_id: str, by: str) -> None:
        reason = f"it was revoked by {by}"
        cameras = self._hosted.run_by(node_id)
        self._mesh.leave(node_id, reason)
        for camera_id in cameras:
            self._mesh.leave(camera_id, f"its host was revoked by {by}")

    def _require_its_own(self, known: Enrolled, request: JoinRequest) -> None:
        if known.revoked_at is not None:
            raise Forbidden(
                f"this node was revoked by {known.revoked_by}: its id is good for nothing any more; to let the machine"
                " in again, remove its files in DATA/identity, so that it joins as a new node",
                reason="revoked",
            )
        if known.public != request.public_key:
            raise Conflict(
                f"{known.name} ({request.node_id}) has joined with another key: if that was lost, revoke the node, and"
                " remove its files in DATA/identity, so that it joins as a new node; if it runs elsewhere, do not copy"
                " its data folder"
            )
        if known.kind != request.kind:
            raise Conflict(f"{known.name} ({request.node_id}) has joined as a {known.kind} node, and stays one")

    def _renewed(self, node_id: str, before: Enrolled, request: CertificateRequest, kid: str) -> Enrolled:
        now = self._clock()
        if before.revoked_at is not None:
            raise Forbidden(f"this node was revoked by {before.revoked_by}", reason="revoked")
        after = msgspec.structs.replace(before, renewed_at=round(now, 3), name=request.name or before.name)
        if request.public_key is None or request.public_key == before.public:
            return after
        if not is_public_key(request.public_key):
            raise InvalidInput("public_key: is no Ed25519 key (32 bytes, base64url)", field="public_key")
        if request.proof is None:
            raise InvalidInput("proof: missing; a new key comes with a proof that the node has it", field="proof")
        if kid != thumbprint(before.public):
            raise Forbidden("only a node's present key may name the next one")
        self._prove(request.proof, request.public_key, node_id, NO_TOKEN)
        return msgspec.structs.replace(
            after, public=request.public_key, previous=before.public, previous_until=now + PREVIOUS_SECONDS
        )

    def _prove(self, proof: str, public: str, node_id: str, token: str) -> None:
        nonce = check_join_proof(proof, public, node_id, token, self._clock())
        if not self._book.first(f"join {node_id} {nonce}", 2 * PROOF_SECONDS + 5):
            raise Unauthorized("this proof of the key was used already: make another one", reason="replayed")

    def _joined(self, node_id: str, enrolled: Enrolled, csr: str | None, address: str) -> Joined:
        now = self._clock()
        until = now + CERTIFICATE_SECONDS
        certificate = NodeCertificate(node_id, enrolled.kind, enrolled.name, enrolled.public, until)
        return Joined(
            certificate=certify(self._trust.signer, certificate, now),
            expires_at=float(int(until)),
            trust=self._trust.document(),
            tls=self._authority.issue(csr, node_id, address) if csr and self._authority is not None else None,
        )

    def _remember(self, node_id: str, enrolled: T) -> T:
        if len(self._remembered) >= MOST_REMEMBERED:
            self._remembered.clear()
        lasts = UNKNOWN_SECONDS if enrolled is None else REMEMBERED_SECONDS
        self._remembered[node_id] = _Remembered(enrolled, time.monotonic() + lasts)
        return enrolled


def _read(document: bytes) -> Enrolled:
    return msgspec.json.decode(document, type=Enrolled)
