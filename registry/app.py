"""The registry's web application, wired."""

from __future__ import annotations

from flask import Flask
from prometheus_client import CollectorRegistry

from mesh.errors import RegistryAway
from mesh.service import install
from registry.dialback import DialBack
from registry.jobs import Jobs
from registry.listing import Snapshots
from registry.metrics import RedisErrors, StoreCollector
from registry.nodes import Nodes
from registry.redis_store import RedisStore
from registry.routes import nodes as node_routes
from registry.routes import originals as original_routes
from registry.routes import sessions as session_routes
from registry.sessions import Sessions
from registry.settings import RegistrySettings
from registry.store import Store


class RegistryService:
    """What mesh.server.serve runs: the application, the dial-back threads, the periodic work."""

    def __init__(self, settings: RegistrySettings, store: Store | None = None) -> None:
        metrics = CollectorRegistry()
        self._store = store or RedisStore(settings, RedisErrors(metrics))
        snapshots = Snapshots(self._store)
        metrics.register(StoreCollector(snapshots))
        self._dial_back = DialBack(self._store)
        nodes = Nodes(self._store, snapshots, self._dial_back, settings)
        self._app = create_app(nodes, Sessions(self._store, snapshots), snapshots, self._store, metrics)
        self._jobs = Jobs(self._app, self._store, snapshots, self._dial_back)

    def application(self) -> Flask:
        return self._app

    def start(self) -> None:
        self._dial_back.start()
        self._jobs.start()

    def stop(self) -> None:
        self._jobs.stop()
        self._dial_back.stop()


def create_app(
    nodes: Nodes, sessions: Sessions, snapshots: Snapshots, store: Store, metrics: CollectorRegistry
) -> Flask:
    """The application with all its routes. It starts nothing."""
    app = Flask(__name__, static_folder=None)
    app.register_blueprint(node_routes.blueprint(nodes, snapshots))
    app.register_blueprint(session_routes.blueprint(sessions, snapshots))
    app.register_blueprint(original_routes.blueprint(nodes, snapshots))

    def ready() -> str | None:
        try:
            store.ping()
        except RegistryAway as error:
            return error.detail
        return None

    install(app, title="Fogline registry", ready=ready, metrics=metrics)
    return app
