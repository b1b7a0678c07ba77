"""Proxies in front of a service: which of what they say is believed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest
from werkzeug.test import Client

from mesh.proxies import behind

SEEN = ("REMOTE_ADDR", "HTTP_HOST", "wsgi.url_scheme", "SCRIPT_NAME", "PATH_INFO")
SAID = {
    "X-Forwarded-For": "10.0.0.7",
    "X-Forwarded-Proto": "https",
    "X-Forwarded-Host": "vision.example",
    "X-Forwarded-Prefix": "/fogline",
}


def seen(proxies: int, path: str = "/nodes", **headers: str) -> dict[str, str]:
    """What the application is told of a request from 192.0.2.1."""
    found: dict[str, str] = {}

    def application(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        found.update({name: environ[name] for name in SEEN})
        start_response("200 OK", [])
        return []

    client = Client(behind(application, proxies))
    client.get(path, headers=headers, environ_base={"REMOTE_ADDR": "192.0.2.1"})
    return found


def test_nothing_is_believed_unless_a_proxy_is_named() -> None:
    """Who asks past any proxy could say anything."""
    assert seen(0, **SAID) == seen(0)
    assert seen(0)["REMOTE_ADDR"] == "192.0.2.1"


@pytest.mark.parametrize("path", ["/nodes", "/fogline/nodes"])
def test_a_named_proxy_says_who_asks_and_where(path: str) -> None:
    """Address, scheme, host and path; whether it cuts the path off or not."""
    found = seen(1, path, **SAID)
    assert found == {
        "REMOTE_ADDR": "10.0.0.7",
        "HTTP_HOST": "vision.example",
        "wsgi.url_scheme": "https",
        "SCRIPT_NAME": "/fogline",
        "PATH_INFO": "/nodes",
    }


def test_only_as_many_are_believed_as_are_named() -> None:
    """What a client puts before the proxies' own words is not heard."""
    said = {"X-Forwarded-For": "127.0.0.1, 10.0.0.7, 10.0.0.8"}
    assert seen(1, **said)["REMOTE_ADDR"] == "10.0.0.8"
    assert seen(2, **said)["REMOTE_ADDR"] == "10.0.0.7"


@pytest.mark.parametrize(
    "prefix",
    [
        "//elsewhere.example",
        "/a//b",
        "/\\elsewhere",
        "https://elsewhere.example",
        "/a b",
        "/a\tb",
        "/a?b",
        '/"><b>',
        "/%2f",
    ],
)
def test_a_path_that_leads_elsewhere_is_none(prefix: str) -> None:
    """Addresses of pages begin with it: what is not plainly a path is left out."""
    assert seen(1, **{"X-Forwarded-Prefix": prefix})["SCRIPT_NAME"] == ""


def test_a_slash_at_the_end_and_no_path_at_all_are_fine() -> None:
    """Proxies write it in several ways."""
    assert seen(1, **{"X-Forwarded-Prefix": "/tools/fogline/"})["SCRIPT_NAME"] == "/tools/fogline"
    assert seen(1, **{"X-Forwarded-Prefix": "/"})["SCRIPT_NAME"] == ""
