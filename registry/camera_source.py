"""Which addresses an added camera may have. Nothing is looked up here: a host name is taken as it is written."""

from __future__ import annotations

import ipaddress
import socket
from urllib.parse import urlsplit

from mesh.errors import InvalidInput

SCHEMES = ("rtsp", "rtsps", "http", "https")
DEMO = "demo"
# Where clouds answer whoever asks from inside with the machine's own secrets; others are link-local.
_METADATA = {"metadata", "metadata.google.internal", "100.100.100.200", "168.63.129.16", "fd00:ec2::254"}
_WRITE = "write SCHEME://USER:PASSWORD@HOST:PORT/PATH, with / ? # @ and : of the password as %2F %3F %23 %40 and %3A"


def check(source: str) -> None:
    """Raises InvalidInput with words that do not repeat the source, for it may hold a password."""
    scheme = source.partition(":")[0].lower()
    if scheme == DEMO and ":" in source:
        return
    if scheme not in SCHEMES:
        known = [*(f"{one}://" for one in SCHEMES), f"{DEMO}:"]
        raise _refused(f"must begin with one of {', '.join(known)}", known=known)
    try:
        parts = urlsplit(source)
        host = (parts.hostname or "").rstrip(".")
        _ = parts.port
    except ValueError:
        raise _refused(f"is no address: {_WRITE}") from None
    if not host:
        raise _refused(f"has no host: {_WRITE}")
    if "@" not in parts.netloc and "@" in source:
        # What was meant as a password would be shown as the host's name or port.
        raise _refused(f"has an @ after the host: {_WRITE}")
    why = _forbidden(host)
    if why:
        raise _refused(f"names {why}, which no camera has")


def _forbidden(host: str) -> str | None:
    """What kind of address that no camera may have `host` is written as; None for all others."""
    if host in _METADATA:
        return "a cloud's metadata service"
    address = _address(host)
    if address is None:
        return None
    if str(address) in _METADATA:
        return "a cloud's metadata service"
    if address.is_link_local:
        return "a link-local address"
    if address.is_multicast:
        return "a multicast address"
    return "no address in particular" if address.is_unspecified else None


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """`host` as an address, in any of the ways in which systems understand one; None for a name."""
    try:
        found = ipaddress.ip_address(host)
    except ValueError:
        try:
            return ipaddress.IPv4Address(socket.inet_aton(host))  # 2852039166 and 0xa9fea9fe are 169.254.169.254
        except OSError:
            return None
    if isinstance(found, ipaddress.IPv6Address):
        return found.ipv4_mapped or found
    return found


def _refused(words: str, **members: object) -> InvalidInput:
    return InvalidInput(f"source: {words}", field="source", **members)
