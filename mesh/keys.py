"""Ed25519 keys: made, kept in files that nobody else may read, named by their thumbprints."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import secrets
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from mesh.errors import SetupProblem

ALGORITHM: Final = "EdDSA"


class Key:
    """An Ed25519 key pair. kid: its thumbprint (RFC 7638). public: the public part, base64url without padding."""

    def __init__(self, private: Ed25519PrivateKey) -> None:
        self._private = private
        self.public = b64(private.public_key().public_bytes_raw())
        self.kid = thumbprint(self.public)

    @classmethod
    def new(cls) -> Key:
        return cls(Ed25519PrivateKey.generate())

    @classmethod
    def parse(cls, text: str) -> Key:
        """From `secret()`. Raises ValueError."""
        return cls(Ed25519PrivateKey.from_private_bytes(unb64(text)))

    @classmethod
    def load(cls, file: Path) -> Key | None:
        """The key in `file`, None where there is none. Raises SetupProblem for a file that is no key of ours, or that
        others may read."""
        try:
            found = file.stat()
            text = file.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise SetupProblem(f"cannot read {file}: {error.strerror}") from None
        if found.st_mode & 0o077:
            raise SetupProblem(f"others may read the key in {file}: it counts as lost; remove it, and join again")
        try:
            private = serialization.load_pem_private_key(text, None)
        except (ValueError, TypeError):
            raise SetupProblem(f"{file} holds no key: remove it, and join again") from None
        if not isinstance(private, Ed25519PrivateKey):
            raise SetupProblem(f"{file} holds a key of another kind: remove it, and join again")
        return cls(private)

    def save(self, file: Path) -> None:
        """Write it to `file`, for this user alone. Raises SetupProblem."""
        private_file(
            file,
            self._private.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            ),
        )

    def secret(self) -> str:
        """The private part, base64url."""
        return b64(self._private.private_bytes_raw())

    def sign(self, typ: str, claims: Mapping[str, Any]) -> str:
        return jwt.encode(dict(claims), self._private, ALGORITHM, {"typ": typ, "kid": self.kid})


def thumbprint(public: str) -> str:
    """RFC 7638, of an Ed25519 public key."""
    jwk = json.dumps({"crv": "Ed25519", "kty": "OKP", "x": public}, separators=(",", ":"), sort_keys=True)
    return b64(hashlib.sha256(jwk.encode()).digest())


def is_public_key(text: str) -> bool:
    try:
        return len(unb64(text)) == 32
    except ValueError:
        return False


def known_keys(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Public keys by kid, those whose kid is not their own thumbprint left out."""
    return {kid: public for kid, public in pairs if is_public_key(public) and thumbprint(public) == kid}


def private_file(file: Path, content: bytes) -> None:
    """Write `content` to `file` at once, readable by this user alone, and lasting. Raises SetupProblem."""
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        new = file.with_name(f".{file.name}.{os.getpid()}.{secrets.token_hex(4)}")
        with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:
            out.write(content)
            out.flush()
            os.fsync(out.fileno())
        new.replace(file)
    except OSError as error:
        raise SetupProblem(f"cannot write {file}: {error.strerror}; set --data (FOGLINE_DATA)") from None


def unb64(text: str) -> bytes:
    """Raises ValueError."""
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
