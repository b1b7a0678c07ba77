"""The dashboard's wiring."""

from __future__ import annotations

from typing import Any

from flask import Flask, request
from prometheus_client import CollectorRegistry, Counter, Gauge

from mesh import machine_metrics
from mesh.access import Guard, is_open
from mesh.audience import Audience
from mesh.enrolment import enrol
from mesh.fanout import Fanout
from mesh.identity import Identity
from mesh.proxies import behind
from mesh.service import install
from ui.access import Access, DashboardGuard
from ui.addresses import Addresses
from ui.admin_api import admin_routes
from ui.api import api_routes
from ui.assets import Assets
from ui.mesh_api import mesh_routes
from ui.overview import Overview
from ui.pages import asset_routes, page_routes
from ui.people_api import people_routes
from ui.people_pages import people_page_routes
from ui.presence import Presence
from ui.relay import Relay, relay_routes
from ui.rendering import Renderer
from ui.security import protect
from ui.settings import UiSettings
from ui.sign_ins import SignIns
from ui.standing import Standing
from ui.streams import stream_routes, ticket_routes
from ui.words import Words

TIMEOUT = (1.0, 3.0)  # seconds to connect and to answer: people wait
LISTS_TIMEOUT = (1.0, 2.0)  # seconds, the same for lists: pages are to hear soon that a registry hangs


def create_app(
    access: Access,
    overview: Overview,
    assets: Assets,
    metrics: CollectorRegistry,
    guard: Guard,
    *,
    addresses: Addresses,
    relay: Relay,
) -> Flask:
    """The web application. It starts nothing."""
    app = Flask("ui", static_folder=None)
    app.jinja_options = {"trim_blocks": True, "lstrip_blocks": True, "autoescape": True}
    words = Words()
    words.install(app)
    protect(app)
    standing = Standing(access)
    renderer = Renderer(assets, access, standing)
    for routes in (
        page_routes(renderer, assets, overview),
        people_page_routes(renderer, access, standing),
        asset_routes(assets, words),
        api_routes(access, overview),
        mesh_routes(access, overview),
        people_routes(access, standing),
        admin_routes(access),
        ticket_routes(access, addresses),
        stream_routes(access, overview),
        relay_routes(relay),
    ):
        app.register_blueprint(routes)
    # The registry's absence does not make the dashboard unready: saying what is wrong is its work.
    install(
        app,
        title="Fogline dashboard",
        ready=assets.missing,
        metrics=metrics,
        guard=guard,
        request=request,
    )
    return app


class UiService:
    """One dashboard. `application` may be served by any WSGI server."""

    def __init__(self, settings: UiSettings, identity: Identity) -> None:
        self._proxies = settings.trusted_proxies
        metrics = CollectorRegistry()
        machine_metrics.add(metrics)
        up = Gauge("fogline_ui_registry_up", "Whether the registry answered last time (1 or 0)", registry=metrics)
        reads = Counter("fogline_ui_registry_reads", "Readings of the registry's lists", ["outcome"], registry=metrics)

        def on_read(ok: bool) -> None:
            up.set(ok)
            reads.labels("ok" if ok else "failed").inc()

        evicted = Counter("fogline_ui_watchers_cut_off", "Pages that took nothing and were cut off", registry=metrics)
        self.fanout: Fanout | None = Fanout(evicted.inc)
        self._audience = Audience(settings.threads, self.fanout, evicted.inc)
        Gauge("fogline_ui_watchers", "Pages that follow the mesh now", registry=metrics).set_function(
            lambda: self._audience.count
        )
        self._enrolment = enrol(settings, "ui", identity, open=is_open(settings))
        self._presence = Presence(self._enrolment.registry(TIMEOUT), identity.node_id, settings)
        self._sign_ins = SignIns(self._enrolment.registry(TIMEOUT))
        self._overview = Overview(self._enrolment.registry(LISTS_TIMEOUT), self._audience, on_read)
        access = Access(self._enrolment.registry(TIMEOUT), self._sign_ins, lambda: not self._enrolment.locked)
        guard = DashboardGuard(access)
        addresses = Addresses(self._overview, lambda: access.open, settings.streams)
        self._relay = Relay(addresses, self._audience, access)
        self._app = create_app(
            access,
            self._overview,
            Assets(),
            metrics,
            guard,
            addresses=addresses,
            relay=self._relay,
        )

    def application(self) -> Any:
        return behind(self._app, self._proxies)

    def start(self) -> None:
        """Nothing runs until somebody looks, but what joins the mesh and says where this is."""
        self._enrolment.start()
        self._presence.start()

    def stop(self) -> None:
        self._presence.stop()
        self._enrolment.stop()
        self._sign_ins.close()
        self._overview.close()
        self._relay.close()
        self._audience.close()
