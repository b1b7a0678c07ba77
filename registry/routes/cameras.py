"""`/v1/cameras`: cameras that people add, and what camera hosts ask for."""

from __future__ import annotations

from flask import Blueprint, request

from mesh import codec
from mesh.openapi import Answer, operation
from mesh.service import Reply, json_reply
from mesh.wire import AddedCamera, CameraChange, CameraList, CameraRequest, Hosting, HostingReply
from registry.cameras import Cameras
from registry.listing import Snapshots
from registry.routes import exchange
from registry.routes.noting import Note

NO_STORE = {"Cache-Control": "no-store"}


def blueprint(cameras: Cameras, snapshots: Snapshots, note: Note) -> Blueprint:
    routes = Blueprint("cameras", __name__)

    def noted(action: str, camera: AddedCamera) -> AddedCamera:
        note(action, f"{camera.name} ({camera.source})")  # shown without its password
        return camera

    @routes.post("/v1/cameras")
    @operation(
        "Add a camera, to be run by a camera host",
        {
            201: Answer("The camera", AddedCamera),
            404: Answer("No such camera host; the known ones are listed"),
            409: Answer("Another added camera has this name, or there are too many"),
            422: Answer("A field is wrong, such as a source that no camera may have"),
        },
        body=CameraRequest,
        tag="cameras",
    )
    def add() -> Reply:
        """It shows up as a node of its own, with `camera_id` as its `node_id`, when a host has started it. A `draft`
        runs too, and is forgotten two minutes after the last word about it."""
        added = cameras.add(codec.parse(exchange.body(), CameraRequest))
        return json_reply(noted("camera tried" if added.draft else "camera added", added), 201, NO_STORE)

    @routes.get("/v1/cameras")
    @operation(
        "The cameras that were added, and the hosts that run them",
        {200: Answer("All of them", CameraList), 304: Answer("Nothing has changed since the ETag that was sent")},
        tag="cameras",
    )
    def list_cameras() -> Reply:
        """`source` is shown without user, password and query."""
        view = snapshots.view()
        headers = {"Cache-Control": "no-cache"}
        tagged = {"ETag": f'W/"{view.tag}"', **headers}
        if request.if_none_match.contains_weak(view.tag):
            return b"", 304, tagged
        listed = cameras.listed(view)
        # A draft's time ends without a change that a tag could show.
        lasting = not any(camera.draft for camera in listed.cameras) and listed.stale == view.stale
        return json_reply(listed, headers=tagged if lasting else headers)

    @routes.get("/v1/cameras/<camera_id>")
    @operation("One added camera", {200: Answer("The camera", AddedCamera)}, tag="cameras")
    def one(camera_id: str) -> Reply:
        return json_reply(cameras.one(camera_id), headers=NO_STORE)

    @routes.patch("/v1/cameras/<camera_id>")
    @operation(
        "Change an added camera, or save a draft",
        {
            200: Answer("The camera", AddedCamera),
            404: Answer("No such camera or host"),
            409: Answer("Another added camera has this name, or others change it at the same moment"),
            422: Answer("A field is wrong"),
        },
        body=CameraChange,
        tag="cameras",
    )
    def change(camera_id: str) -> Reply:
        """What is missing stays, null means none. `{"draft": false}` saves. A `source` as the list shows it leaves the
        source, with its password, as it is."""
        changed = cameras.change(camera_id, codec.parse(exchange.body(), CameraChange))
        return json_reply(noted("camera tried" if changed.draft else "camera changed", changed), headers=NO_STORE)

    @routes.delete("/v1/cameras/<camera_id>")
    @operation("Remove an added camera", {204: Answer("It is removed; its host stops it")}, tag="cameras")
    def remove(camera_id: str) -> Reply:
        cameras.remove(camera_id)
        note("camera removed", camera_id)
        return b"", 204, {}

    @routes.post("/v1/nodes/<node_id>/cameras")
    @operation(
        "A camera host asks what it is to run",
        {200: Answer("What it is to run now, and nothing else", HostingReply), 404: Answer("Register again")},
        body=Hosting,
        tag="cameras",
    )
    def host(node_id: str) -> Reply:
        """Saved cameras that it runs and the registry has lost are known again from here. The answer has the sources
        with their passwords."""
        return json_reply(cameras.host(node_id, codec.parse(exchange.body(), Hosting)), headers=NO_STORE)

    return routes
