"""Nodes join, stay, leave and die."""

from __future__ import annotations

import time

import pytest

from tests.processes import wait_for
from tests.registry.conftest import LEASE
from tests.registry.fakes import Registry


def test_a_new_node_is_created_and_a_known_one_is_renewed(registry: Registry) -> None:
    """201 the first time, 200 afterwards, and the answer says how to stay."""
    node = registry.node("camera", "line-3", FutureField={"kept": [1]})
    first, second = node.register(), node.register()
    assert (first.status_code, second.status_code) == (201, 200)
    answer = first.json()
    assert answer["node_id"] == node.node_id
    assert (answer["lease_seconds"], answer["heartbeat"]["seconds"], answer["manifest_seconds"]) == (LEASE, 0.3, 600)
    assert answer["url"] == node.url
    listed = node.listed()
    assert listed["FutureField"] == {"kept": [1]}
    assert abs(listed["last_seen"] - time.time()) < 5


def test_a_node_is_free_once_the_registry_has_reached_it(registry: Registry) -> None:
    """Until the dial-back succeeds the node is unreachable, and its reason names the address and the remedy."""
    hidden = registry.node("compute", "hall-1", advertise_url="http://127.0.0.1:9")
    hidden.register()
    hidden.live()
    assert hidden.listed()["state"] == "unreachable"
    wait_for(lambda: "set FOGLINE_ADVERTISE" in hidden.listed()["state_reason"], 5, "reason")
    assert "http://127.0.0.1:9" in hidden.listed()["state_reason"]
    assert registry.json("/v1/algorithms")["algorithms"][0]["free_slots"] == 0
    registry.node("compute", "hall-2").join("ready")


def test_an_unreachable_node_becomes_ready_when_it_can_be_reached(registry: Registry) -> None:
    """The registry dials again by itself."""
    target = registry.node("compute", "later")
    moved = registry.node("compute", "hall-1", port=target.port)
    target.close()
    moved.join("unreachable").live()
    wait_for(lambda: "refused" in moved.listed()["state_reason"], 5, "refused")
    registry.nodes.remove(target)
    reborn = registry.node("compute", "reborn")
    moved.manifest["port"] = reborn.port
    moved.register()
    wait_for(lambda: moved.listed()["state"] == "ready", 6, "ready")


@pytest.mark.parametrize(
    ("answer", "words"),
    [({"health": 500}, "answered 500"), ({"health": 302, "location": "http://127.0.0.1:1/"}, "answered 302")],
)
def test_the_dial_back_takes_only_a_plain_yes(registry: Registry, answer: dict[str, object], words: str) -> None:
    """An error is no yes, and a redirect is not followed."""
    node = registry.node("compute", "odd", **answer)
    node.register()
    node.live()
    wait_for(lambda: words in node.listed()["state_reason"], 5, words)


def test_a_node_leaves_at_once(registry: Registry) -> None:
    """DELETE takes it out of the list and of the algorithms, and it can still be asked after."""
    node = registry.node("compute", "hall-1").join()  # which does not beat: it would come back
    assert registry.json("/v1/algorithms")["algorithms"]
    assert registry.delete(f"/v1/nodes/{node.node_id}").status_code == 204
    assert registry.names() == []
    assert registry.json("/v1/algorithms")["algorithms"] == []
    assert node.listed()["state"] == "dead"
    assert "left the mesh" in node.listed()["state_reason"]
    assert registry.delete("/v1/nodes/nobody").status_code == 404


def test_a_node_whose_lease_ends_vanishes(registry: Registry) -> None:
    """Without a beat it goes from the lists; `state=dead` shows it with when and why. A beat brings it back."""
    node = registry.node("compute", "hall-1").join().live()
    other = registry.compute("hall-2")
    time.sleep(LEASE + 1)
    assert registry.names() == ["hall-1", "hall-2"]
    node.die()
    wait_for(lambda: registry.names() == ["hall-2"], LEASE + 3, "only hall-2")
    (dead,) = registry.json("/v1/nodes?state=dead")["nodes"]
    assert dead["name"] == "hall-1"
    assert "no beat for" in dead["state_reason"]
    assert dead["dead_at"] >= dead["last_seen"] + LEASE
    (yolo,) = registry.json("/v1/algorithms")["algorithms"]
    assert [n["name"] for n in yolo["nodes"]] == [other.name]
    again = node.beat()
    assert again.status_code == 404
    assert again.json()["title"] == "Register again"


def test_a_beat_of_an_unknown_node_or_another_boot_is_told_to_register(registry: Registry) -> None:
    """The registry never serves somebody whom it does not know."""
    node = registry.node("camera", "line-3")
    assert node.beat().json()["title"] == "Register again"
    node.register()
    assert node.beat().status_code == 200
    node.manifest["boot_id"] = "another"
    assert node.beat().json()["title"] == "Register again"


def test_a_camera_without_signal_stays_ready_and_says_why(registry: Registry) -> None:
    """Its picture is missing, not the camera."""
    node = registry.node("camera", "line-3").join()
    node.beat(no_signal="cable pulled")
    assert (node.listed()["state"], node.listed()["state_reason"]) == ("ready", "cable pulled")
    node.beat(fps=30.0)
    assert (node.listed()["state_reason"], node.listed()["load"]["fps"]) == ("", 30.0)


def test_lists_are_filtered(registry: Registry) -> None:
    """By kind, algorithm and state; an unknown value is refused with the parameter's name."""
    registry.camera()
    registry.compute("hall-1")
    registry.node("compute", "hall-2", algorithm=[{"id": "echo", "name": "Echo"}], slots=0).join("full").live()
    assert registry.names("?kind=camera") == ["line-3"]
    assert registry.names("?algorithm=echo") == ["hall-2"]
    assert registry.names("?kind=compute&state=full") == ["hall-2"]
    assert registry.names("?state=any") == ["hall-1", "hall-2", "line-3"]
    for query, field in (("kind=robot", "kind"), ("limit=0", "limit"), ("cursor=%21", "cursor"), ("state=x", "state")):
        refused = registry.get(f"/v1/nodes?{query}")
        assert (refused.status_code, refused.json()["field"]) == (422, field)


def test_pages_together_are_the_whole_list(registry: Registry) -> None:
    """Each page gives the next one's cursor, the last one none."""
    for number in range(7):
        registry.node("camera", f"cam-{number}").register()
    seen, cursor = [], ""
    for _ in range(10):
        page = registry.json(f"/v1/nodes?limit=3{cursor and '&cursor='}{cursor}")
        seen += [node["name"] for node in page["nodes"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert seen == [f"cam-{number}" for number in range(7)]


@pytest.mark.parametrize("path", ["/v1/nodes", "/v1/algorithms", "/v1/sessions"])
def test_an_unchanged_list_costs_a_304(registry: Registry, path: str) -> None:
    """The ETag stays while only times move, differs between questions, and changes with the list."""
    registry.camera()
    node = registry.compute("hall-1")
    tag = registry.get(path).headers["ETag"]
    node.beat(fps=3.0)
    unchanged = registry.get(path, headers={"If-None-Match": tag})
    assert (unchanged.status_code, unchanged.content, unchanged.headers["ETag"]) == (304, b"", tag)
    assert registry.get(f"{path}?limit=1").headers["ETag"] != tag
    registry.open()
    assert registry.get(path, headers={"If-None-Match": tag}).status_code == 200


def test_the_address_is_what_is_advertised_else_what_was_seen(registry: Registry) -> None:
    """The trailing slash of an advertised address goes."""
    node = registry.node("camera", "line-3")
    node.manifest["advertise_url"] = f"{node.url}/"
    assert node.register().json()["url"] == node.url
    del node.manifest["advertise_url"], node.manifest["port"]
    assert node.register().json()["url"] == "http://127.0.0.1:5000"


def test_two_machines_with_one_host_name_are_two_nodes(registry: Registry) -> None:
    """The node's id tells them apart."""
    registry.camera("one")
    registry.camera("two")
    assert registry.names() == ["one", "two"]
