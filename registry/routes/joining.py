"""How nodes come to be trusted: join tokens, certificates, revocation, and what everybody must know to check others."""

from __future__ import annotations

from flask import Blueprint, request

from mesh import codec
from mesh.access import Role
from mesh.access_wire import (
    CertificateRequest,
    EnrolmentList,
    Introspection,
    IntrospectRequest,
    Joined,
    JoinRequest,
    JoinTokenList,
    JoinTokenRequest,
    NewJoinToken,
    Trust,
)
from mesh.errors import FoglineError, Forbidden, NotFound, Unauthorized
from mesh.openapi import Answer, operation
from mesh.service import Reply, json_reply
from registry.access.authenticate import KID
from registry.access.bearers import Bearers
from registry.access.enrolments import Enrolments
from registry.access.join_tokens import JoinTokens
from registry.access.trust import Trust as Trusted
from registry.routes import exchange
from registry.routes.noting import Note, asker

NO_STORE = {"Cache-Control": "no-store"}
TAG = "nodes' keys"


def blueprint(trust: Trusted, tokens: JoinTokens, enrolments: Enrolments, bearers: Bearers, note: Note) -> Blueprint:
    routes = Blueprint("joining", __name__)
    _join_tokens(routes, tokens, note)
    _enrolments(routes, enrolments, note)
    _trust(routes, trust, bearers, note)
    return routes


def _join_tokens(routes: Blueprint, tokens: JoinTokens, note: Note) -> None:
    @routes.get("/v1/join-tokens")
    @operation("The join tokens that are good", {200: Answer("Without their secrets", JoinTokenList)}, tag=TAG)
    def list_tokens() -> Reply:
        return json_reply(JoinTokenList(tokens=tokens.listed()), headers=NO_STORE)

    @routes.post("/v1/join-tokens")
    @operation(
        "Make a token with which nodes join",
        {201: Answer("The token; its secret is shown this once", NewJoinToken)},
        body=JoinTokenRequest,
        tag=TAG,
    )
    def make_token() -> Reply:
        wish = codec.parse(exchange.body(), JoinTokenRequest)
        who = asker()
        token, secret = tokens.make(wish, who.name if who else "nobody")
        note(
            "join token made", f"{token.name} ({token.token_id}), for {token.uses} node{'s' if token.uses > 1 else ''}"
        )
        return json_reply(NewJoinToken(token=token, secret=secret), 201, NO_STORE)

    @routes.delete("/v1/join-tokens/<token_id>")
    @operation("Remove a join token", {204: Answer("Nobody joins with it any more")}, tag=TAG)
    def remove_token(token_id: str) -> Reply:
        """Nodes that have joined with it stay."""
        token = tokens.remove(token_id)
        note("join token removed", f"{token.name} ({token_id})")
        return b"", 204, {}


def _enrolments(routes: Blueprint, enrolments: Enrolments, note: Note) -> None:
    @routes.post("/v1/join")
    @operation(
        "A node trades a join token for a certificate of its own key",
        {
            201: Answer("The certificate, and whom to trust", Joined),
            401: Answer("The token is wrong, used up or out of date, or the proof is not the key's"),
            409: Answer("The node's id belongs to another key"),
            429: Answer("Too many wrong tokens came from this address"),
        },
        body=JoinRequest,
        tag=TAG,
    )
    def join() -> Reply:
        wish = codec.parse(exchange.body(), JoinRequest)
        subject = f"{wish.kind} {wish.name} ({wish.node_id})"
        try:
            joined = enrolments.join(wish, request.remote_addr or "")
        except FoglineError as error:
            if error.status < 500:
                note("node refused", subject, error.detail)
            raise
        note("node joined", subject)
        return json_reply(joined, 201, NO_STORE)

    @routes.post("/v1/enrolments/<node_id>/certificate")
    @operation(
        "A new certificate for a node, or for its new key",
        {200: Answer("The certificate, and whom to trust", Joined)},
        body=CertificateRequest,
        tag=TAG,
    )
    def certificate(node_id: str) -> Reply:
        """Signed with the present key. After a change of keys the one before is good for ten minutes more."""
        who = asker()
        if who is None or who.kind != "node" or who.id != node_id:
            raise Forbidden("a certificate is for the node that asks, with a key of its own")
        wish = codec.parse(exchange.body(), CertificateRequest)
        joined = enrolments.renew(node_id, wish, str(request.environ.get(KID, "")), request.remote_addr or "")
        if wish.public_key is not None:
            note("node has a new key", f"{who.name} ({node_id})")
        return json_reply(joined, headers=NO_STORE)

    @routes.get("/v1/enrolments")
    @operation("The nodes that have joined, the revoked ones too", {200: Answer("By name", EnrolmentList)}, tag=TAG)
    def list_enrolments() -> Reply:
        return json_reply(EnrolmentList(enrolments=enrolments.listed()), headers=NO_STORE)

    @routes.delete("/v1/enrolments/<node_id>")
    @operation("Revoke a node", {204: Answer("It is refused from now on; its sessions move")}, tag=TAG)
    def revoke(node_id: str) -> Reply:
        """For good: to let the machine in again, its files in DATA/identity are removed, so that it joins as a new
        node."""
        who = asker()
        revoked = enrolments.revoke(node_id, who.name if who else "nobody")
        note("node revoked", f"{revoked.kind} {revoked.name} ({node_id})")
        return b"", 204, {}


def _trust(routes: Blueprint, trust: Trusted, bearers: Bearers, note: Note) -> None:
    @routes.get("/v1/trust")
    @operation("Whom to trust: keys and revocations", {200: Answer("As it is now", Trust)}, tag=TAG)
    def read_trust() -> Reply:
        return json_reply(trust.document(), headers=NO_STORE)

    @routes.post("/v1/signing-keys")
    @operation("Sign with a new key from now on", {201: Answer("Whom to trust now", Trust)}, tag=TAG)
    def rotate() -> Reply:
        """What the key before it signed stays good for its time: for 25 hours it is trusted still."""
        trust.rotate()
        note("signing key rotated", trust.signer.kid)
        return json_reply(trust.document(), 201, NO_STORE)

    @routes.get("/v1/ca")
    @operation(
        "The certificate of the mesh's authority",
        {200: Answer("PEM", media="application/x-pem-file"), 404: Answer("This mesh has none")},
        tag=TAG,
    )
    def authority() -> Reply:
        """Who joins compares its fingerprint with the one that the join token carries."""
        pem = trust.ca
        if pem is None:
            raise NotFound("this mesh has no certificate authority: it does not serve by TLS")
        return pem, 200, {"Content-Type": "application/x-pem-file", "Cache-Control": "no-cache"}

    @routes.post("/v1/introspect")
    @operation(
        "A node asks whose bearer this is",
        {200: Answer("Who it is; not `active` when it is nobody's", Introspection)},
        body=IntrospectRequest,
        tag=TAG,
    )
    def introspect() -> Reply:
        wish = codec.parse(exchange.body(), IntrospectRequest)
        try:
            found = bearers.find(wish.credential, wish.address)
        except Unauthorized:
            return json_reply(Introspection(active=False), headers=NO_STORE)
        role: Role | None = found.role
        return json_reply(
            Introspection(
                active=True,
                kind=found.principal.kind,
                id=found.principal.id,
                name=found.principal.name,
                scopes=sorted(found.principal.scopes),
                role=role,
                expires_at=found.expires_at,
            ),
            headers=NO_STORE,
        )
