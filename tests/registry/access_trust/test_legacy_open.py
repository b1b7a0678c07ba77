"""With --legacy-open the original's devices need no credential: they are marked, and get no more than they had."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from mesh.manifest import original_id
from registry.app import RegistryService
from registry.settings import IN_MEMORY, RegistrySettings
from tests.processes import wait_for
from tests.registry.access_trust.members import Locked, Member
from tests.registry.fakes import Json

Make = Callable[..., Member]


def post(registry: Locked, path: str, document: Json) -> int:
    return registry.ask("POST", path, document, headers={}).status_code


@contextmanager
def original(registry: Locked, host_name: str, **fields: object) -> Iterator[str]:
    """One of the original's cameras; its id."""
    document = {"host_name": host_name, "ip_address": "127.0.0.1", **fields}
    assert post(registry, "/cam", document) == 200
    node_id = original_id("camera", host_name)
    yield node_id
    registry.delete(f"/v1/nodes/{node_id}")


def test_the_originals_cameras_join_marked(registry: Locked) -> None:
    """A camera of the original needs no credential, and is listed as unauthenticated, everywhere."""
    with original(registry, "old-1", hosting=9, hosted_by="x", unauthenticated=False) as node_id:
        document = registry.json(f"/v1/nodes/{node_id}")
        assert document["unauthenticated"] is True
        assert document["original"] is True
        assert "hosting" not in document
        assert "hosted_by" not in document
        listed = registry.ask("GET", "/cam", headers={}).json()
        assert [one["unauthenticated"] for one in listed if one.get("host_name") == "old-1"] == [True]
        (shown,) = [one for one in registry.json("/v1/nodes")["nodes"] if one["node_id"] == node_id]
        assert shown["unauthenticated"] is True


def test_what_a_key_sends_is_not_marked(registry: Locked) -> None:
    """A device of the original whose manifest somebody sends with an API key is vouched for."""
    assert registry.post("/cam", {"host_name": "old-2", "ip_address": "127.0.0.1"}).ok
    node_id = original_id("camera", "old-2")
    assert "unauthenticated" not in registry.json(f"/v1/nodes/{node_id}")
    registry.delete(f"/v1/nodes/{node_id}")


def test_only_the_originals_calls_are_open(registry: Locked) -> None:
    """No other call than the original's takes anything without a credential."""
    for method, path in (("GET", "/v1/nodes"), ("POST", "/v1/nodes"), ("POST", "/v1/sessions"), ("GET", "/v1/events")):
        assert registry.ask(method, path, headers={}).status_code == 401
    for path in ("/cam", "/device", "/"):
        assert registry.ask("GET", path, headers={}).status_code == 200


def test_nobody_passes_for_a_node_of_foglines(registry: Locked, member: Make) -> None:
    """A manifest of Fogline's own is refused there, with and without a key, and so is one that takes a node's id as its
    name: neither replaces a node that has joined."""
    one = member("camera", "belt-1").join()
    node = one.live()
    stolen = node.manifest | {"advertise_url": "http://127.0.0.1:1"}
    assert post(registry, "/cam", stolen) == 403
    assert registry.post("/cam", stolen).status_code == 403
    for field in ("host_name", "FriendlyName", "name"):
        assert post(registry, "/cam", {"host_name": "old-3", field: one.node_id}) == 409
    assert node.listed()["url"] == node.url


def test_a_name_stays_with_the_node_that_has_joined(registry: Locked, member: Make) -> None:
    """A camera that has joined is found by its name though an unauthenticated one has the same, and while it is away
    nobody else is taken for it."""
    mine = member("camera", "belt-2").join()
    node = mine.live()
    member("compute", "gpu-3").join().live()
    with original(registry, "old-4", FriendlyName="belt-2") as stranger:
        session = registry.open("belt-2")
        assert session["camera"] == mine.node_id
        assert registry.open(stranger)["camera"] == stranger
        node.die()
        mine.nodes.clear()
        wait_for(lambda: node.listed()["state"] == "dead", 6, "the end of the camera's lease")
        refused = registry.post("/v1/sessions", {"camera": "belt-2", "algorithm": "yolo"})
        assert refused.status_code == 409
        assert mine.node_id in refused.json()["detail"]
    for one in registry.json("/v1/sessions")["sessions"]:
        registry.delete(f"/v1/sessions/{one['session_id']}")


def test_the_originals_devices_get_no_sessions(registry: Locked, member: Make) -> None:
    """An unauthenticated compute node is listed, and no session is ever placed on it."""
    member("camera", "belt-3").join().live()
    document = {"host_name": "old-5", "ip_address": "127.0.0.1", "algorithm": [{"path": "old/image.jpg"}]}
    assert post(registry, "/device", document) == 200
    answer = registry.post("/v1/sessions", {"camera": "belt-3", "algorithm": "old"})
    assert answer.status_code == 503
    registry.delete(f"/v1/nodes/{original_id('compute', 'old-5')}")


@pytest.mark.parametrize("path", ["/cam", "/device"])
def test_a_locked_registry_takes_nothing_of_the_originals(tmp_path: Path, path: str) -> None:
    """Without --legacy-open the original's calls are shut, and the words name the option."""
    settings = RegistrySettings(redis=IN_MEMORY, access="locked", data=tmp_path, datagrams="off", announce="off")
    client = RegistryService(settings).application().test_client()
    for answer in (client.post(path, json={"host_name": "x"}), client.get(path)):
        assert answer.status_code == 401
        assert "--legacy-open" in answer.get_json()["detail"]
