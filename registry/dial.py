"""One dial: what is asked at a node's address, and what the answer means."""

from __future__ import annotations

import re
import socket
import time
from functools import partial
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from mesh import tls
from mesh.networks import Networks, Outside, Pinned, connect
from mesh.reach import NODE_ID

SECONDS = 2.0  # for connection and answer together: a LAN needs milliseconds
ANSWER_BYTES = 2048  # the head is all that is read
REFUSED = "connection refused"  # its host is there, and nothing listens: the node has ended
HERE = Networks(loopback=True)  # of a mesh on one machine
_NODE = re.compile(rb"\r\n%b:[ \t]*([^\r\n]*?)[ \t]*(?:\r\n|$)" % NODE_ID.encode(), re.IGNORECASE)


def dial_once(url: str, networks: Networks = HERE, node_id: str = "") -> str | None:
    """None when the node `node_id` (or one that does not say who it is) answers 200 at `{url}/healthz` within SECONDS,
    else why not, in words. Follows no redirect, and connects to no address outside `networks`."""
    deadline = time.monotonic() + SECONDS
    try:
        target = target_of(url)
        # Looking a name up is the one thing here that the deadline does not bound: the system's resolver has its own.
        places = networks.resolve(target.host, target.port)
        with connect(places, max(0.001, deadline - time.monotonic())) as plain:
            plain.settimeout(max(0.001, deadline - time.monotonic()))
            if target.secure:
                with tls.context().wrap_socket(plain, server_hostname=target.host) as secured:
                    return _ask(secured, target.request, deadline, node_id)
            return _ask(plain, target.request, deadline, node_id)
    except (OSError, ValueError, Outside) as error:
        return reason_of(error)


def _ask(connection: socket.socket, request: bytes, deadline: float, node_id: str) -> str | None:
    connection.sendall(request)
    answer = b""
    while not is_enough(answer):
        connection.settimeout(max(0.001, deadline - time.monotonic()))
        chunk = connection.recv(ANSWER_BYTES)
        if not chunk:
            break
        answer += chunk
    return verdict(answer, node_id)


class Target(NamedTuple):
    host: str
    port: int
    secure: bool
    request: bytes


def target_of(url: str) -> Target:
    """What to send where. Raises ValueError for a URL that is none."""
    parts = urlsplit(url)
    secure = parts.scheme == "https"
    request = (
        f"GET {parts.path}/healthz HTTP/1.1\r\nHost: {parts.netloc}\r\nUser-Agent: fogline\r\nConnection: close\r\n\r\n"
    )
    port = parts.port or (443 if secure else 80)
    return Target(unquote(parts.hostname or ""), port, secure, request.encode("utf-8"))


def address(target: Target, networks: Networks) -> Pinned | None:
    """Where to connect to; None when the host is a name, which takes a while to look up. Raises Outside."""
    numeric = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV
    try:
        return networks.resolve(target.host, target.port, partial(socket.getaddrinfo, flags=numeric))[0]
    except (socket.gaierror, UnicodeError):
        return None


def is_enough(answer: bytes) -> bool:
    return b"\r\n\r\n" in answer or len(answer) >= ANSWER_BYTES


def verdict(answer: bytes, node_id: str) -> str | None:
    """What the head of the answer says: None for 200 by the node that is meant, or by one that says no id."""
    head = answer.partition(b"\r\n\r\n")[0]
    words = head.split(b"\r\n", 1)[0].split()
    if len(words) < 2 or not words[0].startswith(b"HTTP/"):
        return "what answers there is no web server"
    if words[1] != b"200":
        return f"/healthz answered {words[1].decode('latin-1')[:3]}"
    answering = _NODE.search(head)
    other = node_id and answering is not None and answering[1].decode("latin-1") != node_id
    return "another node answers there" if other else None


def reason_of(error: Exception) -> str:
    """Why a node was not reached, in words."""
    match error:
        case TimeoutError():
            return f"no answer within {SECONDS:g} s"
        case ConnectionRefusedError():
            return REFUSED
        case socket.gaierror():
            return "unknown host name"
        case Outside():
            return f"its address {error.detail}"
    return str(error)[:200] or type(error).__name__
