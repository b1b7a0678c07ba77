"""Proxies in front of a service: who asks, by which address and below which path, as they say it.

What they say in headers is believed of as many proxies as the setting names, counted from this service, and of nobody
else: whoever reaches a service past its proxies could say anything.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any, Final

from werkzeug.middleware.proxy_fix import ProxyFix

PREFIX: Final = "HTTP_X_FORWARDED_PREFIX"
PATH: Final = re.compile(r"(?:/[A-Za-z0-9._~-]+)+")  # nothing that an address or a header could be bent with
Application = Callable[..., Iterable[bytes]]


def behind(application: Application, proxies: int) -> Application:
    """`application`, believing so many proxies that stand in front of it."""
    return TrustedProxies(application, proxies) if proxies else application


class TrustedProxies:
    """Wraps a WSGI application. proxies: how many stand in front of it, and are believed.

    A proxy that shows the service below a path says so in X-Forwarded-Prefix, and may cut that path off or not.
    """

    def __init__(self, application: Application, proxies: int) -> None:
        self._application = application
        self._fixed = ProxyFix(self._below, x_for=proxies, x_proto=proxies, x_host=proxies, x_prefix=proxies)

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        given = environ.get(PREFIX)
        if given is not None:
            kept = [path for one in given.split(",") if PATH.fullmatch(path := one.strip().rstrip("/")) or not path]
            environ[PREFIX] = ",".join(kept)
        return self._fixed(environ, start_response)

    def _below(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        root, path = environ.get("SCRIPT_NAME", ""), environ.get("PATH_INFO", "")
        if root and (path == root or path.startswith(f"{root}/")):
            environ["PATH_INFO"] = path[len(root) :]
        return self._application(environ, start_response)
