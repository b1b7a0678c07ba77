"""Addresses that the registry signs: each opens one thing at one node, for whoever asked, for a while."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from mesh.credentials import Bearer
from mesh.errors import Unauthorized
from mesh.proof import Call, Ticket, read_ticket
from registry.settings import KEY_STREAM_SECONDS
from tests.registry.access_trust.conftest import STREAM, TICKET
from tests.registry.access_trust.members import Locked, Member
from tests.registry.fakes import Json

Make = Callable[..., Member]
VIEWS = ("stream", "snapshot", "detections", "stats")


@pytest.fixture
def session(registry: Locked, member: Make) -> Iterator[Json]:
    """A session of a camera and a compute node that have joined. It is pinned, for nobody watches it."""
    member("camera", "dock-1").join().live()
    member("compute", "gpu-7").join().live()
    made = registry.open("dock-1", node="gpu-7", pinned=True)
    yield made
    registry.delete(f"/v1/sessions/{made['session_id']}")


def read(registry: Locked, address: str, node_id: str, path: str) -> Ticket:
    """The ticket in `address`, which opens `path` at the node."""
    ticket = parse_qs(urlsplit(address).query)["ticket"][0]
    return read_ticket(ticket, registry.json("/v1/trust")["keys"], Call("GET", path, node_id), time.time())


def test_a_session_read_by_its_id_has_signed_addresses(registry: Locked, session: Json) -> None:
    """Each view's address has a ticket for this view, session, node and placement; those in lists have none."""
    document = registry.session(session["session_id"])
    for shown in (session, document):
        for view in VIEWS:
            path = f"/v1/sessions/{session['session_id']}/{view}"
            ticket = read(registry, shown[f"{view}_url"], shown["node"], path)
            assert (ticket.session, ticket.token) == (session["session_id"], shown["token"])
            assert urlsplit(shown[f"{view}_url"]).path == path
            assert parse_qs(urlsplit(shown[f"{view}_url"]).query)["token"] == [str(shown["token"])]
    listed = [one for one in registry.json("/v1/sessions")["sessions"] if one["session_id"] == session["session_id"]]
    assert "ticket" not in str(listed[0])
    assert "no-store" in registry.get(f"/v1/sessions/{session['session_id']}").headers["Cache-Control"]


def test_a_ticket_opens_nothing_else(registry: Locked, session: Json) -> None:
    """A ticket of one view is none for another view, another node or another method."""
    address, node = session["stream_url"], session["node"]
    path = f"/v1/sessions/{session['session_id']}/stream"
    keys = registry.json("/v1/trust")["keys"]
    ticket = parse_qs(urlsplit(address).query)["ticket"][0]
    for call in (Call("GET", f"{path}x", node), Call("GET", path, "another"), Call("POST", path, node)):
        with pytest.raises(Unauthorized):
            read_ticket(ticket, keys, call, time.time())
    with pytest.raises(Unauthorized):
        read_ticket(ticket, keys, Call("GET", path, node), time.time() + TICKET + 2)


def test_redirects_are_signed_and_keep_the_callers_wishes(registry: Locked, session: Json) -> None:
    """The stable address leads to a signed one with the caller's parameters, but never the caller's own ticket."""
    path = f"/v1/sessions/{session['session_id']}/stream"
    answer = registry.get(f"{path}?fps=5&ticket=mine&tok%65n=7&width=640&token=9")
    assert answer.status_code == 307
    asked = parse_qs(urlsplit(answer.headers["Location"]).query)
    assert (asked["fps"], asked["width"]) == (["5"], ["640"])
    assert asked["token"] == [str(session["token"])]
    assert len(asked["ticket"]) == 1
    assert asked["ticket"] != ["mine"]
    assert read(registry, answer.headers["Location"], session["node"], path).session == session["session_id"]


def test_many_addresses_at_once(registry: Locked, session: Json) -> None:
    """One call signs the views of sessions and the pictures of cameras; what is not there is left out."""
    camera = session["camera"]
    wish = {"sessions": [session["session_id"], "gone"], "cameras": [camera, session["node"], "gone"]}
    told = registry.post("/v1/tickets", wish).json()
    assert list(told["sessions"]) == [session["session_id"]]
    assert list(told["cameras"]) == [camera]
    addresses = told["sessions"][session["session_id"]]
    assert (addresses["token"], addresses["node"]) == (session["token"], session["node"])
    for view in VIEWS:
        read(registry, addresses[f"{view}_url"], session["node"], f"/v1/sessions/{session['session_id']}/{view}")
    for name, path in (("image_url", "/image.jpg"), ("stream_url", "/stream.jpg")):
        assert read(registry, told["cameras"][camera][name], camera, path).token is None
    assert told["seconds"] == TICKET


def test_how_long_a_stream_lasts_depends_on_who_asks(registry: Locked, session: Json) -> None:
    """A person's stream ends soon, one of an API key after a day; each ticket names whom a revocation would name."""
    path = f"/v1/sessions/{session['session_id']}/stream"

    def ticket(who: Locked) -> Ticket:
        return read(registry, who.session(session["session_id"])["stream_url"], session["node"], path)

    key = registry.post("/v1/keys", {"name": "wall", "scopes": ["view"]}).json()
    by_key = ticket(registry.as_(Bearer(key["secret"])))
    assert (by_key.subject, by_key.name) == (f"k:{key['key']['key_id']}", "wall")
    assert abs(by_key.ends - time.time() - KEY_STREAM_SECONDS) < 10
    person = registry.as_(Bearer(_signed_in(registry)))
    by_person = ticket(person)
    assert by_person.subject.startswith("s:")
    assert by_person.name == "vera"
    assert abs(by_person.ends - time.time() - STREAM) < 10
    assert abs(by_person.opens_until - time.time() - TICKET) < 10
    assert person.post("/v1/tickets", {"sessions": [session["session_id"]]}).json()["stream_seconds"] == STREAM
    assert person.post("/v1/sign-out").ok
    assert by_person.subject in registry.json("/v1/trust")["revoked"]
    registry.delete("/v1/users/vera")


def test_what_people_do_is_audited(registry: Locked, session: Json) -> None:
    """The audit says who opened and ended a session, and who let a node drain, with the address."""
    wall = registry.post("/v1/keys", {"name": "press", "scopes": ["operate"]}).json()
    press = registry.as_(Bearer(wall["secret"]))
    assert press.post(f"/v1/nodes/{session['node']}/drain").ok
    assert press.post(f"/v1/nodes/{session['node']}/undrain").ok
    assert press.delete(f"/v1/sessions/{session['session_id']}").ok
    mine = [one for one in registry.json("/v1/audit")["entries"] if one["who"] == "key press"]
    assert [one["action"] for one in mine] == ["session ended", "node undrained", "node drained"]
    assert {one["address"] for one in mine} == {"127.0.0.1"}
    assert session["session_id"] in mine[0]["subject"]
    assert "gpu-7" in mine[1]["subject"]


def test_an_added_camera_is_its_hosts(registry: Locked, member: Make) -> None:
    """The node that runs an added camera speaks for it, other nodes do not; its pictures' addresses are signed, and
    go to another host when the first one is revoked."""
    host, thief = member("camera", "host-1").join(), member("camera", "thief").join()
    added = registry.post("/v1/cameras", {"name": "gate", "source": "rtsp://u:secret@10.0.0.9/s"}).json()
    node = host.live(hosting=4)
    asked = {"boot_id": node.manifest["boot_id"], "capacity": 4}
    run = host.registry.post(f"/v1/nodes/{host.node_id}/cameras", asked).json()["cameras"]
    assert [one["camera_id"] for one in run] == [added["camera_id"]]
    manifest = {**node.manifest, "node_id": added["camera_id"], "boot_id": "gate", "hosted_by": host.node_id}
    manifest |= {"name": "gate", "advertise_url": f"{node.url}/cameras/{added['camera_id']}"}
    assert thief.registry.post("/v1/nodes", manifest | {"hosted_by": thief.node_id}).status_code == 403
    assert host.registry.post("/v1/nodes", manifest).status_code == 201
    beat = f"/v1/nodes/{added['camera_id']}/heartbeat"
    assert host.registry.post(beat, {"boot_id": "gate"}).status_code == 200
    assert thief.registry.post(beat, {"boot_id": "gate"}).status_code == 403
    certificate = f"/v1/enrolments/{added['camera_id']}/certificate"
    assert host.registry.post(certificate, {}).status_code == 403
    squatter = member()
    squatter.node_id = added["camera_id"]
    assert squatter.try_to_join(registry.token()).status_code == 409
    told = registry.post("/v1/tickets", {"cameras": [added["camera_id"]]}).json()["cameras"][added["camera_id"]]
    assert read(registry, told["image_url"], added["camera_id"], "/image.jpg").node_id == added["camera_id"]
    assert f"/cameras/{added['camera_id']}/image.jpg?ticket=" in told["image_url"]
    assert registry.delete(f"/v1/enrolments/{host.node_id}").ok
    assert registry.json(f"/v1/nodes/{added['camera_id']}")["state"] == "dead"
    assert host.registry.post("/v1/nodes", manifest).status_code == 401
    second = member("camera", "host-2").join()
    other = second.live(hosting=4)

    def taken() -> Any:
        body = {"boot_id": other.manifest["boot_id"], "capacity": 4}
        return second.registry.post(f"/v1/nodes/{second.node_id}/cameras", body).json()["cameras"]

    assert [one["camera_id"] for one in taken()] == [added["camera_id"]]
    registry.delete(f"/v1/cameras/{added['camera_id']}")
    assert taken() == []
    entries = [one for one in registry.json("/v1/audit")["entries"] if one["action"].startswith("camera ")]
    assert [one["action"] for one in entries[:2]] == ["camera removed", "camera added"]
    assert "secret" not in str(entries)


def _signed_in(registry: Locked) -> str:
    """The bearer of a viewer."""
    made = registry.post("/v1/users", {"name": "vera", "role": "viewer", "password": "correct horse 9"})
    assert made.ok, made.text
    answer = registry.ask("POST", "/v1/sign-in", {"name": "vera", "password": "correct horse 9"}, headers={})
    return str(answer.json()["token"])
