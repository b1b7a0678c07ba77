"""Finding a registry on the network by mDNS (DNS-SD, RFC 6762 and 6763), and what registry and seekers agree on.

IPv4 only. mDNS does not cross routers: elsewhere the registry is named with --registry.
"""

from __future__ import annotations

import contextlib
import ipaddress
import logging
import queue
import re
import selectors
import socket
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

import msgspec
import psutil

from mesh.errors import Unavailable
from mesh.logs import logger

if TYPE_CHECKING:
    from zeroconf import ServiceInfo, Zeroconf

SERVICE = "_fogline._tcp.local."
ROLE = "registry"
SETTLE_SECONDS = 1.0  # after the last new answer: a responder waits up to 0.12 s, a lost question is repeated after 1 s
ASK_SECONDS = 0.5  # for the rest of an announcement that came in parts
CONNECT_SECONDS = 0.5  # a host on the LAN accepts in milliseconds or not at all
MAX_REGISTRIES = 64  # looked at in one search: anybody on the network may announce anything
MAX_ADDRESSES = 8  # of one registry
MAX_TEXT = 200  # characters of anything that is shown
_PATH = re.compile(r"(/[A-Za-z0-9._~-]{1,100}){0,8}/?")
# Markup, control characters, marks that turn the direction of writing, halves of characters.
_NOT_PLAIN = re.compile(r"[<>\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]")
log = logger(__name__)


class Announced(msgspec.Struct, frozen=True, kw_only=True):
    """A registry that announced itself. urls: one for each of its addresses. mesh: the same for all registries of one
    mesh, empty where it is not known. Anybody on the network may say anything."""

    name: str
    urls: list[str]
    version: str
    mesh: str = ""

    def together(self, other: Announced) -> bool:
        """Whether both belong to one mesh: a node may use either."""
        return self == other or (self.mesh != "" and self.mesh == other.mesh)


def registries(seconds: float = 3.0) -> list[str]:
    """Addresses of a registry that announces itself on this network, and of its replicas, best first; empty when there
    is none. With several meshes on the network it is one of them, the same for every node that sees the same.

    See `ranked` for which is best. Takes at most about `seconds` + 0.5 s, and less when
    somebody answers. A network that cannot be searched is logged.
    """
    try:
        found = browse(seconds, settle=SETTLE_SECONDS)
    except Unavailable as problem:
        log.info("no registry was looked for on the network", reason=problem.detail)
        return []
    return [url for one in ranked(found) for url in one.urls]


def browse(seconds: float, *, settle: float | None = None, interfaces: list[str] | None = None) -> list[Announced]:
    """The registries that announce themselves within `seconds`, by name; with `settle` it ends so many seconds after
    the last new one. interfaces: IPv4 addresses of this machine to ask on; all of them when None.

    Raises Unavailable with words when this machine cannot be asked to send or hear multicast.
    """
    # The library costs a tenth of a second and opens no socket before it is wanted.
    from zeroconf import ServiceBrowser, ServiceStateChange  # noqa: PLC0415

    deadline = time.monotonic() + seconds
    heard: queue.SimpleQueue[str] = queue.SimpleQueue()

    def changed(zeroconf: Zeroconf, service_type: str, name: str, state_change: ServiceStateChange) -> None:  # noqa: ARG001
        if state_change is not ServiceStateChange.Removed:
            heard.put(name)

    found: dict[str, Announced] = {}
    with _multicast(interfaces) as zeroconf:
        browser = ServiceBrowser(zeroconf, SERVICE, handlers=[changed])
        ends = deadline
        while len(found) < MAX_REGISTRIES and (left := ends - time.monotonic()) > 0:
            try:
                name = heard.get(timeout=left)
            except queue.Empty:
                break
            announced = _resolve(zeroconf, name, deadline - time.monotonic())
            if announced is not None:
                found[name] = announced
                ends = deadline if settle is None else min(deadline, time.monotonic() + settle)
        browser.cancel()
    return sorted(found.values(), key=lambda one: (one.name, one.urls))


def own_addresses() -> list[str]:
    """The IPv4 addresses of this machine's interfaces that are up, at which others on a network may reach it."""
    up = psutil.net_if_stats()
    found = [
        address.address
        for name, addresses in sorted(psutil.net_if_addrs().items())
        for address in addresses
        if address.family == socket.AF_INET and name in up and up[name].isup
    ]
    kept = [ipaddress.IPv4Address(text) for text in dict.fromkeys(found)]
    return [str(one) for one in kept if not (one.is_link_local or one.is_loopback)]


@contextlib.contextmanager
def _multicast(interfaces: list[str] | None) -> Iterator[Zeroconf]:
    """An mDNS socket on `interfaces`. Raises Unavailable with the reason when there can be none."""
    zeroconf = open_multicast(own_addresses() if interfaces is None else interfaces)
    try:
        yield zeroconf
    finally:
        zeroconf.close()


def open_multicast(interfaces: list[str]) -> Zeroconf:
    """An mDNS socket on the interfaces with these IPv4 addresses; whoever gets it closes it. Raises Unavailable."""
    from zeroconf import Error, IPVersion, Zeroconf  # noqa: PLC0415  see browse

    # What it cannot send while a cable is out is no news: it is sent again.
    logging.getLogger("zeroconf").setLevel(logging.ERROR)
    try:
        if not interfaces:
            raise OSError("it has no network")
        return Zeroconf(interfaces=interfaces, ip_version=IPVersion.V4Only)
    except (OSError, Error, RuntimeError) as error:
        raise Unavailable(
            f"mDNS is not possible on this machine ({error}); name the registry with --registry (FOGLINE_REGISTRY)"
        ) from error


def _resolve(zeroconf: Zeroconf, name: str, seconds: float) -> Announced | None:
    """What is announced under `name`; None when it is no registry, or says nothing sensible."""
    from zeroconf import Error, ServiceInfo  # noqa: PLC0415  see browse

    try:
        info = ServiceInfo(SERVICE, name)
        # The answer mostly brings everything along; who withholds the rest must not use up the others' time.
        complete = info.load_from_cache(zeroconf) or info.request(
            zeroconf, 1000 * max(0.001, min(seconds, ASK_SECONDS))
        )
        return _announced(info) if complete else None
    except (Error, ValueError) as error:
        log.debug("an announcement was not understood", name=name[:100], reason=str(error)[:200])
        return None


def _announced(info: ServiceInfo) -> Announced | None:
    texts = {
        key.decode("utf-8", "replace"): (value or b"").decode("utf-8", "replace")
        for key, value in info.properties.items()
    }
    path = texts.get("path", "/")
    addresses = [text for text in info.parsed_addresses() if _usable(text)][:MAX_ADDRESSES]
    if texts.get("role") != ROLE or not info.port or not addresses or not _PATH.fullmatch(path):
        return None
    return Announced(
        name=plain(info.name.removesuffix(f".{SERVICE}")),
        urls=[f"http://{address}:{info.port}{path.rstrip('/')}" for address in addresses],
        version=plain(texts.get("version", "")),
        mesh=plain(texts.get("mesh", "")),
    )


def _usable(text: str) -> bool:
    address = ipaddress.ip_address(text)
    return address.version == 4 and not (address.is_multicast or address.is_unspecified or address.is_loopback)


def plain(text: str) -> str:
    """What a stranger on the network says, as it may be shown: short, and without what plays tricks on a page or a
    terminal."""
    return _NOT_PLAIN.sub("", text).strip()[:MAX_TEXT]


def ranked(found: Sequence[Announced]) -> list[Announced]:
    """The best of what was found, and its replicas, each with its addresses in the order in which to try them.

    Who accepts a connection comes before who does not. Then the name decides, so that all nodes of a network choose
    the same; among the addresses of one registry, the quickest.
    """
    quickness = {url: rank for rank, url in enumerate(_accepting({url for one in found for url in one.urls}))}
    tried = [
        msgspec.structs.replace(one, urls=sorted(one.urls, key=lambda url: (quickness.get(url, len(quickness)), url)))
        for one in found
    ]
    tried.sort(key=lambda one: (one.urls[0] not in quickness, one.name))
    return [one for one in tried if one.together(tried[0])]


def _accepting(urls: Iterable[str]) -> list[str]:
    """Those of `urls` whose port accepts a connection soon, the quickest first."""
    deadline = time.monotonic() + CONNECT_SECONDS
    accepted: list[str] = []
    with selectors.DefaultSelector() as waiting, contextlib.ExitStack() as opened:
        for url in urls:
            host, _, port = url.removeprefix("http://").partition("/")[0].rpartition(":")
            one = opened.enter_context(socket.socket(socket.AF_INET, socket.SOCK_STREAM))
            one.setblocking(False)
            one.connect_ex((host, int(port)))
            waiting.register(one, selectors.EVENT_WRITE, url)
        while waiting.get_map() and (left := deadline - time.monotonic()) > 0:
            for key, _ in waiting.select(left):
                assert isinstance(key.fileobj, socket.socket)
                if key.fileobj.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0:
                    accepted.append(key.data)
                waiting.unregister(key.fileobj)
    return accepted
