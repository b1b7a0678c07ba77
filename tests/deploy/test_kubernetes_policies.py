"""Who may speak to whom in the cluster: the NetworkPolicies, read as Kubernetes reads them."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field

import pytest

from tests.deploy.rendering import Json, matches, rendered

CAMERA = "192.168.7.20"  # an RTSP camera in the factory's network
OUTSIDE = "203.0.113.9"  # the internet


@dataclass(frozen=True)
class Place:
    """A pod, or with neither labels nor a namespace whatever has the address."""

    address: str
    labels: Json = field(default_factory=dict)
    namespace: Json = field(default_factory=dict)


def pod(name: str, component: str = "", address: str = "10.42.0.7") -> Place:
    """One of Fogline's."""
    labels = {"app.kubernetes.io/name": name, "app.kubernetes.io/component": component}
    return Place(address, labels, {"kubernetes.io/metadata.name": "fogline"})


REGISTRY, UI, REDIS, COMPUTE = pod("registry"), pod("ui"), pod("redis"), pod("compute", "host")
HOST = pod("camera", "host")
INGRESS = Place("10.42.3.3", {"app": "traefik"}, {"fogline.io/ingress": "true"})
MONITORING = Place("10.42.3.4", {"app": "prometheus"}, {"fogline.io/reads-metrics": "true"})
STRANGER = Place("10.42.3.5", {"app": "shop"}, {"kubernetes.io/metadata.name": "shop"})


@pytest.mark.parametrize(
    ("here", "there", "port", "protocol"),
    [
        (REGISTRY, REDIS, 6379, "TCP"),
        *((node, REGISTRY, 5050, protocol) for node in (UI, COMPUTE, HOST) for protocol in ("TCP", "UDP")),
        (REGISTRY, COMPUTE, 8000, "TCP"),  # it dials them
        (REGISTRY, HOST, 5000, "TCP"),
        (COMPUTE, HOST, 5000, "TCP"),  # frames
        (UI, COMPUTE, 8000, "TCP"),  # pictures that it relays
        (UI, HOST, 5000, "TCP"),
        (HOST, Place(CAMERA), 554, "TCP"),
        (COMPUTE, Place("10.20.0.31"), 5000, "TCP"),  # a camera node outside of the cluster
        (INGRESS, UI, 8080, "TCP"),
        (MONITORING, REGISTRY, 5050, "TCP"),
        (MONITORING, COMPUTE, 8000, "TCP"),
    ],
)
def test_what_the_mesh_needs_goes_through(here: Place, there: Place, port: int, protocol: str) -> None:
    """Each service reaches what it works with, also where that is not in the cluster."""
    assert may(here, there, port, protocol)


@pytest.mark.parametrize(
    ("here", "there", "port"),
    [
        *((one, REDIS, 6379) for one in (UI, COMPUTE, HOST, INGRESS, MONITORING, STRANGER)),
        *((STRANGER, one, port) for one, port in ((REGISTRY, 5050), (UI, 8080), (COMPUTE, 8000), (HOST, 5000))),
        *((one, Place(OUTSIDE), 443) for one in (REGISTRY, UI, REDIS, COMPUTE, HOST)),
        (COMPUTE, Place(CAMERA), 554),  # a camera's password is none of its business, nor is the camera
        (UI, Place(CAMERA), 554),
        (COMPUTE, UI, 8080),
        (HOST, COMPUTE, 8000),
        (HOST, UI, 8080),
        (REDIS, REGISTRY, 5050),
        (MONITORING, REGISTRY, 6379),
        (INGRESS, REGISTRY, 5050),  # until the component `ingress` is added
        (INGRESS, COMPUTE, 8000),
    ],
)
def test_nothing_else_does(here: Place, there: Place, port: int) -> None:
    """A pod that was taken over finds no way to Redis, to other cameras, or out."""
    assert not may(here, there, port, "TCP")


def test_names_can_be_asked_for_by_everybody_and_nothing_else_be_asked_there() -> None:
    """The cluster's own service of names answers at port 53."""
    names = Place("10.43.0.10", {"k8s-app": "kube-dns"}, {"kubernetes.io/metadata.name": "kube-system"})
    for one in (REGISTRY, UI, REDIS, COMPUTE, HOST):
        assert may(one, names, 53, "UDP")
    assert not may(REDIS, names, 443, "TCP")


@pytest.mark.parametrize(
    ("overlay", "here", "there", "port"),
    [
        ("example", INGRESS, REGISTRY, 5050),
        ("example", Place("10.20.0.31"), REGISTRY, 5050),  # a node outside of the cluster
        ("example", pod("camera", "line-3"), Place(CAMERA), 554),
        ("gpu", pod("compute", "gpu"), HOST, 5000),
        ("autoscale", REGISTRY, pod("compute", "autoscaled"), 8000),
        ("ha", REGISTRY, Place("10.20.0.5"), 26379),  # a Sentinel elsewhere
    ],
)
def test_what_an_overlay_adds_can_be_reached(overlay: str, here: Place, there: Place, port: int) -> None:
    """Its pods are among those that the policies name."""
    assert may(here, there, port, "TCP", overlay)


def test_a_usb_cameras_pod_has_no_way_out() -> None:
    """It needs none: its camera is on its host."""
    device = pod("camera", "device")
    assert may(COMPUTE, device, 5000, "TCP", "example")
    assert not may(device, Place(CAMERA), 554, "TCP", "example")


def may(here: Place, there: Place, port: int, protocol: str, overlay: str = "single-site") -> bool:
    """Whether a connection goes through: where a policy takes a pod, one of its rules has to let it."""
    specs = [document["spec"] for document in rendered(overlay) if document["kind"] == "NetworkPolicy"]
    return all(
        not _is_ours(subject)
        or any(
            _is_port(rule.get("ports"), port, protocol) and any(_is_peer(peer, other) for peer in rule[peers])
            for rule in _rules(specs, direction, subject)
        )
        for subject, other, direction, peers in ((here, there, "Egress", "to"), (there, here, "Ingress", "from"))
    )


def _rules(specs: list[Json], direction: str, subject: Place) -> list[Json]:
    """Of all policies that take the pod."""
    taking = [s for s in specs if direction in s["policyTypes"] and matches(s["podSelector"], subject.labels)]
    assert taking  # one takes all pods, and has no rule
    return [rule for spec in taking for rule in spec.get(direction.lower(), [])]


def _is_ours(place: Place) -> bool:
    return place.namespace.get("kubernetes.io/metadata.name") == "fogline"


def _is_port(ports: list[Json] | None, port: int, protocol: str) -> bool:
    return ports is None or any(
        one.get("protocol", "TCP") == protocol and one["port"] <= port <= int(one.get("endPort") or one["port"])
        for one in ports
    )


def _is_peer(peer: Json, place: Place) -> bool:
    if "ipBlock" in peer:
        network = ipaddress.ip_network(peer["ipBlock"]["cidr"])
        address = ipaddress.ip_address(place.address)
        return address.version == network.version and address in network
    if "namespaceSelector" in peer:
        return matches(peer["namespaceSelector"], place.namespace)
    return _is_ours(place) and matches(peer["podSelector"], place.labels)
