"""What browsers may do with our pages, and whose requests may change something."""

from __future__ import annotations

from typing import Any, ClassVar
from urllib.parse import urlsplit

from flask import Flask, Response, request

from mesh.errors import FoglineError, UnsupportedMedia
from ui.access import SAFE, cookie_of

# Pictures and detections come straight from nodes, whose addresses change while a page is open: hence any http host
# for these two, and our own origin only for everything that can run or style.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src {style}; font-src 'self'; manifest-src 'self';"
    " img-src 'self' http: https: data: blob:; connect-src 'self' http: https:;"
    " form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
PAGES = _POLICY.format(style="'self'")
DESCRIPTION = _POLICY.format(style="'unsafe-inline'")  # the page that `mesh` makes of a service's calls has its own
OTHERS = "default-src 'none'; frame-ancestors 'none'"  # should somebody open a file or an answer as if it were a page
HSTS_SECONDS = 180 * 24 * 3600  # for which a browser that came by TLS once comes by nothing else


class CrossSite(FoglineError):
    status: ClassVar[int] = 403
    title: ClassVar[str] = "Cross-site request"


def protect(app: Flask) -> None:
    """Guard `app`: foreign pages can change nothing, and nothing foreign runs in ours."""
    app.before_request(_refuse_foreign)
    app.after_request(_harden)


def _refuse_foreign() -> None:
    """Some other page in the same browser must not start or stop anything, nor sign anybody in. Programs send neither
    header, and pass unless they show a cookie: what has one is a browser, and says from where it comes."""
    if request.method in SAFE:
        return
    site = request.headers.get("Sec-Fetch-Site")
    origin = request.headers.get("Origin")
    if site is not None and site not in ("same-origin", "none"):
        raise CrossSite("this came from another site's page; open the dashboard itself")
    # A proxy may have changed Host, so Sec-Fetch-Site, which no page can set, decides where a browser sends it.
    if site is None and origin is not None and urlsplit(origin).netloc != request.host:
        raise CrossSite(
            f"this came from a page of {origin!r:.100}, and this dashboard is {request.host!r:.100}: open the dashboard"
            " itself; behind a proxy start it with --trusted-proxies 1 (FOGLINE_TRUSTED_PROXIES)"
        )
    if site is None and origin is None and cookie_of(request) is not None:
        raise CrossSite("nothing says from which page this came: programs show an API key instead of a cookie")
    if request.method in ("POST", "PATCH", "PUT") and request.mimetype != "application/json":
        raise UnsupportedMedia("send JSON, with Content-Type: application/json")


def _harden(response: Response) -> Any:
    headers = response.headers
    if request.is_secure:
        headers.setdefault("Strict-Transport-Security", f"max-age={HSTS_SECONDS}")
    headers.setdefault("X-Frame-Options", "DENY")
    if response.mimetype != "text/html":
        headers.setdefault("Content-Security-Policy", OTHERS)
        headers.setdefault("Referrer-Policy", "no-referrer")
        return response
    headers.setdefault("Content-Security-Policy", DESCRIPTION if request.path == "/docs" else PAGES)
    headers.setdefault("Referrer-Policy", "same-origin")
    headers.setdefault("Cross-Origin-Opener-Policy", "same-origin")
    headers.setdefault("Permissions-Policy", "camera=(), microphone=(), geolocation=()")
    return response
