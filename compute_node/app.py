"""The compute node's wiring."""

from __future__ import annotations

import threading
import time
from typing import Any

from flask import Flask, request
from flask_apscheduler import APScheduler

from compute_node.algorithms import LoadContext, names
from compute_node.cameras import Cameras
from compute_node.engines import available
from compute_node.ingest import Ingests
from compute_node.metrics import Metrics
from compute_node.offer import Offer
from compute_node.pipelines import Pipelines
from compute_node.routes import detect_routes, original_routes, session_routes
from compute_node.session_metrics import SessionMetrics
from compute_node.sessions import Sessions
from compute_node.settings import ComputeSettings
from compute_node.streams import Streams
from mesh import doors
from mesh.access import is_open
from mesh.audience import Audience
from mesh.enrolment import enrol
from mesh.errors import FoglineError
from mesh.fanout import Fanout
from mesh.heartbeat import MANIFEST_JITTER, MANIFEST_SECONDS, Membership
from mesh.identity import Identity, common_fields
from mesh.machine import this_machine
from mesh.manifest import ComputeManifest, dump
from mesh.node_door import guard_of
from mesh.picture import MAX_BYTES
from mesh.reach import Reach
from mesh.service import install, readable
from mesh.wire import Beat, Load

FORM_OVERHEAD = 64 * 1024  # bytes that a multipart form adds to a picture
FAREWELL = 1.0  # seconds that viewers still get pictures after the goodbye, until the nodes that take over run
LOOK = 0.05  # seconds between two looks at whether they do


class ComputeService:
    """One compute node. `application` may be served by any WSGI server; `start` begins the node's own threads.

    fanout: sends the streams, where the server can hand them over; None when each viewer is to hold a thread.
    """

    def __init__(self, settings: ComputeSettings, identity: Identity, port: int) -> None:
        self._settings = settings
        self._identity = identity
        self._port = port
        self._leaving = threading.Event()
        self._stopping = threading.Event()
        self._serves_until = float("-inf")  # monotonic seconds; after the goodbye there is no lease any more
        self._machine = this_machine()
        self._enrolment = enrol(settings, "compute", identity, open=is_open(settings))
        self._client = self._enrolment.registry()
        self._metrics = Metrics()
        wanted = [name.strip() for name in settings.algorithms.split(",") if name.strip()]
        context = LoadContext(data=settings.data, model=settings.model, engine=settings.engine)
        self._offer = Offer(wanted or names(), context)
        self._pipelines = Pipelines(
            self._offer,
            Ingests(self._enrolment.credentials),
            self._metrics,
            slots=settings.slots or max(2, 2 * self._machine.cores),
            quality=settings.quality,
            on_change=self._ask_registry,
        )
        self._sessions = Sessions(self._pipelines, self._ask_registry, self._may_serve)
        self.fanout = Fanout(self._metrics.evicted.inc) if settings.fanout == "auto" else None
        audience = Audience(settings.threads, self.fanout, self._metrics.evicted.inc)
        self._streams = Streams(self._pipelines, self._sessions, audience, self._metrics, self._stopping.is_set)
        self._reach = Reach(settings.advertise, identity.node_id)
        self._membership = Membership(
            self._client,
            identity.node_id,
            self._manifest,
            self._beat,
            lambda reply: self._sessions.obey(reply.sessions, reply.unknown),
            cut_off=settings.cut_off,
            joining=self._enrolment,
            settle=self._reach.settle,
        )
        self._scheduler = APScheduler()

    def application(self) -> Any:
        app = Flask("compute_node", static_folder=None)
        app.register_blueprint(session_routes(self._sessions, self._streams))
        app.register_blueprint(detect_routes(self._offer, self._metrics))
        app.register_blueprint(original_routes(self._offer, self._pipelines, Cameras(self._client), self._streams))
        install(
            app,
            title="Fogline compute node",
            ready=self._not_ready,
            metrics=self._metrics.registry,
            max_body=MAX_BYTES + FORM_OVERHEAD,
            guard=guard_of(self._enrolment, doors.COMPUTE),
            request=request,
            node_id=self._identity.node_id,
        )
        app.after_request(readable)
        self._scheduler.init_app(app)
        return app

    def start(self) -> None:
        self._metrics.slots.set(self._pipelines.slots)
        self._metrics.pipelines.set_function(lambda: len(self._pipelines.running()))
        self._metrics.slots_used.set_function(lambda: len(self._sessions) + self._direct())
        self._metrics.registry.register(SessionMetrics(self._sessions.served))
        self._scheduler.add_job(
            "manifest", self._membership.renew, trigger="interval", seconds=MANIFEST_SECONDS, jitter=MANIFEST_JITTER
        )
        self._scheduler.add_job("sweep", self._sweep, trigger="interval", seconds=1, max_instances=1, coalesce=True)
        self._scheduler.start()
        self._enrolment.start()
        threading.Thread(target=self._load, name="load algorithms", daemon=True).start()

    def stop(self) -> None:
        if self._leaving.is_set():
            return
        self._leaving.set()
        self._scheduler.shutdown(wait=False)
        self._enrolment.stop()
        # The mesh first, so that viewers who come back are led elsewhere; then the streams, then what feeds them.
        self._serves_until = time.monotonic() + FAREWELL
        self._membership.stop()
        self._wait_for_successors()
        self._stopping.set()
        self._sessions.close()
        self._pipelines.close()
        self._streams.close()

    def _may_serve(self) -> bool:
        """Whether sessions may be shown: while the lease is held, and for a moment after the goodbye."""
        return self._membership.holds or time.monotonic() < self._serves_until

    def _wait_for_successors(self) -> None:
        """Wait until what somebody watches here runs elsewhere, at most until the farewell is over."""
        watched = self._sessions.watched()
        taken_over = threading.Event()

        def awaited(session_id: str) -> bool:
            """Whether another node is about to run it."""
            found = self._client.session(session_id)
            return found["node"] is not None and found["state"] in ("placed", "moving")

        def look() -> None:
            try:
                for session_id in watched:
                    while not self._stopping.is_set() and awaited(session_id):
                        time.sleep(LOOK)
            except FoglineError:
                pass  # whoever could move them is away: nobody takes over
            taken_over.set()

        if watched:
            threading.Thread(target=look, name="farewell", daemon=True).start()
            taken_over.wait(max(0.0, self._serves_until - time.monotonic()))

    def _ask_registry(self) -> None:
        """Beat at once: the registry hears what this node does, and says what it should do."""
        self._membership.nudge()

    def _load(self) -> None:
        """Join the mesh with the first algorithm that works; each further one renews the manifest."""
        joined = False

        def one_more() -> None:
            nonlocal joined
            if not joined:
                joined = True
                self._membership.start()
            else:
                self._membership.renew()

        self._offer.load_all(one_more)
        if not joined and not self._leaving.is_set():
            self._membership.start()  # a node without algorithms still shows up, so that somebody sees why

    def _sweep(self) -> None:
        self._sessions.sweep()
        self._pipelines.sweep()
        self._streams.sweep()

    def _not_ready(self) -> str | None:
        if self._leaving.is_set():
            return "stopping"
        if not self._offer.entries():
            return "no algorithm could be loaded" if self._offer.complete.is_set() else "algorithms are being loaded"
        return self._enrolment.problem

    def _manifest(self) -> dict[str, Any]:
        entries = self._offer.entries()
        return dump(
            ComputeManifest(
                kind="compute",
                **common_fields(self._identity, self._machine, self._settings, self._port, self._reach.url),
                accelerators=available(),
                slots=self._pipelines.slots,
                algorithm=entries,
            )
        )

    def _direct(self) -> int:
        """Streams that are served without a session."""
        held = self._sessions.keys()
        return sum(pipeline.key not in held for pipeline in self._pipelines.running())

    def _beat(self) -> Beat:
        running = self._pipelines.running()
        return Beat(
            boot_id=self._identity.boot_id,
            load=Load(
                direct=self._direct(),
                viewers=sum(p.viewers for p in running),
                fps=round(sum(p.rate.per_second for p in running), 2),
            ),
            sessions=self._sessions.reports(),
        )
