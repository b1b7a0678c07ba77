"""The camera node's wiring."""

from __future__ import annotations

import threading
from typing import Any
from urllib.parse import urlsplit

from flask import Flask
from flask_apscheduler import APScheduler

from camera_node.capture import STALL, Capture
from camera_node.metrics import Metrics
from camera_node.routes import camera_routes
from camera_node.settings import CameraSettings
from camera_node.sources import SourceKind, SourceOptions
from camera_node.streams import Streams
from camera_node.variants import Variants
from mesh.audience import Audience
from mesh.client import RegistryClient
from mesh.fanout import Fanout
from mesh.heartbeat import MANIFEST_JITTER, MANIFEST_SECONDS, Membership
from mesh.identity import Identity, common_fields, this_machine
from mesh.limits import MAX_SIDE, MAX_TEXT
from mesh.manifest import CameraManifest, dump
from mesh.service import install
from mesh.stream import Broadcast
from mesh.wire import Beat, Load


class CameraService:
    """One camera node. `application` may be served by any WSGI server; `start` begins the node's own threads.

    fanout: sends the streams, where the server can hand them over; None when each viewer is to hold a thread.
    """

    def __init__(self, settings: CameraSettings, kind: SourceKind, identity: Identity, port: int) -> None:
        self._settings = settings
        self._kind = kind
        self._identity = identity
        self._port = port
        self._stopping = threading.Event()
        self._machine = this_machine()
        self._metrics = Metrics()
        self._broadcast = Broadcast()
        self._variants = Variants(self._broadcast, self._metrics)
        self.fanout = Fanout(self._metrics.evicted.inc) if settings.fanout == "auto" else None
        self._audience = Audience(settings.threads, self.fanout, self._metrics.evicted.inc)
        self._client = RegistryClient(settings.registry)
        self._membership = Membership(self._client, identity.node_id, self._manifest, self._beat)
        options = SourceOptions(
            data=settings.data,
            width=settings.width or None,
            height=settings.height or None,
            fps=settings.fps or None,
            verify=settings.verify,
            refused=self._metrics.refused,
        )
        self._capture = Capture(
            lambda: kind.make(options),
            self._broadcast,
            self._metrics,
            name=identity.name,
            shown=kind.shown,
            quality=settings.quality,
            changed=self._membership.renew,
            stall=max(STALL, 3 / settings.fps) if settings.fps else STALL,
        )
        self._streams = Streams(self._broadcast, self._variants, self._audience, self._stopping.is_set)
        self._metrics.watch(lambda: self._audience.count, lambda: self._capture.fps, self._broadcast.outflow)
        self._scheduler = APScheduler()

    def application(self) -> Any:
        app = Flask("camera_node", static_folder=None)
        app.register_blueprint(camera_routes(self._capture.newest, self._variants, self._streams, self._describe))
        install(app, title="Fogline camera node", ready=self._not_ready, metrics=self._metrics.registry)
        self._scheduler.init_app(app)
        return app

    def start(self) -> None:
        self._capture.start()
        self._membership.start()
        self._scheduler.add_job(
            "manifest", self._membership.renew, trigger="interval", seconds=MANIFEST_SECONDS, jitter=MANIFEST_JITTER
        )
        self._scheduler.add_job(
            "sweep", self._audience.sweep, trigger="interval", seconds=2, max_instances=1, coalesce=True
        )
        self._scheduler.start()

    def stop(self) -> None:
        """Viewers first, so that they look elsewhere at once; then the registry; the source may take its time."""
        if self._stopping.is_set():
            return
        self._stopping.set()
        self._broadcast.close()
        self._audience.close()
        self._membership.stop(timeout=1.0)
        self._scheduler.shutdown(wait=False)
        self._capture.stop()

    def _not_ready(self) -> str | None:
        if self._stopping.is_set():
            return "stopping"
        return None if self._broadcast.newest() is not None else "no picture yet: the source is being opened"

    def _describe(self) -> dict[str, Any]:
        view = self._capture.view
        return {
            "name": self._identity.name,
            "Source": f"{self._kind.kind} · {self._kind.shown}",
            "No signal": view.no_signal,
            "Picture": f"{view.width} × {view.height} pixels" if view.width else None,
            "Frames a second": self._capture.fps,
            "Viewers": self._audience.count,
            "Mesh": self._membership.problem or f"joined at {self._client.url}",
        }

    def _manifest(self) -> dict[str, Any]:
        view = self._capture.view
        return dump(
            CameraManifest(
                kind="camera",
                **common_fields(self._identity, self._machine, self._settings, self._port),
                source=self._kind.kind,
                source_host=(urlsplit(self._settings.source).hostname or "") if "://" in self._settings.source else "",
                width=view.width if view.width and view.width <= MAX_SIDE else None,
                height=view.height if view.height and view.height <= MAX_SIDE else None,
                fps=view.fps,
            )
        )

    def _beat(self) -> Beat:
        return Beat(
            boot_id=self._identity.boot_id,
            load=Load(
                viewers=self._audience.count,
                fps=self._capture.fps,
                no_signal=(self._capture.view.no_signal or "")[:MAX_TEXT] or None,
            ),
        )
