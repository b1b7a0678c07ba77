"""The pages, and the files that they load."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, render_template, send_file, send_from_directory
from markupsafe import Markup

from mesh.openapi import Answer, operation
from mesh.version import VERSION
from ui.assets import LIBRARIES, Assets
from ui.overview import Overview

FIRST_WAIT = 0.4  # seconds that a page waits for the registry, so that its first paint has something to show
FOR_EVER = 365 * 24 * 3600  # seconds: an address that carries a stamp never changes its meaning
PAGE = Answer("A page", media="text/html")
FILE = Answer("A file", media="application/octet-stream")


def page_routes(assets: Assets, overview: Overview) -> Blueprint:
    """The pages."""
    routes = Blueprint("pages", __name__)

    def page(template: str, status: int = 200, **values: Any) -> Response:
        if reason := assets.missing():
            template, status, values = "missing.html", 503, {"reason": reason}
        text = render_template(template, own=own, vendor=vendor, icon=icon, version=VERSION, **values)
        return Response(text, status, {"Cache-Control": "no-store"}, mimetype="text/html")

    def own(path: str) -> str:
        return f"/assets/{assets.stamp}/{path}"

    def vendor(name: str) -> str:
        return f"/assets/vendor/{name}?{assets.stamp}"

    def icon(name: str, extra: str = "") -> Markup:
        """A drawing of the sprite, for the eye only: what it stands beside says the same in words."""
        return Markup('<svg class="icon {}" aria-hidden="true" focusable="false"><use href="{}#{}"/></svg>').format(
            extra, own("img/icons.svg"), name
        )

    @routes.get("/")
    @operation("The wall: cameras, sessions, nodes, algorithms", {200: PAGE}, tag="pages")
    def wall() -> Response:
        return page("wall.html", overview=overview.read(FIRST_WAIT))

    @routes.get("/s/<session_id>")
    @operation("One session, live", {200: PAGE}, tag="pages")
    def session(session_id: str) -> Response:
        return page("session.html", overview=overview.read(FIRST_WAIT), session_id=session_id)

    @routes.get("/about")
    @operation("Version and licences", {200: PAGE}, tag="pages")
    def about() -> Response:
        return page("about.html", libraries=[(library, assets.version(library)) for library in LIBRARIES])

    return routes


def asset_routes(assets: Assets) -> Blueprint:
    """What the pages load."""
    routes = Blueprint("assets", __name__)

    @routes.get("/assets/vendor/<name>")
    @operation("A library's file", {200: FILE}, tag="assets")
    def vendor(name: str) -> Response:
        """Only those on the list: the folder that npm fills is not open."""
        return _kept(send_file(assets.vendor(name), conditional=True), "public, max-age=3600")

    @routes.get("/assets/<stamp>/<path:path>")
    @operation("A file of the pages", {200: FILE}, tag="assets")
    def own(stamp: str, path: str) -> Response:
        """The stamp is part of the address, so that browsers keep the files until one of them changes."""
        keep = f"public, max-age={FOR_EVER}, immutable" if stamp == assets.stamp else "no-cache"
        return _kept(send_from_directory(assets.static, path), keep)

    @routes.get("/favicon.ico")
    @operation("The icon, where browsers look for it unasked", {200: FILE}, tag="assets")
    def favicon() -> Response:
        return _kept(send_from_directory(assets.static, "img/favicon.svg"), "public, max-age=3600")

    return routes


def _kept(response: Response, how: str) -> Response:
    response.headers["Cache-Control"] = how
    return response
