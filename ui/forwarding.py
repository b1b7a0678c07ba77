"""Calls that go on to the registry as they are, in the name of whoever makes them: it decides, in its words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flask import request

from mesh import codec
from mesh.client import RegistryClient
from mesh.service import Reply

FRESH = {"Cache-Control": "no-store"}  # what is said here is of this moment, and some of it is secret


def body_of_request() -> dict[str, Any]:
    """The JSON object that came; an empty one where nothing did."""
    data = request.get_data()
    return codec.parse_object(data) if data else {}


def forward(
    registry: RegistryClient, method: str, path: str, body: Any = None, query: Mapping[str, str] | None = None
) -> Any:
    """The registry's answer, as JSON that was read; None without one. What makes or changes something is sent once.

    Raises what `RegistryClient` does.
    """
    content = send(registry, method, path, body, query)
    return codec.parse_answer(content) if content else None


def send(
    registry: RegistryClient, method: str, path: str, body: Any = None, query: Mapping[str, str] | None = None
) -> bytes:
    """The same, as it came."""
    if method == "GET":
        return registry._send(method, path, query=dict(query or {}))
    return registry._send(method, path, body, query=dict(query or {}), retries=0)


def passed_on(content: bytes, status: int = 200) -> Reply:
    """An answer of the registry's, which says nothing that `content` does not."""
    if not content:
        return b"", 204, FRESH
    return content, status, {"Content-Type": "application/json", **FRESH}
