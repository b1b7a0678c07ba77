"""The registry's calls about people, keys, nodes' keys and the audit, as methods."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeVar
from urllib.parse import quote

import msgspec

from mesh import codec
from mesh.access import Role, Scope
from mesh.access_wire import (
    ApiKey,
    AuditEntry,
    AuditPage,
    Enrolment,
    EnrolmentList,
    JoinToken,
    JoinTokenList,
    JoinTokenRequest,
    KeyList,
    KeyRequest,
    Link,
    NewJoinToken,
    NewKey,
    NewUser,
    SetupState,
    User,
    UserChange,
    UserList,
    UserRequest,
)
from mesh.client import RegistryClient
from mesh.errors import RegistryAway

T = TypeVar("T")
PAGE = 100  # audit entries asked for at once


class AccessClient:
    """Asks in the name of the credentials of `registry`. Any thread may call any method.

    Every method raises what RegistryClient's do; all but `setup` need the scope admin. What makes something is sent
    once: sent again it would make a second one.
    """

    def __init__(self, registry: RegistryClient) -> None:
        self._registry = registry

    def setup(self) -> SetupState:
        """Whether the mesh is locked, and whether somebody can sign in. Needs no credential."""
        return self._ask("GET", "/v1/setup", SetupState)

    # --- people

    def users(self) -> list[User]:
        return self._ask("GET", "/v1/users", UserList).users

    def add_user(self, name: str, role: Role) -> NewUser:
        """Add a person, who chooses a password with the link of the answer."""
        return self._make("/v1/users", NewUser, UserRequest(name=name, role=role))

    def change_user(self, name: str, change: UserChange) -> User:
        return self._ask("PATCH", f"/v1/users/{quote(name, safe='')}", User, change)

    def remove_user(self, name: str) -> None:
        self._send("DELETE", f"/v1/users/{quote(name, safe='')}")

    def link(self, name: str) -> Link:
        """A new one-time link with which `name` chooses a password."""
        return self._make(f"/v1/users/{quote(name, safe='')}/link", Link)

    def sign_out(self, name: str) -> None:
        """End all sign-ins of `name`."""
        self._send("DELETE", f"/v1/users/{quote(name, safe='')}/sign-ins")

    # --- API keys

    def keys(self) -> list[ApiKey]:
        return self._ask("GET", "/v1/keys", KeyList).keys

    def create_key(self, name: str, scopes: list[Scope], expires_in: float | None = None) -> NewKey:
        """expires_in: seconds; None for never."""
        return self._make("/v1/keys", NewKey, KeyRequest(name=name, scopes=scopes, expires_in=expires_in))

    def revoke_key(self, key_id: str) -> None:
        self._send("DELETE", f"/v1/keys/{quote(key_id, safe='')}")

    # --- nodes

    def join_tokens(self) -> list[JoinToken]:
        return self._ask("GET", "/v1/join-tokens", JoinTokenList).tokens

    def create_join_token(self, request: JoinTokenRequest) -> NewJoinToken:
        return self._make("/v1/join-tokens", NewJoinToken, request)

    def revoke_join_token(self, token_id: str) -> None:
        self._send("DELETE", f"/v1/join-tokens/{quote(token_id, safe='')}")

    def enrolments(self) -> list[Enrolment]:
        """Nodes that have joined, the revoked ones among them."""
        return self._ask("GET", "/v1/enrolments", EnrolmentList).enrolments

    def revoke_node(self, node_id: str) -> None:
        self._send("DELETE", f"/v1/enrolments/{quote(node_id, safe='')}")

    def rotate_signing_key(self) -> None:
        """Let the registry sign with a new key from now on; what the one before it signed stays good for its time."""
        self._registry._send("POST", "/v1/signing-keys", {}, retries=0)

    # --- audit

    def audit(self) -> Iterator[AuditEntry]:
        """All that is kept, newest first; asked for page by page as it is taken."""
        cursor: str | None = None
        while True:
            query = {"limit": str(PAGE)} | ({"cursor": cursor} if cursor else {})
            page = self._ask("GET", "/v1/audit", AuditPage, query=query)
            yield from page.entries
            cursor = page.next_cursor
            if cursor is None:
                return

    # --- transport

    def _ask(
        self, method: str, path: str, kind: type[T], body: Any = None, *, query: dict[str, str] | None = None
    ) -> T:
        return self._read(path, kind, self._registry._send(method, path, body, query=query))

    def _make(self, path: str, kind: type[T], body: Any = None) -> T:
        return self._read(path, kind, self._registry._send("POST", path, {} if body is None else body, retries=0))

    def _send(self, method: str, path: str) -> None:
        self._registry._send(method, path)

    def _read(self, path: str, kind: type[T], content: bytes) -> T:
        try:
            return codec.decode(content, kind)
        except msgspec.MsgspecError as error:
            # The words of the error name fields and types, never a value: an answer may hold a secret.
            raise RegistryAway(f"{self._registry.url}{path} gave an answer that is not a registry's: {error}") from None
