"""Running the registry."""

from __future__ import annotations

import dataclasses

from mesh import logs
from mesh.server import require_port, serve
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
    logs.configure(settings.log, service="registry")
    require_port(settings.host, settings.port, "--port (FOGLINE_PORT)")
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
        )
    finally:
        if valkey is not None:
            valkey.stop()
