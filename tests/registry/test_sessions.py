"""Sessions: who gets them, who joins them, and what is said when nobody can."""

from __future__ import annotations

import threading
import time
from collections import Counter

import pytest

from registry.answers import SessionDocument
from tests.processes import wait_for
from tests.registry.conftest import IDLE
from tests.registry.fakes import YOLO, Json, Registry


def test_a_session_is_placed_and_told_where_to_watch(registry: Registry) -> None:
    """The addresses lead to the node that serves it, and the node is told what to serve."""
    camera = registry.camera()
    node = registry.compute("hall-1")
    session = registry.open(width=640, fps=12.5, gate="motion")
    base = f"{node.url}/v1/sessions/{session['session_id']}"
    assert session["node"] == node.node_id
    assert (session["state"], session["node_name"], session["camera"]) == ("placed", "hall-1", camera.node_id)
    for view in ("stream", "snapshot", "detections", "stats"):
        assert session[f"{view}_url"] == f"{base}/{view}?token={session['token']}"
    assert session["why"] == "hall-1: 2 of 2 slots free, 36 fps to spare"
    assert set(session) == set(SessionDocument.__struct_fields__)
    node.beat()
    (order,) = node.assigned
    assert order["camera"] == {"node_id": camera.node_id, "name": "line-3", "url": camera.url, "original": False}
    wanted = {"session_id": session["session_id"], "token": session["token"], "algorithm": "yolo", "width": 640}
    assert wanted.items() <= order.items()
    assert (order["fps"], order["gate"], session["gate"]) == (12.5, "motion", "motion")
    assert node.listed()["sessions"] == 1


def test_the_same_request_joins_and_another_one_does_not(registry: Registry) -> None:
    """The camera's id and its name are the same wish; another size is another one."""
    camera = registry.camera()
    registry.compute("hall-1", slots=8)
    first = registry.open()
    assert registry.open(camera=camera.node_id)["session_id"] == first["session_id"]
    assert registry.open(pinned=True)["pinned"] is True
    others = {
        registry.open(**wish)["session_id"]
        for wish in ({"width": 320}, {"fps": 5}, {"gate": "motion"}, {"node": "hall-1"})
    }
    assert len(others | {first["session_id"]}) == 5


def test_what_is_unknown_is_answered_with_what_is_known(registry: Registry) -> None:
    """A camera, an algorithm or a node that is not there: 404 with the names that are."""
    registry.camera()
    registry.compute("hall-1")
    for wish, known in (
        ({"camera": "line-4", "algorithm": "yolo"}, ["line-3"]),
        ({"camera": "line-3", "algorithm": "yola"}, ["yolo"]),
        ({"camera": "line-3", "algorithm": "yolo", "node": "hall-9"}, ["hall-1"]),
    ):
        answer = registry.post("/v1/sessions", wish)
        assert (answer.status_code, answer.json()["known"]) == (404, known)
        assert known[0] in answer.json()["detail"]


def test_a_name_that_two_cameras_share_is_refused_with_their_ids(registry: Registry) -> None:
    """Guessing would show the wrong picture."""
    ids = sorted(registry.camera("twin").node_id for _ in range(2))
    registry.compute("hall-1")
    answer = registry.post("/v1/sessions", {"camera": "twin", "algorithm": "yolo"})
    assert (answer.status_code, answer.json()["known"]) == (409, ids)
    assert registry.open(camera=ids[0])["camera"] == ids[0]


@pytest.mark.parametrize(
    ("field", "value"),
    [("width", 0), ("width", -1), ("height", 1_000_000), ("fps", 0), ("fps", -5), ("fps", 1e9), ("width", "big")],
)
def test_absurd_sizes_and_rates_are_refused(registry: Registry, field: str, value: object) -> None:
    """422, and the field's name."""
    answer = registry.post("/v1/sessions", {"camera": "line-3", "algorithm": "yolo", field: value})
    assert (answer.status_code, answer.json()["field"]) == (422, field)


def test_a_full_mesh_says_so_and_when_to_come_back(registry: Registry) -> None:
    """503 with Retry-After and words on every node; a session that ends frees its slot at once."""
    registry.camera()
    registry.compute("hall-1", slots=1)
    cell = registry.node("compute", "cell-7", advertise_url="http://127.0.0.1:9")
    cell.register()
    cell.live()
    held = registry.open()
    full = registry.post("/v1/sessions", {"camera": "line-3", "algorithm": "yolo", "width": 64})
    assert full.status_code == 503
    assert int(full.headers["Retry-After"]) >= 1
    assert full.json()["title"] == "No free slot"
    assert "hall-1 is full" in full.json()["detail"]
    assert "cell-7 is" in full.json()["detail"]
    assert registry.names("?state=full") == ["hall-1"]
    assert registry.delete(f"/v1/sessions/{held['session_id']}").status_code == 204
    assert registry.session(held["session_id"])["state_reason"] == "ended by request"
    assert registry.open(width=64)["node_name"] == "hall-1"
    assert [s["width"] for s in registry.json("/v1/sessions")["sessions"]] == [64]
    assert len(registry.json("/v1/sessions?state=any")["sessions"]) == 2


def test_streams_without_a_session_hold_slots_too(registry: Registry) -> None:
    """The original's viewers are served by the same hardware."""
    registry.camera()
    node = registry.node("compute", "hall-1", slots=1).join()
    node.beat(direct=1)
    assert registry.post("/v1/sessions", {"camera": "line-3", "algorithm": "yolo"}).status_code == 503
    node.beat()
    assert registry.open()["node"] == node.node_id


def test_the_least_loaded_node_is_chosen_then_the_least_recently_used(registry: Registry) -> None:
    """Load is the share of a node's slots, so a large node takes more."""
    registry.camera()
    registry.compute("small", slots=1)
    registry.compute("large", slots=4)
    chosen = Counter(registry.open(width=100 + n)["node_name"] for n in range(5))
    assert chosen == {"small": 1, "large": 4}


def test_a_node_that_keeps_up_is_preferred(registry: Registry) -> None:
    """Among free nodes, one with too few frames per second to spare comes last."""
    registry.camera()
    registry.compute("slow", slots=16, algorithm=[{**YOLO, "fps": 4.0}])
    registry.compute("fast", slots=4, algorithm=[{**YOLO, "fps": 60.0}])
    names = [registry.open(width=100 + n, fps=10)["node_name"] for n in range(5)]
    assert names == ["fast"] * 4 + ["slow"]


def test_a_wanted_node_is_taken_or_refused_with_its_reason(registry: Registry) -> None:
    """`node` means that node, by name or id."""
    registry.camera()
    registry.compute("hall-1", slots=1)
    second = registry.compute("hall-2", slots=1)
    assert registry.open(node=second.node_id)["node"] == second.node_id
    refused = registry.post("/v1/sessions", {"camera": "line-3", "algorithm": "yolo", "node": "hall-2", "width": 9})
    assert refused.status_code == 503
    assert "hall-2 is full" in refused.json()["detail"]


def test_racing_clients_never_overbook(registry: Registry) -> None:
    """8 clients race for 20 slots on 5 nodes: 20 are placed, the others are refused, no node has more than its 4."""
    registry.camera()
    for number in range(5):
        registry.compute(f"hall-{number}", slots=4)
    answers: list[tuple[int, Json]] = []
    begin = threading.Barrier(8)

    def race(client: int) -> None:
        begin.wait(10)
        for n in range(5):
            # Pinned: an idle one would end, and make room for another, before a busy machine has answered the last one.
            wish = {"camera": "line-3", "algorithm": "yolo", "width": 100 + client * 10 + n, "pinned": True}
            answer = registry.post("/v1/sessions", wish)
            answers.append((answer.status_code, answer.json()))

    threads = [threading.Thread(target=race, args=(client,)) for client in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert Counter(status for status, _ in answers) == {201: 20, 503: 20}
    assert set(Counter(body["node_name"] for status, body in answers if status == 201).values()) == {4}
    assert len({body["token"] for status, body in answers if status == 201}) == 20


def test_racing_clients_with_one_wish_get_one_session(registry: Registry) -> None:
    """A page that everybody opens at once costs one slot."""
    registry.camera()
    registry.compute("hall-1", slots=4)
    ids: list[str] = []
    threads = [threading.Thread(target=lambda: ids.append(registry.open()["session_id"])) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(ids) == 16
    assert len(set(ids)) == 1


def test_the_stable_address_leads_to_the_node_and_keeps_the_query(registry: Registry) -> None:
    """307, remembered by nobody."""
    registry.camera()
    node = registry.compute("hall-1")
    opened = registry.open()
    session, token = opened["session_id"], opened["token"]
    for view in ("stream", "snapshot", "detections"):
        answer = registry.get(f"/v1/sessions/{session}/{view}?width=64&x=a%20b")
        assert (answer.status_code, answer.headers["Cache-Control"]) == (307, "no-store")
        asked = f"token={token}&width=64&x=a%20b"
        assert answer.headers["Location"] == f"{node.url}/v1/sessions/{session}/{view}?{asked}"
    registry.delete(f"/v1/sessions/{session}")
    ended = registry.get(f"/v1/sessions/{session}/stream")
    assert ended.status_code == 404
    assert "has ended" in ended.json()["detail"]
    assert registry.get("/v1/sessions/nothing/stream").status_code == 404


def test_beats_make_a_session_run_and_tell_of_it(registry: Registry) -> None:
    """State, viewers and rate come from the node; so does a problem. A report on an old placement counts nothing."""
    registry.camera()
    node = registry.node("compute", "hall-1").join()
    session = registry.open()
    node.serves({**session, "token": session["token"] - 1}, viewers=9)
    node.beat()
    assert registry.session(session["session_id"])["state"] == "placed"
    node.serves(session, viewers=2, fps=24.5)
    node.beat()
    seen = registry.session(session["session_id"])
    assert (seen["state"], seen["viewers"], seen["fps"], seen["state_reason"]) == ("running", 2, 24.5, "")
    node.serves(session, viewers=2, problem="the camera sends no frames")
    node.beat()
    assert registry.session(session["session_id"])["state_reason"] == "the camera sends no frames"
    assert registry.json("/v1/sessions")["sessions"][0]["viewers"] == 2


def test_a_session_that_nobody_watches_ends_unless_it_is_pinned(registry: Registry) -> None:
    """Viewers keep it, and so does the pin."""
    registry.camera()
    node = registry.compute("hall-1", slots=4)
    idle, watched, pinned = registry.open(), registry.open(width=64), registry.open(width=65, pinned=True)
    for session in (idle, pinned):
        node.serves(session)
    node.serves(watched, viewers=1)
    reason = f"nobody watched for {IDLE:.0f} s"
    wait_for(lambda: registry.session(idle["session_id"])["state_reason"] == reason, IDLE + 3, "end")
    time.sleep(0.7)
    going = {s["session_id"] for s in registry.json("/v1/sessions")["sessions"]}
    assert going == {watched["session_id"], pinned["session_id"]}
    assert registry.open()["session_id"] != idle["session_id"]
