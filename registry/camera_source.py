"""Which addresses an added camera may have. Nothing is looked up here: the host that runs it looks at what its name
means, whenever it connects."""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import urlsplit

from mesh.errors import InvalidInput
from mesh.networks import Networks, Outside

SCHEMES = {"rtsp": 554, "rtsps": 322, "http": 80, "https": 443}  # and the ports that are meant where none is written
DEMO = "demo"
MOUNT = "/cameras/"  # where a camera host shows the cameras that it runs, by their ids
_WRITE = "write SCHEME://USER:PASSWORD@HOST:PORT/PATH, with / ? # @ and : of the password as %2F %3F %23 %40 and %3A"


def check(source: str, networks: Networks) -> None:
    """Raises InvalidInput with words that do not repeat the source, for it may hold a password."""
    scheme = source.partition(":")[0].lower()
    if scheme == DEMO and ":" in source:
        return
    if scheme not in SCHEMES:
        known = [*(f"{one}://" for one in SCHEMES), f"{DEMO}:"]
        raise _refused(f"must begin with one of {', '.join(known)}", known=known)
    try:
        parts = urlsplit(source)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise _refused(f"is no address: {_WRITE}") from None
    if not host.rstrip("."):
        raise _refused(f"has no host: {_WRITE}")
    if "@" not in parts.netloc and "@" in source:
        # What was meant as a password would be shown as the host's name or port.
        raise _refused(f"has an @ after the host: {_WRITE}")
    try:
        networks.check(host, port or SCHEMES[scheme])
    except Outside as why:
        raise _refused(why.detail) from None


def check_no_circle(camera_id: str, source: str, others: Iterable[tuple[str, str]]) -> None:
    """Refuse a source that leads, from one added camera to the next, back to the camera itself: every picture would
    make another. others: id and source of the added cameras. Raises InvalidInput."""
    sources = dict(others) | {camera_id: source}
    seen: set[str] = set()
    waiting = [camera_id]
    while waiting:
        for reads in [one for one in sources if f"{MOUNT}{one}" in sources[waiting[-1]]]:
            if reads == camera_id:
                raise _refused("is this camera's own picture, through another one: give the address of another camera")
            if reads not in seen:
                seen.add(reads)
                waiting.insert(0, reads)
        waiting.pop()


def _refused(words: str, **members: object) -> InvalidInput:
    return InvalidInput(f"source: {words}", field="source", **members)
