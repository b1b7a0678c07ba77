"""What a caller shows to a service: nothing, an API key or a person's sign-in, or a node's proof."""

from __future__ import annotations

import base64
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

from mesh import proof
from mesh.errors import SetupProblem
from mesh.keys import Key
from mesh.proof import Call

ADMIN_KEY = Path("admin") / "key"  # in the registry's data folder: an API key for whoever may read that folder
JOIN_TOKEN = Path("joining") / "token"  # in the same: a join token for nodes on the same machine
METRICS_KEY = Path("monitoring") / "key"  # in the same: an API key with which Prometheus reads figures
SETUP_LINK = Path("admin") / "setup-token"  # in the same, while nobody can sign in yet


class Credentials(Protocol):
    """Makes the headers that show who asks. Any thread may call."""

    def headers(self, call: Call, body: bytes) -> dict[str, str]: ...

    def heard(self, now: float) -> None:
        """The other side's clock says so: Unix seconds."""
        ...


class Nobody:
    """No credential."""

    def headers(self, call: Call, body: bytes) -> dict[str, str]:  # noqa: ARG002
        return {}

    def heard(self, now: float) -> None:
        pass


@dataclass(frozen=True)
class Bearer(Nobody):
    """An API key, or what a person's sign-in gave."""

    secret: str

    def headers(self, call: Call, body: bytes) -> dict[str, str]:  # noqa: ARG002
        return {"Authorization": f"Bearer {self.secret}"}


class NodeCredentials:
    """A node's key and its newest certificate; None as long as the node has not joined."""

    def __init__(self, node_id: str) -> None:
        self.node_id = node_id
        self._lock = threading.Lock()
        self._held: tuple[Key, str] | None = None
        self._ahead = 0.0  # seconds by which the registry's clock is ahead of this one

    @property
    def joined(self) -> bool:
        return self._held is not None

    @property
    def key(self) -> Key | None:
        return self._held[0] if self._held else None

    def hold(self, key: Key, certificate: str) -> None:
        """Use these from now on."""
        with self._lock:
            self._held = key, certificate

    def now(self) -> float:
        """The registry's clock, as far as this node knows it: Unix seconds."""
        return time.time() + self._ahead

    def heard(self, now: float) -> None:
        self._ahead = now - time.time()

    def headers(self, call: Call, body: bytes) -> dict[str, str]:
        held = self._held
        if held is None:
            return {}
        key, certificate = held
        return {
            "Authorization": proof.prove(key, self.node_id, call, body, self.now()),
            proof.CERTIFICATE_HEADER: certificate,
        }


@dataclass(frozen=True, slots=True)
class Presented:
    """The credential of a request. bearer: an API key or a person's sign-in, also when it came as the password of HTTP
    Basic. proof: a node's, with its certificate. ticket: a signed address's."""

    kind: Literal["bearer", "proof", "ticket"]
    value: str
    certificate: str = ""


def presented(environ: Mapping[str, Any], ticket: str | None = None) -> Presented | None:
    """What a WSGI request shows; the first of: the Authorization header, `ticket`, which is the query's parameter."""
    header = str(environ.get("HTTP_AUTHORIZATION", ""))
    scheme, _, value = header.partition(" ")
    value = value.strip()
    if value and scheme.lower() == "bearer":
        return Presented("bearer", value)
    if value and scheme == proof.SCHEME:
        return Presented("proof", value, str(environ.get("HTTP_FOGLINE_CERTIFICATE", "")))
    if value and scheme.lower() == "basic":
        try:
            user, _, password = base64.b64decode(value, validate=True).decode().partition(":")
        except ValueError:
            user = password = "?"  # shown, but no credential that anybody has
        return Presented("bearer", password or user)
    return Presented("ticket", ticket) if ticket else None


def of_this_machine(data: Path) -> Credentials:
    """What the command line shows: the registry's own key, where this user may read its data folder; else nothing."""
    try:
        return Bearer((data / ADMIN_KEY).read_text().strip())
    except (OSError, UnicodeDecodeError):
        return Nobody()


def given(api_key: str, data: Path) -> Credentials:
    """api_key: the setting; when empty, what this machine has. Raises SetupProblem for a key that is none."""
    if api_key and (not api_key.isascii() or not api_key.isprintable() or " " in api_key):
        raise SetupProblem("--api-key (FOGLINE_API_KEY) is no API key: one begins with fgk_")
    return Bearer(api_key) if api_key else of_this_machine(data)
