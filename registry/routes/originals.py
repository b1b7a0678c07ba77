"""The calls of the original tutorial's cluster: `/device`, `/cam` and `/`."""

from __future__ import annotations

from collections.abc import Callable

from flask import Blueprint, render_template, request

from mesh import codec
from mesh.manifest import Kind
from mesh.openapi import Answer, operation
from mesh.service import Reply, json_reply
from mesh.version import VERSION
from registry import originals
from registry.listing import Snapshots
from registry.nodes import Nodes
from registry.routes import exchange
from registry.routes.noting import asker

# The original's page may be served by another host than the registry.
_FOR_ANY_PAGE = {"Access-Control-Allow-Origin": "*", "Cache-Control": "no-cache"}
_ECHO = {200: Answer("The body as it was sent")}
_LIST = {200: Answer("A bare list of manifests")}


def blueprint(nodes: Nodes, snapshots: Snapshots, joined: Callable[[str], bool]) -> Blueprint:
    """joined: whether a node with this id has joined the mesh with a key of its own."""
    routes = Blueprint("originals", __name__)

    def take(kind: Kind) -> Reply:
        sent = exchange.body()
        document = originals.admitted(codec.parse_object(sent), kind, asker(), joined)
        nodes.register(document, request.remote_addr or "", kind)
        return sent, 200, {"Content-Type": "application/json"}

    def give(kind: Kind) -> Reply:
        return json_reply(originals.documents(snapshots.view().snapshot, kind), headers=_FOR_ANY_PAGE)

    @routes.post("/cam")
    @operation("One of the original's cameras joins", _ECHO, body=("application/json",), tag="the original's calls")
    def post_cam() -> Reply:
        """`host_name` is the key. Kept for 15 minutes."""
        return take("camera")

    @routes.get("/cam")
    @operation("The cameras, as the original lists them", _LIST, tag="the original's calls")
    def get_cam() -> Reply:
        return give("camera")

    @routes.post("/device")
    @operation("One of the original's devices joins", _ECHO, body=("application/json",), tag="the original's calls")
    def post_device() -> Reply:
        """`host_name` is the key. Kept for 15 minutes."""
        return take("compute")

    @routes.get("/device")
    @operation("The compute nodes, as the original lists them", _LIST, tag="the original's calls")
    def get_device() -> Reply:
        return give("compute")

    @routes.get("/")
    @operation("A page for people", {200: Answer("The page", media="text/html")}, tag="the original's calls")
    def page() -> Reply:
        """Every camera with every algorithm, as plain links in the original's shape."""
        view = snapshots.view()
        text = render_template(
            "index.html",
            rows=originals.combinations(view.snapshot),
            nodes=nodes.listed(view)[0],
            stale=view.stale,
            age=round(view.age),
            version=VERSION,
            host=_host(request.host),
        )
        return text, 200, {"Content-Type": "text/html; charset=utf-8", "Cache-Control": "no-cache"}

    return routes


def _host(authority: str) -> str:
    """The host of `HOST:PORT`, as it stands in a URL."""
    return authority if authority.endswith("]") else authority.rpartition(":")[0] or authority
