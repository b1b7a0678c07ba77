"""One request of this service to a node, for pictures that it passes on to browsers.

Only addresses that the registry gave for an id are asked, a redirect is an error like any other answer, and what comes
is bounded in size and time.
"""

from __future__ import annotations

import http.client
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal
from urllib.parse import urlencode, urlsplit

from mesh import codec, tls
from mesh.access_wire import TicketRequest
from mesh.client import RegistryClient
from mesh.errors import FoglineError, NotFound, Unavailable
from mesh.version import VERSION
from ui.addresses import Addresses

CONNECT = 1.5  # seconds: a host on the LAN answers in milliseconds or not at all
MOST_WORDS = 64 * 1024  # bytes of an error's document
NO_TICKET = (401, 403)
STAMPS = ("X-Timestamp", "X-Frame", "X-Inference-Ms", "X-Age-Ms", "X-Objects", "X-Token", "X-Gated", "X-No-Signal")

Kind = Literal["sessions", "cameras"]


class NodeAway(FoglineError):
    """The node that serves this does not answer this service. Pages treat it as if they had not reached it."""

    status: ClassVar[int] = 502
    title: ClassVar[str] = "Node unreachable"
    retryable: ClassVar[bool] = True


class NotAccepted(Unavailable):
    """The node does not accept the signed address: it may be old, or its owner signed out."""

    title: ClassVar[str] = "Address not accepted"


@dataclass(frozen=True, slots=True)
class What:
    """What is passed on: a view of one session or camera. query: further parameters, sorted, of those that its node
    knows."""

    kind: Kind
    ident: str
    view: str
    query: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Place:
    """Where something is read now. token: of the placement, None of a camera. seconds: for which the address opens it,
    None for any."""

    address: str
    token: int | None
    seconds: float | None


def find(what: What, client: RegistryClient, addresses: Addresses) -> Place:
    """Ask where it is, in the name of whom `client` speaks for. Raises NotFound for what the registry does not know,
    Unavailable while no node serves it, and whatever the registry answers."""
    found = addresses.at_nodes(client, TicketRequest(**{what.kind: [what.ident]}))
    token: int | None = None
    if what.kind == "sessions":
        session = found.sessions.get(what.ident)
        address = "" if session is None else str(getattr(session, f"{what.view}_url"))
        token = None if session is None else session.token
        if session is None:
            client.session(what.ident)  # says why it is not to be had, if it is no more
    else:
        camera = found.cameras.get(what.ident)
        address = "" if camera is None else str(getattr(camera, f"{what.view}_url"))
        if camera is None:
            client.node(what.ident)
    if not address.startswith(("http://", "https://")):
        raise Unavailable("no node serves this now", retry_after=1)
    if what.query:
        address += f"{'&' if '?' in address else '?'}{urlencode(what.query)}"
    return Place(address, token, found.seconds)


def connect(address: str) -> http.client.HTTPConnection:
    """A connection to the address's host. Raises NodeAway."""
    connection = tls.connection(address, CONNECT)
    try:
        connection.connect()
    except (OSError, ValueError) as error:  # ValueError: a name that no resolver takes
        connection.close()
        raise NodeAway(f"the node that serves this does not answer the dashboard ({type(error).__name__})") from error
    return connection


def ask(connection: http.client.HTTPConnection, address: str) -> http.client.HTTPResponse:
    """The answer of 200. Raises NodeAway when none comes, NotAccepted, and for any other answer Unavailable or NotFound
    with the node's words."""
    url = urlsplit(address)
    path = f"{url.path or '/'}?{url.query}" if url.query else url.path or "/"
    try:
        connection.request("GET", path, headers={"User-Agent": f"fogline/{VERSION}", "Accept-Encoding": "identity"})
        answer = connection.getresponse()
        if answer.status == 200:
            return answer
        words = _words(answer.read(MOST_WORDS))
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise NodeAway(f"the node that serves this gave no answer ({type(error).__name__})") from error
    status = answer.status
    answer.close()
    connection.close()
    if status in NO_TICKET:
        raise NotAccepted("the node that serves this does not accept the address that the registry signed")
    if status == 404:
        raise NotFound(words or "the node does not serve this any more")
    raise Unavailable(words or f"the node that serves this answered {status}", retry_after=1)


def stamps(headers: Mapping[str, str]) -> dict[str, str]:
    """What of an answer's or part's headers (names in lower case) belongs to its picture."""
    return {name: headers[name.lower()] for name in STAMPS if name.lower() in headers}


def _words(body: bytes) -> str:
    try:
        document: dict[str, Any] = codec.parse_object(body)
    except FoglineError:
        return ""
    return str(document.get("detail") or "")[:500]
