"""What every service's web application has: health, metrics, its description, and errors as problem documents.

It works on any WSGI framework's application that has these four methods, so `mesh` needs no Flask.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Info, generate_latest
from werkzeug.exceptions import HTTPException

from mesh import codec, openapi
from mesh.access import Guard
from mesh.errors import FoglineError
from mesh.limits import MAX_JSON_BYTES
from mesh.logs import logger
from mesh.openapi import Answer, operation
from mesh.reach import NODE_ID
from mesh.throttle import Throttle
from mesh.version import VERSION

PROBLEM = "application/problem+json"
BEARER = 'Bearer realm="Fogline"'
BASIC = 'Basic realm="Fogline", charset="UTF-8"'
log = logger(__name__)
Reply = tuple[bytes | str, int, dict[str, str]]


class WebApp(Protocol):
    """The part of a Flask application that is used here."""

    config: Any
    url_map: Any
    view_functions: Any

    def add_url_rule(self, rule: str, endpoint: str | None = None, view_func: Any = None, **options: Any) -> None: ...
    def register_error_handler(self, code_or_exception: Any, f: Any) -> None: ...
    def after_request(self, f: Any) -> Any: ...
    def before_request(self, f: Any) -> Any: ...


def json_reply(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Reply:
    """An answer with `value` as JSON."""
    return codec.dump(value), status, {"Content-Type": "application/json", **(headers or {})}


def problem_reply(error: FoglineError) -> Reply:
    """An answer with the problem document of `error`."""
    members = {k: v for k, v in error.members.items() if k != "retry_after"}
    return _problem(error.title, error.status, error.detail, members, error.retry_after)


def install(
    app: WebApp,
    *,
    title: str,
    ready: Callable[[], str | None],
    metrics: CollectorRegistry,
    max_body: int = MAX_JSON_BYTES,
    guard: Guard,
    request: Any,
    node_id: str = "",
) -> None:
    """Give `app` its common routes, its error answers and its guard. Call it after the service's own routes.

    ready: None when the service can serve, else why not. max_body: bytes of a request's body at most. request: the
    framework's present request. node_id: of the node that this is; /healthz tells it, so that who asks at an address
    learns whether it leads to the node that is meant.
    """
    Info("fogline_build", "Version of this service", registry=metrics).info({"version": VERSION, "service": title})
    app.config["MAX_CONTENT_LENGTH"] = max_body

    @operation("Is the process alive?", {200: Answer("It is")})
    def healthz() -> Reply:
        return json_reply({"status": "ok", "version": VERSION}, headers={NODE_ID: node_id} if node_id else None)

    @operation("Can it serve?", {200: Answer("It can"), 503: Answer("Not yet, and why", media=PROBLEM)})
    def readyz() -> Reply:
        reason = ready()
        if reason is not None:
            return _problem("Not ready", 503, reason, {}, 1)
        return json_reply({"status": "ready"})

    @operation("Prometheus metrics", {200: Answer("Text exposition", media="text/plain")})
    def metrics_page() -> Reply:
        return generate_latest(metrics), 200, {"Content-Type": CONTENT_TYPE_LATEST}

    @operation("This service's description", {200: Answer("OpenAPI 3.1")})
    def openapi_json() -> Reply:
        return json_reply(spec())

    @operation("This service's description, to read", {200: Answer("A page", media="text/html")})
    def docs() -> Reply:
        return openapi.page(spec()), 200, {"Content-Type": "text/html; charset=utf-8"}

    def spec() -> dict[str, Any]:
        return openapi.document(title, openapi.routes(app.url_map.iter_rules(), app.view_functions))

    app.add_url_rule("/healthz", "healthz", healthz)
    app.add_url_rule("/readyz", "readyz", readyz)
    app.add_url_rule("/metrics", "metrics", metrics_page)
    app.add_url_rule("/openapi.json", "openapi", openapi_json)
    app.add_url_rule("/docs", "docs", docs)

    throttle = Throttle()

    def guarded() -> None:
        throttle.check(guard, request)

    def refused(error: FoglineError) -> Reply:
        body, status, headers = problem_reply(error)
        if status == 401:
            # A browser would ask with a window of its own, also in the middle of a page: Basic is for other programs.
            page = request.headers.get("Sec-Fetch-Mode") is not None
            headers["WWW-Authenticate"] = BEARER if page else f"{BASIC}, {BEARER}"
        return body, status, headers

    app.before_request(guarded)
    app.register_error_handler(FoglineError, refused)
    app.register_error_handler(HTTPException, _http_problem)
    app.register_error_handler(Exception, _defect)
    app.after_request(_harden)


def _problem(title: str, status: int, detail: str, members: Mapping[str, Any], retry_after: int | None = None) -> Reply:
    headers = {"Content-Type": PROBLEM}
    if retry_after is not None:
        headers["Retry-After"] = str(retry_after)
    return (
        codec.dump({"type": "about:blank", "title": title, "status": status, "detail": detail, **members}),
        status,
        headers,
    )


def _http_problem(error: HTTPException) -> Any:
    if error.code is None or error.code < 400:
        return error
    body, status, headers = _problem(error.name, error.code, error.description or error.name, {})
    for name, value in error.get_headers():
        if name.lower() in ("allow", "retry-after"):
            headers[name] = value
    return body, status, headers


def _defect(error: Exception) -> Reply:
    """A defect of ours: the log gets the trace, the caller gets none of it."""
    log.error("request failed", exc_info=error)
    return _problem("Internal error", 500, "this is a defect of Fogline; its log on this host has the trace", {})


def readable(response: Any) -> Any:
    """For nodes, after each request: the dashboard's pages, which come from elsewhere, may read why they get no
    picture. A refusal holds nothing that is not said to everybody."""
    if response.status_code >= 400:
        response.headers.setdefault("Access-Control-Allow-Origin", "*")
    return response


def _harden(response: Any) -> Any:
    response.headers.setdefault("X-Content-Type-Options", "nosniff")
    return response
