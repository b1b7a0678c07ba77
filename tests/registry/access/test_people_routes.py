"""People, keys and the audit over HTTP: on a real application behind the guard."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from flask import Flask, request
from flask.testing import FlaskClient
from prometheus_client import CollectorRegistry
from werkzeug.test import TestResponse

from mesh import doors
from mesh.access import Guard, Principal
from mesh.access_wire import KeyRequest
from mesh.credentials import SETUP_LINK, presented
from mesh.service import install
from registry.access import first_run
from registry.access.audit import PAGE
from registry.access.memory_book import MemoryBook
from registry.routes import people as people_routes
from registry.settings import RegistrySettings
from tests.registry.access.houses import BY, PASSWORD, Clock, House

NODE = "node "  # a bearer of these tests that stands for a proof: then the node's kind
ROLES = ("viewer", "operator", "admin")


@dataclass
class Site:
    """A registry's application. tokens: of a person of each role, and of keys by their scope."""

    house: House
    client: FlaskClient
    tokens: dict[str, str]

    def ask(self, method: str, path: str, who: str | None = None, body: Any = None, **options: Any) -> TestResponse:
        """who: a name in `tokens`, or a bearer."""
        headers = {"Authorization": f"Bearer {self.tokens.get(who, who)}"} if who else {}
        return self.client.open(path, method=method, json=body, headers=headers, **options)


def site_of(folder: Path, access: str = "locked") -> Site:
    clock = Clock()
    house = House(MemoryBook(clock), clock, folder)
    settings = RegistrySettings(data=folder, access=access)
    first_run.prepare(house.book, folder, house.people, house.keys)

    def authenticate(asked: Any) -> Principal | None:
        shown = presented(asked.environ)
        if shown is None:
            return None
        if shown.value.startswith(NODE):
            return Principal("node", id="n", name="a node", node_kind=shown.value.removeprefix(NODE))  # type: ignore[arg-type]
        return house.bearers.find(shown.value, asked.remote_addr or "").principal

    app = Flask(__name__, static_folder=None)
    app.register_blueprint(people_routes.blueprint(house.people, house.keys, house.audit, house.bearers, settings))
    guard = Guard(doors.REGISTRY, authenticate, open=access == "auto")
    install(
        app,
        title="Registry",
        ready=lambda: None,
        metrics=CollectorRegistry(),
        guard=guard,
        request=request,
    )
    return Site(house, app.test_client(), {"machine": (folder / "admin" / "key").read_text()})


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """A locked registry with a person of each role."""
    one = site_of(tmp_path)
    for role in ROLES:
        one.house.add(role, role)
        one.tokens[role] = one.house.sign_in(role).token
    for scope in ("view", "detect", "operate"):
        one.tokens[scope] = one.house.keys.make(KeyRequest(name=scope, scopes=[scope]), BY).secret
    return one


def people_doors() -> list[tuple[str, str]]:
    found = [door.split(" ", 1) for door in doors.REGISTRY]
    words = ("setup", "sign-in", "/v1/me", "sign-out", "/v1/users", "/v1/keys", "/v1/audit")
    return [(method, path) for method, path in found if any(word in path for word in words)]


def test_every_door_of_people_has_a_route(site: Site) -> None:
    """And each route its door and its description."""
    rules = {
        f"{method} {rule.rule}"
        for rule in site.client.application.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }
    assert rules - set(doors.COMMON) == {f"{method} {path}" for method, path in people_doors()}
    described = site.ask("GET", "/openapi.json", "viewer").json
    assert described
    told = {f"{method.upper()} {path}" for path, methods in described["paths"].items() for method in methods}
    assert len(told) == len(rules)


@pytest.mark.parametrize(("method", "path"), people_doors())
def test_nobody_gets_further_than_the_role_goes(site: Site, method: str, path: str) -> None:
    """Without, with a wrong, a lesser and another kind of credential."""
    door = doors.REGISTRY[f"{method} {path}"]
    path = path.replace("<name>", "nobody").replace("<key_id>", "none")
    if door.public:
        assert site.ask(method, path, body={}).status_code == (200 if method == "GET" else 422)
        return
    for who in (None, "fgs_" + "x" * 43, "fgk_1_2", "x"):
        refused = site.ask(method, path, who, {})
        assert refused.status_code == 401
        assert "WWW-Authenticate" in refused.headers
    lesser = {"admin": ("viewer", "operator", "view", "detect", "operate"), "view": ("detect", "operate")}
    for who in lesser[str(door.scope)]:
        assert site.ask(method, path, who, {}).status_code == 403
    assert site.ask(method, path, f"{NODE}camera", {}).status_code == (200 if "camera" in door.nodes else 403)


def test_the_first_admin_comes_in_by_the_link(tmp_path: Path) -> None:
    """And the file with the link is gone; what is answered is kept by no cache."""
    site = site_of(tmp_path)
    state = site.ask("GET", "/v1/setup")
    assert state.json == {"needed": True, "locked": True, "legacy_open": False}
    token = (tmp_path / SETUP_LINK).read_text()
    wish = {"token": token, "password": PASSWORD, "name": "anna"}
    answer = site.ask("POST", "/v1/setup", body=wish)
    assert (answer.status_code, answer.headers["Cache-Control"]) == (200, "no-store")
    assert answer.json
    assert (answer.json["name"], answer.json["role"]) == ("anna", "admin")
    assert not (tmp_path / SETUP_LINK).exists()
    assert (site.ask("GET", "/v1/setup").json or {})["needed"] is False
    assert site.ask("POST", "/v1/setup", body=wish).status_code == 401
    assert site.ask("GET", "/v1/users", answer.json["token"]).status_code == 200
    assert token not in str(site.house.book.all("link"))


def test_signing_in_gives_a_bearer(site: Site) -> None:
    """With which one is asked for who one is, until one signs out."""
    answer = site.ask("POST", "/v1/sign-in", body={"name": "operator", "password": PASSWORD})
    assert (answer.status_code, answer.headers["Cache-Control"]) == (200, "no-store")
    token = (answer.json or {})["token"]
    assert token not in site.tokens.values()
    me = site.ask("GET", "/v1/me", token).json or {}
    assert me["scopes"] == ["view", "detect", "operate"]
    assert (me["kind"], me["name"], me["role"], me["sign_ins"]) == ("person", "operator", "operator", 2)
    assert me["expires_at"] == (answer.json or {})["expires_at"]
    assert site.ask("POST", "/v1/sign-out", token).status_code == 204
    assert site.ask("GET", "/v1/me", token).status_code == 401
    assert site.ask("GET", "/v1/me", "operator").status_code == 200


def test_a_wrong_password_says_so_and_when_to_try_again(site: Site) -> None:
    """By 401, and 429 with Retry-After, without repeating what was typed."""
    for number in range(5):
        refused = site.ask("POST", "/v1/sign-in", body={"name": "admin", "password": "hunter2 hunter2"})
        assert refused.status_code == 401
        assert ("Retry-After" in refused.headers) == (number == 4)
        assert "hunter2" not in refused.text
    locked = site.ask("POST", "/v1/sign-in", body={"name": "admin", "password": PASSWORD})
    assert (locked.status_code, locked.headers["Retry-After"]) == (429, "30")
    assert "try again in 30 seconds" in (locked.json or {})["detail"]


def test_the_browsers_address_is_believed_from_a_dashboard_alone(site: Site) -> None:
    """Else whoever likes would be locked out under another's address, or in under many."""
    body = {"name": "admin", "password": "not the right one", "address": "10.7.7.7"}
    for who in (None, "viewer", f"{NODE}camera", f"{NODE}ui"):
        site.ask("POST", "/v1/sign-in", who, body, environ_base={"REMOTE_ADDR": "10.0.0.2"})
    site.ask("POST", "/v1/sign-in", f"{NODE}ui", body | {"address": "x\ny"}, environ_base={"REMOTE_ADDR": "10.0.0.2"})
    entries = [entry for entry in site.house.audit.page(None, 100).entries if entry.action == "sign-in refused"]
    assert [entry.address for entry in entries] == ["10.0.0.2", "10.7.7.7", "10.0.0.2", "10.0.0.2", "10.0.0.2"]


def test_the_audit_knows_the_browser_behind_a_dashboard(site: Site) -> None:
    """What a person does there comes from the browser; the same sign-in from elsewhere comes from there."""
    body = {"name": "admin", "password": PASSWORD, "address": "10.7.7.7"}
    dashboard = {"environ_base": {"REMOTE_ADDR": "10.0.0.2"}}
    token = (site.ask("POST", "/v1/sign-in", f"{NODE}ui", body, **dashboard).json or {})["token"]
    site.ask("POST", "/v1/users/viewer/link", token, **dashboard)
    site.ask("POST", "/v1/users/viewer/link", token, environ_base={"REMOTE_ADDR": "10.9.9.9"})
    entries = [entry for entry in site.house.audit.page(None, 100).entries if entry.who == "admin"]
    assert [(entry.action, entry.address) for entry in entries[:3]] == [
        ("link made", "10.9.9.9"), ("link made", "10.7.7.7"), ("sign-in", "10.7.7.7"),
    ]  # fmt: skip


def test_one_changes_ones_own_password(site: Site) -> None:
    """With the old one; keys have none."""
    change = {"old": PASSWORD, "new": "another good staple"}
    other = site.house.sign_in("viewer").token
    assert site.ask("POST", "/v1/me/password", "viewer", change | {"old": "wrong"}).status_code == 401
    assert site.ask("POST", "/v1/me/password", "viewer", change | {"new": "password123"}).status_code == 422
    assert site.ask("POST", "/v1/me/password", "viewer", change).status_code == 204
    assert site.ask("GET", "/v1/me", "viewer").status_code == 200
    assert site.ask("GET", "/v1/me", other).status_code == 401
    assert site.ask("POST", "/v1/me/password", "view", change).status_code == 403
    assert site.ask("POST", "/v1/sign-out", "view").status_code == 403
    assert site.ask("DELETE", "/v1/me/sign-ins", "viewer").status_code == 204
    assert site.ask("GET", "/v1/me", "viewer").status_code == 401


def test_an_admin_looks_after_others(site: Site) -> None:
    """Adds, changes, signs out and removes them; a role counts with the next request."""
    made = site.ask("POST", "/v1/users", "admin", {"name": "otto", "role": "viewer"})
    assert made.status_code == 201
    link = (made.json or {})["link"]["token"]
    assert (made.json or {})["user"]["link_pending"] is True
    assert site.ask("POST", "/v1/users", "admin", {"name": "OTTO", "role": "viewer"}).status_code == 409
    chosen = site.ask("POST", "/v1/setup", body={"token": link, "password": PASSWORD})
    token = (chosen.json or {})["token"]
    assert site.ask("GET", "/v1/users", token).status_code == 403
    assert (site.ask("PATCH", "/v1/users/otto", "admin", {"role": "admin"}).json or {})["role"] == "admin"
    assert site.ask("GET", "/v1/users", token).status_code == 200
    assert site.ask("PATCH", "/v1/users/otto", "admin", {"disabled": True}).status_code == 200
    assert site.ask("GET", "/v1/me", token).status_code == 401
    assert site.ask("DELETE", "/v1/users/otto", "machine").status_code == 204
    assert site.ask("DELETE", "/v1/users/otto", "admin").status_code == 404
    assert site.ask("DELETE", "/v1/users/viewer/sign-ins", "admin").status_code == 204
    assert site.ask("GET", "/v1/me", "viewer").status_code == 401
    assert site.ask("POST", "/v1/users/viewer/link", "admin").status_code == 201
    listed = (site.ask("GET", "/v1/users", "admin").json or {})["users"]
    assert [user["name"] for user in listed] == ["admin", "operator", "viewer"]
    assert "hash" not in str(listed)


def test_nobody_removes_themselves(site: Site) -> None:
    """Nor switches off, nor gets a new password without the old one: a stolen sign-in must not lock its owner out."""
    site.house.add("second")
    assert site.ask("DELETE", "/v1/users/Admin", "admin").status_code == 409
    assert site.ask("PATCH", "/v1/users/admin", "admin", {"disabled": True}).status_code == 409
    assert site.ask("PATCH", "/v1/users/ADMIN", "admin", {"password": "another good staple"}).status_code == 409
    assert site.ask("DELETE", "/v1/users/admin", "machine").status_code == 204


def test_keys_are_made_shown_once_and_removed(site: Site) -> None:
    """The secret is in one answer only."""
    made = site.ask("POST", "/v1/keys", "admin", {"name": "VLC", "scopes": ["view"], "expires_in": 60})
    assert (made.status_code, made.headers["Cache-Control"]) == (201, "no-store")
    secret, key = (made.json or {})["secret"], (made.json or {})["key"]
    assert key["created_by"] == "admin"
    me = site.ask("GET", "/v1/me", secret).json or {}
    assert (me["kind"], me["name"], me["scopes"], me["role"]) == ("key", "VLC", ["view"], None)
    assert secret.split("_", 2)[2] not in site.ask("GET", "/v1/keys", "admin").text
    assert site.ask("DELETE", f"/v1/keys/{key['key_id']}", "admin").status_code == 204
    assert site.ask("GET", "/v1/me", secret).status_code == 401
    assert site.ask("DELETE", f"/v1/keys/{key['key_id']}", "admin").status_code == 404
    wrong: dict[str, Any]
    for wrong in ({"scopes": []}, {"scopes": ["everything"]}, {"name": "<b>"}, {"expires_in": 0}):
        assert site.ask("POST", "/v1/keys", "admin", {"name": "x", "scopes": ["view"]} | wrong).status_code == 422


def test_a_key_is_also_the_password_of_http_basic(site: Site) -> None:
    """For players and OpenCV, whatever the user's name."""
    assert site.client.get("/v1/me", auth=("fogline", site.tokens["view"])).status_code == 200
    assert site.client.get("/v1/me", auth=("fogline", "fgk_1_2")).status_code == 401


def test_the_audit_is_read_and_exported(site: Site) -> None:
    """In pages, and as JSON lines with the oldest first."""
    for number in range(PAGE + 50):
        site.house.audit.note(None, "10.0.0.7", f"deed {number}")
    page = site.ask("GET", "/v1/audit?limit=2", "admin").json or {}
    assert [entry["action"] for entry in page["entries"]] == [f"deed {PAGE + 49}", f"deed {PAGE + 48}"]
    after = site.ask("GET", f"/v1/audit?limit=1&cursor={page['next_cursor']}", "admin").json or {}
    assert after["entries"][0]["action"] == f"deed {PAGE + 47}"
    lines = site.ask("GET", "/v1/audit?format=jsonl", "admin")
    assert lines.mimetype == "application/x-ndjson"
    assert "attachment" in lines.headers["Content-Disposition"]
    actions = [json.loads(line)["action"] for line in lines.text.splitlines()]
    assert actions[-PAGE - 50 :] == [f"deed {number}" for number in range(PAGE + 50)]
    assert actions[0] == "key made"
    for query in ("limit=0", "limit=1001", "cursor=x", "format=xml"):
        assert site.ask("GET", f"/v1/audit?{query}", "admin").status_code == 422


def test_what_admins_do_is_written_down(site: Site) -> None:
    """Who, what, to whom, from where."""
    site.ask("POST", "/v1/users", "admin", {"name": "otto", "role": "viewer"}, environ_base={"REMOTE_ADDR": "10.0.0.5"})
    site.ask("PATCH", "/v1/users/otto", "machine", {"role": "operator"})
    entries = site.house.audit.page(None, 2).entries
    assert [(entry.action, entry.subject) for entry in entries] == [
        ("person changed", "role of otto: operator"), ("person added", "otto (viewer)"),
    ]  # fmt: skip
    assert (entries[1].who, entries[1].address) == ("admin", "10.0.0.5")
    assert entries[0].who.startswith("key this machine (")


@pytest.mark.parametrize(
    "body",
    [
        {"name": "admin"},
        {"name": "", "password": "x"},
        {"name": "admin", "password": "x" * 201},
        {"name": ["admin"], "password": "x"},
        {"name": "admin", "password": "\ud800"},
        {"name": "a\x00b", "password": "\x00"},
        [],
    ],
)
def test_senseless_sign_ins_are_refused(site: Site, body: Any) -> None:
    """With what is wrong, and never by a defect."""
    sent = json.dumps(body)
    answer = site.client.post("/v1/sign-in", data=sent, content_type="application/json")
    assert answer.status_code in (400, 401, 422)


def test_in_open_mode_everybody_of_this_machine_may(tmp_path: Path) -> None:
    """And is told so; a credential that is shown still counts."""
    site = site_of(tmp_path, access="auto")
    assert (site.ask("GET", "/v1/setup").json or {})["locked"] is False
    me = site.ask("GET", "/v1/me").json or {}
    assert (me["kind"], me["name"], me["scopes"]) == ("local", "this machine", ["view", "detect", "operate", "admin"])
    assert site.ask("POST", "/v1/sign-out").status_code == 403
    site.house.add("otto", "viewer")
    token = site.house.sign_in("otto").token
    assert site.ask("GET", "/v1/users").status_code == 200
    assert site.ask("GET", "/v1/users", token).status_code == 403
