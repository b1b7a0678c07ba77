"""Every door of every service is tried with every kind of credential: what should be shut is, what should open does.

Whom a door lets in is said here again, in other words than the guard's, from the table alone: nothing calls it.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote

import pytest
import requests

from camera_node.app import CameraService
from camera_node.settings import CameraSettings
from camera_node.sources import resolve
from compute_node.app import ComputeService
from compute_node.settings import ComputeSettings
from mesh import doors, proof
from mesh.access import Door
from mesh.credentials import NodeCredentials
from mesh.identity import claim
from mesh.keys import Key
from mesh.proof import Call, NodeCertificate, Ticket
from registry.app import RegistryService
from registry.settings import IN_MEMORY, RegistrySettings
from tests.attacks.locked_house import House, locked_house
from tests.processes import wait_for
from ui.app import UiService
from ui.settings import UiSettings

Row = tuple[str, Door]
NOTHING: Final = "no-such-thing"
OPENED_FOR: Final[Mapping[str, tuple[str, ...]]] = {  # the scopes that a role has, and that a key was given
    "viewer": ("view", "metrics"),
    "operator": ("view", "detect", "operate", "metrics"),
    "admin": ("view", "detect", "operate", "admin", "metrics"),
    "key view": ("view", "metrics"),
    "key detect": ("detect",),
    "key operate": ("operate",),
    "key admin": ("admin", "view", "detect", "operate", "metrics"),
    "key metrics": ("metrics",),
}
# Those that end a sign-in, the one that ends all of them last; an API key has none, and is told so.
ENDING: Final = ("POST /v1/sign-out", "POST /api/sign-out", "DELETE /v1/me/sign-ins", "DELETE /api/me/sign-ins")
PEOPLES: Final = (*ENDING, "POST /v1/me/password", "POST /api/me/password")
SLOW: Final = ("GET /v1/discovered", "GET /api/discovered")  # when they open they ask the network for seconds


@dataclass(frozen=True)
class Asked:
    """One request. path: as it is sent, without the query."""

    service: str
    method: str
    path: str
    query: str = ""

    @property
    def target(self) -> str:
        return proof.target(self.path, self.query)


@dataclass(frozen=True)
class Credential:
    """shown: the headers, and what stands in the query. opens: whether the door of the service's table does. own: the
    node_id for paths that name one."""

    shown: Callable[[Asked], tuple[dict[str, str], str]]
    opens: Callable[[str, Door], bool] = lambda _service, _door: False
    own: str = NOTHING
    person: str = ""


class Rack:
    """All kinds of credentials, good and bad, by their names."""

    def __init__(self, house: House) -> None:
        self.house = house
        self.signer, self.stranger = house.signer(), Key.new()
        self.all: dict[str, Credential] = {}
        self._nothing()
        self._people()
        self._nodes()
        self._tickets()

    def _nothing(self) -> None:
        for name, header in {
            "nothing": "",
            "garbage bearer": "Bearer fgk_000000_nobody",
            "garbage basic": "Basic a2V5OmZna18wMDAwMDBfbm9ib2R5",
            "broken basic": "Basic ====",
            "garbage sign-in": f"Bearer fgs_{'a' * 43}",
            "garbage proof": "Fogline a.b.c",
            "unknown scheme": "Digest x",
        }.items():
            self.all[name] = Credential(lambda _asked, header=header: ({"Authorization": header} if header else {}, ""))  # type: ignore[misc]

    def _people(self) -> None:
        house = self.house

        def add(name: str, secret: str, scopes: tuple[str, ...] = (), person: str = "") -> None:
            def opens(_service: str, door: Door) -> bool:
                return door.scope in scopes

            self.all[name] = Credential(_bearer(secret), opens, person=person)

        for name, scopes in OPENED_FOR.items():
            if name.startswith("key "):
                add(name, house.key(*name.split()[1:])[1], scopes)
            else:
                add(name, house.person(name, name), scopes, name)
        short = house.key("admin", expires_in=1)[1]
        self.expired_at = time.monotonic() + 1.2
        add("expired key", short)
        key_id, revoked = house.key("admin")
        house.ask("DELETE", f"/v1/keys/{key_id}")
        add("revoked key", revoked)
        gone = house.person("gone", "admin")
        house.ask("DELETE", "/v1/users/gone/sign-ins")
        add("revoked sign-in", gone)

    def _nodes(self) -> None:
        house = self.house
        held = {kind: house.join(kind, f"guest-{kind}") for kind in ("camera", "compute", "ui")}
        another = house.join("camera", "another")
        for kind, credentials in held.items():

            def opens_own(service: str, door: Door, kind: str = kind) -> bool:
                return service != "ui" and kind in door.nodes

            def opens_others(service: str, door: Door, kind: str = kind) -> bool:
                return service != "ui" and kind in door.nodes and not door.own

            shown = self._signed(credentials)
            self.all[f"{kind} node"] = Credential(shown, opens_own, own=f"guest-{kind}")
            self.all[f"{kind} node, of another"] = Credential(shown, opens_others, own="another")
        camera = held["camera"]
        self.all["a proof for another receiver"] = Credential(self._signed(camera, receiver="another"))
        self.all["a proof for another method"] = Credential(self._signed(camera, method="PUT"))
        self.all["another node's proof"] = Credential(self._signed(NodeLike(camera, another)), own="guest-camera")
        stolen = NodeCredentials("guest-camera")
        stolen.hold(Key.new(), _certificate(camera))
        self.all["a stolen certificate"] = Credential(self._signed(stolen), own="guest-camera")
        old = NodeCredentials("long-ago")
        key, now = Key.new(), time.time()
        made = NodeCertificate("long-ago", "camera", "x", key.public, now - 60)
        old.hold(key, proof.certify(self.signer, made, now - 90_000))
        self.all["an expired certificate"] = Credential(self._signed(old), own="long-ago")
        forged = NodeCredentials("forged")
        forged.hold(key, proof.certify(self.stranger, replace(made, node_id="forged", until=now + 999), now))
        self.all["a certificate of another mesh"] = Credential(self._signed(forged), own="forged")
        self.revoked = house.join("camera", "revoked")
        house.ask("DELETE", "/v1/enrolments/revoked")
        self.all["a revoked node"] = Credential(self._signed(self.revoked), own="revoked")

    def _signed(
        self, credentials: NodeCredentials | NodeLike, receiver: str = "", method: str = ""
    ) -> Callable[[Asked], tuple[dict[str, str], str]]:
        def shown(asked: Asked) -> tuple[dict[str, str], str]:
            to = receiver or self.house.receiver(asked.service)
            body = BODY if asked.method not in ("GET", "DELETE") else b""
            return credentials.headers(Call(method or asked.method, asked.target, to), body), ""

        return shown

    def _tickets(self) -> None:
        now = time.time()
        base = Ticket("", "", "local", now + 600, now + 600)

        def add(name: str, signer: Key, opens: bool = False, **changed: Any) -> None:
            def shown(asked: Asked) -> tuple[dict[str, str], str]:
                right = replace(base, node_id=self.house.receiver(asked.service), path=unquote(asked.path))
                return {}, f"ticket={proof.issue(signer, replace(right, **changed))}"

            def opened(service: str, door: Door) -> bool:
                return opens and service in ("camera", "compute") and door.ticket

            self.all[name] = Credential(shown, opened)

        add("a signed address", self.signer, opens=True)
        add("a signed address of another path", self.signer, path="/elsewhere")
        add("a signed address of another node", self.signer, node_id="another")
        add("a signed address of another method", self.signer, method="DELETE")
        add("an expired signed address", self.signer, opens_until=now - 2)
        add("a signed address of another mesh", self.stranger)
        add("a revoked subject's signed address", self.signer, subject="revoked")


class NodeLike:
    """Says that it is one node, and signs as another, with that one's certificate."""

    def __init__(self, claimed: NodeCredentials, signing: NodeCredentials) -> None:
        self._claimed, self._signing = claimed, signing

    def headers(self, call: Call, body: bytes) -> dict[str, str]:
        key = self._signing.key
        assert key is not None
        return {
            "Authorization": proof.prove(key, self._claimed.node_id, call, body, time.time()),
            proof.CERTIFICATE_HEADER: _certificate(self._signing),
        }


BODY: Final = b"{}"
NAMES: Final = sorted(
    [
        *("nothing", "garbage bearer", "garbage basic", "broken basic", "garbage sign-in", "garbage proof"),
        *("unknown scheme", "expired key", "revoked key", "revoked sign-in", *OPENED_FOR),
        *("camera node", "compute node", "ui node"),
        *("camera node, of another", "compute node, of another", "ui node, of another"),
        *("a proof for another receiver", "a proof for another method", "another node's proof"),
        *("a stolen certificate", "an expired certificate", "a certificate of another mesh", "a revoked node"),
        *("a signed address", "a signed address of another path", "a signed address of another node"),
        *("a signed address of another method", "an expired signed address", "a signed address of another mesh"),
        "a revoked subject's signed address",
    ]
)


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with locked_house(tmp_path_factory.mktemp("doors")) as made:
        yield made


@pytest.fixture(scope="module")
def rack(house: House) -> Rack:
    """When the nodes have heard of the revocations."""
    made = Rack(house)
    shown = made.all["a revoked subject's signed address"].shown
    for service, path in (("camera", "/image.jpg"), ("compute", f"/v1/sessions/{house.session['session_id']}/stats")):
        url = f"{house.services[service].url}{path}"

        def refused(url: str = url, service: str = service, path: str = path) -> bool:
            query = shown(Asked(service, "GET", path))[1]
            return requests.get(f"{url}?{query}", timeout=10).status_code == 401

        wait_for(refused, 15, f"revocation at the {service} node")
    time.sleep(max(0.0, made.expired_at - time.monotonic()))
    return made


@pytest.mark.parametrize("credential", NAMES)
@pytest.mark.parametrize("service", sorted(doors.SERVICES))
def test_each_door_opens_for_whom_it_names(house: House, rack: Rack, service: str, credential: str) -> None:
    """A refusal is 401 or 403, or leads to the sign-in, never 404, and holds nothing of the mesh."""
    shown = rack.all[credential]
    if shown.person:  # other services' tests have ended the sign-ins before
        shown = replace(shown, shown=_bearer(house.sign_in(shown.person)))
    wrong = []
    with requests.Session() as connection:
        connection.trust_env = False
        for name, door in sorted(doors.SERVICES[service].items(), key=lambda row: _order(row[0])):
            may = door.public or shown.opens(service, door)
            if (name in SLOW and may) or (name in PEOPLES and may and not shown.person):
                continue
            if name in ENDING and shown.person:
                shown = replace(shown, shown=_bearer(house.sign_in(shown.person)))
            asked = _asked(house, service, name, shown.own)
            said = _ask(house, connection, asked, shown, may)
            if said:
                wrong.append((name, said))
    assert not wrong


ALIVE: Final = {"GET /healthz", "GET /readyz"}
PUBLIC: Final = {
    "registry": {"GET /v1/setup", "POST /v1/setup", "POST /v1/sign-in", "GET /v1/ca", "POST /v1/join"},
    "camera": set[str](),
    "compute": set[str](),
    "ui": {"GET /sign-in", "GET /setup", "POST /api/sign-in", "POST /api/setup", "GET /favicon.ico"},
}
FILES: Final = ("GET /assets/", "GET /language/")
# What nobody but an admin may even read.
ADMINS: Final = re.compile(
    r"[A-Z]+ /(v1|api)/(users|keys|audit|enrolments|join-tokens|signing-keys)(?!.*/certificate).*|GET /(access|audit)"
)
# All that a key for figures opens.
FIGURES: Final = {"GET /metrics", "GET /v1/targets"}
# What changes something, and yet is for who may only look: one's own sign-in, where a stream is, and that it is gone.
LOOKERS: Final = re.compile(r"(POST|DELETE) /(v1|api)/(me/.*|sign-out|tickets|sessions/<session_id>/failover)")


@pytest.mark.parametrize("service", sorted(doors.SERVICES))
def test_nothing_else_is_open_to_everybody(service: str) -> None:
    """A door that becomes public, or a change that becomes a viewer's, has to be written down a second time: here."""
    table = doors.SERVICES[service]
    public = {name for name, door in table.items() if door.public and not name.startswith(FILES)}
    assert public == ALIVE | PUBLIC[service]
    admins = {name for name, door in table.items() if door.scope == "admin"}
    assert {name for name in table if ADMINS.fullmatch(name)} <= admins
    assert {name for name, door in table.items() if door.scope == "metrics"} == FIGURES & set(table)
    changing = {name for name in table if not name.startswith("GET ") and name not in public}
    assert not [name for name in changing if table[name].scope == "view" and not LOOKERS.fullmatch(name)]


def test_every_kind_of_credential_is_tried(rack: Rack) -> None:
    """The names by which the test above goes are those that there are; together with the doors they are thousands."""
    assert sorted(rack.all) == NAMES
    assert sum(map(len, doors.SERVICES.values())) * len(NAMES) > 4000


@pytest.mark.parametrize("service", sorted(doors.SERVICES))
def test_every_route_has_a_door_and_every_door_a_route(service: str, tmp_path: Path) -> None:
    """The table is the service's own map of addresses, whatever blueprint they come from."""
    app = APPLICATIONS[service](tmp_path)
    found = {
        f"{method} {rule.rule}" for rule in app.url_map.iter_rules() for method in rule.methods - {"HEAD", "OPTIONS"}
    }
    assert found == set(doors.SERVICES[service])


APPLICATIONS: Final[Mapping[str, Callable[[Path], Any]]] = {
    "registry": lambda data: RegistryService(RegistrySettings(data=data, redis=IN_MEMORY)).application(),
    "camera": lambda data: CameraService(
        CameraSettings(data=data), resolve("demo:"), claim(data, "camera", "c"), 1
    ).application(),
    "compute": lambda data: ComputeService(ComputeSettings(data=data), claim(data, "compute", "c"), 1).application(),
    "ui": lambda data: UiService(UiSettings(data=data), claim(data, "ui", "u"))._app,
}


def _ask(house: House, connection: requests.Session, asked: Asked, credential: Credential, may: bool) -> str:
    """What is wrong with the answer; empty when nothing is. A service that cannot find out whose the credential is, as
    the registry is busy (503), is asked again: that is no refusal yet."""

    def told() -> tuple[str] | None:
        wrong = _try(house, connection, asked, credential, may)
        return None if wrong is None else (wrong,)

    return wait_for(told, 15, f"answer to {asked.method} of {asked.service}")[0]


def _try(house: House, connection: requests.Session, asked: Asked, credential: Credential, may: bool) -> str | None:
    """The same; None when nobody can tell yet."""
    headers, query = credential.shown(asked)
    url = f"{house.services[asked.service].url}{asked.path}"
    whole = "&".join(one for one in (asked.query, query) if one)
    body = BODY if asked.method not in ("GET", "DELETE") else None
    with connection.request(
        asked.method, f"{url}?{whole}" if whole else url, data=body, timeout=20, stream=True, allow_redirects=False,
        headers=headers | ({"Content-Type": "application/json"} if body else {}),
    ) as answer:  # fmt: skip
        status = answer.status_code
        to_sign_in = status == 303 and answer.headers["Location"].startswith("/sign-in")
        shut = status in (401, 403) or to_sign_in
        if may:
            return f"shut: {status} {answer.text[:200]}" if shut or (status >= 500 and status != 503) else ""
        if not shut:
            return f"open: {status}" if status != 503 else None
        text = answer.content.decode("utf-8", "replace")  # answer.text would guess the encoding, each time
        told = [one for one in _mesh(house) if one in text and one not in f"{asked.path}{asked.query}"]
        return f"tells {told}" if told else ""


def _mesh(house: House) -> list[str]:
    """What only those may know who are let in."""
    nodes = [house.services[kind].url.partition("//")[2] for kind in ("camera", "compute")]
    return ["line-3", "hall-1", *house.ids.values(), house.session["session_id"], *nodes]


def _asked(house: House, service: str, name: str, own: str) -> Asked:
    """What goes through this door, and does no harm: what is there for reading, what is not there for the rest."""
    method, _, rule = name.partition(" ")
    reading = method == "GET"
    there = {
        "session_id": house.session["session_id"] if reading else NOTHING,
        "camera_id": house.ids["camera"] if reading else NOTHING,
        "node_id": own if own != NOTHING or not reading else house.ids["camera"],
        "algorithm": "echo",
        "path:path": "echo/image.jpg" if service == "compute" else "app.css",
        "view": "snapshot" if service == "ui" else "stream",
        "language": "de",
    }
    if rule == "/relay/cameras/<camera_id>/<view>":
        there["view"] = "image"
    path = re.sub(r"<([^>]+)>", lambda found: there.get(found.group(1), NOTHING), rule)
    return Asked(service, method, path, "camera=line-3" if rule == "/<path:path>" and service == "compute" else "")


def _order(name: str) -> tuple[int, str]:
    return (ENDING.index(name) + 1 if name in ENDING else 0, name)


def _bearer(secret: str) -> Callable[[Asked], tuple[dict[str, str], str]]:
    return lambda _asked: ({"Authorization": f"Bearer {secret}"}, "")


def _certificate(credentials: NodeCredentials) -> str:
    return credentials.headers(Call("GET", "/"), b"")[proof.CERTIFICATE_HEADER]
