"""Pages: templates filled in, in the language of who asks, with who that is."""

from __future__ import annotations

import gzip
from typing import Any
from urllib.parse import urlencode

import msgspec
from flask import Blueprint, Response, redirect, render_template, request
from markupsafe import Markup

from mesh.access import principal_of
from mesh.errors import Forbidden, Unauthorized, Unavailable
from mesh.openapi import Answer
from mesh.version import VERSION
from ui.access import Access
from ui.assets import Assets
from ui.people_api import myself
from ui.places import asked, at
from ui.standing import Standing
from ui.words import LANGUAGES, language_of_request

PAGE_LEVEL = 3  # of gzip: a page is made for each reader, and that of a large mesh has megabytes
TRY_AGAIN = 5  # seconds after which a page that could not be shown asks again by itself
PAGE = Answer("A page", media="text/html")


class Renderer:
    """Any thread may call any method."""

    def __init__(self, assets: Assets, access: Access, standing: Standing) -> None:
        self._assets = assets
        self._access = access
        self._standing = standing

    def page(self, template: str, status: int = 200, **values: Any) -> Response:
        """The page that `template` makes of `values`, kept by nobody."""
        if reason := self._assets.missing():
            template, status, values = "missing.html", 503, {"reason": reason}
        text = render_template(
            template,
            own=self._own,
            vendor=self._vendor,
            icon=self._icon,
            at=at,
            root=at(""),
            me=self._me(),
            version=VERSION,
            language=language_of_request(),
            languages=LANGUAGES,
            path=request.path,
            here=asked(),
            **values,
        )
        headers = {"Cache-Control": "no-store", "Vary": "Cookie, Accept-Language, Accept-Encoding"}
        body = text.encode()
        if takes_gzip():
            body = gzip.compress(body, PAGE_LEVEL, mtime=0)
            headers["Content-Encoding"] = "gzip"
        return Response(body, status, headers, content_type="text/html; charset=utf-8")

    def refuse(self, routes: Blueprint) -> None:
        """Let people who may not see a page of `routes` see why instead, and what to do."""

        @routes.errorhandler(Unauthorized)
        def sign_in(_error: Unauthorized) -> Any:
            return redirect(at(f"/sign-in?{urlencode({'next': asked()})}"), 303)

        @routes.errorhandler(Forbidden)
        def forbidden(error: Forbidden) -> Response:
            return self.page("refused.html", 403, reason=error.detail)

        @routes.errorhandler(Unavailable)
        def away(error: Unavailable) -> Response:
            answer = self.page("waiting.html", 503, reason=error.detail)
            answer.headers["Refresh"] = answer.headers["Retry-After"] = str(TRY_AGAIN)
            return answer

    def _me(self) -> dict[str, Any] | None:
        """Who asks, as far as the guard has found out; None for nobody in particular."""
        if principal_of(request.environ) is None:
            return None
        document: dict[str, Any] = msgspec.to_builtins(myself(self._access, self._standing))
        return document

    def _own(self, path: str) -> str:
        return at(f"/assets/{self._assets.stamp}/{path}")

    def _vendor(self, name: str) -> str:
        return at(f"/assets/vendor/{name}?{self._assets.stamp}")

    def _icon(self, name: str, extra: str = "") -> Markup:
        """A drawing of the sprite, for the eye only: what it stands beside says the same in words."""
        return Markup('<svg class="icon {}" aria-hidden="true" focusable="false"><use href="{}#{}"/></svg>').format(
            extra, self._own("icons.svg"), name
        )


def takes_gzip() -> bool:
    """Whether the browser that asks now reads what is compressed."""
    return request.accept_encodings.quality("gzip") > 0
