"""One person as the book keeps it."""

from __future__ import annotations

import msgspec

from mesh.access import ROLES, Principal, Role
from registry.access.sign_ins import principal_of


class Person(msgspec.Struct, frozen=True, kw_only=True):
    """One person as the book keeps it, under the name in lower case. hash: argon2id, empty as long as no password was
    chosen. uid: this very person, should another get the name. era: sign-ins of another one have ended."""

    name: str
    role: Role
    created_at: float
    uid: str
    era: str
    hash: str = ""
    disabled: bool = False
    last_sign_in: float | None = None

    @property
    def can_sign_in(self) -> bool:
        return bool(self.hash) and not self.disabled

    def principal(self, sign_in: str) -> Principal:
        """sign_in: its id, the hash of the bearer."""
        return Principal("person", id=principal_of(sign_in), name=self.name, scopes=ROLES[self.role])


def ident_of(name: str) -> str:
    """The id of whoever is called so: names that differ in case only would be taken for each other."""
    return name.lower()
