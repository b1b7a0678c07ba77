"""What the registry can be told."""

from __future__ import annotations

import dataclasses

from mesh.settings import ServiceSettings, setting

PORT = 5050
IN_MEMORY = "memory:"  # instead of Redis's address
TICKET_SECONDS = 120.0  # an address is opened at once, or the page that shows it is
PERSON_STREAM_SECONDS = 900.0  # a page renews its streams long before
KEY_STREAM_SECONDS = 86_400.0  # of a program with an API key, which opens its stream once


@dataclasses.dataclass(frozen=True)
class RegistrySettings(ServiceSettings):
    """Settings of one registry process."""

    port: int = setting(PORT, "port to listen on", least=1, most=65535)
    redis: str = setting(
        "",
        "address of Redis (6.2 or later) or Valkey: redis://HOST:6379/0, rediss://… or unix:///PATH;"
        " an embedded Valkey when empty; memory: for none: what the registry knows then ends with it, and only one"
        " process can answer",
        metavar="URL",
    )
    redis_timeout: float = setting(0.5, "seconds that one call to Redis may take", least=0.05, most=10)
    redis_retries: int = setting(2, "further tries of a call to Redis that failed", least=0, most=10)
    lease_seconds: float = setting(3, "seconds without a beat after which a node counts as dead", least=0.5, most=300)
    beat_seconds: float = setting(1, "seconds between two beats of a node", least=0.1, most=100)
    idle_seconds: float = setting(
        30, "seconds after which a session without viewers ends, unless it is pinned", least=1, most=86_400
    )
    original_seconds: float = setting(
        900, "seconds for which a node of the original tutorial is kept without a renewal", least=1, most=86_400
    )
    datagrams: str = setting(
        "auto", "whether nodes may beat by UDP datagrams on this port: auto or off", choices=("auto", "off")
    )
    announce: str = setting(
        "auto", "whether the registry tells the network by mDNS where it is: auto or off", choices=("auto", "off")
    )
    legacy_open: bool = setting(
        False,
        "let the original tutorial's cameras, devices and pages in without a key, marked as unauthenticated, for what"
        " they could do there: be listed, and show pictures",
    )
    ticket_seconds: float = setting(
        TICKET_SECONDS,
        "seconds within which a signed address of a stream or picture must be opened",
        least=1,
        most=3600,
    )
    stream_seconds: float = setting(
        PERSON_STREAM_SECONDS,
        "seconds after which a person's stream ends, unless the dashboard has renewed it",
        least=1,
        most=86_400,
    )
    allowed_networks: tuple[str, ...] = setting(
        (),
        "networks in which nodes and added cameras may be, such as 203.0.113.0/24; when none is given, the private"
        " ones (10/8, 172.16/12, 192.168/16, 100.64/10, fc00::/7); may be repeated",
        metavar="NETWORK",
    )
    ca: str = setting(
        "",
        "with --tls: your own authority's certificate (PEM), instead of one that is made for the mesh",
        metavar="FILE",
    )
    ca_key: str = setting("", "with --ca: its private key (PEM, without a password, mode 0600)", metavar="FILE")
    workers: int = setting(1, "processes that answer requests", least=1, most=64)
