"""Starting the dashboard."""

from __future__ import annotations

from mesh import logs
from mesh.access import is_open
from mesh.client import RegistryClient
from mesh.enrolment import enrol
from mesh.identity import claim
from mesh.server import require_port, serve
from ui.app import UiService
from ui.settings import UiSettings


def run(settings: UiSettings) -> None:
    """Serve until told to stop. Raises SetupProblem when the port is taken, the registry's address is no URL or the
    data folder cannot be written."""
    require_port(settings.host, settings.port, "--port (FOGLINE_PORT)")
    logs.configure(settings.log, service="ui", site=settings.site)
    RegistryClient(settings.registry)  # a wrong address is said here, before gunicorn starts
    logs.logger(__name__).info("dashboard starts", host=settings.host, port=settings.port, registry=settings.registry)
    identity = claim(settings.data, "ui", "dashboard")
    serve(
        lambda: UiService(settings, identity),
        host=settings.host,
        port=settings.port,
        threads=settings.threads,
        certificate=enrol(settings, "ui", identity, open=is_open(settings)).certificate(),
    )
