"""Sessions move when their node dies, restarts, drains, or gives no frames."""

from __future__ import annotations

from tests.processes import wait_for
from tests.registry.conftest import IDLE, LEASE
from tests.registry.fakes import FakeNode, Json, Registry


def _two(registry: Registry) -> tuple[Json, FakeNode, FakeNode]:
    """A session, the node that serves it and another one."""
    registry.camera()
    nodes = {node.node_id: node for node in (registry.compute("hall-1"), registry.compute("hall-2"))}
    session = registry.open(pinned=True)
    serving = nodes.pop(session["node"])
    return session, serving, nodes.popitem()[1]


def test_a_dead_nodes_session_moves_with_a_higher_token(registry: Registry) -> None:
    """Within the lease and a sweep, and the stable address leads to the new node."""
    session, serving, other = _two(registry)
    serving.die()
    wait_for(lambda: registry.session(session["session_id"])["node"] == other.node_id, LEASE + 3, "move")
    moved = registry.session(session["session_id"])
    assert moved["token"] > session["token"]
    assert f"{serving.name} is gone: no beat for" in moved["state_reason"]
    stream = registry.get(f"/v1/sessions/{session['session_id']}/stream").headers["Location"]
    assert stream.startswith(other.url)
    wait_for(lambda: [o["token"] for o in other.assigned] == [moved["token"]], 2, "order")


def test_a_node_that_comes_back_serves_nothing_old(registry: Registry) -> None:
    """It is told to register, and then what it should serve: nothing of before."""
    session, serving, other = _two(registry)
    serving.die()
    wait_for(lambda: registry.session(session["session_id"])["node"] == other.node_id, LEASE + 3, "move")
    wait_for(lambda: serving.listed()["state"] == "dead", 3, "its death, a moment after the move")
    serving.serves(session)
    assert serving.beat().status_code == 404
    assert serving.register().status_code == 201
    serving.beat()
    assert serving.assigned == []
    assert registry.session(session["session_id"])["node"] == other.node_id


def test_a_wanted_node_that_dies_does_not_keep_its_session(registry: Registry) -> None:
    """The picture matters more than the wish; the words say so."""
    registry.camera()
    wanted, other = registry.compute("hall-1"), registry.compute("hall-2")
    session = registry.open(node="hall-1", pinned=True)
    assert session["node"] == wanted.node_id
    registry.delete(f"/v1/nodes/{wanted.node_id}")
    moved = registry.session(session["session_id"])
    assert moved["node"] == other.node_id
    assert "asked for: hall-1 is gone" in moved["why"]


def test_without_a_free_slot_a_session_waits_and_says_for_what(registry: Registry) -> None:
    """Its viewers get 503 with the reason; it runs again as soon as a slot is free."""
    registry.camera()
    first = registry.compute("hall-1", slots=1)
    session = registry.open(pinned=True)
    first.die()  # first: a beat after its end would bring it back
    registry.delete(f"/v1/nodes/{first.node_id}")
    waiting = registry.session(session["session_id"])
    assert (waiting["state"], waiting["node"], waiting["stream_url"]) == ("moving", None, None)
    assert "waiting for a free slot" in waiting["state_reason"]
    refused = registry.get(f"/v1/sessions/{session['session_id']}/stream")
    assert (refused.status_code, "Retry-After" in refused.headers) == (503, True)
    second = registry.compute("hall-2", slots=2)  # one is taken at once: it must still be seen as ready
    wait_for(lambda: registry.session(session["session_id"])["node"] == second.node_id, 3, "placement")
    assert registry.session(session["session_id"])["token"] > session["token"]


def test_a_waiting_session_that_nobody_asks_for_ends(registry: Registry) -> None:
    """Nobody is left who would watch it."""
    registry.camera()
    node = registry.compute("hall-1")
    session = registry.open()
    node.die()
    registry.delete(f"/v1/nodes/{node.node_id}")
    wait_for(lambda: registry.session(session["session_id"])["state"] == "ended", IDLE + 3, "end")


def test_a_new_boot_voids_the_old_ones_sessions(registry: Registry) -> None:
    """The process that served them is gone, whatever its lease says."""
    session, serving, other = _two(registry)
    serving.manifest["boot_id"] = "second-boot"
    assert serving.register().status_code == 200
    moved = registry.session(session["session_id"])
    assert moved["node"] == other.node_id
    assert moved["token"] > session["token"]
    assert "was started anew" in moved["state_reason"]


def test_a_restarted_lone_node_gets_its_session_back(registry: Registry) -> None:
    """Once it was dialled again."""
    registry.camera()
    node = registry.compute("hall-1")
    session = registry.open(pinned=True)
    node.manifest["boot_id"] = "second-boot"
    node.register()
    wait_for(lambda: registry.session(session["session_id"])["node"] == node.node_id, 3, "placement")
    assert registry.session(session["session_id"])["token"] > session["token"]


def test_a_viewer_moves_a_session_once_for_each_token(registry: Registry) -> None:
    """A second report on the same placement changes nothing: the token says that it is old."""
    session, serving, other = _two(registry)
    path = f"/v1/sessions/{session['session_id']}/failover"
    moved = registry.post(path, {"token": session["token"]}).json()
    assert (moved["node"], moved["outcome"]) == (other.node_id, "moved")
    assert moved["token"] > session["token"]
    assert serving.name in moved["state_reason"]
    again = registry.post(path, {"token": session["token"]}).json()
    assert (again["node"], again["token"]) == (other.node_id, moved["token"])
    assert again["outcome"].startswith("already moved")
    wait_for(lambda: serving.listed()["state"] == "ready", 5, "dial-back: it is probed before it gets work again")
    back = registry.post(path, {"token": moved["token"]}).json()
    assert back["node"] == serving.node_id
    assert registry.post("/v1/sessions/nothing/failover", {"token": 1}).status_code == 404
    assert registry.post(path, {"token": "x"}).json()["field"] == "token"


def test_without_another_node_a_session_stays(registry: Registry) -> None:
    """A slow picture is better than none, and the outcome says why."""
    registry.camera()
    node = registry.compute("hall-1")
    session = registry.open()
    answer = registry.post(f"/v1/sessions/{session['session_id']}/failover", {"token": session["token"]}).json()
    assert (answer["node"], answer["token"]) == (node.node_id, session["token"])
    assert "no other node can take it" in answer["outcome"]


def test_a_draining_node_hands_its_sessions_over(registry: Registry) -> None:
    """It gets no new ones either, until the drain is undone."""
    session, serving, other = _two(registry)
    drained = registry.post(f"/v1/nodes/{serving.node_id}/drain")
    assert (drained.status_code, drained.json()["state"]) == (200, "draining")
    assert registry.session(session["session_id"])["node"] == other.node_id
    serving.beat()
    assert serving.assigned == []
    assert registry.open(width=64)["node"] == other.node_id
    assert registry.post("/v1/sessions", {"camera": "line-3", "algorithm": "yolo", "width": 65}).status_code == 503
    assert registry.post(f"/v1/nodes/{serving.node_id}/undrain").json()["state"] == "ready"
    assert registry.open(width=65)["node"] == serving.node_id
    assert registry.post("/v1/nodes/nobody/drain").status_code == 404


def test_a_draining_node_serves_on_until_another_one_can(registry: Registry) -> None:
    """No picture is lost for a drain."""
    registry.camera()
    first = registry.compute("hall-1", slots=1)
    session = registry.open(pinned=True)
    registry.post(f"/v1/nodes/{first.node_id}/drain")
    assert registry.session(session["session_id"])["node"] == first.node_id
    second = registry.compute("hall-2", slots=2)  # one is taken at once: it must still be seen as ready
    wait_for(lambda: registry.session(session["session_id"])["node"] == second.node_id, 3, "hand-over")


def test_a_session_whose_camera_is_gone_waits_for_it(registry: Registry) -> None:
    """It stays, says so, and its node goes on being told where the camera was."""
    camera = registry.camera()
    node = registry.compute("hall-1")
    session = registry.open(pinned=True)
    camera.die()
    registry.delete(f"/v1/nodes/{camera.node_id}")
    seen = registry.session(session["session_id"])
    assert seen["state_reason"] == "camera line-3 is gone (left the mesh); it is waited for"
    assert registry.json("/v1/sessions")["sessions"][0]["state_reason"] == seen["state_reason"]
    node.beat()
    assert node.assigned[0]["camera"]["url"] == camera.url
    returned = registry.node("camera", "line-3", node_id=camera.node_id)
    returned.node_id = camera.node_id
    returned.join()
    assert registry.session(session["session_id"])["state_reason"] == ""
    node.beat()
    assert node.assigned[0]["camera"]["url"] == returned.url
