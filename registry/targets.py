"""What has figures to be read: nodes, and the registries and dashboards that said where they are.

The list is one that Prometheus reads by itself (HTTP service discovery). Its keys and labels that begin with two
underscores are Prometheus's own.
"""

from __future__ import annotations

import hashlib
import ipaddress
import socket
from collections.abc import Iterator
from contextlib import suppress
from typing import Final, Literal
from urllib.parse import urlsplit

import msgspec

from mesh import codec
from mesh.errors import RegistryAway
from mesh.identity import ELSEWHERE, address_towards
from mesh.place import KEPT_SECONDS, Place
from registry.access.book import Book
from registry.settings import RegistrySettings
from registry.store import NodeRecord, Snapshot

METRICS: Final = "/metrics"
EVERYWHERE: Final = ("0.0.0.0", "::", "")


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """targets: HOST:PORT of one service. labels: how to ask it, and what all its figures are marked with: `site`,
    `node` (its name), `node_id`, `service` (camera, compute, registry, ui) and `host`."""

    targets: list[str]
    labels: dict[str, str]


class Said(msgspec.Struct, frozen=True, kw_only=True):
    """Where a service is that is no node. host: empty where the registry could only see that it is on its machine."""

    service: Literal["registry", "ui"]
    name: str
    host: str
    port: int
    secure: bool
    site: str


class Places:
    """Registries and dashboards, as each of them said lately; all registries of one Redis know them. Any thread may
    call any method; `say` and `take` raise RegistryAway."""

    def __init__(self, book: Book, settings: RegistrySettings) -> None:
        self._book = book
        self._known: dict[str, Said] = {}
        host = settings.host if settings.host not in EVERYWHERE else address_towards(ELSEWHERE, 9)
        name = socket.gethostname()
        self.own = hashlib.sha256(f"{name} {settings.port} {settings.data}".encode()).hexdigest()[:32]
        self._said = Said(
            service="registry", name=name, host=host, port=settings.port, secure=settings.tls, site=settings.site
        )

    def say(self) -> None:
        """This registry is still there."""
        self._keep(self.own, self._said)

    def take(self, place: Place, seen: str) -> None:
        """A dashboard said where it is, from the address `seen`."""
        host = "" if _is_here(seen) else seen
        self._keep(
            place.node_id,
            Said(service="ui", name=place.name, host=host, port=place.port, secure=place.secure, site=place.site),
        )

    def all(self) -> dict[str, Said]:
        """By id; this registry among them in any case. As they were while Redis is away."""
        with suppress(RegistryAway):
            self._known = {ident: codec.decode(text, Said) for ident, text in self._book.all("place").items()}
        return self._known | {self.own: self._said}

    def _keep(self, ident: str, said: Said) -> None:
        self._book.put("place", ident, codec.dump(said), seconds=KEPT_SECONDS)


def listed(snapshot: Snapshot, places: dict[str, Said], own: str, asked: str) -> list[Target]:
    """Every live node that was reached, and every place.

    own: the id of the registry that answers. asked: HOST:PORT by which it was asked, which leads to it for sure, if it
    is the only one. Nodes that nobody has reached are left out: who reads figures shows a key, and should not show it
    to whatever is at the address that somebody wrote into a manifest.
    """
    nodes = [_of_node(node) for node in snapshot.nodes if is_measured(node)]
    return [*_of_places(places, own, asked), *nodes]


def is_measured(node: NodeRecord) -> bool:
    """Whether a node is there and has figures: the original's have none."""
    return node.alive and not node.original and node.reach == "ok"


def site_of(node: NodeRecord) -> str:
    """The place's name in the node's own labels; empty for none."""
    labels = node.document.get("labels")
    return str(labels.get("site", "")) if isinstance(labels, dict) else ""


def _of_node(node: NodeRecord) -> Target:
    parts = urlsplit(node.url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    return Target(
        targets=[f"{_bracketed(parts.hostname or '')}:{port}"],
        labels=_labels(
            secure=parts.scheme == "https",
            path=parts.path + METRICS,
            site=site_of(node),
            node=node.name,
            node_id=node.node_id,
            service=node.kind,
            host=str(node.document.get("host_name", "")),
        ),
    )


def _of_places(places: dict[str, Said], own: str, asked: str) -> Iterator[Target]:
    alone = sum(said.service == "registry" for said in places.values()) == 1
    here = _host_of(asked)
    for ident, said in sorted(places.items(), key=lambda item: (item[1].service, item[1].name, item[0])):
        address = asked if ident == own and alone and asked else f"{_bracketed(said.host or here)}:{said.port}"
        yield Target(
            targets=[address],
            labels=_labels(
                secure=said.secure,
                path=METRICS,
                site=said.site,
                node=said.name,
                node_id=ident,
                service=said.service,
                host=said.name,
            ),
        )


def _labels(*, secure: bool, path: str, **labels: str) -> dict[str, str]:
    return {"__scheme__": "https" if secure else "http", "__metrics_path__": path, **labels}


def _host_of(asked: str) -> str:
    return urlsplit(f"//{asked}").hostname or "127.0.0.1"


def _is_here(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
