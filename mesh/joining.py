"""How a node shows, when it joins or takes a new key, that it has the key which it names.

A join proof is a JSON Web Token like those in `mesh.proof`, with a `typ` of its own, signed with the node's key over
its id, the time, a nonce and the digest of the join token that it trades. For a new key of a node that has joined there
is no token: it is the empty text, and the request itself is signed with the key before it.
"""

from __future__ import annotations

import secrets
from typing import Any, Final

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from mesh.errors import Unauthorized
from mesh.keys import ALGORITHM, Key, unb64
from mesh.proof import MAX_TOKEN, PROOF_SECONDS, digest

JOIN: Final = "fogline-join+jwt"
LATEST: Final = 2.0**53  # Unix seconds: what is beyond is no time, and no float may hold it
NO_TOKEN: Final = ""  # of the proof for a new key


def join_proof(key: Key, node_id: str, token: str, now: float) -> str:
    """The proof that `key` is the node's. token: the join token as it is sent, else NO_TOKEN. now: Unix seconds of the
    registry's clock, as far as known."""
    claims = {"sub": node_id, "iat": round(now, 3), "jti": secrets.token_urlsafe(16), "tkn": digest(token.encode())}
    return key.sign(JOIN, claims)


def check_join_proof(text: str, public: str, node_id: str, token: str, now: float) -> str:
    """The nonce of a right proof, which the caller lets through once. public: the key that it is to be of, base64url.
    Raises Unauthorized; with the member `now` where only the clocks differ."""
    claims = _claims(text, public)
    nonce, at = claims.get("jti"), claims.get("iat")
    if not isinstance(nonce, str) or not nonce or not nonce.isascii():
        raise _wrong()
    if isinstance(at, bool) or not isinstance(at, int | float) or not abs(at) < LATEST:
        raise _wrong()
    if claims.get("sub") != node_id or claims.get("tkn") != digest(token.encode()):
        raise Unauthorized("the proof of the key is for another node or token", reason="other request")
    if not abs(at - now) <= PROOF_SECONDS:
        raise Unauthorized(
            f"the proof's time is {at - now:+.0f} s off the registry's clock: set the clocks (NTP)",
            reason="clock",
            now=round(now, 3),
        )
    return nonce


def _claims(text: str, public: str) -> dict[str, Any]:
    try:
        if len(text) > MAX_TOKEN or jwt.get_unverified_header(text).get("typ") != JOIN:
            raise _wrong()
        claims: dict[str, Any] = jwt.decode(
            text,
            Ed25519PublicKey.from_public_bytes(unb64(public)),
            algorithms=[ALGORITHM],
            options={"verify_exp": False, "verify_iat": False, "verify_nbf": False, "verify_aud": False},
        )
        return claims
    except (jwt.PyJWTError, ValueError):
        raise _wrong() from None


def _wrong() -> Unauthorized:
    return Unauthorized("the proof of the key is wrong: it is not signed with the key that was named", reason="wrong")
