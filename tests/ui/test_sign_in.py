"""Signing in and out at the dashboard, and what somebody who signed in may do there."""

from __future__ import annotations

import re
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import requests

from mesh import doors
from mesh.access import ROLES, Door, Principal
from tests.processes import Running, free_port, wait_for
from tests.ui.conftest import Mesh
from tests.ui.locked_mesh import PASSWORD, Locked, locked_mesh
from ui.sign_ins import FRESH

SAME = {"Sec-Fetch-Site": "same-origin"}
UNSAFE = sorted(door for door in doors.DASHBOARD if not door.startswith("GET"))
APART = ("POST /api/sign-out", "DELETE /api/me/sign-ins", "POST /api/me/password")  # would end the sign-in that asks


def bearer(browser: requests.Session) -> str:
    """What the browser keeps."""
    return str(browser.cookies.get("fogline"))


def call(browser: requests.Session, mesh: Locked, door: str, **headers: str) -> requests.Response:
    """Go through a door; whatever the path names is not there."""
    method, _, rule = door.partition(" ")
    path = re.sub(r"<[^>]+>", "nothing", rule)
    body: Any = None if method == "DELETE" else {}
    return browser.request(
        method, mesh.ui + path, json=body, headers=headers, allow_redirects=False, timeout=10, stream=True
    )


def test_who_has_not_signed_in_is_led_to_the_sign_in_and_back(locked: Locked) -> None:
    """Pages lead there with the page that was wanted; calls answer 401 without a window of the browser's own."""
    page = requests.get(f"{locked.ui}/s/abc?x=1", allow_redirects=False, timeout=10)
    assert page.status_code == 303
    assert page.headers["Location"] == "/sign-in?next=%2Fs%2Fabc%3Fx%3D1"
    refused = requests.get(f"{locked.ui}/api/overview", headers={"Sec-Fetch-Mode": "cors"}, timeout=10)
    assert refused.status_code == 401
    assert "Basic" not in refused.headers["WWW-Authenticate"]
    shown = requests.get(f"{locked.ui}{page.headers['Location']}", timeout=10)
    assert 'data-wanted="/s/abc?x=1"' in shown.text


def test_the_sign_in_is_in_a_cookie_that_no_script_reads(locked: Locked) -> None:
    """HttpOnly, SameSite, for this path; the bearer is nowhere in the answer, and the page knows who it is."""
    body = {"name": locked.person("operator"), "password": PASSWORD}
    answer = requests.post(f"{locked.ui}/api/sign-in", json=body, headers=SAME, timeout=10)
    cookie = answer.headers["Set-Cookie"]
    assert re.match(r"fogline=fgs_[\w-]{43}; ", cookie)
    assert {"HttpOnly", "SameSite=Lax", "Path=/"} <= set(cookie.split("; "))
    assert "fgs_" not in answer.text
    assert answer.headers["Cache-Control"] == "no-store"
    me = requests.get(f"{locked.ui}/api/me", cookies=answer.cookies, timeout=10).json()
    assert (me["kind"], me["name"], me["role"]) == ("person", "operator-1", "operator")
    assert set(me["scopes"]) == ROLES["operator"]
    assert me["legacy_open"] is False


def test_wrong_passwords_are_told_in_words(locked: Locked) -> None:
    """401 with what to do, no cookie, and not whether there is such a person; too many are told when to come back."""
    name = locked.person("viewer", "vera")
    refused = requests.post(
        f"{locked.ui}/api/sign-in", json={"name": name, "password": "no" * 6}, headers=SAME, timeout=10
    )
    nobody = requests.post(
        f"{locked.ui}/api/sign-in", json={"name": "nobody", "password": "no" * 6}, headers=SAME, timeout=10
    )
    assert refused.status_code == nobody.status_code == 401
    assert refused.json()["detail"] == nobody.json()["detail"]
    assert "Set-Cookie" not in refused.headers
    body = {"name": name, "password": "no" * 6}
    for _ in range(6):
        last = requests.post(f"{locked.ui}/api/sign-in", json=body, headers=SAME, timeout=10)
    assert last.status_code == 429
    assert int(last.headers["Retry-After"]) > 0
    assert "no" * 6 not in last.text


def test_a_cookie_that_was_planted_is_worth_nothing(locked: Locked) -> None:
    """Signing in gives another bearer each time, and what was there before is good for nothing afterwards."""
    browser = locked.sign_in("viewer", "fixed")
    before = bearer(browser)
    body = {"name": "fixed", "password": PASSWORD}
    assert browser.post(f"{locked.ui}/api/sign-in", json=body, timeout=10).ok
    assert bearer(browser) != before
    planted = requests.get(f"{locked.ui}/api/me", cookies={"fogline": before}, timeout=10)
    assert planted.status_code == 401


@pytest.mark.parametrize(
    "wanted",
    [
        "//elsewhere.example/",
        "/\\elsewhere.example",
        "https://elsewhere.example/",
        "javascript:alert(1)",
        "/\t/elsewhere.example",
        "\t//elsewhere.example",
        "elsewhere",
        "/sign-in?next=/sign-in",
    ],
)
def test_nobody_is_led_elsewhere(locked: Locked, wanted: str) -> None:
    """Whatever `next` or `back` says: after the sign-in, and after choosing a language, one is on a page of ours."""
    browser = locked.browser("viewer")
    in_already = browser.get(f"{locked.ui}/sign-in", params={"next": wanted}, allow_redirects=False, timeout=10)
    assert (in_already.status_code, in_already.headers["Location"]) == (303, "/")
    page = requests.get(f"{locked.ui}/sign-in", params={"next": wanted}, timeout=10)
    assert 'data-wanted="/"' in page.text
    chosen = browser.get(f"{locked.ui}/language/zh", params={"back": wanted}, allow_redirects=False, timeout=10)
    assert chosen.headers["Location"] in ("/", "/sign-in?next=/sign-in")


@pytest.mark.parametrize("door", UNSAFE)
def test_other_sites_pages_can_use_no_cookie(locked: Locked, door: str) -> None:
    """Every call that changes something refuses a cookie with a foreign Origin, from another site, or from nowhere."""
    browser = requests.Session()
    browser.cookies.update(locked.browser("admin").cookies)
    for headers in (
        {"Origin": "http://elsewhere.example"},
        {"Origin": "null"},
        {"Origin": locked.ui.replace("127.0.0.1", "127.0.0.2")},
        {"Sec-Fetch-Site": "cross-site", "Origin": locked.ui},
        {"Sec-Fetch-Site": "same-site"},
        {},
    ):
        answer = call(browser, locked, door, **headers)
        assert answer.status_code == 403, (door, headers, answer.text)
        assert answer.json()["title"] == "Cross-site request"


def test_a_form_cannot_be_sent(locked: Locked) -> None:
    """What a page may send without asking first is refused even from our own origin."""
    browser = locked.browser("admin")
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"):
        answer = browser.post(f"{locked.ui}/api/users", data="{}", headers={"Content-Type": kind}, timeout=10)
        assert answer.status_code == 415


@pytest.mark.parametrize("role", ["viewer", "operator", "admin", None])
def test_every_call_is_for_those_whom_its_door_names(locked: Locked, role: Any) -> None:
    """Through each door of the dashboard: who lacks the role gets 403, who has not signed in 401, others get in."""
    browser = locked.browser(role) if role else requests.Session()
    browser.headers.update(SAME)
    wrong = []
    for name, door in doors.DASHBOARD.items():
        if name in APART or (name == "GET /api/discovered" and role in ("operator", "admin")):  # it takes seconds
            continue
        status = call(browser, locked, name).status_code
        if not right(name, door, role, status):
            wrong.append((name, status))
    assert not wrong


def right(name: str, door: Door, role: Any, status: int) -> bool:
    if door.public:
        return status not in (403, 500)
    if role is None:
        return status == (303 if is_page(name) else 401)
    if door.scope is None or not Principal("person", scopes=ROLES[role]).may(door.scope):
        return status == 403
    return status not in (401, 403, 500, 303)


def is_page(name: str) -> bool:
    path = name.removeprefix("GET ")
    return path in ("/", "/cameras", "/nodes", "/s/<session_id>", "/about", "/account", "/access", "/audit")


def test_the_registry_itself_refuses_what_a_role_may_not_do(locked: Locked) -> None:
    """The dashboard shows it the person's own bearer: it would not help to get past the dashboard."""
    browser = locked.sign_in("operator", "olga")
    shown = {"Authorization": f"Bearer {bearer(browser)}"}
    assert requests.get(f"{locked.registry.url}/v1/users", headers=shown, timeout=10).status_code == 403
    locked.ask("PATCH", "/v1/users/olga", {"role": "viewer"})
    # The dashboard still remembers the role of a moment ago, and the registry does not.
    body = {"camera": "nothing", "algorithm": "nothing"}
    assert browser.post(f"{locked.ui}/api/sessions", json=body, timeout=10).status_code == 403


def test_an_api_key_is_good_for_what_it_was_made_for(locked: Locked) -> None:
    """As a bearer or as the password of HTTP Basic, without a cookie; a wrong one is refused."""
    made = locked.ask("POST", "/v1/keys", {"name": "wall", "scopes": ["view"]})["secret"]
    shown = {"Authorization": f"Bearer {made}"}
    assert requests.get(f"{locked.ui}/api/overview", headers=shown, timeout=10).ok
    assert requests.get(f"{locked.ui}/api/overview", auth=("key", made), timeout=10).ok
    assert requests.post(f"{locked.ui}/api/sessions", json={}, headers=shown, timeout=10).status_code == 403
    assert requests.get(f"{locked.ui}/api/overview", auth=("key", made + "x"), timeout=10).status_code == 401


class Listening:
    """A page that follows the mesh, as its connection to /api/events."""

    def __init__(self, browser: requests.Session, url: str) -> None:
        self.answer = browser.get(url, stream=True, timeout=30)
        assert self.answer.ok
        self.ended = threading.Event()
        self.heard = threading.Event()
        threading.Thread(target=self._listen, daemon=True).start()
        assert self.heard.wait(10)

    def _listen(self) -> None:
        try:
            for _chunk in self.answer.iter_content(None):
                self.heard.set()
        finally:
            self.ended.set()


def test_signing_out_ends_what_it_opened_at_once(locked: Locked) -> None:
    """The connection for events ends, the cookie goes, the bearer is good for nothing, here and at the registry."""
    browser = locked.sign_in("viewer", "leaver")
    listening = Listening(browser, f"{locked.ui}/api/events")
    secret = bearer(browser)
    answer = browser.post(f"{locked.ui}/api/sign-out", json={}, timeout=10)
    assert answer.status_code == 204
    assert "fogline" not in browser.cookies
    assert listening.ended.wait(3)
    assert requests.get(f"{locked.ui}/api/me", cookies={"fogline": secret}, timeout=10).status_code == 401
    shown = {"Authorization": f"Bearer {secret}"}
    assert requests.get(f"{locked.registry.url}/v1/me", headers=shown, timeout=10).status_code == 401


def test_a_sign_in_that_is_revoked_elsewhere_ends_what_it_opened(locked: Locked) -> None:
    """Within ten seconds, though nobody told the dashboard; and a password change leaves only the sign-in that made
    it."""
    browser, other = locked.sign_in("viewer", "gone"), locked.sign_in("viewer", "gone")
    listening = Listening(browser, f"{locked.ui}/api/events")
    changed = other.post(
        f"{locked.ui}/api/me/password", json={"old": PASSWORD, "new": "another horse battery"}, timeout=10
    )
    assert changed.ok, changed.text
    began = time.monotonic()
    assert listening.ended.wait(10)
    assert time.monotonic() - began <= 10
    wait_for(lambda: browser.get(f"{locked.ui}/api/me", timeout=10).status_code == 401, 6, "ended sign-in")
    assert other.get(f"{locked.ui}/api/me", timeout=10).ok


def test_signing_out_everywhere_ends_every_sign_in(locked: Locked) -> None:
    """Also in other browsers, and this one forgets its own."""
    browser, other = locked.sign_in("viewer", "many"), locked.sign_in("viewer", "many")
    assert browser.get(f"{locked.ui}/api/me", timeout=10).json()["sign_ins"] == 2
    assert browser.delete(f"{locked.ui}/api/me/sign-ins", timeout=10).status_code == 204
    assert "fogline" not in browser.cookies
    wait_for(lambda: other.get(f"{locked.ui}/api/me", timeout=10).status_code == 401, 8, "ended sign-in")


def test_while_the_registry_is_away(tmp_path: Path) -> None:
    """Who signed in before goes on watching and can change nothing; who did not is told so by a page that tries again;
    signing out works in this browser, and is heeded."""
    with locked_mesh(tmp_path) as mesh:
        browser = mesh.sign_in("admin")
        secret = bearer(browser)
        # Its first reading of the registry may take longer than a call waits for it.
        wait_for(lambda: not browser.get(f"{mesh.ui}/api/overview", timeout=10).json()["stale"], 10, "fresh overview")
        mesh.registry.kill()
        time.sleep(FRESH)
        assert browser.get(f"{mesh.ui}/api/overview", timeout=10).json()["stale"]
        assert browser.get(mesh.ui, timeout=10).status_code == 200
        change = browser.post(f"{mesh.ui}/api/users", json={"name": "x", "role": "viewer"}, timeout=10)
        assert (change.status_code, change.json()["title"]) == (503, "Registry unreachable")
        out = browser.post(f"{mesh.ui}/api/sign-out", json={}, timeout=10)
        assert out.status_code == 503
        assert "you are signed out in this browser" in out.json()["detail"]
        assert "fogline" not in browser.cookies
        page = requests.get(mesh.ui, cookies={"fogline": secret}, allow_redirects=False, timeout=10)
        assert page.status_code == 503
        assert "asks again by itself" in page.text
        assert page.headers["Refresh"]
        assert requests.get(f"{mesh.ui}/sign-in", timeout=10).status_code == 200
        refused = requests.get(f"{mesh.ui}/api/overview", cookies={"fogline": secret}, timeout=10)
        assert refused.status_code == 503


def test_pages_cannot_be_framed_nor_told_on(locked: Locked) -> None:
    """Every answer says that it may stand in no frame, is what it says it is, and gives no address away."""
    browser = locked.browser("viewer")
    for path in ("/", "/sign-in", "/setup", "/account", "/api/me", "/api/nothing", "/sessions/x/stream"):
        headers = browser.get(locked.ui + path, allow_redirects=False, timeout=10).headers
        assert "frame-ancestors 'none'" in headers["Content-Security-Policy"], path
        assert headers["X-Frame-Options"] == "DENY"
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] in ("no-referrer", "same-origin")
        assert "Strict-Transport-Security" not in headers
    assert headers["Referrer-Policy"] == "no-referrer"


def test_where_only_this_machine_is_nobody_signs_in(mesh: Mesh) -> None:
    """In open mode there is no menu and no sign-in page, and a cookie from another time is in nobody's way."""
    left_over = {"fogline": "fgs_" + "a" * 43}
    for cookies in ({}, left_over):
        page = requests.get(f"{mesh.ui}/cameras", cookies=cookies, allow_redirects=False, timeout=10)
        assert page.status_code == 200
        assert 'id="who"' not in page.text
        me = requests.get(f"{mesh.ui}/api/me", cookies=cookies, timeout=10).json()
        assert (me["kind"], set(me["scopes"])) == ("local", {"view", "detect", "operate", "admin"})
    asked = requests.get(f"{mesh.ui}/sign-in?next=/nodes", allow_redirects=False, timeout=10)
    assert (asked.status_code, asked.headers["Location"]) == (303, "/nodes")
    body = {"camera": mesh.camera_id, "algorithm": "yolo"}
    foreign = {"Origin": "http://elsewhere.example"}
    assert requests.post(f"{mesh.ui}/api/sessions", json=body, headers=foreign, timeout=10).status_code == 403
    assert requests.get(mesh.ui, headers={"Host": "rebound.example"}, timeout=10).status_code == 403
    assert requests.get(mesh.ui, headers={"X-Forwarded-For": "10.0.0.7"}, timeout=10).status_code == 403


def test_an_open_dashboard_before_a_locked_registry_locks_itself(locked: Locked, tmp_path: Path) -> None:
    """It joins the mesh as a node, and from then on people sign in at it, too."""
    words = ("--registry", locked.registry.url, "--data", str(locked.data))
    with Running("ui", *words, port=free_port(), log=tmp_path / "ui.log") as running:
        running.ready()
        requests.get(f"{running.url}/api/overview", timeout=10)
        wait_for(lambda: requests.get(f"{running.url}/api/overview", timeout=10).status_code == 401, 10, "locked doors")
        page = requests.get(running.url, allow_redirects=False, timeout=10)
        assert page.headers["Location"] == "/sign-in?next=%2F"


def test_every_route_has_a_door(locked: Locked) -> None:
    """The table names what the dashboard serves, and nothing else."""
    browser = locked.browser("admin")
    described = browser.get(f"{locked.ui}/openapi.json", timeout=10).json()["paths"]
    served = {f"{method.upper()} {path}" for path, methods in described.items() for method in methods}
    named = {re.sub(r"<(?:[^:<>]+:)?([^<>]+)>", r"{\1}", door) for door in doors.DASHBOARD}
    assert served == named


def test_no_secret_is_in_the_log(locked: Locked) -> None:
    """Whatever came above: no bearer, key, one-time link or password stands in what the dashboard writes."""
    locked.browser("viewer")
    log = locked.dashboard.log()
    assert not re.search(r"fg[sklj]_[A-Za-z0-9]", log)
    assert PASSWORD not in log
