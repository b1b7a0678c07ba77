"""`/v1/nodes` and `/v1/algorithms`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flask import Blueprint, request

from mesh import codec
from mesh.access import Principal
from mesh.errors import Forbidden
from mesh.manifest import CameraManifest
from mesh.openapi import Answer, operation
from mesh.service import Reply, json_reply
from mesh.wire import Beat, BeatReply, Registration
from registry import algorithms
from registry.answers import AlgorithmList, NodeDocument, NodeList, NodeQuery
from registry.documents import Documents
from registry.listing import Snapshots, View
from registry.nodes import Nodes
from registry.routes import exchange
from registry.routes.noting import Note, asker, is_node

MaySpeak = Callable[[Principal | None, str], bool]


def blueprint(
    nodes: Nodes, snapshots: Snapshots, documents: Documents, *, may_speak: MaySpeak, note: Note
) -> Blueprint:
    """may_speak: whether somebody may act as the node with this id, see mesh.access.Guard."""
    routes = Blueprint("nodes", __name__)

    @routes.post("/v1/nodes")
    @operation(
        "Register a node, or renew it",
        {201: Answer("It is new here", Registration), 200: Answer("It was renewed", Registration)},
        body=CameraManifest,
        tag="nodes",
    )
    def register() -> Reply:
        """The body is a camera's manifest, as shown, or a compute node's (docs/manifest.schema.json). Unknown fields
        are kept. The node counts as free once the registry has reached it at its address."""
        document = codec.parse_object(exchange.body())
        _require_its_own(asker(), document, may_speak)
        answer, new = nodes.register(document, request.remote_addr or "")
        return json_reply(answer, 201 if new else 200)

    @routes.get("/v1/nodes")
    @operation(
        "The nodes that are there",
        {200: Answer("A page of them", NodeList), 304: Answer("Nothing has changed since the ETag that was sent")},
        query=NodeQuery,
        tag="nodes",
    )
    def list_nodes() -> Reply:
        """The ETag stays the same while only loads and times move; `GET /v1/nodes/{id}` has those as they are now."""
        wanted = exchange.query(NodeQuery)

        def build(view: View) -> tuple[list[Any], str | None]:
            chosen, following = nodes.choose(
                view,
                kind=wanted.kind,
                algorithm=wanted.algorithm,
                state=wanted.state,
                limit=wanted.limit,
                cursor=wanted.cursor,
            )
            preserving = view.snapshot.preserving is not None
            return [documents.node(node, preserving) for node in chosen], following

        return exchange.list_reply(snapshots, "nodes", build)

    @routes.get("/v1/nodes/<node_id>")
    @operation("One node", {200: Answer("The node", NodeDocument)}, tag="nodes")
    def one_node(node_id: str) -> Reply:
        """A node that died can be read for 15 minutes; its state says when and why."""
        return json_reply(nodes.one(node_id))

    @routes.post("/v1/nodes/<node_id>/heartbeat")
    @operation(
        "A node is alive, and this is what it does",
        {200: Answer("What it should be serving now", BeatReply), 404: Answer("Register again")},
        body=Beat,
        tag="nodes",
    )
    def heartbeat(node_id: str) -> Reply:
        return json_reply(nodes.beat(node_id, codec.parse(exchange.body(), Beat)))

    @routes.delete("/v1/nodes/<node_id>")
    @operation("A node leaves", {204: Answer("It is gone; its sessions move")}, tag="nodes")
    def leave(node_id: str) -> Reply:
        nodes.leave(node_id)
        if not is_node():
            note("node removed", node_id)
        return b"", 204, {}

    def drained(node_id: str, on: bool) -> Reply:
        document = nodes.drain(node_id, on)
        if not is_node():
            note("node drained" if on else "node undrained", f"{document['name']} ({node_id})")
        return json_reply(document)

    @routes.post("/v1/nodes/<node_id>/drain")
    @operation(
        "Let a node take no new sessions, and move its own",
        {200: Answer("The node", NodeDocument)},
        tag="nodes",
    )
    def drain(node_id: str) -> Reply:
        """A session stays where it is until another node has a free slot for it."""
        return drained(node_id, True)

    @routes.post("/v1/nodes/<node_id>/undrain")
    @operation("Let a node take sessions again", {200: Answer("The node", NodeDocument)}, tag="nodes")
    def undrain(node_id: str) -> Reply:
        return drained(node_id, False)

    @routes.get("/v1/algorithms")
    @operation(
        "What the mesh can do now",
        {
            200: Answer("Each with its nodes and free slots", AlgorithmList),
            304: Answer("Nothing has changed"),
        },
        tag="nodes",
    )
    def list_algorithms() -> Reply:
        return exchange.list_reply(snapshots, "algorithms", lambda view: (algorithms.offered(view.snapshot), None))

    return routes


def _require_its_own(principal: Principal | None, document: dict[str, Any], may_speak: MaySpeak) -> None:
    """Refuse a manifest of another node than the one that sent it. Raises Forbidden."""
    node_id, kind = document.get("node_id"), document.get("kind")
    if not isinstance(node_id, str):
        return  # it is refused as a manifest
    if not may_speak(principal, node_id):
        raise Forbidden("node_id: a node registers under its own id alone, or for a camera that it runs for the mesh")
    if principal is not None and principal.node_kind is not None and kind != principal.node_kind:
        raise Forbidden(f"kind: this node has joined as a {principal.node_kind} node, and stays one")
