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
from mesh.service import Reply
from registry.listing import Snapshots, View

T = TypeVar("T")


def body() -> bytes:
    """The request's body, also after the guard has read it to check a proof. Raises TooLarge, by its declared length
    where there is one, before it is read."""
    too_large = TooLarge(f"the body is not smaller than {MAX_JSON_BYTES:,} bytes", limit=MAX_JSON_BYTES)
    try:
        sent = request.get_data(cache=True)
    except RequestEntityTooLarge:
        raise too_large from None
    if len(sent) >= MAX_JSON_BYTES:  # without a declared length werkzeug stops reading there, and says nothing
        raise too_large
    return sent


def query(kind: type[T]) -> T:
    """The query's parameters as a record; empty ones count as not given."""
    return codec.from_query(request.args, kind)


def list_reply(snapshots: Snapshots, name: str, build: Callable[[View], tuple[list[Any], str | None]]) -> Reply:
    """A list of what there is now under `name`, with its ETag; 304 without building it when the reader has it."""
    view = snapshots.view()
    tag = f"{view.tag}-{zlib.crc32(request.query_string):08x}"
    headers = {"ETag": f'W/"{tag}"', "Cache-Control": "no-cache"}
    if request.if_none_match.contains_weak(tag):
        return b"", 304, headers
    view = snapshots.current(view)

    def write() -> bytes:
        items, following = build(view)
        document: dict[str, Any] = {name: items, "next_cursor": following, "stale": view.stale}
        if view.snapshot.preserving is not None:
            document["preserving"] = True
        if view.stale:
            document["age_seconds"] = round(view.age, 3)
        return codec.dump(document)

    body = snapshots.body(view, f"{name}?{request.query_string.decode('latin-1')}", write)
    return body, 200, {"Content-Type": "application/json", **headers}
