"""Whom to trust: the keys with which this mesh signs, and the ids that are good for nothing any more."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import msgspec

from mesh import tls
from mesh.access_wire import Trust as TrustDocument
from mesh.errors import RegistryAway
from mesh.keys import Key, thumbprint
from mesh.logs import logger
from registry.access import signers
from registry.access.book import Book
from registry.access.signers import CERTIFICATE_SECONDS, Signers
from registry.settings import KEY_STREAM_SECONDS, PERSON_STREAM_SECONDS

LOOK_SECONDS: Final = 1.0  # between two looks whether another replica changed something
READ_SECONDS: Final = 10.0  # between two readings in any case: after a wipe the book counts its changes anew
SLACK: Final = 3600.0  # seconds by which a revocation outlives the last thing that was signed for its subject
REVOKED: Final = "revoked."  # before the id, in the ident of a revocation's document

log = logger(__name__)


class Revocation(msgspec.Struct, frozen=True, kw_only=True):
    """until: Unix seconds; nothing that was signed for it is in force after that."""

    until: float


@dataclass(frozen=True)
class _Known:
    """What the book said at its `revision`. version: a number made from all of it, so that it is the same at every
    replica, and another one with each change, also after a wipe. public: trusted keys by kid, with the Unix seconds of
    their end."""

    revision: int
    version: int
    signers: Signers
    signing: Key
    public: dict[str, float | None]
    texts: dict[str, str]
    revoked: dict[str, float] = field(default_factory=dict)


class Trust:
    """What this replica knows of it. Any thread may call any method.

    Read from the book when that has changed, at most LOOK_SECONDS late; while the book is away the last known serves.
    All methods but `version` raise RegistryAway as long as the book was never read. data: the registry's data folder,
    which has the certificate of the mesh's authority, where there is one.
    """

    def __init__(
        self,
        book: Book,
        data: Path,
        *,
        legacy_open: bool = False,
        stream_seconds: float = PERSON_STREAM_SECONDS,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """stream_seconds: after which a person's streams end. clock: Unix seconds of the registry's clock."""
        self._book = book
        self._authority = data / tls.OWN_FILE
        self._legacy_open = legacy_open
        self._stream_seconds = stream_seconds
        self.clock = clock
        self._reading = threading.Lock()
        self._known: _Known | None = None
        self._looked_at = self._read_at = float("-inf")  # monotonic seconds

    @property
    def signer(self) -> Key:
        """The key that signs."""
        return self._look().signing

    @property
    def keys(self) -> dict[str, str]:
        """The public keys that are trusted, by kid."""
        known, now = self._look(), self.clock()
        return {kid: text for kid, text in known.texts.items() if (end := known.public[kid]) is None or now < end}

    @property
    def version(self) -> int:
        """Another number with each change; 0 as long as the book was never read."""
        try:
            return self._look().version
        except RegistryAway:
            return 0

    @property
    def ca(self) -> str | None:
        """The certificate of the mesh's authority (PEM), where it has one."""
        try:
            return self._authority.read_text()
        except OSError:
            return None

    @property
    def fingerprint(self) -> str | None:
        """The SHA-256 of that certificate, in hexadecimal."""
        pem = self.ca
        return tls.fingerprint(pem) if pem else None

    def is_revoked(self, ident: str) -> bool:
        return ident in self._look().revoked

    def revoke(self, ident: str) -> None:
        """Let nothing that was signed for this node, key or sign-in be good any more. Raises RegistryAway."""
        now = self.clock()
        until = now + self._signed_for(ident) + SLACK
        self._book.put(
            "signer", REVOKED + ident, msgspec.json.encode(Revocation(until=until)), seconds=max(1.0, until - now)
        )
        self._look(fresh=True)

    def rotate(self) -> None:
        """Sign with a new key from now on. Raises RegistryAway."""
        signers.rotate(self._book, self.clock())
        log.info("a new signing key signs", kid=self._look(fresh=True).signing.kid)

    def document(self) -> TrustDocument:
        known, now = self._look(), self.clock()
        return TrustDocument(
            version=known.version,
            keys=self.keys,
            revoked=sorted(ident for ident, until in known.revoked.items() if now < until),
            now=round(now, 3),
            legacy_open=self._legacy_open,
            ca=self.ca,
        )

    def _signed_for(self, ident: str) -> float:
        """For how many seconds at most something that was signed for this id is in force."""
        if ident.startswith("s:"):  # a person's sign-in: there are many of them, and their streams are short
            return self._stream_seconds
        return CERTIFICATE_SECONDS + KEY_STREAM_SECONDS

    def _look(self, *, fresh: bool = False) -> _Known:
        """What is known, read again if it may have changed. One thread reads; the others go on with what there is."""
        known = self._known
        if known is not None and not fresh and time.monotonic() - self._looked_at < LOOK_SECONDS:
            return known
        if not self._reading.acquire(blocking=fresh or known is None):
            assert known is not None
            return known
        try:
            known = self._known
            if known is not None and not fresh and time.monotonic() - self._looked_at < LOOK_SECONDS:
                return known  # somebody else read it while this one waited
            now = self._looked_at = time.monotonic()
            self._known = known = self._read(known, anew=fresh or now - self._read_at > READ_SECONDS)
        except RegistryAway:
            if known is None:
                self._looked_at = float("-inf")
                raise
        finally:
            self._reading.release()
        return known

    def _read(self, known: _Known | None, *, anew: bool) -> _Known:
        while True:
            revision = self._book.version("signer")
            if known is not None and known.revision == revision and not anew:
                return known
            # Put back what a wipe of the book took: that is another change, which is read in the next round.
            found = signers.ensure(self._book, self.clock(), known.signers if known else None)
            known, anew = self._taken(revision, found, known), False
            self._read_at = time.monotonic()

    def _taken(self, revision: int, found: Signers, known: _Known | None) -> _Known:
        now = self.clock()
        revoked = self._revocations(now)
        for ident, until in known.revoked.items() if known is not None else ():
            if ident not in revoked and until - now > 1:  # nobody removes them: the book was wiped
                document = msgspec.json.encode(Revocation(until=until))
                self._book.put("signer", REVOKED + ident, document, revision=0, seconds=until - now)
                revoked[ident] = until
        ends = {
            thumbprint(one.public): None if one.retired_at is None else one.retired_at + signers.TRUSTED_SECONDS
            for one in found.keys
        }
        return _Known(
            revision=revision,
            version=_number(sorted(ends), sorted(revoked), self._legacy_open, self.fingerprint),
            signers=found,
            signing=found.signing,
            public=ends,
            texts={thumbprint(one.public): one.public for one in found.keys},
            revoked=revoked,
        )

    def _revocations(self, now: float) -> dict[str, float]:
        found = {
            ident.removeprefix(REVOKED): msgspec.json.decode(document, type=Revocation).until
            for ident, document in self._book.all("signer").items()
            if ident.startswith(REVOKED)
        }
        return {ident: until for ident, until in found.items() if now < until}


def _number(*known: object) -> int:
    """A number for what nodes have to know; any JSON reader has it exactly."""
    return int.from_bytes(hashlib.sha256(msgspec.json.encode(known)).digest()[:6], "big") or 1
