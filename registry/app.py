"""The registry's web application, wired."""

from __future__ import annotations

from collections.abc import Sequence

from flask import Blueprint, Flask
from prometheus_client import CollectorRegistry

from mesh.audience import Audience
from mesh.errors import RegistryAway
from mesh.fanout import Fanout
from mesh.service import install
from registry.announce import Announcer
from registry.beacon import Beacon
from registry.cameras import Cameras
from registry.dialback import DialBack
from registry.discovery import Discovery
from registry.documents import Documents
from registry.jobs import Jobs
from registry.listing import Snapshots
from registry.memory.store import MemoryStore
from registry.metrics import Datagrams, RedisErrors, StoreCollector, Watching
from registry.mirror import Mirror
from registry.nodes import Nodes
from registry.pacing import Pacing, Tempo
from registry.redis_store import RedisStore
from registry.routes import cameras as camera_routes
from registry.routes import discovered as discovered_routes
from registry.routes import events as event_routes
from registry.routes import nodes as node_routes
from registry.routes import originals as original_routes
from registry.routes import sessions as session_routes
from registry.sessions import Sessions
from registry.settings import IN_MEMORY, RegistrySettings
from registry.store import Store
from registry.watch import Watch


class RegistryService:
    """What mesh.server.serve runs: the application, the dial-back threads, the periodic work."""

    def __init__(self, settings: RegistrySettings, store: Store | None = None) -> None:
        metrics = CollectorRegistry()
        self._store = store or _store(settings, metrics)
        self._mirror = Mirror(self._store)
        snapshots = Snapshots(self._store, self._mirror)
        documents = Documents()
        watching = Watching(metrics)
        self.fanout: Fanout | None = Fanout(watching.evicted.inc)
        self._audience = Audience(settings.threads, self.fanout, watching.evicted.inc)
        watching.now.set_function(lambda: self._audience.count)
        self._watch = Watch(snapshots, documents, self._audience)
        metrics.register(StoreCollector(snapshots))
        self._dial_back = DialBack(self._store)
        tempo = Tempo(settings, lambda: self._mirror.live)
        self._beacon = Beacon(settings, self._store, self._mirror, tempo) if settings.datagrams == "auto" else None
        if self._beacon is not None:
            metrics.register(Datagrams(self._beacon.counts))
        pacing = Pacing(settings, tempo, self._beacon)
        nodes = Nodes(self._store, snapshots, self._dial_back, pacing)
        sessions = Sessions(self._store, snapshots)
        cameras = Cameras(self._store, snapshots)
        self._app = create_app(
            [
                node_routes.blueprint(nodes, snapshots, documents),
                session_routes.blueprint(sessions, snapshots),
                camera_routes.blueprint(cameras, snapshots),
                event_routes.blueprint(self._watch),
                discovered_routes.blueprint(Discovery(snapshots)),
                original_routes.blueprint(nodes, snapshots),
            ],
            self._store,
            metrics,
        )
        self._announcer = Announcer(settings, self._store.secret)
        self._jobs = Jobs(self._app, self._store, snapshots, cameras, self._dial_back)

    def application(self) -> Flask:
        return self._app

    def start(self) -> None:
        self._mirror.start()
        if self._beacon is not None:
            self._beacon.start()
        self._dial_back.start()
        self._jobs.start()
        self._announcer.start()

    def stop(self) -> None:
        self._announcer.stop()
        self._watch.close()
        self._jobs.stop()
        self._dial_back.stop()
        if self._beacon is not None:
            self._beacon.stop()
        self._mirror.stop()
        self._audience.close()


def _store(settings: RegistrySettings, metrics: CollectorRegistry) -> Store:
    return MemoryStore(settings) if settings.redis == IN_MEMORY else RedisStore(settings, RedisErrors(metrics))


def create_app(blueprints: Sequence[Blueprint], store: Store, metrics: CollectorRegistry) -> Flask:
    """The application with all its routes. It starts nothing."""
    app = Flask(__name__, static_folder=None)
    for blueprint in blueprints:
        app.register_blueprint(blueprint)

    def ready() -> str | None:
        try:
            store.ping()
        except RegistryAway as error:
            return error.detail
        return None

    install(app, title="Fogline registry", ready=ready, metrics=metrics)
    return app
