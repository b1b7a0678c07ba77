"""What the registry can be told."""

from __future__ import annotations

import dataclasses

from mesh.settings import ServiceSettings, setting

PORT = 5050
IN_MEMORY = "memory:"  # instead of Redis's address


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
    workers: int = setting(1, "processes that answer requests", least=1, most=64)
