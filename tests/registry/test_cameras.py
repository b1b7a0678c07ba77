"""Added cameras by HTTP: add, list, change, remove, and what hosts are told."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import requests

from tests.processes import wait_for
from tests.registry.fakes import FakeNode, Json, Registry
from tests.registry.servers import until_written

SECRET = "pa55word"
SOURCE = f"rtsp://keeper:{SECRET}@10.0.0.5:554/live?token={SECRET}"
SHOWN = "rtsp://10.0.0.5:554/live"


class Host:
    """A camera host that asks when it is told to. runs: what it heard last."""

    def __init__(self, registry: Registry, name: str, capacity: int = 4) -> None:
        self.registry = registry
        self.capacity = capacity
        self.node = registry.camera(name, hosting=capacity)
        self.boot_id = self.node.manifest["boot_id"]
        self.runs: list[Json] = []
        self.ask()

    def ask(self, **problems: str) -> requests.Response:
        answer = self.registry.post(
            f"/v1/nodes/{self.node.node_id}/cameras",
            {
                "boot_id": self.boot_id,
                "capacity": self.capacity,
                "cameras": self.runs,
                "problems": problems,
            },
        )
        if answer.ok:
            self.runs = answer.json()["cameras"]
        return answer

    def start(self, camera_id: str, name: str) -> FakeNode:
        """Run a camera as a node of its own."""
        node = self.registry.node("camera", name, node_id=camera_id, hosted_by=self.node.node_id)
        node.node_id = camera_id
        return node.join()


def add(registry: Registry, name: str = "door", **fields: Any) -> Json:
    answer = registry.post("/v1/cameras", {"name": name, "source": SOURCE, **fields})
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


def change(registry: Registry, camera: Json, **fields: Any) -> requests.Response:
    return requests.patch(f"{registry.url}/v1/cameras/{camera['camera_id']}", json=fields, timeout=10)


def one(registry: Registry, camera: Json) -> Json:
    return dict(registry.json(f"/v1/cameras/{camera['camera_id']}"))


def stands(registry: Registry, camera: Json) -> tuple[str, str]:
    now = one(registry, camera)
    return now["state"], now["state_reason"]


def test_an_added_camera_is_given_to_a_host_and_runs_as_a_node(registry: Registry) -> None:
    """Its state is told from that node, and when it is removed its host hears nothing of it any more."""
    host = Host(registry, "gate")
    camera = add(registry, width=640, fps=5)
    assert (camera["revision"], camera["source"], camera["verify"], camera["draft"]) == (1, SHOWN, True, False)
    assert stands(registry, camera) == ("waiting", "a camera host is about to take it")
    answer = host.ask().json()
    assert (answer["seconds"], answer["lease_seconds"]) == (1.0, 5.0)
    (told,) = answer["cameras"]
    assert (told["camera_id"], told["source"], told["width"], told["fps"]) == (camera["camera_id"], SOURCE, 640, 5)
    assert stands(registry, camera) == ("starting", "gate starts it")
    node = host.start(camera["camera_id"], "door")
    node.beat()
    now = one(registry, camera)
    assert (now["state"], now["url"], now["host"], now["host_name"]) == ("running", node.url, host.node.node_id, "gate")
    node.beat(no_signal="the camera refuses the password")
    assert stands(registry, camera) == ("failing", "the camera refuses the password")
    host.ask(**{camera["camera_id"]: f"cannot read {SOURCE}"})
    assert stands(registry, camera) == ("failing", f"cannot read {SHOWN}")
    assert registry.json("/v1/cameras")["hosts"] == [
        {"node_id": host.node.node_id, "name": "gate", "capacity": 4, "running": 1}
    ]
    assert registry.delete(f"/v1/cameras/{camera['camera_id']}").status_code == 204
    assert host.ask().json()["cameras"] == []
    assert registry.get(f"/v1/cameras/{camera['camera_id']}").status_code == 404
    assert registry.json("/v1/cameras")["cameras"] == []


def test_a_camera_that_waits_says_for_what(registry: Registry) -> None:
    """No host at all, none with room, or its own one that is away, full or draining."""
    first = add(registry, "first")
    assert stands(registry, first) == ("waiting", "no camera host is there: start a camera node with --host-cameras 8")
    gate, hall = Host(registry, "gate", 1), Host(registry, "hall", 1)
    bound = add(registry, "bound", host="hall")
    assert bound["host_wanted"] == hall.node.node_id
    assert stands(registry, bound) == ("waiting", "hall is about to take it")
    hall.ask()
    more = add(registry, "more")
    gate.ask()
    assert stands(registry, more)[1].startswith("every camera host is full")
    late = add(registry, "late", host=gate.node.node_id)
    assert stands(registry, late) == ("waiting", "its host gate is full: it runs 1 of 1 cameras")
    registry.post(f"/v1/nodes/{gate.node.node_id}/drain")
    assert stands(registry, late) == ("waiting", "its host gate is draining")
    hall.node.die()
    registry.delete(f"/v1/nodes/{hall.node.node_id}")
    assert stands(registry, bound) == ("waiting", "its host hall is away")
    gate.ask()
    assert stands(registry, bound) == ("waiting", "its host hall is away")
    assert change(registry, bound, host=None).json()["host_wanted"] is None


def test_passwords_are_told_to_hosts_alone(registry: Registry) -> None:
    """Not in lists, answers, errors, metrics or the log."""
    host = Host(registry, "gate")
    camera = add(registry)
    said = [
        registry.get("/v1/cameras"),
        registry.get(f"/v1/cameras/{camera['camera_id']}"),
        change(registry, camera, fps=5),
        change(registry, camera, name="<b>"),
        change(registry, camera, source=f"ftp://keeper:{SECRET}@cam/"),
        change(registry, camera, source=f"rtsp://keeper:{SECRET} @cam/"),
        registry.post("/v1/cameras", {"name": "door", "source": SOURCE}),
        registry.post("/v1/cameras", {"name": "other", "source": SOURCE, "host": "nobody"}),
        registry.post("/v1/cameras", {"name": 5, "source": SOURCE}),
        registry.get("/v1/nodes"),
        registry.get("/metrics"),
        registry.get("/openapi.json"),
    ]
    assert [answer.status_code for answer in said] == [200, 200, 200, 422, 422, 422, 409, 404, 422, 200, 200, 200]
    assert SECRET in host.ask().text
    assert not [answer.text for answer in said if SECRET in answer.text]
    assert camera["name"] in registry.running.log()
    assert SECRET not in registry.running.log()


def test_a_source_as_it_is_shown_leaves_the_source_with_its_password(registry: Registry) -> None:
    """People edit what they see; null means none, and the revision counts what a host has to know."""
    host = Host(registry, "gate")
    camera = add(registry, width=640)
    changed = change(registry, camera, source=SHOWN, name=" back door ", width=None).json()
    assert (changed["revision"], changed["name"], changed["width"], changed["source"]) == (2, "back door", None, SHOWN)
    (told,) = host.ask().json()["cameras"]
    assert (told["source"], told["revision"], told["name"]) == (SOURCE, 2, "back door")
    assert change(registry, camera, source=SHOWN, host="gate").json()["revision"] == 2
    assert change(registry, camera, source="http://10.0.0.6/").json()["revision"] == 3
    (told,) = host.ask().json()["cameras"]
    assert told["source"] == "http://10.0.0.6/"


def test_what_cannot_be_is_refused_with_the_field_and_words(registry: Registry) -> None:
    """Names that are taken, hosts that are unknown or ambiguous or host nothing, a saved camera as a draft."""
    Host(registry, "gate")
    registry.camera("plain")
    twins = sorted(Host(registry, "twin").node.node_id for _ in range(2))
    camera = add(registry)
    draft = add(registry, draft=True)

    def problem(answer: requests.Response) -> tuple[int, str | None]:
        return answer.status_code, answer.json().get("field")

    def post(**fields: Any) -> requests.Response:
        return registry.post("/v1/cameras", {"name": "new", "source": "demo:", **fields})

    taken = change(registry, draft, draft=False)
    assert (*problem(taken), taken.json()["known"]) == (409, "name", [camera["camera_id"]])
    assert problem(post(name="  ")) == (422, "name")
    assert problem(post(source="/etc/passwd")) == (422, "source")
    assert problem(post(source="http://169.254.169.254/")) == (422, "source")
    assert problem(post(fps=0)) == (422, "fps")
    assert problem(change(registry, camera, width="wide")) == (422, "width")
    assert problem(change(registry, camera, draft=True)) == (422, "draft")
    assert problem(post(host="plain")) == (422, "host")
    unknown = post(host="nobody")
    assert (unknown.status_code, unknown.json()["known"]) == (404, ["gate", "twin"])
    several = post(host="twin")
    assert (several.status_code, several.json()["known"]) == (409, twins)
    assert post(host=twins[0]).json()["host_wanted"] == twins[0]
    assert change(registry, {"camera_id": "nobody"}, fps=5).status_code == 404
    assert registry.delete("/v1/cameras/nobody").status_code == 404


def test_a_host_that_is_unknown_registers_again_and_reports_only_what_may_be(registry: Registry) -> None:
    """A camera with an address that nobody could add is not brought in by a host."""
    host = Host(registry, "gate")
    host.runs = [
        {"camera_id": "good", "revision": 3, "name": "good", "source": SOURCE},
        {"camera_id": "bad", "revision": 3, "name": "bad", "source": "http://169.254.169.254/"},
    ]
    assert [camera["camera_id"] for camera in host.ask().json()["cameras"]] == ["good"]
    assert [camera["name"] for camera in registry.json("/v1/cameras")["cameras"]] == ["good"]
    host.boot_id = "another"  # of the question alone: a node that beats with it would register again by itself
    refused = host.ask()
    assert (refused.status_code, refused.json()["title"]) == (404, "Register again")


def test_the_list_has_an_etag_until_it_changes(registry: Registry) -> None:
    """Drafts end without a change, so that there is none with them."""
    host = Host(registry, "gate")
    camera = add(registry)
    host.ask()

    def tag() -> str | None:
        return registry.get("/v1/cameras").headers.get("ETag")

    def unchanged(known: str) -> bool:
        return registry.get("/v1/cameras", headers={"If-None-Match": known}).status_code == 304

    known = tag()
    assert known is not None
    host.ask()
    assert unchanged(known)
    node = host.start(camera["camera_id"], "door")
    assert not unchanged(known)
    known = tag() or ""
    node.beat(no_signal="no route to it")
    assert not unchanged(known)
    draft = add(registry, draft=True)
    assert tag() is None
    registry.delete(f"/v1/cameras/{draft['camera_id']}")
    assert tag() is not None


def test_nodes_hear_what_the_registrys_clock_says(registry: Registry) -> None:
    """With every manifest and every beat, in Unix seconds."""
    node = registry.node("camera", "line-3")
    for answer in (node.register(), node.beat()):
        assert abs(answer.json()["now"] - time.time()) < 5


def _valkey(registry: Registry) -> psutil.Process:
    family = psutil.Process(registry.running.process.pid).children(recursive=True)
    (found,) = [process for process in family if "valkey" in process.name()]
    return found


def test_added_cameras_outlive_redis(own_registry: Callable[..., Registry], tmp_path: Path) -> None:
    """Listed as they were while it hangs, kept when it is killed, known again from their host when it is wiped."""
    registry = own_registry()
    host = Host(registry, "gate")
    camera = add(registry)
    host.ask()
    assert stands(registry, camera)[0] == "starting"
    valkey = _valkey(registry)
    valkey.suspend()
    try:
        listed = registry.json("/v1/cameras")
        assert (listed["stale"], listed["cameras"][0]["camera_id"]) == (True, camera["camera_id"])
        assert one(registry, camera)["stale"] is True
        for refused in (
            registry.post("/v1/cameras", {"name": "new", "source": "demo:"}),
            change(registry, camera, fps=5),
        ):
            assert (refused.status_code, refused.json()["title"]) == (503, "Registry unreachable")
    finally:
        valkey.resume()
    wait_for(lambda: registry.json("/v1/cameras")["stale"] is False, 5, "fresh list")
    last = add(registry, "last")
    with registry.store(tmp_path / "data") as store:
        until_written(store)
    os.kill(_valkey(registry).pid, signal.SIGKILL)
    wait_for(lambda: registry.get("/readyz").ok, 5, "a new Valkey")
    names = wait_for(
        lambda: not (now := registry.json("/v1/cameras"))["stale"] and [one["name"] for one in now["cameras"]],
        5,
        "fresh list",
    )
    assert names == ["door", "last"]
    wait_for(lambda: host.ask().ok, 5, "an answer to the host")
    assert [told["name"] for told in host.runs] == ["door", "last"]
    with registry.store(tmp_path / "data") as store:
        store.flushall()
    wait_for(lambda: host.ask().ok, 5, "the host to register again")
    assert [told["source"] for told in host.runs] == [SOURCE, SOURCE]
    after = {now["camera_id"]: now["host"] for now in registry.json("/v1/cameras")["cameras"]}
    assert after == {camera["camera_id"]: host.node.node_id, last["camera_id"]: host.node.node_id}
