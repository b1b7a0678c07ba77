"""Who may call what of a camera or compute node, by what the node itself knows."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from werkzeug.test import EnvironBuilder
from werkzeug.wrappers import Request

from mesh import doors, proof
from mesh.access import LOCAL, ORIGINAL, Door, Principal, Scope
from mesh.access_wire import Introspection, IntrospectRequest, Trust
from mesh.client import RegistryClient
from mesh.credentials import NodeCredentials
from mesh.errors import Forbidden, Unauthorized, Unavailable
from mesh.keys import Key
from mesh.node_door import EVER, NodeGuard, Right, guard_of, placement_of, right_of
from mesh.proof import Call, NodeCertificate, Ticket
from mesh.trusted import Trusted
from tests.processes import free_port

RULE = "/v1/sessions/<session_id>/stream"
PATH = "/v1/sessions/s/stream"


@dataclass
class Member:
    """A node that has joined, unless a test says otherwise, at a registry that is away."""

    folder: Path
    node_id: str = "hall-1"
    locked: bool = True
    problem: str | None = "no join token"

    def __post_init__(self) -> None:
        self.signer = Key.new()
        self.credentials = NodeCredentials(self.node_id)
        self.trusted = Trusted(self.folder / f"{self.node_id}.trust")
        self.credentials.hold(Key.new(), "a certificate")
        self.asked = 0
        self.say()

    def say(self, *revoked: str, legacy_open: bool = False) -> None:
        """The registry says so."""
        keys = {self.signer.kid: self.signer.public}
        document = Trust(version=self.asked, keys=keys, revoked=list(revoked), now=0, legacy_open=legacy_open)
        self.trusted.take(document)

    def ask_trust(self) -> None:
        self.asked += 1
        self.say()

    def registry(self, timeout: tuple[float, float]) -> RegistryClient:
        return RegistryClient(f"http://127.0.0.1:{free_port()}", timeout=timeout, credentials=self.credentials)

    def ticket(self, path: str = PATH, *, opens: float = 60, lasts: float = 90, method: str = "GET") -> str:
        now = time.time()
        return proof.issue(
            self.signer,
            Ticket(self.node_id, path, "k:ann", now + opens, now + lasts, session="s", token=7, method=method),
        )

    def other(self, kind: str, node_id: str = "gate") -> NodeCredentials:
        """Another node, as the registry has certified it."""
        key, found = Key.new(), NodeCredentials(node_id)
        certificate = NodeCertificate(node_id, kind, node_id, key.public, time.time() + 60)
        found.hold(key, proof.certify(self.signer, certificate, time.time()))
        return found


@pytest.fixture
def member(tmp_path: Path) -> Member:
    return Member(tmp_path)


def request(rule: str = RULE, path: str = PATH, method: str = "GET", **headers: str) -> Any:
    """As Flask has it."""
    made: Any = Request(
        EnvironBuilder(path, method=method, headers=list(headers.items()), base_url="http://x/").get_environ()
    )
    made.url_rule, made.view_args = SimpleNamespace(rule=rule), {"session_id": "s"}
    return made


def guard(member: Member, table: Any = doors.COMPUTE) -> NodeGuard:
    return guard_of(member, table)


def test_a_signed_address_opens_its_path_and_says_for_how_long(member: Member) -> None:
    """A HEAD of it is a GET; the placement is the address's own, whatever the query says."""
    for method in ("GET", "HEAD"):
        asked = request(path=f"{PATH}?ticket={member.ticket()}&token=99", method=method)
        who = guard(member).check(asked)
        assert who is not None
        assert (who.kind, who.id, who.token) == ("ticket", "k:ann", 7)
        assert placement_of(asked.environ, 99) == 7
        right = right_of(asked.environ)
        assert not right.over()
        assert not right.once()
        assert right.refusal() is None
    member.say("k:ann")
    assert right.over()
    assert isinstance(right.refusal(), Unauthorized)
    with pytest.raises(Unauthorized, match="revoked"):
        guard(member).check(request(path=f"{PATH}?ticket={member.ticket()}"))


def test_what_an_address_has_opened_outlives_the_time_to_open_it(member: Member) -> None:
    """The same request again does not, and all of it ends."""
    asked = request(path=f"{PATH}?ticket={member.ticket(opens=1.9, lasts=2.9)}")
    guard(member).check(asked)
    right = right_of(asked.environ)
    assert (right.once(), right.over()) == (False, False)
    until = time.monotonic() + 5
    while not right.once():
        assert time.monotonic() < until
        time.sleep(0.01)
    assert not right.over()
    while not right.over():
        assert time.monotonic() < until
        time.sleep(0.01)


def test_nodes_open_what_is_for_their_kind(member: Member) -> None:
    """A dashboard may watch sessions; cameras' pictures are for compute nodes, too. Each proof is good once."""
    call = Call("GET", PATH, "hall-1")
    shown = member.other("ui").headers(call, b"")
    door = guard(member)
    who = door.check(request(**shown))
    assert who == Principal("node", id="gate", name="gate", node_kind="ui")
    with pytest.raises(Unauthorized, match="before"):
        door.check(request(**shown))
    with pytest.raises(Forbidden):
        door.check(request(**member.other("compute").headers(call, b"")))
    image = Call("GET", "/image.jpg", "hall-1")
    camera = guard(member, doors.CAMERA)
    asked = request("/image.jpg", "/image.jpg", **member.other("compute").headers(image, b""))
    assert camera.check(asked) is not None
    assert right_of(asked.environ).once(), "a connection that is kept must not repeat a proof"
    member.say("gate")
    assert right_of(asked.environ).over()
    with pytest.raises(Unauthorized, match="revoked"):
        camera.check(request("/image.jpg", "/image.jpg", **member.other("compute").headers(image, b"")))


def test_an_unknown_signing_key_is_asked_for(member: Member) -> None:
    """It may be new since a moment; a forged one is refused all the same."""
    member.signer = Key.new()
    assert guard(member).check(request(path=f"{PATH}?ticket={member.ticket()}")) is not None
    assert member.asked == 1
    stranger = Member(member.folder / "stranger")
    with pytest.raises(Unauthorized):
        guard(member).check(request(path=f"{PATH}?ticket={stranger.ticket()}"))


def test_a_key_cannot_be_looked_up_while_the_registry_is_away(member: Member) -> None:
    with pytest.raises(Unavailable, match="cannot be found out"):
        guard(member).check(request(Authorization="Bearer fgk_1_2"))


class Asked:
    """A registry that knows every key, with these scopes, and counts how often it is asked."""

    def __init__(self, *scopes: Scope) -> None:
        self.answer = Introspection(active=True, kind="key", id="k:1", name="key", scopes=list(scopes))
        self.times = 0

    def introspect(self, _request: IntrospectRequest) -> Introspection:
        self.times += 1
        return self.answer


@pytest.mark.parametrize(("scopes", "times"), [(("view",), 3), (("metrics",), 1), (("metrics", "detect"), 3)])
def test_a_key_for_figures_is_asked_about_seldom(
    member: Member, monkeypatch: pytest.MonkeyPatch, scopes: tuple[Scope, ...], times: int
) -> None:
    """Prometheus shows it to thousands of nodes all the time; after a revocation it is asked about at once."""
    monkeypatch.setattr("mesh.node_door.FRESH", 0.0)
    registry = Asked(*scopes)
    monkeypatch.setattr(member, "registry", lambda _timeout: registry)
    door, shown = guard(member), {"Authorization": "Bearer fgk_1_2"}
    for _ in range(3):
        who = door.check(request("/metrics", "/metrics", **shown))
        assert who is not None
        assert who.scopes == set(scopes)
    assert registry.times == times
    if scopes == ("metrics",):
        with pytest.raises(Forbidden, match="scope view"):
            door.check(request(**shown))
    member.asked += 1
    member.say("k:1")
    before = registry.times
    with pytest.raises(Unauthorized, match="revoked"):
        door.check(request("/metrics", "/metrics", **shown))
    assert registry.times == before + 1


def test_a_node_that_has_not_joined_lets_nobody_in(member: Member) -> None:
    """But for what is public, and in words."""
    member.credentials = NodeCredentials("hall-1")
    door = guard(member)
    with pytest.raises(Unavailable, match="has not joined the mesh yet: no join token"):
        door.check(request(path=f"{PATH}?ticket={member.ticket()}"))
    assert door.check(request("/healthz", "/healthz")) is None


def test_a_node_is_open_until_it_has_joined(member: Member) -> None:
    member.locked = False
    door = guard(member)
    asked = request(path=f"{PATH}?ticket=whatever", Host="127.0.0.1:8000")
    assert door.check(asked) == LOCAL
    assert right_of(asked.environ) is EVER
    member.locked = True
    with pytest.raises(Unauthorized):
        door.check(request(Host="127.0.0.1:8000"))


def test_the_originals_calls_go_by_what_the_registry_says(member: Member) -> None:
    """Allowed from one moment to the next, and ended likewise."""
    door, rule = guard(member), "/<path:path>"
    with pytest.raises(Unauthorized, match="--legacy-open"):
        door.check(request(rule, "/echo/image.jpg"))
    member.say(legacy_open=True)
    asked = request(rule, "/echo/image.jpg")
    assert door.check(asked) == ORIGINAL
    assert not right_of(asked.environ).over()
    with pytest.raises(Unauthorized):
        door.check(request())
    member.say()
    assert right_of(asked.environ).over()


@pytest.mark.parametrize(("service", "table"), [("camera", doors.CAMERA), ("compute", doors.COMPUTE)])
def test_no_door_opens_for_nobody(member: Member, service: str, table: dict[str, Door]) -> None:
    """Every route that is not public is shut to who shows nothing, and to who shows something wrong."""
    wrong: tuple[dict[str, str], ...]
    wrong = ({}, {"Authorization": "Fogline x.y.z"}, {"Authorization": "Fogline x.y.z", "Fogline-Certificate": "a.b.c"})
    for name, door in table.items():
        method, rule = name.split(" ")
        for headers in wrong:
            if door.public:
                assert guard(member, table).check(request(rule, "/x", method, **headers)) is None, service
            else:
                with pytest.raises(Unauthorized):
                    guard(member, table).check(request(rule, "/x", method, **headers))


def test_a_right_that_is_for_ever_costs_nothing() -> None:
    assert right_of({}) is EVER
    assert not EVER.over()
    assert isinstance(EVER, Right)
