"""A camera source's address as it may be shown."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import urlsplit, urlunsplit

_AUTHORITY = re.compile(r"//[^/?#]*")


@dataclass(frozen=True, slots=True)
class Shown:
    """host: of the address, empty where it has none. text: the address without user, password and query."""

    host: str
    text: str


def shown(text: str) -> Shown:
    """What of `text` may be shown: many cameras take their password in the query."""
    scheme, _, rest = text.partition(":")
    place = _AUTHORITY.match(rest)
    if "@" in rest[place.end() if place else 0 :]:
        # Perhaps a password with a bare / ? or #: what stands before the last @ would pass for host, port and path.
        return Shown("", f"{scheme}://***")
    try:
        parts = urlsplit(text)
        host = parts.hostname or ""
        _ = parts.port
    except ValueError:
        return Shown("", text.partition(":")[0] + "://***")
    return Shown(host, urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", "")) or text)
