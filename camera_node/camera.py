"""One camera of this process: its source, its calls, and its own place in the mesh."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlsplit

from flask import Flask, request
from flask_apscheduler import APScheduler

from camera_node.capture import STALL, Capture
from camera_node.metrics import Metrics
from camera_node.no_capture import NoCapture
from camera_node.page import Facts
from camera_node.routes import camera_routes
from camera_node.settings import CameraSettings
from camera_node.sources import NONE, SourceKind, SourceOptions
from camera_node.streams import Streams
from camera_node.variants import Variants
from mesh import doors
from mesh.audience import Audience
from mesh.client import RegistryClient
from mesh.enrolment import Enrolment
from mesh.heartbeat import MANIFEST_JITTER, MANIFEST_SECONDS, Membership
from mesh.identity import Identity, common_fields
from mesh.limits import MAX_SIDE, MAX_TEXT
from mesh.machine import Machine
from mesh.manifest import CameraManifest, dump
from mesh.node_door import guard_of
from mesh.reach import Reach
from mesh.service import install, readable
from mesh.stream import Broadcast
from mesh.wire import Beat, Load


@dataclass(frozen=True, slots=True)
class House:
    """What all cameras of a process share. port: that it listens on. enrolment: the node's, for all of them."""

    port: int
    machine: Machine
    audience: Audience
    scheduler: APScheduler
    enrolment: Enrolment


def _nothing() -> dict[str, Any]:
    return {}


class Camera:
    """One camera. `application` may be served by any WSGI server, at any path; `start` begins the camera's threads.

    settings: of this camera. standing: what its manifest says beside what every camera's does; facts: what its page
    tells besides. Both may be called from any thread.
    """

    def __init__(
        self,
        settings: CameraSettings,
        kind: SourceKind,
        identity: Identity,
        house: House,
        *,
        client: RegistryClient,
        metrics: Metrics,
        standing: Callable[[], dict[str, Any]],
        facts: Callable[[], dict[str, Any]] = _nothing,
    ) -> None:
        self._settings = settings
        self._kind = kind
        self._identity = identity
        self._house = house
        self._client = client
        self._metrics = metrics
        self._standing = standing
        self._facts = facts
        self._stopping = threading.Event()
        self._ended = threading.Lock()  # held from the first `stop` on
        self._broadcast = Broadcast()
        self._variants = Variants(self._broadcast, metrics)
        self._reach = Reach(settings.advertise, identity.node_id)
        self.membership = Membership(
            client,
            identity.node_id,
            self._manifest,
            self._beat,
            joining=house.enrolment,
            settle=self._reach.settle,
        )
        self._capture: Capture | NoCapture = NoCapture() if kind.kind == NONE else self._make_capture()
        self._streams = Streams(self._broadcast, self._variants, house.audience, self._stopping.is_set)
        metrics.watch(lambda: self._streams.viewers, lambda: self._capture.fps, self._broadcast.outflow)

    def _make_capture(self) -> Capture:
        settings = self._settings
        options = SourceOptions(
            data=settings.data,
            width=settings.width or None,
            height=settings.height or None,
            fps=settings.fps or None,
            verify=settings.verify,
            refused=self._metrics.refused,
        )
        return Capture(
            lambda: self._kind.make(options),
            self._broadcast,
            self._metrics,
            name=self._identity.name,
            shown=self._kind.shown,
            quality=settings.quality,
            changed=self.membership.renew,
            stall=max(STALL, 3 / settings.fps) if settings.fps else STALL,
        )

    def application(self) -> Flask:
        app = Flask("camera_node", static_folder=None)
        app.register_blueprint(camera_routes(self._capture.newest, self._variants, self._streams, self._describe))
        install(
            app,
            title="Fogline camera node",
            ready=self._not_ready,
            metrics=self._metrics.registry,
            guard=guard_of(self._house.enrolment, doors.CAMERA, self._identity.node_id),
            request=request,
            node_id=self._identity.node_id,
        )
        app.after_request(readable)
        return app

    def start(self) -> None:
        self._capture.start()
        self.membership.start()
        self._house.scheduler.add_job(
            self._job, self.membership.renew, trigger="interval", seconds=MANIFEST_SECONDS, jitter=MANIFEST_JITTER
        )

    def rename(self, name: str) -> None:
        """Bear another name from now on; streams go on."""
        self._identity = replace(self._identity, name=name)
        self._capture.rename(name)
        self.membership.renew()

    def end_streams(self) -> None:
        """Let its viewers know that it ends, so that they look elsewhere at once. Does not wait."""
        self._stopping.set()
        self._broadcast.close()

    def stop(self) -> None:
        """End it: the viewers first, then the mesh hears of it, and last the source, which may take its time. Waits a
        few seconds at most. A second call does nothing."""
        if not self._ended.acquire(blocking=False):
            return
        self.end_streams()
        self._house.scheduler.remove_job(self._job)
        self.membership.stop(timeout=1.0)
        self._capture.stop()

    @property
    def _job(self) -> str:
        return f"manifest {self._identity.node_id} {self._identity.boot_id}"

    def _not_ready(self) -> str | None:
        if self._stopping.is_set():
            return "stopping"
        if self._kind.kind != NONE and self._broadcast.newest() is None:
            return "no picture yet: the source is being opened"
        return self._house.enrolment.problem

    def _describe(self) -> Facts:
        view = self._capture.view
        return Facts(
            name=self._identity.name,
            live=self._kind.kind != NONE,
            more={
                "Source": f"{self._kind.kind} · {self._kind.shown}" if self._kind.kind != NONE else "none",
                "No signal": view.no_signal,
                "Picture": f"{view.width} × {view.height} pixels" if view.width else None,
                "Frames a second": self._capture.fps,
                "Viewers": self._streams.viewers,
                "Mesh": self.membership.problem or f"joined at {self._client.url}",
            }
            | self._facts(),
        )

    def _manifest(self) -> dict[str, Any]:
        view = self._capture.view
        source = self._settings.source
        common = common_fields(self._identity, self._house.machine, self._settings, self._house.port, self._reach.url)
        return dump(
            CameraManifest(
                kind="camera",
                **(common | self._standing()),
                source=self._kind.kind,
                source_host=(urlsplit(source).hostname or "") if "://" in source else "",
                width=view.width if view.width and view.width <= MAX_SIDE else None,
                height=view.height if view.height and view.height <= MAX_SIDE else None,
                fps=view.fps,
            )
        )

    def _beat(self) -> Beat:
        return Beat(
            boot_id=self._identity.boot_id,
            load=Load(
                viewers=self._streams.viewers,
                fps=self._capture.fps,
                no_signal=(self._capture.view.no_signal or "")[:MAX_TEXT] or None,
            ),
        )
