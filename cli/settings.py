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
    host_cameras: int = setting(
        8,
        "how many cameras that people add in the dashboard the first camera node may run beside its own; 0 for none",
        least=0,
        most=256,
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
class AskSettings:
    """Where to ask."""

    registry: str = setting(
        "",
        "address of the registry, or several separated by commas; when empty, the one on this machine, else the one"
        " that answers on this network",
        metavar="URL",
    )
    json: bool = setting(False, "print JSON instead of tables")


@dataclass(frozen=True)
class StatusSettings(AskSettings):
    """What is shown of the mesh."""

    watch: bool = setting(False, "keep the tables up to date until Ctrl-C")


@dataclass(frozen=True)
class DoctorSettings(AskSettings):
    """What is checked."""

    data: Path = setting(DATA, "data folder of this machine's nodes", metavar="DIR")


@dataclass(frozen=True)
class DiscoverSettings(AskSettings):
    """What is looked for."""

    registry: str = setting(
        "", "let this registry search its own network; when empty, the one of this machine is searched", metavar="URL"
    )
    seconds: float = setting(2, "seconds to wait for answers from the network", least=0.5, most=60)


@dataclass(frozen=True)
class SimulateSettings:
    """A mesh of simulated nodes."""

    nodes: int = setting(10_000, "simulated nodes", least=8, most=100_000)
    registries: int = setting(1, "registry processes that share them", least=1, most=16)
    seconds: float = setting(30, "quiet seconds in which false alarms are counted", least=1, most=86_400)
    redis: str = setting(
        "",
        "an empty Redis or Valkey to use; everything in its database is wiped; an embedded one when empty",
        metavar="URL",
    )
    json: str = setting("", "write the figures to this file, too", metavar="FILE")
