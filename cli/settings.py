"""What the commands that are no service can be told."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mesh.settings import DATA, setting


@dataclass(frozen=True)
class UpSettings:
    """The whole mesh on one machine."""

    host: str = setting("127.0.0.1", "address to listen on; 0.0.0.0 lets the whole network in", metavar="ADDRESS")
    port: int = setting(8080, "port of the dashboard", least=1, most=65535)
    registry_port: int = setting(5050, "port of the registry", least=1, most=65535)
    camera: tuple[str, ...] = setting(
        (),
        "a source: 0, /dev/video0, rtsp://…, http://…, a video file, a folder, demo: (repeat for several)",
        metavar="SOURCE",
    )
    compute: int = setting(1, "compute nodes to start", least=0, most=64)
    redis: str = setting("", "a Redis or Valkey to keep the mesh's state in; an embedded one when empty", metavar="URL")
    data: Path = setting(DATA, "folder for what must outlive a restart", metavar="DIR")
    log: str = setting(
        "auto",
        "json shows every log line; otherwise warnings are shown and the rest goes to DATA/logs",
        choices=("auto", "json", "text"),
    )


@dataclass(frozen=True)
class StatusSettings:
    """Where to ask."""

    registry: str = setting("http://127.0.0.1:5050", "address of the registry", metavar="URL")
    data: Path = setting(DATA, "data folder of this machine's nodes", metavar="DIR")
    json: bool = setting(False, "print JSON instead of tables")
