"""The dashboard's wiring."""

from __future__ import annotations

from typing import Any

from flask import Flask
from prometheus_client import CollectorRegistry, Counter, Gauge

from mesh.audience import Audience
from mesh.client import RegistryClient
from mesh.fanout import Fanout
from mesh.service import install
from ui.api import api_routes, stream_routes
from ui.assets import Assets
from ui.mesh_api import mesh_routes
from ui.overview import Overview
from ui.pages import asset_routes, page_routes
from ui.security import protect
from ui.settings import UiSettings
from ui.words import Words

TIMEOUT = (1.0, 3.0)  # seconds to connect and to answer: people wait
LISTS_TIMEOUT = (1.0, 2.0)  # seconds, the same for lists: pages are to hear soon that a registry hangs


def create_app(client: RegistryClient, overview: Overview, assets: Assets, metrics: CollectorRegistry) -> Flask:
    """The web application. It starts nothing."""
    app = Flask("ui", static_folder=None)
    app.jinja_options = {"trim_blocks": True, "lstrip_blocks": True, "autoescape": True}
    words = Words()
    words.install(app)
    protect(app)
    for routes in (
        page_routes(assets, overview),
        asset_routes(assets, words),
        api_routes(client, overview),
        mesh_routes(client, overview),
        stream_routes(client, overview),
    ):
        app.register_blueprint(routes)
    # The registry's absence does not make the dashboard unready: saying what is wrong is its work.
    install(app, title="Fogline dashboard", ready=assets.missing, metrics=metrics)
    return app


class UiService:
    """One dashboard. `application` may be served by any WSGI server."""

    def __init__(self, settings: UiSettings) -> None:
        metrics = CollectorRegistry()
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
        client = RegistryClient(settings.registry, timeout=TIMEOUT)
        lists = RegistryClient(settings.registry, timeout=LISTS_TIMEOUT)
        self._overview = Overview(lists, self._audience, on_read)
        self._app = create_app(client, self._overview, Assets(), metrics)

    def application(self) -> Any:
        return self._app

    def start(self) -> None:
        """Nothing runs until somebody looks."""

    def stop(self) -> None:
        self._overview.close()
        self._audience.close()
