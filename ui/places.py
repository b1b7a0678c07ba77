"""Addresses of the dashboard's own: below the path at which a proxy shows it, and nowhere else."""

from __future__ import annotations

from flask import request


def at(path: str) -> str:
    """The address of `path`, which begins with a slash, for the browser that asks now."""
    return f"{request.root_path}{path}"


def ours(text: str | None) -> str:
    """`text` if it is the path of a page of ours, with its query, else the first page's: no address that somebody made
    leads from here to elsewhere."""
    # "//host" and "/\\host" lead elsewhere, and "/..//host" once somebody has tidied it up; browsers take control
    # characters out of an address before they read it.
    if not text or not text.startswith("/") or "\\" in text:
        return "/"
    path = text.partition("?")[0].partition("#")[0]
    if "//" in path or "/.." in path:
        return "/"
    return text if text.isprintable() else "/"


def asked() -> str:
    """The path that is asked for now, with its query."""
    query = request.query_string.decode("ascii", "replace")
    return f"{request.path}?{query}" if query else request.path
