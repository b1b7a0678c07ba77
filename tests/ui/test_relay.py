"""What the dashboard asks of nodes for browsers, and what it never does."""

from __future__ import annotations

from contextlib import closing

import pytest
from flask import Flask, request

from mesh.audience import Audience
from mesh.client import RegistryClient
from mesh.errors import NotFound, Unavailable
from tests.processes import free_port
from tests.ui.fakes import FakeServer, Handler
from ui.addresses import ORIGINAL, Addresses, relayed
from ui.node_answer import NodeAway, NotAccepted, What, ask, connect
from ui.overview import Overview
from ui.upstream import Upstreams


class Wayward(FakeServer):
    """A node that answers as its path says."""

    def __init__(self, elsewhere: str = "") -> None:
        self.elsewhere = elsewhere
        super().__init__()

    def route(self, request: Handler, method: str, path: str) -> None:
        status = int(path.strip("/"))
        if status == 302:
            request.send(302, "text/plain", b"", Location=f"{self.elsewhere}/200")
        elif status == 200:
            request.send(200, "image/jpeg", b"picture")
        else:
            request.problem(status, "No", "the camera is asleep")


def test_a_redirect_is_never_followed() -> None:
    """Where a node points is not what the registry signed."""
    other = Wayward()
    node = Wayward(other.url)
    try:
        with closing(connect(f"{node.url}/302")) as connection, pytest.raises(Unavailable, match="answered 302"):
            ask(connection, f"{node.url}/302")
        assert other.requests == []
    finally:
        node.down()
        other.down()


@pytest.mark.parametrize(
    ("status", "kind", "words"),
    [
        (401, NotAccepted, "does not accept"),
        (403, NotAccepted, "does not accept"),
        (404, NotFound, "asleep"),
        (503, Unavailable, "asleep"),
    ],
)
def test_a_nodes_refusal_is_told_in_its_words(status: int, kind: type[Exception], words: str) -> None:
    """But never as a refusal of the browser's own sign-in."""
    node = Wayward()
    try:
        with closing(connect(f"{node.url}/{status}")) as connection, pytest.raises(kind, match=words):
            ask(connection, f"{node.url}/{status}")
    finally:
        node.down()


def test_a_node_that_is_gone_is_told_as_such() -> None:
    """A page then treats it as one that it could not reach itself."""
    with pytest.raises(NodeAway) as raised:
        connect(f"http://127.0.0.1:{free_port()}/stream")
    assert raised.value.status == 502


def test_only_so_many_streams_are_read_at_once() -> None:
    """One more is refused with words; the same one again is not."""
    client = RegistryClient(f"http://127.0.0.1:{free_port()}", timeout=(0.2, 0.2))
    overview = Overview(client, Audience(8, None, lambda: None))
    upstreams = Upstreams(Addresses(overview, lambda: False, "relay"), most=1)
    first, other = What("cameras", "a", "stream"), What("cameras", "b", "stream")
    with upstreams.watch(first, client), upstreams.watch(first, client):
        assert upstreams.count == 1
        with pytest.raises(Unavailable, match="--streams direct"), upstreams.watch(other, client):
            pass
    upstreams.close()


@pytest.mark.parametrize(
    ("streams", "environ", "through"),
    [
        ("auto", {}, False),
        ("auto", {"wsgi.url_scheme": "https"}, True),
        ("auto", {"SCRIPT_NAME": "/fogline"}, True),
        ("auto", {"HTTP_X_FORWARDED_PROTO": "https"}, False),
        ("auto", {ORIGINAL: {"HTTP_HOST": "10.0.0.5:8080"}}, True),
        ("auto", {ORIGINAL: {"HTTP_HOST": "localhost"}}, False),
        ("direct", {"wsgi.url_scheme": "https"}, False),
        ("relay", {}, True),
    ],
)
def test_who_comes_through_a_proxy_gets_pictures_through_the_dashboard(
    streams: str, environ: dict[str, object], through: bool
) -> None:
    """What only a trusted proxy may say decides, and nothing that a browser could claim by itself."""
    with Flask("test").test_request_context("/", environ_overrides=environ):
        assert relayed(streams, request) is through
