"""Starting a compute node."""

from __future__ import annotations

from compute_node.app import ComputeService
from compute_node.settings import ComputeSettings
from mesh import logs
from mesh.access import is_open
from mesh.enrolment import enrol
from mesh.identity import check, claim
from mesh.machine import this_machine
from mesh.manifest import COMPUTE_PORT
from mesh.server import free_port, require_port, serve


def run(settings: ComputeSettings) -> None:
    """Serve until told to stop. Raises SetupProblem when this machine lacks something."""
    check(settings)
    if settings.port:
        require_port(settings.host, settings.port, "--port (FOGLINE_PORT)")
    port = settings.port or free_port(settings.host, COMPUTE_PORT)
    identity = claim(settings.data, "compute", settings.name or this_machine().host_name)
    logs.configure(settings.log, service="compute", node=identity.name, site=settings.site)
    logs.logger(__name__).info("compute node starts", host=settings.host, port=port)
    serve(
        lambda: ComputeService(settings, identity, port),
        host=settings.host,
        port=port,
        threads=settings.threads,
        certificate=enrol(settings, "compute", identity, open=is_open(settings)).certificate(),
    )
