"""At which address a node is listed."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

from mesh.errors import InvalidInput
from mesh.manifest import Manifest
from mesh.networks import ANYWHERE, Outside


def url_of(manifest: Manifest, seen: str) -> str:
    """The base URL of a node whose manifest came from the address `seen`. Raises InvalidInput for an advertised one
    that is none.

    What the node advertises comes first, then what the registry saw. One of the original's nodes says in `ip_address`
    where it is, and may have its manifest posted by somebody else.
    """
    if manifest.advertise_url:
        return _checked(manifest.advertise_url)
    if manifest.original:
        said = _address(manifest.ip_address)
        return f"http://{_bracketed((said if _may_be(said) else None) or _address(seen) or seen)}:{manifest.port}"
    return f"http://{_bracketed(_address(seen) or seen)}:{manifest.port}"


def _checked(url: str) -> str:
    """`url` if it can be taken apart again: everything that reads it later relies on that."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port  # the port is only looked at when it is asked for
    except ValueError as error:
        raise InvalidInput(f"advertise_url: {url!r:.200} is no URL ({error})", field="advertise_url") from None
    if not host:
        raise InvalidInput(f"advertise_url: {url!r:.200} names no host", field="advertise_url")
    return url


def _address(text: str) -> str | None:
    """An IP address as it is written best; None when `text` is none that others could use."""
    try:
        address = ipaddress.ip_address(text.strip())
    except ValueError:
        return None
    if address.is_unspecified or address.is_multicast:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return str(mapped or address)


def _may_be(address: str | None) -> bool:
    """Whether an unauthenticated device may say that somebody is there."""
    try:
        ANYWHERE.check(address or "", 80)
    except Outside:
        return False
    return bool(address)


def _bracketed(host: str) -> str:
    # An IPv6 address stands in brackets, and its zone's % is written %25 in a URL.
    return f"[{host.replace('%', '%25')}]" if ":" in host else host
