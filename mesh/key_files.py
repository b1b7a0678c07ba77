"""Where a node keeps its key, the certificate of it and whom it trusts: beside its identity, for its own user alone."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import jwt

from mesh.errors import SetupProblem
from mesh.keys import Key, private_file


class KeyFiles:
    """The files of the node whose identity is in `identity` (`camera-line-3.id`). Only one thread may call at a time.

    While a key is being changed there are two: the certificate tells which of them is in force.
    """

    def __init__(self, identity: Path) -> None:
        self._key = identity.with_suffix(".key")
        self._next = identity.with_suffix(".next.key")
        self._certificate = identity.with_suffix(".certificate")
        self.trust = identity.with_suffix(".trust")
        self.pattern = str(identity.with_suffix(".*"))

    def load(self) -> tuple[Key, str] | None:
        """The key in force and its certificate, None when there are none. Raises SetupProblem for a file that cannot
        be read."""
        certificate = self.certificate()
        if not certificate:
            return None
        public = _claims(certificate).get("cnf", {}).get("jwk", {}).get("x")
        if (following := Key.load(self._next)) is not None and following.public == public:
            self._next.replace(self._key)  # it had been put in force when the last run ended
        key = Key.load(self._key)
        return (key, certificate) if key is not None and key.public == public else None

    def key(self) -> Key | None:
        """The key that there is, with or without a certificate. Raises SetupProblem."""
        return Key.load(self._key)

    def new_key(self) -> Key:
        key = Key.new()
        key.save(self._key)
        return key

    def next_key(self, seconds: float) -> Key | None:
        """The key that shall follow this one, made when this one is `seconds` old; None before. Raises SetupProblem."""
        found = Key.load(self._next)
        if found is None and time.time() - self._key.stat().st_mtime > seconds:
            found = Key.new()
            found.save(self._next)
        return found

    def certificate(self) -> str:
        """The text of the certificate, empty when there is none. Raises SetupProblem."""
        try:
            return self._certificate.read_text()
        except FileNotFoundError:
            return ""
        except (OSError, UnicodeDecodeError) as error:
            raise SetupProblem(f"cannot read {self._certificate}: {error}") from None

    def keep(self, key: Key, certificate: str) -> None:
        """From now on these are in force. Raises SetupProblem."""
        private_file(self._certificate, certificate.encode())
        following = Key.load(self._next)
        if following is not None and following.public == key.public:
            self._next.replace(self._key)

    @staticmethod
    def life(certificate: str) -> tuple[float, float]:
        """When a certificate of our own begins and ends, in Unix seconds of the registry's clock; both 0 for one that
        cannot be read, which is thereby to be renewed."""
        claims = _claims(certificate)
        try:
            return float(claims["iat"]), float(claims["exp"])
        except (KeyError, TypeError, ValueError):
            return 0.0, 0.0


def _claims(certificate: str) -> dict[str, Any]:
    """Unchecked: the registry gave it, and who is shown it checks it."""
    try:
        claims: dict[str, Any] = jwt.decode(certificate, options={"verify_signature": False})
        return claims
    except jwt.PyJWTError:
        return {}
