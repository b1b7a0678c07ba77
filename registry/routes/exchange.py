"""Reading a request and writing a list, the same way in every handler."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import Any, TypeVar

from flask import request
from werkzeug.exceptions import RequestEntityTooLarge

from mesh import codec
from mesh.errors import TooLarge
from mesh.limits import MAX_JSON_BYTES
from mesh.service import Reply, json_reply
from registry.listing import View

T = TypeVar("T")


def body() -> bytes:
    """The request's body. Raises TooLarge, by its declared length where there is one, before it is read."""
    too_large = TooLarge(f"the body is not smaller than {MAX_JSON_BYTES:,} bytes", limit=MAX_JSON_BYTES)
    try:
        sent = request.get_data(cache=False)
    except RequestEntityTooLarge:
        raise too_large from None
    if len(sent) >= MAX_JSON_BYTES:  # without a declared length werkzeug stops reading there, and says nothing
        raise too_large
    return sent


def query(kind: type[T]) -> T:
    """The query's parameters as a record; empty ones count as not given."""
    return codec.from_query(request.args, kind)


def list_reply(view: View, name: str, build: Callable[[], tuple[list[dict[str, Any]], str | None]]) -> Reply:
    """A list of `view` under `name` with its ETag; 304 without building it when the reader has it already."""
    tag = f"{view.tag}-{zlib.crc32(request.query_string):08x}"
    if request.if_none_match.contains_weak(tag):
        return b"", 304, {"ETag": f'W/"{tag}"', "Cache-Control": "no-cache"}
    items, following = build()
    document: dict[str, Any] = {name: items, "next_cursor": following, "stale": view.stale}
    if view.stale:
        document["age_seconds"] = round(view.age, 3)
    return json_reply(document, headers={"ETag": f'W/"{tag}"', "Cache-Control": "no-cache"})
