"""The original tutorial's cameras, devices and pages work unchanged."""

from __future__ import annotations

import json

import pytest
import requests

from tests.processes import wait_for
from tests.registry.fakes import Registry

CAMERA = {"name": "web camera", "type": "Camera", "host_name": "camera-pi", "ip_address": "10.20.0.31"}
DEVICE = {
    "FriendlyName": "Thinkstation",
    "name": "Thinkstation",
    "algorithm": [
        {
            "name": "HAAR Cascade",
            "category": "facialrecognition",
            "class": "Computer Vision",
            "path": "haar/image.jpg",
        }
    ],
    "ram": "2gb",
    "cpu": "amd",
    "host_name": "thinkstation",
    "ip_address": "10.20.0.14",
}


@pytest.mark.parametrize(("path", "document"), [("/cam", CAMERA), ("/device", DEVICE)])
def test_the_body_is_echoed_and_listed(registry: Registry, path: str, document: dict[str, object]) -> None:
    """As sent, byte for byte; the list is bare; posting again adds none."""
    sent = json.dumps(document, indent=3).encode()
    for content_type in ("application/json", "text/plain", None):
        headers = {"Content-Type": content_type} if content_type else {}
        answer = requests.post(registry.url + path, data=sent, headers=headers, timeout=5)
        assert (answer.status_code, answer.content) == (200, sent)
    listed = registry.get(path)
    assert listed.json() == [document]
    assert listed.headers["Access-Control-Allow-Origin"] == "*"


@pytest.mark.parametrize("path", ["/cam", "/device"])
def test_a_body_without_host_name_is_refused(registry: Registry, path: str) -> None:
    """422 that says so."""
    answer = registry.post(path, {"name": "web camera"})
    assert (answer.status_code, answer.json()["field"]) == (422, "host_name")
    assert "host_name" in answer.json()["detail"]
    assert registry.json(path) == []


def test_an_original_is_kept_without_beats_until_its_time_is_over(registry: Registry) -> None:
    """It needs no beat and no dial-back; here its time is 3 seconds."""
    registry.post("/cam", CAMERA)
    registry.post("/device", DEVICE)
    camera, device = registry.json("/v1/nodes")["nodes"][::-1]
    assert (camera["state"], camera["original"], camera["url"]) == ("ready", True, "http://10.20.0.31:5000")
    assert (device["state"], device["slots"], device["url"]) == ("ready", 1, "http://10.20.0.14:8000")
    wait_for(lambda: registry.json("/cam") == [], 6, "the end of its time")
    (dead,) = registry.json("/v1/nodes?state=dead&kind=camera")["nodes"]
    assert "not renewed for" in dead["state_reason"]


def test_an_original_without_an_address_is_where_it_was_seen(registry: Registry) -> None:
    """A host's name in `ip_address` is not dialled."""
    registry.post("/cam", CAMERA | {"ip_address": "camera-pi.local"})
    assert registry.json("/v1/nodes")["nodes"][0]["url"] == "http://127.0.0.1:5000"


def test_a_session_watches_an_originals_camera_but_runs_on_no_original_device(registry: Registry) -> None:
    """Our compute nodes read its pictures; its devices know no sessions."""
    registry.post("/cam", CAMERA)
    registry.post("/device", DEVICE)
    refused = registry.post("/v1/sessions", {"camera": "web camera", "algorithm": "haar"})
    assert refused.status_code == 503
    assert "Thinkstation speaks the original's calls only" in refused.json()["detail"]
    (haar,) = registry.json("/v1/algorithms")["algorithms"]
    assert (haar["id"], haar["free_slots"], haar["nodes"][0]["original"]) == ("haar", 0, True)
    node = registry.compute("hall-1")
    assert registry.open(camera="camera-pi")["node"] == node.node_id
    node.beat()
    assert node.assigned[0]["camera"]["original"] is True


def test_our_own_nodes_are_in_the_originals_lists(registry: Registry) -> None:
    """With the fields that its clients read, at the address where the registry reached them."""
    camera = registry.camera()
    registry.compute("hall-1")
    (listed,) = registry.json("/cam")
    assert (listed["name"], listed["host_name"], listed["ip_address"]) == ("line-3", "factory", "127.0.0.1")
    (device,) = registry.json("/device")
    assert device["algorithm"][0]["path"] == "yolo/image.jpg"
    assert device["FriendlyName"] == "hall-1"
    camera.die()  # first: a beat after its end would bring it back
    registry.delete(f"/v1/nodes/{camera.node_id}")
    assert registry.json("/cam") == []


def test_the_page_links_every_camera_with_every_algorithm(registry: Registry) -> None:
    """In the original's shape, with names as they have to stand in a URL, and escaped."""
    registry.camera("line 3 & co")
    node = registry.compute("hall-1")
    registry.post("/device", DEVICE)
    page = registry.get("/")
    assert page.headers["Content-Type"].startswith("text/html")
    assert f'href="{node.url}/yolo/image.jpg?camera=line%203%20%26%20co"' in page.text
    assert 'href="http://10.20.0.14:8000/haar/image.jpg?camera=line%203%20%26%20co"' in page.text
    assert "line 3 &amp; co" in page.text
    assert "://cdn" not in page.text


def test_cameras_that_share_a_name_are_linked_by_id(registry: Registry) -> None:
    """So that each link leads to its own camera."""
    ids = {registry.camera("twin").node_id for _ in range(2)}
    registry.compute("hall-1")
    page = registry.get("/").text
    assert all(f"?camera={node_id}" in page for node_id in ids)
