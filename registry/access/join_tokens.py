"""Join tokens: a secret that lets a few nodes into the mesh, for a while. The book has only its hash."""

from __future__ import annotations

import fcntl
import hashlib
import hmac
import random
import secrets
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from mesh.access_wire import JoinToken, JoinTokenRequest
from mesh.credentials import JOIN_TOKEN
from mesh.errors import Conflict, NotFound, SetupProblem, TooMany, Unauthorized
from mesh.keys import private_file
from mesh.logs import logger
from registry.access.book import Book

PREFIX: Final = "fgj"
MOST_TOKENS: Final = 1000  # that are good at a time
WRONG_TRIES: Final = 20  # wrong tokens from one address within …
WRONG_SECONDS: Final = 300.0  # … so long: a secret of 192 bits is not guessed, but each try costs work
LOCAL_NAME: Final = "this machine"
LOCAL_USES: Final = 1_000_000  # nodes of one machine in the life of one registry: as many as they like
LOCAL_SECONDS: Final = 10 * 31_536_000.0
TRIES: Final = 60  # of counting one use down, while many nodes join at once
PAUSE: Final = 0.02  # seconds at most between two of them

log = logger(__name__)


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """A token as the book has it. hash: SHA-256 of its secret. family: of the registry processes that made the local
    one; empty for all others."""

    hash: str
    name: str
    uses: int
    uses_left: int
    created_at: float
    created_by: str
    expires_at: float
    family: str = ""


class JoinTokens:
    """Any thread may call any method; each may raise RegistryAway.

    fingerprint: of the certificate of the mesh's authority, which new tokens carry; None while it has none.
    """

    def __init__(
        self, book: Book, fingerprint: Callable[[], str | None], clock: Callable[[], float] = time.time
    ) -> None:
        self._book = book
        self._fingerprint = fingerprint
        self._clock = clock

    def make(self, request: JoinTokenRequest, created_by: str) -> tuple[JoinToken, str]:
        """A new token, and its secret, which nobody sees again. Raises Conflict when there are too many."""
        if len(self.listed()) >= MOST_TOKENS:
            raise Conflict(f"{MOST_TOKENS:,} join tokens are good, and there can be no more: remove one first")
        now = self._clock()
        ident, secret = secrets.token_hex(6), secrets.token_urlsafe(24)
        kept = Kept(
            hash=_hash(secret),
            name=request.name,
            uses=request.uses,
            uses_left=request.uses,
            created_at=round(now, 3),
            created_by=created_by,
            expires_at=round(now + request.expires_in, 3),
        )
        self._put(ident, kept)
        return _listed(ident, kept), self._text(ident, secret)

    def listed(self) -> list[JoinToken]:
        """Those that are not out of date, the newest first, without this machine's own."""
        now = self._clock()
        found = {ident: _read(document) for ident, document in self._book.all("join").items()}
        good = [_listed(i, kept) for i, kept in found.items() if kept.expires_at > now and not kept.family]
        return sorted(good, key=lambda token: -token.created_at)

    def remove(self, token_id: str) -> JoinToken:
        """The token that there was. Nodes that have joined with it stay. Raises NotFound."""
        found = self._book.get("join", token_id)
        if found is None or not self._book.remove("join", token_id):
            raise NotFound(f"no join token {token_id!r}: it was removed, or is out of date")
        return _listed(token_id, _read(found[0]))

    def name_of(self, token: str, address: str) -> str:
        """The name of the token, whether or not somebody may still join with it. address: from where it came. Raises
        Unauthorized for a wrong one, TooMany after many of those."""
        return self._find(token, address)[1].name

    def take(self, token: str, address: str) -> str:
        """Count one use of the token down, and return its name. Raises as `name_of` does, and Unauthorized for a token
        that is used up or out of date."""
        for _ in range(TRIES):
            ident, kept, revision = self._find(token, address)
            if kept.expires_at <= self._clock():
                raise Unauthorized(
                    "this join token is out of date: make another one (fogline token create)", reason="expired"
                )
            if kept.uses_left <= 0:
                raise Unauthorized(
                    f"this join token is used up ({kept.uses} of {kept.uses} nodes have joined with it): make another"
                    " one (fogline token create)",
                    reason="used up",
                )
            if self._put(ident, msgspec.structs.replace(kept, uses_left=kept.uses_left - 1), revision):
                return kept.name
            time.sleep(random.uniform(0, PAUSE))  # others join with it at this moment
        raise TooMany("many nodes join with this token at once; try again", retry_after=1)

    def keep_local(self, data: Path, family: str) -> None:
        """See that DATA/joining/token has a token for the nodes of this machine: a new one for each `family` of
        registry processes, of which the first writes it. Raises SetupProblem where the folder cannot be written."""
        file = data / JOIN_TOKEN
        ident = "local" + hashlib.sha256(f"{socket.gethostname()}:{data.resolve()}".encode()).hexdigest()[:12]
        try:
            file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with (file.parent / "lock").open("w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                self._keep_local(file, ident, family)
        except OSError as error:
            raise SetupProblem(f"cannot write {file}: {error.strerror}; set --data (FOGLINE_DATA)") from None

    def _keep_local(self, file: Path, ident: str, family: str) -> None:
        found = self._book.get("join", ident)
        if found is not None and file.exists() and _read(found[0]).family == family:
            return
        now, secret = self._clock(), secrets.token_urlsafe(24)
        kept = Kept(
            hash=_hash(secret),
            name=LOCAL_NAME,
            uses=LOCAL_USES,
            uses_left=LOCAL_USES,
            created_at=round(now, 3),
            created_by=LOCAL_NAME,
            expires_at=round(now + LOCAL_SECONDS, 3),
            family=family,
        )
        self._put(ident, kept)
        private_file(file, self._text(ident, secret).encode() + b"\n")

    def _find(self, token: str, address: str) -> tuple[str, Kept, int]:
        wrong = f"join.wrong.{address}"
        if self._book.count(wrong, WRONG_SECONDS, 0) >= WRONG_TRIES:
            raise TooMany(
                f"{WRONG_TRIES} wrong join tokens came from {address}: wait {WRONG_SECONDS / 60:g} minutes",
                retry_after=int(WRONG_SECONDS),
                limit="wrong join tokens",
            )
        ident, secret = _taken_apart(token)
        found = self._book.get("join", ident) if ident else None
        if found is None or not hmac.compare_digest(_hash(secret), _read(found[0]).hash):
            self._book.count(wrong, WRONG_SECONDS)
            raise Unauthorized(
                "this join token is wrong, was removed, or is out of date: make another one (fogline token create)",
                reason="wrong",
            )
        return ident, _read(found[0]), found[1]

    def _put(self, ident: str, kept: Kept, revision: int | None = None) -> bool:
        lasts = max(1.0, kept.expires_at - self._clock())
        return self._book.put("join", ident, msgspec.json.encode(kept), revision=revision, seconds=lasts)

    def _text(self, ident: str, secret: str) -> str:
        fingerprint = self._fingerprint()
        return f"{PREFIX}_{ident}_{secret}" + (f".{fingerprint}" if fingerprint else "")


def _taken_apart(token: str) -> tuple[str, str]:
    """The id and the secret of a token; empty for what is none."""
    prefix, _, rest = token.strip().partition("_")
    ident, _, secret = rest.partition("_")
    if prefix != PREFIX or not ident.isascii() or not ident.isalnum() or not secret.isascii():
        return "", ""
    return ident, secret.partition(".")[0]


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def _read(document: bytes) -> Kept:
    return msgspec.json.decode(document, type=Kept)


def _listed(ident: str, kept: Kept) -> JoinToken:
    return JoinToken(
        token_id=ident,
        name=kept.name,
        uses=kept.uses,
        uses_left=kept.uses_left,
        created_at=kept.created_at,
        created_by=kept.created_by,
        expires_at=kept.expires_at,
    )
