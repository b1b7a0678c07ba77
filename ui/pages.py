"""The pages of the mesh, and the files that all pages load."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, redirect, request

from mesh import codec
from mesh.errors import NotFound
from mesh.openapi import Answer, operation
from ui.assets import LIBRARIES, Asset, Assets, asset
from ui.overview import FIRST_WAIT, Overview
from ui.places import at, ours
from ui.rendering import PAGE, Renderer, takes_gzip
from ui.words import COOKIE, LANGUAGES, Words

FOR_EVER = 365 * 24 * 3600  # seconds: an address that carries a stamp never changes its meaning
FILE = Answer("A file", media="application/octet-stream")
SAME = Answer("The browser has it already")


def page_routes(renderer: Renderer, assets: Assets, overview: Overview) -> Blueprint:
    """The pages."""
    routes = Blueprint("pages", __name__)
    renderer.refuse(routes)

    def live(template: str, **values: Any) -> Response:
        return renderer.page(template, overview=overview.read(FIRST_WAIT), **values)

    @routes.get("/")
    @operation("The wall: cameras and sessions, live", {200: PAGE}, tag="pages")
    def wall() -> Response:
        return live("wall.html")

    @routes.get("/cameras")
    @operation("The cameras: add, rename, remove", {200: PAGE}, tag="pages")
    def cameras() -> Response:
        return live("cameras.html")

    @routes.get("/nodes")
    @operation("The compute nodes, and what runs where", {200: PAGE}, tag="pages")
    def nodes() -> Response:
        return live("nodes.html")

    @routes.get("/s/<session_id>")
    @operation("One session, live", {200: PAGE}, tag="pages")
    def session(session_id: str) -> Response:
        return live("session.html", session_id=session_id)

    @routes.get("/access")
    @operation("Who may do what: people, keys, nodes", {200: PAGE}, tag="pages")
    def access() -> Response:
        return live("access.html")

    @routes.get("/audit")
    @operation("Who did what from where", {200: PAGE}, tag="pages")
    def audit() -> Response:
        return live("audit.html")

    @routes.get("/about")
    @operation("Version and licences", {200: PAGE}, tag="pages")
    def about() -> Response:
        libraries = [(library, assets.version(library)) for library in LIBRARIES]
        return renderer.page("about.html", libraries=libraries)

    @routes.get("/language/<language>")
    @operation("Choose the language of the pages", {303: Answer("Back to the page")}, tag="pages")
    def choose(language: str) -> Any:
        """Kept in this browser. `?back=` is the path of a page of ours."""
        if language not in LANGUAGES:
            raise NotFound.among("language", language, LANGUAGES)
        answer = redirect(at(ours(request.args.get("back"))), 303)
        answer.set_cookie(COOKIE, language, max_age=FOR_EVER, path=at("/"), samesite="Lax", httponly=True)
        return answer

    return routes


def asset_routes(assets: Assets, words: Words) -> Blueprint:
    """What the pages load."""
    routes = Blueprint("assets", __name__)
    tables = {language: asset(codec.dump(words.table(language)), ".json") for language in LANGUAGES}

    def kept(found: Asset, stamp: str = "") -> Response:
        """stamp: as the address has it. While it is ours, what is found there never changes."""
        packed = found.packed if takes_gzip() else None
        answer = Response(found.content if packed is None else packed, content_type=found.kind)
        if packed is not None:
            answer.headers["Content-Encoding"] = "gzip"
        answer.headers["Vary"] = "Accept-Encoding"
        answer.headers["Cache-Control"] = (
            f"public, max-age={FOR_EVER}, immutable" if stamp == assets.stamp else "no-cache"
        )
        answer.set_etag(found.tag if packed is None else f"{found.tag}-gzip")
        answer.make_conditional(request)
        return answer

    @routes.get("/assets/vendor/<name>")
    @operation("A library's file", {200: FILE, 304: SAME}, tag="assets")
    def vendor(name: str) -> Response:
        """Only those on the list: the folder that npm fills is not open."""
        return kept(assets.vendor(name), request.query_string.decode("ascii", "replace"))

    @routes.get("/assets/<stamp>/icons.svg")
    @operation("The icons", {200: FILE, 304: SAME}, tag="assets")
    def icons(stamp: str) -> Response:
        return kept(assets.icons(), stamp)

    @routes.get("/assets/<stamp>/words/<language>.json")
    @operation("The texts that modules show, in another language", {200: Answer("English → theirs")}, tag="assets")
    def table(stamp: str, language: str) -> Response:
        if language not in tables:
            raise NotFound.among("language", language, tables)
        return kept(tables[language], stamp)

    @routes.get("/assets/<stamp>/<path:path>")
    @operation("A file of the pages", {200: FILE, 304: SAME}, tag="assets")
    def own(stamp: str, path: str) -> Response:
        """The stamp is part of the address, so that browsers keep the files until one of them changes."""
        return kept(assets.own(path), stamp)

    @routes.get("/favicon.ico")
    @operation("The icon, where browsers look for it unasked", {200: FILE, 304: SAME}, tag="assets")
    def favicon() -> Response:
        return kept(assets.own("img/favicon.svg"))

    return routes
