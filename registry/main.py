"""Running the registry."""

from __future__ import annotations

import dataclasses

from mesh import logs
from mesh.server import require_port, serve
from registry.access.ca import certificate_of
from registry.app import RegistryService
from registry.memory.store import require_one_process
from registry.redis_connection import connection
from registry.settings import IN_MEMORY, RegistrySettings
from registry.valkey import EmbeddedValkey


def run(settings: RegistrySettings) -> None:
    """Serve until SIGTERM or SIGINT, with a Valkey of its own when no Redis is given.

    Raises SetupProblem when the port is taken, Redis's address is none, Valkey cannot run here, or several processes
    are to share one memory.
    """
    logs.configure(settings.log, service="registry", site=settings.site)
    require_port(settings.host, settings.port, "--port (FOGLINE_PORT)")
    certificate = certificate_of(settings)
    if certificate is not None:  # who joins must know the authority first: announced addresses are plain ones
        settings = dataclasses.replace(settings, announce="off")
    valkey = None if settings.redis else EmbeddedValkey(settings.data)
    try:
        if valkey is not None:
            valkey.start()
            settings = dataclasses.replace(settings, redis=valkey.url)
        if settings.redis == IN_MEMORY:
            require_one_process(settings)
        else:
            connection(settings).close()  # a wrong address is told here, not in each worker
        serve(
            lambda: RegistryService(settings),
            host=settings.host,
            port=settings.port,
            threads=settings.threads,
            workers=settings.workers,
            certificate=certificate,
        )
    finally:
        if valkey is not None:
            valkey.stop()
