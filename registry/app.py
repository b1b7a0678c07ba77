"""The registry's web application, wired."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from flask import Blueprint, Flask, request
from prometheus_client import CollectorRegistry

from mesh import machine_metrics
from mesh.access import Guard, is_loopback, is_open
from mesh.audience import Audience
from mesh.errors import RegistryAway
from mesh.fanout import Fanout
from mesh.networks import PRIVATE, SERVICE_PORTS, Networks, checked, own_addresses
from mesh.proxies import behind
from mesh.service import install
from registry.access.house import House
from registry.announce import Announcer
from registry.beacon import Beacon
from registry.cameras import Cameras
from registry.dialback import DialBack
from registry.discovery import Discovery
from registry.documents import Documents
from registry.jobs import Jobs
from registry.listing import Snapshots
from registry.memory.store import MemoryStore
from registry.metrics import Datagrams, RedisErrors, Watching
from registry.mirror import Mirror
from registry.nodes import Nodes
from registry.pacing import Pacing, Tempo
from registry.redis_store import RedisStore
from registry.routes import cameras as camera_routes
from registry.routes import discovered as discovered_routes
from registry.routes import events as event_routes
from registry.routes import exchange
from registry.routes import joining as joining_routes
from registry.routes import nodes as node_routes
from registry.routes import originals as original_routes
from registry.routes import people as people_routes
from registry.routes import sessions as session_routes
from registry.routes import targets as target_routes
from registry.routes import tickets as ticket_routes
from registry.routes.noting import noting
from registry.sessions import Sessions
from registry.settings import IN_MEMORY, RegistrySettings
from registry.store import Store
from registry.store_metrics import StoreCollector
from registry.watch import Watch


class RegistryService:
    """What mesh.server.serve runs: the application, the dial-back threads, the periodic work. Raises SetupProblem for
    allowed networks that are none."""

    def __init__(self, settings: RegistrySettings, store: Store | None = None) -> None:
        metrics = CollectorRegistry()
        machine_metrics.add(metrics)
        redis_errors = RedisErrors(metrics)
        allowed = checked(settings.allowed_networks)
        self._store = store or _store(settings, redis_errors)
        self._mirror = Mirror(self._store)
        snapshots = Snapshots(self._store, self._mirror)
        documents = Documents()
        watching = Watching(metrics)
        self.fanout: Fanout | None = Fanout(watching.evicted.inc)
        self._audience = Audience(settings.threads, self.fanout, watching.evicted.inc)
        watching.now.set_function(lambda: self._audience.count)
        self._watch = Watch(snapshots, documents, self._audience)
        metrics.register(StoreCollector(snapshots))
        self._dial_back = DialBack(self._store, _nodes_networks(settings, allowed))
        tempo = Tempo(settings, lambda: self._mirror.live)
        self._beacon = Beacon(settings, self._store, self._mirror, tempo) if settings.datagrams == "auto" else None
        if self._beacon is not None:
            metrics.register(Datagrams(self._beacon.counts))
        pacing = Pacing(settings, tempo, self._beacon)
        cameras = Cameras(self._store, snapshots, _cameras_networks(settings, allowed))
        self._house = house = House(settings, self._store, cameras, exchange.body, redis_errors)
        nodes = Nodes(self._store, snapshots, self._dial_back, pacing, trust=lambda: house.trust.version)
        sessions = Sessions(self._store, snapshots)
        note = noting(house.audit)
        self._app = create_app(
            [
                node_routes.blueprint(nodes, snapshots, documents, may_speak=house.guard.may_speak, note=note),
                session_routes.blueprint(sessions, snapshots, house.addresses, note),
                ticket_routes.blueprint(house.addresses, sessions, snapshots),
                camera_routes.blueprint(cameras, snapshots, note),
                event_routes.blueprint(self._watch),
                discovered_routes.blueprint(Discovery(snapshots)),
                target_routes.blueprint(house.places, snapshots, may_speak=house.guard.may_speak),
                original_routes.blueprint(nodes, snapshots, house.joined),
                people_routes.blueprint(house.people, house.keys, house.audit, house.bearers, settings),
                joining_routes.blueprint(house.trust, house.tokens, house.enrolments, house.bearers, note),
            ],
            self._store,
            metrics,
            house.guard,
        )
        # As Flask wants middleware put around it.
        self._app.wsgi_app = behind(self._app.wsgi_app, settings.trusted_proxies)  # type: ignore[method-assign]
        self._announcer = Announcer(settings, self._store.secret)
        self._jobs = Jobs(self._app, self._store, snapshots, cameras, self._dial_back, say_place=house.places.say)

    def application(self) -> Flask:
        return self._app

    def start(self) -> None:
        self._house.start()
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
        self._house.stop()


def _store(settings: RegistrySettings, on_error: Callable[[str], None]) -> Store:
    return MemoryStore(settings) if settings.redis == IN_MEMORY else RedisStore(settings, on_error)


def _nodes_networks(settings: RegistrySettings, allowed: tuple[str, ...]) -> Networks:
    """In which nodes are dialled: also on this machine, whatever network it is in."""
    return Networks((*(allowed or PRIVATE), *own_addresses()), loopback=is_loopback(settings.host))


def _cameras_networks(settings: RegistrySettings, allowed: tuple[str, ...]) -> Networks:
    """In which added cameras may be."""
    return Networks(allowed, loopback=is_open(settings), closed=SERVICE_PORTS | {settings.port})


def create_app(blueprints: Sequence[Blueprint], store: Store, metrics: CollectorRegistry, guard: Guard) -> Flask:
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

    install(app, title="Fogline registry", ready=ready, metrics=metrics, guard=guard, request=request)
    return app
