"""The calls by which pages change the mesh itself: nodes that rest, cameras that are added."""

from __future__ import annotations

from flask import Blueprint, request

from mesh import codec
from mesh.openapi import Answer, operation
from mesh.service import Reply, json_reply
from mesh.wire import AddedCamera, CameraChange, CameraRequest, Problem
from ui.access import Access
from ui.overview import Overview

FRESH = {"Cache-Control": "no-store"}
FOREIGN = Answer("From another site's page", Problem)
AWAY = Answer("The registry is away", Problem)


def mesh_routes(access: Access, overview: Overview) -> Blueprint:
    """What operators do."""
    routes = Blueprint("mesh", __name__, url_prefix="/api")

    @routes.post("/nodes/<node_id>/drain")
    @operation(
        "Let a node take no new sessions, and hand over those it has",
        {200: Answer("The node"), 403: FOREIGN, 404: Answer("No such node", Problem), 503: AWAY},
        tag="nodes",
    )
    def drain(node_id: str) -> Reply:
        return json_reply(access.asking().drain(node_id), headers=FRESH)

    @routes.post("/nodes/<node_id>/undrain")
    @operation(
        "Let a node take sessions again",
        {200: Answer("The node"), 403: FOREIGN, 404: Answer("No such node", Problem), 503: AWAY},
        tag="nodes",
    )
    def undrain(node_id: str) -> Reply:
        return json_reply(access.asking().drain(node_id, undo=True), headers=FRESH)

    @routes.post("/cameras")
    @operation(
        "Add a camera",
        {201: Answer("The camera", AddedCamera), 403: FOREIGN, 422: Answer("It cannot be added", Problem), 503: AWAY},
        body=CameraRequest,
        tag="cameras",
    )
    def add() -> Reply:
        made = access.asking().add_camera(codec.parse(request.get_data(), CameraRequest))
        overview.outdate()
        return json_reply(made, 201, FRESH)

    @routes.get("/cameras/<camera_id>")
    @operation("An added camera", {200: Answer("The camera", AddedCamera)}, tag="cameras")
    def look(camera_id: str) -> Reply:
        return json_reply(access.asking().camera(camera_id), headers=FRESH)

    @routes.patch("/cameras/<camera_id>")
    @operation(
        "Change an added camera",
        {200: Answer("The camera", AddedCamera), 403: FOREIGN, 422: Answer("It cannot be so", Problem), 503: AWAY},
        body=CameraChange,
        tag="cameras",
    )
    def change(camera_id: str) -> Reply:
        made = access.asking().change_camera(camera_id, codec.parse(request.get_data(), CameraChange))
        overview.outdate()
        return json_reply(made, headers=FRESH)

    @routes.delete("/cameras/<camera_id>")
    @operation("Remove an added camera", {204: Answer("It is removed"), 403: FOREIGN, 503: AWAY}, tag="cameras")
    def remove(camera_id: str) -> Reply:
        access.asking().remove_camera(camera_id)
        overview.outdate()
        return b"", 204, FRESH

    @routes.get("/discovered")
    @operation("Cameras and registries that answer on this network", {200: Answer("Candidates")}, tag="cameras")
    def discovered() -> Reply:
        return json_reply(access.asking().discovered(), headers=FRESH)

    return routes
