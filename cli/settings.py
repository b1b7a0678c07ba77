"""What the commands that are no service can be told."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mesh.settings import DATA, setting


@dataclass(frozen=True)
class UpSettings:
    """The whole mesh on one machine."""

    host: str = setting(
        "127.0.0.1", "address to listen on; 0.0.0.0 lets the whole network in, with sign-in", metavar="ADDRESS"
    )
    access: str = setting(
        "auto",
        "who is let in: auto (everybody on this machine where --host is 127.0.0.1; on every other address who has"
        " signed in or has a key) or locked (who has signed in or has a key, always: needed behind a proxy)",
        choices=("auto", "locked"),
    )
    tls: bool = setting(
        False,
        "serve everything by https, with an authority of the mesh's own that is made at the first start (or --ca)",
    )
    ca: str = setting(
        "", "with --tls: your own authority's certificate (PEM) instead of one that is made", metavar="FILE"
    )
    ca_key: str = setting("", "with --ca: its private key (PEM, without a password, mode 0600)", metavar="FILE")
    legacy_open: bool = setting(
        False,
        "let the original tutorial's cameras, devices and pages in without a key, marked as unauthenticated, for what"
        " they could do there: be listed, and show pictures",
    )
    trusted_proxies: int = setting(
        0,
        "how many proxies stand in front of the dashboard and are believed when they say who asks, by which address and"
        " below which path (X-Forwarded-For, -Proto, -Host, -Prefix)",
        least=0,
        most=10,
    )
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
    site: str = setting(
        "", "name of the place where this runs: in log lines, with figures, and as the label site", metavar="NAME"
    )
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
    data: Path = setting(
        DATA,
        "data folder of the registry on this machine: whoever may read its file admin/key may do everything there",
        metavar="DIR",
    )
    api_key: str = setting(
        "",
        "API key to show to the registry (better by its variable: every user of a machine can read a command line);"
        " when empty, a registry on this machine is shown the one in DATA/admin/key",
        metavar="KEY",
    )
    json: bool = setting(False, "print JSON instead of tables")


@dataclass(frozen=True)
class TokenSettings(AskSettings):
    """How other machines reach the registry."""

    registry_address: str = setting(
        "",
        "address at which other machines reach the registry, for the command that is shown; when empty, found out",
        metavar="URL",
    )


@dataclass(frozen=True)
class UserSettings(AskSettings):
    """How people reach the dashboard."""

    dashboard: str = setting(
        "",
        "address at which people open the dashboard, for the links that are shown; when empty, port 8080 of the"
        " registry's machine",
        metavar="URL",
    )


@dataclass(frozen=True)
class StatusSettings(AskSettings):
    """What is shown of the mesh."""

    watch: bool = setting(False, "keep the tables up to date until Ctrl-C")


@dataclass(frozen=True)
class DoctorSettings(AskSettings):
    """What is checked."""


@dataclass(frozen=True)
class DiscoverSettings(AskSettings):
    """What is looked for."""

    registry: str = setting(
        "", "let this registry search its own network; when empty, the one of this machine is searched", metavar="URL"
    )
    seconds: float = setting(2, "seconds to wait for answers from the network", least=0.5, most=60)


@dataclass(frozen=True)
class MqttSettings(AskSettings):
    """Where to speak MQTT, and of which mesh."""

    broker: str = setting(
        "", "address of the broker: mqtt://HOST, mqtt://USER@HOST:1883, or mqtts://USER@HOST for TLS", metavar="URL"
    )
    mqtt_password: str = setting(
        "",
        "password for the broker (better by its variable: every user of a machine can read a command line)",
        metavar="PASSWORD",
    )
    mqtt_ca: str = setting(
        "",
        "with mqtts: the authority (PEM) that the broker's certificate is of; the system's when empty",
        metavar="FILE",
    )
    topic: str = setting("fogline", "what every topic begins with; one for each mesh and broker", metavar="TOPIC")
    site: str = setting("", "name of the place where this runs, such as plant-2: in log lines", metavar="NAME")
    log: str = setting("auto", "log lines: json, text, or auto (text on a terminal)", choices=("auto", "json", "text"))
    json: bool = False  # it shows no tables


@dataclass(frozen=True)
class BackupSettings:
    """Whose backup it is."""

    redis: str = setting(
        "",
        "address of the registry's Redis or Valkey; when empty, the one in its data folder, whether it runs or not",
        metavar="URL",
    )
    data: Path = setting(DATA, "data folder of the registry", metavar="DIR")


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
