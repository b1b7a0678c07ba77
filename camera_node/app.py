"""The camera node's wiring."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from flask_apscheduler import APScheduler

from camera_node.camera import Camera, House
from camera_node.hosted import Hosted
from camera_node.hosting import CameraHost
from camera_node.metrics import Metrics, ProcessMetrics
from camera_node.mounts import Mounts
from camera_node.settings import CameraSettings
from camera_node.sources import SourceKind
from mesh.access import is_open
from mesh.audience import Audience
from mesh.enrolment import enrol
from mesh.fanout import Fanout
from mesh.identity import Identity
from mesh.machine import this_machine
from mesh.networks import SERVICE_PORTS, Networks
from mesh.wire import HostedCamera

SWEEP_SECONDS = 2  # between two looks for viewers that take nothing


class CameraService:
    """One camera node: its own camera, and the added ones that it runs for the mesh.

    fanout: sends the streams, where the server can hand them over; None when each viewer is to hold a thread.
    """

    def __init__(self, settings: CameraSettings, kind: SourceKind, identity: Identity, port: int) -> None:
        self._settings = settings
        self._identity = identity
        self._stopping = threading.Event()
        self._scheduler = APScheduler()
        self._enrolment = enrol(settings, "camera", identity, open=is_open(settings))
        self._client = self._enrolment.registry()
        metrics = Metrics()
        process = ProcessMetrics(metrics.registry, lambda: self._host.count if self._host else 0)
        self.fanout = Fanout(process.evicted.inc) if settings.fanout == "auto" else None
        self._audience = Audience(settings.threads, self.fanout, process.evicted.inc)
        self._house = House(port, this_machine(), self._audience, self._scheduler, self._enrolment)
        self._camera = Camera(
            settings,
            kind,
            identity,
            self._house,
            client=self._client,
            metrics=metrics,
            standing=lambda: {"hosting": settings.host_cameras},
            facts=self._facts,
        )
        self._host: CameraHost | None = None

    def application(self) -> Any:
        app = self._camera.application()
        self._scheduler.init_app(app)
        if not self._settings.host_cameras:
            return app
        mounts = Mounts(app)
        self._host = CameraHost(
            self._client,
            self._camera.membership,
            self._identity,
            capacity=self._settings.host_cameras,
            mounts=mounts,
            make=self._make,
        )
        return mounts

    def start(self) -> None:
        self._scheduler.add_job(
            "sweep", self._audience.sweep, trigger="interval", seconds=SWEEP_SECONDS, max_instances=1, coalesce=True
        )
        self._enrolment.start()
        self._camera.start()
        self._scheduler.start()
        if self._host is not None:
            self._host.start()

    def stop(self) -> None:
        """Viewers first, so that they look elsewhere at once; then the registry; the sources may take their time."""
        if self._stopping.is_set():
            return
        self._stopping.set()
        self._enrolment.stop()
        cameras = [self._camera, *(hosted.camera for hosted in self._host.stop())] if self._host else [self._camera]
        for camera in cameras:
            camera.end_streams()
        self._audience.close()
        threads = [threading.Thread(target=camera.stop, name="end of a camera") for camera in cameras]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self._scheduler.shutdown(wait=False)

    def _make(self, told: HostedCamera, permitted: Callable[[], bool]) -> Hosted:
        return Hosted(
            told,
            self._settings,
            self._identity,
            self._house,
            client=self._client,
            address=lambda: self._camera.membership.address,
            permitted=permitted,
            networks=self._networks,
        )

    def _networks(self) -> Networks:
        """In which added cameras may be now."""
        registry = urlsplit(self._client.url).port
        return Networks(
            self._host.networks if self._host else (),
            loopback=is_open(self._settings),
            closed=SERVICE_PORTS | ({registry} if registry else set()),
        )

    def _facts(self) -> dict[str, Any]:
        return {"Added cameras": f"{self._host.count} of {self._settings.host_cameras}" if self._host else None}
