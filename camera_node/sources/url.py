"""A source's address: its parts, and the words for what may go wrong on the way there."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from urllib.parse import SplitResult, unquote, urlsplit, urlunsplit

from mesh.errors import SetupProblem, SourceLost
from mesh.networks import Networks, Outside

CONNECT_TIMEOUT = 5.0  # seconds: a camera behind a VPN or on a waking radio link needs a few


@dataclass(frozen=True, slots=True)
class Address:
    """An address taken apart. url: without user and password. user, password: as the camera wants them, None without.
    port: None when the address names none."""

    url: str
    host: str
    port: int | None
    user: str | None
    password: str | None


def take_apart(text: str) -> Address:
    """The parts of an address with a host. Raises SetupProblem for what is none."""
    try:
        parts: SplitResult = urlsplit(text)
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if not host:
        raise SetupProblem(
            "the source is no address: write SCHEME://HOST:PORT/PATH, where it needs them with USER:PASSWORD@ before"
            " HOST, and / @ : and # of the password as %2F %40 %3A and %23"
        )
    clean = urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, parts.query, ""))
    return Address(
        url=clean,
        host=host,
        port=port,
        user=unquote(parts.username) if parts.username is not None else None,
        password=unquote(parts.password or "") if parts.username is not None else None,
    )


def reach(host: str, port: int, networks: Networks | None = None) -> socket.socket:
    """A TCP connection, within `networks` where they are given. Raises SourceLost with the reason in words."""
    try:
        if networks is not None:
            return networks.connect(host, port, CONNECT_TIMEOUT)
        return socket.create_connection((host, port), CONNECT_TIMEOUT)
    except Outside as outside:
        raise SourceLost(f"the address of {host} {outside.detail}") from None
    except OSError as error:
        raise SourceLost(unreachable(host, port, error)) from None


def unreachable(host: str, port: int, error: BaseException) -> str:
    """Why a connection to `host` failed, in words."""
    place = f"{host}:{port}"
    if isinstance(error, ConnectionRefusedError):
        return f"{place} refuses connections: is the camera's service on, is the port right?"
    if isinstance(error, TimeoutError):
        return f"{place} does not answer: is the camera switched on and in this network?"
    if isinstance(error, socket.gaierror):
        return f"the host name {host!r} is unknown: check the spelling, or use the camera's IP address"
    if isinstance(error, ConnectionResetError):
        return f"{place} cut the connection"
    text = getattr(error, "strerror", None) or type(error).__name__
    return f"{place} cannot be reached ({text}): is the camera in this network?"
