"""What the dashboard can be told."""

from __future__ import annotations

from dataclasses import dataclass

from mesh.settings import ServiceSettings, setting

PORT = 8080


@dataclass(frozen=True)
class UiSettings(ServiceSettings):
    port: int = setting(PORT, "port to listen on", least=1, most=65535)
    registry: str = setting(
        "", "address of the registry, or several; when empty, the one on this machine or network", metavar="URL"
    )
    join_token: str = setting(
        "",
        "token with which the dashboard joins a mesh that is locked, once; made with `fogline token create`; when"
        " empty, the one of a registry with the same --data",
        metavar="TOKEN",
    )
    streams: str = setting(
        "auto",
        "how browsers get pictures: direct (from the nodes themselves), relay (through the dashboard, for browsers that"
        " reach no node) or auto (relay for who comes by https, under a path or by another name through a proxy)",
        choices=("auto", "direct", "relay"),
    )
