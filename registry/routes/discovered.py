"""`/v1/discovered`."""

from __future__ import annotations

from flask import Blueprint

from mesh.openapi import Answer, operation
from mesh.service import Reply, json_reply
from registry.discovery import Discovered, Discovery


def blueprint(discovery: Discovery) -> Blueprint:
    routes = Blueprint("discovered", __name__)

    @routes.get("/v1/discovered")
    @operation(
        "Cameras and registries on the registry's network",
        {
            200: Answer("What answered; `already` names the registered camera that reads one", Discovered),
            503: Answer("Multicast is not possible where the registry runs, or a search is under way"),
        },
        tag="discovery",
    )
    def discovered() -> Reply:
        """ONVIF cameras by WS-Discovery and registries by mDNS. The first call takes as many seconds as the answer
        says; then the result is shown again for ten. Nothing that answers is contacted: a camera is added by starting
        a camera node with its address, which also works for every camera that is not listed."""
        return json_reply(discovery.look(), headers={"Cache-Control": "no-store"})

    return routes
