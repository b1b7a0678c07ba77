"""Writing down in the audit who did what by the present request."""

from __future__ import annotations

from collections.abc import Callable

from flask import request

from mesh.access import Principal, principal_of
from registry.access.audit import Audit
from registry.access.authenticate import ADDRESS

Note = Callable[..., None]  # (action, subject="", outcome="ok")


def asker() -> Principal | None:
    """Who the present request is from; None for nobody, at a public door."""
    return principal_of(request.environ)


def is_node() -> bool:
    """Whether a node asks: what it does by itself is no person's deed."""
    principal = asker()
    return principal is not None and principal.kind == "node"


def noting(audit: Audit) -> Note:
    """What handlers call."""

    def note(action: str, subject: str = "", outcome: str = "ok") -> None:
        address = request.environ.get(ADDRESS) or request.remote_addr or ""
        audit.note(asker(), address, action, subject, outcome)

    return note
