"""Which addresses may be contacted because somebody else said so: a camera that was added, a node's own address.

Whoever may add a camera must not make Fogline's machines speak to what only they can reach. So an address has to lie in
an allowed network, and some never count, whatever is allowed. A name is looked up here, every answer is looked at, and
the connection goes to the very address that was looked at: a name that means something else a moment later gains
nothing.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, NamedTuple

import psutil

from mesh.access import is_loopback
from mesh.errors import InvalidInput, SetupProblem

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Look = Callable[..., Iterable[tuple[Any, ...]]]

PRIVATE: Final = ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7")
LOOPBACK: Final = (ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("::1/128"))
METADATA_NAMES: Final = frozenset({"metadata", "metadata.google.internal", "instance-data"})
# Where clouds answer whoever asks from inside with the machine's own secrets.
METADATA: Final = frozenset(
    map(
        ipaddress.ip_address,
        ("169.254.169.254", "100.100.100.200", "168.63.129.16", "192.0.0.192", "fd00:ec2::254", "fd20:ce::254"),
    )
)
_NEVER: Final[tuple[tuple[Network, str], ...]] = tuple(
    (ipaddress.ip_network(network), words)
    for network, words in (
        ("0.0.0.0/8", "no address in particular"),
        ("::/128", "no address in particular"),
        ("169.254.0.0/16", "a link-local address"),
        ("fe80::/10", "a link-local address"),
        ("224.0.0.0/4", "a multicast address"),
        ("ff00::/8", "a multicast address"),
        ("255.255.255.255/32", "a broadcast address"),
        ("64:ff9b:1::/48", "an address that is translated into another"),
    )
)
# IPv6 addresses that hold an IPv4 address, and how many bits are behind it: what is reached in the end is that one.
_HOLDERS: Final[tuple[tuple[Network, int], ...]] = tuple(
    (ipaddress.ip_network(network), shift)
    for network, shift in (
        ("::ffff:0:0/96", 0),  # mapped
        ("::/96", 0),  # compatible
        ("::ffff:0:0:0/96", 0),  # translated (RFC 2765)
        ("64:ff9b::/96", 0),  # NAT64
        ("2002::/16", 80),  # 6to4
    )
)
# Of a registry, Redis, a dashboard and a compute node that were told nothing else.
SERVICE_PORTS: Final = frozenset({5050, 6379, 8080, 8000})


class Outside(InvalidInput):
    """The address may not be contacted. The words say why, and do not repeat what was asked for."""

    title = "Address not allowed"


class Pinned(NamedTuple):
    """A looked-up address that may be contacted: connect to this, and to nothing else."""

    family: socket.AddressFamily
    address: tuple[Any, ...]

    @property
    def host(self) -> str:
        """The address as text, for a URL: in brackets where it is IPv6."""
        return f"[{self.address[0]}]" if self.family == socket.AF_INET6 else str(self.address[0])


@dataclass(frozen=True)
class Networks:
    """allowed: networks as texts; the private ones when empty. loopback: this machine may contact itself, which is for
    meshes that are open to one machine alone. closed: ports of this machine that stay shut to that, because services
    of the mesh listen there. Any thread may call any method."""

    allowed: tuple[str, ...] = ()
    loopback: bool = False
    closed: frozenset[int] = frozenset()

    @cached_property
    def _networks(self) -> tuple[Network, ...]:
        return tuple(ipaddress.ip_network(text, strict=False) for text in self.allowed or PRIVATE)

    def check(self, host: str, port: int) -> None:
        """Look at `host` as far as that goes without a look-up: an address in any spelling, or a name that only means
        one thing. Raises Outside."""
        if host.rstrip(".").lower() in METADATA_NAMES:
            raise Outside("names a cloud's metadata service, which is never contacted")
        if not host.isascii() or "\\" in host or (":" not in host and "%" in host):
            raise Outside("names a host that others may read in another way: write it in plain letters and digits")
        found = _number(host)
        if found is None and is_loopback(host):
            found = ipaddress.ip_address("127.0.0.1")
        why = self._why(found, port) if found is not None else None
        if why:
            raise Outside(why)

    def resolve(self, host: str, port: int, look: Look | None = None) -> tuple[Pinned, ...]:
        """Where `host` is now. look: instead of socket.getaddrinfo. Raises Outside when any answer may not be
        contacted, OSError when there is none."""
        self.check(host, port)
        found = []
        for family, _, _, _, address in (look or socket.getaddrinfo)(host, port, type=socket.SOCK_STREAM):
            why = self._why(ipaddress.ip_address(address[0]), port)
            if why:
                raise Outside(f"{why} (that is where its name leads)" if _number(host) is None else why)
            found.append(Pinned(socket.AddressFamily(family), tuple(address)))
        if not found:
            raise socket.gaierror(socket.EAI_NONAME, "the name has no address")
        return tuple(dict.fromkeys(found))

    def connect(self, host: str, port: int, seconds: float, look: Look | None = None) -> socket.socket:
        """A connection to what `resolve` gives. Raises as it does, and OSError when none of them answers."""
        return connect(self.resolve(host, port, look), seconds)

    def _why(self, address: Address, port: int) -> str | None:
        """Why `address` may not be contacted; None when it may."""
        address = _meant(address)
        if address in METADATA:
            return "names a cloud's metadata service, which is never contacted"
        for network, words in _NEVER:
            if address in network:
                return f"names {words}, which is never contacted"
        if any(address in network for network in LOOPBACK):
            return self._why_not_here(address, port)
        if any(address in network for network in self._networks):
            return None
        return (
            "is outside the networks that may be contacted: the registry's --allowed-networks"
            " (FOGLINE_ALLOWED_NETWORKS) names further ones"
        )

    def _why_not_here(self, address: Address, port: int) -> str | None:
        if self.allowed and any(address in network for network in self._networks):
            return None
        if not self.loopback:
            return (
                "names this machine itself, which is contacted only in a mesh that is open to one machine, or where the"
                " registry's --allowed-networks (FOGLINE_ALLOWED_NETWORKS) names 127.0.0.0/8"
            )
        if port in self.closed:
            return f"names port {port} of this machine, where a service of the mesh is, and no camera"
        return None


ANYWHERE: Final = Networks(("0.0.0.0/0", "::/0"))  # but what is never contacted


def connect(places: Iterable[Pinned], seconds: float) -> socket.socket:
    """A TCP connection to the first of `places` that answers, each within `seconds`. Raises OSError."""
    problem = OSError("nowhere to connect to")
    for place in places:
        one = socket.socket(place.family, socket.SOCK_STREAM)
        try:
            one.settimeout(seconds)
            one.connect(place.address)
            return one
        except OSError as error:
            one.close()
            problem = error
    raise problem


def checked(allowed: Iterable[str]) -> tuple[str, ...]:
    """`allowed` as it was given in a setting. Raises SetupProblem for what is no network."""
    for text in allowed:
        try:
            ipaddress.ip_network(text, strict=False)
        except ValueError:
            raise SetupProblem(
                f"--allowed-networks (FOGLINE_ALLOWED_NETWORKS) is {text!r}: write a network such as 203.0.113.0/24"
            ) from None
    return tuple(allowed)


def own_addresses() -> tuple[str, ...]:
    """This machine's own as networks, its loopback left out."""
    found = (one.address.partition("%")[0] for several in psutil.net_if_addrs().values() for one in several)
    return tuple(sorted({text for text in found if (own := _own(text)) is not None and not own.is_loopback}))


def _own(text: str) -> Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:  # a hardware address
        return None


def _meant(address: Address) -> Address:
    """The address that is reached in the end."""
    if isinstance(address, ipaddress.IPv6Address) and int(address) > 1:
        for network, shift in _HOLDERS:
            if address in network:
                return ipaddress.IPv4Address((int(address) >> shift) & 0xFFFFFFFF)
    return address


def _number(host: str) -> Address | None:
    """`host` as an address, in any of the ways in which systems understand one; None for a name."""
    try:
        return ipaddress.ip_address(host.replace("%25", "%", 1))
    except ValueError:
        pass
    try:
        # 2852039166, 0xa9fea9fe, 0251.0376.1 and 169.254.43518 are 169.254.x.x; a resolver reads them like this.
        return ipaddress.IPv4Address(socket.inet_aton(host.rstrip(".")))
    except (OSError, ValueError):
        return None
