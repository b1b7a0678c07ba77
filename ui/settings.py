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
