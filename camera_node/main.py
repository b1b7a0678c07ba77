"""Starting a camera node."""

from __future__ import annotations

from camera_node.app import CameraService
from camera_node.settings import CameraSettings
from camera_node.sources import NONE, resolve
from mesh import logs
from mesh.access import is_open
from mesh.enrolment import enrol
from mesh.errors import SetupProblem
from mesh.identity import check, claim
from mesh.manifest import CAMERA_PORT
from mesh.server import free_port, require_port, serve


def run(settings: CameraSettings) -> None:
    """Serve until told to stop. Raises SetupProblem when this machine lacks something."""
    check(settings)
    kind = resolve(settings.source)
    if kind.kind == NONE and not settings.host_cameras:
        raise SetupProblem(
            "--source none (FOGLINE_SOURCE) is for a node that only runs added cameras: say how many with"
            " --host-cameras (FOGLINE_HOST_CAMERAS)"
        )
    if settings.port:
        require_port(settings.host, settings.port, "--port (FOGLINE_PORT)")
    port = settings.port or free_port(settings.host, CAMERA_PORT)
    identity = claim(settings.data, "camera", settings.name or kind.name)
    logs.configure(settings.log, service="camera", node=identity.name, site=settings.site)
    logs.logger(__name__).info("camera node starts", host=settings.host, port=port, source=kind.shown)
    serve(
        lambda: CameraService(settings, kind, identity, port),
        host=settings.host,
        port=port,
        threads=settings.threads,
        certificate=enrol(settings, "camera", identity, open=is_open(settings)).certificate(),
    )
