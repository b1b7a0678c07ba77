"""`/v1/targets`: what Prometheus can ask for figures."""

from __future__ import annotations

from collections.abc import Callable

from flask import Blueprint, request

from mesh import codec
from mesh.access import Principal
from mesh.errors import Forbidden
from mesh.openapi import Answer, operation
from mesh.place import Place
from mesh.service import Reply, json_reply
from registry import targets
from registry.listing import Snapshots
from registry.routes import exchange
from registry.routes.noting import asker
from registry.targets import Places, Target


def blueprint(places: Places, snapshots: Snapshots, *, may_speak: Callable[[Principal | None, str], bool]) -> Blueprint:
    """may_speak: whether somebody may act as the node with this id, see mesh.access.Guard."""
    routes = Blueprint("targets", __name__)

    @routes.get("/v1/targets")
    @operation(
        "What has figures to be read",
        {200: Answer("For Prometheus's HTTP service discovery", list[Target])},
        tag="figures",
    )
    def list_targets() -> Reply:
        """Live nodes that the registry has reached, registries and dashboards. Give Prometheus this address as an
        `http_sd_config`, and the key in DATA/monitoring/key for this and for what it finds here."""
        view = snapshots.view()
        return json_reply(targets.listed(view.snapshot, places.all(), places.own, request.host))

    @routes.post("/v1/targets")
    @operation(
        "A dashboard says where it is", {200: Answer("It is listed for some minutes", Place)}, body=Place, tag="figures"
    )
    def take_place() -> Reply:
        """Said each minute. It is listed at the address from which this comes."""
        place = codec.parse(exchange.body(), Place)
        if not may_speak(asker(), place.node_id):
            raise Forbidden("a dashboard may say this of itself alone")
        places.take(place, request.remote_addr or "")
        return json_reply(place)

    return routes
