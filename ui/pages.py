"""The pages, and the files that they load."""

from __future__ import annotations

import gzip
from typing import Any

from flask import Blueprint, Response, redirect, render_template, request
from markupsafe import Markup

from mesh import codec
from mesh.errors import NotFound
from mesh.openapi import Answer, operation
from mesh.version import VERSION
from ui.assets import LIBRARIES, Asset, Assets, asset
from ui.overview import FIRST_WAIT, Overview
from ui.words import COOKIE, LANGUAGES, Words, language_of_request

FOR_EVER = 365 * 24 * 3600  # seconds: an address that carries a stamp never changes its meaning
PAGE_LEVEL = 3  # of gzip: a page is made for each reader, and that of a large mesh has megabytes
PAGE = Answer("A page", media="text/html")
FILE = Answer("A file", media="application/octet-stream")
SAME = Answer("The browser has it already")


def page_routes(assets: Assets, overview: Overview) -> Blueprint:
    """The pages."""
    routes = Blueprint("pages", __name__)

    def page(template: str, status: int = 200, **values: Any) -> Response:
        if reason := assets.missing():
            template, status, values = "missing.html", 503, {"reason": reason}
        language = language_of_request()
        text = render_template(
            template,
            own=own,
            vendor=vendor,
            icon=icon,
            version=VERSION,
            language=language,
            languages=LANGUAGES,
            path=request.path,
            **values,
        )
        headers = {"Cache-Control": "no-store", "Vary": "Cookie, Accept-Language, Accept-Encoding"}
        body = text.encode()
        if _takes_gzip():
            body = gzip.compress(body, PAGE_LEVEL, mtime=0)
            headers["Content-Encoding"] = "gzip"
        return Response(body, status, headers, content_type="text/html; charset=utf-8")

    def own(path: str) -> str:
        return f"/assets/{assets.stamp}/{path}"

    def vendor(name: str) -> str:
        return f"/assets/vendor/{name}?{assets.stamp}"

    def icon(name: str, extra: str = "") -> Markup:
        """A drawing of the sprite, for the eye only: what it stands beside says the same in words."""
        return Markup('<svg class="icon {}" aria-hidden="true" focusable="false"><use href="{}#{}"/></svg>').format(
            extra, own("icons.svg"), name
        )

    def live(template: str, **values: Any) -> Response:
        return page(template, overview=overview.read(FIRST_WAIT), **values)

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

    @routes.get("/about")
    @operation("Version and licences", {200: PAGE}, tag="pages")
    def about() -> Response:
        return page("about.html", libraries=[(library, assets.version(library)) for library in LIBRARIES])

    @routes.get("/language/<language>")
    @operation("Choose the language of the pages", {303: Answer("Back to the page")}, tag="pages")
    def choose(language: str) -> Any:
        """Kept in this browser. `?back=` is the path of a page of ours."""
        if language not in LANGUAGES:
            raise NotFound.among("language", language, LANGUAGES)
        back = request.args.get("back", "/")
        # A path of ours and nothing else: "//host" and "/\\host" would lead elsewhere.
        ours = back.startswith("/") and not back.startswith("//") and "\\" not in back
        answer = redirect(back if ours else "/", 303)
        answer.set_cookie(COOKIE, language, max_age=FOR_EVER, samesite="Lax", httponly=True)
        return answer

    return routes


def asset_routes(assets: Assets, words: Words) -> Blueprint:
    """What the pages load."""
    routes = Blueprint("assets", __name__)
    tables = {language: asset(codec.dump(words.table(language)), ".json") for language in LANGUAGES}

    def kept(found: Asset, stamp: str = "") -> Response:
        """stamp: as the address has it. While it is ours, what is found there never changes."""
        packed = found.packed if _takes_gzip() else None
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


def _takes_gzip() -> bool:
    return request.accept_encodings.quality("gzip") > 0
