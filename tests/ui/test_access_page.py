"""The page on which admins manage people, API keys, machines and join tokens, before a locked mesh of real services."""

from __future__ import annotations

import re
import time
from functools import partial
from typing import Any

import pytest
import requests
from playwright.sync_api import Locator, Page, Route, expect

from mesh.joining import join_proof
from mesh.keys import Key
from tests.ui.accessibility import axe
from tests.ui.conftest import Mesh, Watch
from tests.ui.front import Front
from tests.ui.locked_mesh import PASSWORD
from tests.ui.plant import Plant

SCRIPT = "<img src=x onerror=window.broken=1>"


def row(page: Page, section: str, name: str) -> Locator:
    """The row of that name in a section's table."""
    return page.locator(f"#{section} tbody tr", has=page.get_by_text(name, exact=True))


def once(page: Page) -> Locator:
    """The dialog that shows a secret."""
    dialog = page.locator("#once")
    expect(dialog).to_be_visible()
    return dialog


def fulfil(answer: Any, route: Route) -> None:
    route.fulfill(json=answer)


def joined(plant: Plant, node_id: str, name: str) -> None:
    """Let a camera join, as far as its key."""
    token = plant.ask("POST", "/v1/join-tokens", {"uses": 1, "expires_in": 60, "name": f"for {name}"})["secret"]
    key = Key.new()
    body = {"token": token, "node_id": node_id, "kind": "camera", "name": name, "public_key": key.public}
    body["proof"] = join_proof(key, node_id, token, time.time())
    requests.post(f"{plant.registry.url}/v1/join", json=body, timeout=10).raise_for_status()


def test_a_person_is_added_by_a_link_that_is_shown_once(plant: Plant, page: Page, watch: Watch) -> None:
    """The link's token is behind the #, is copied by a button, works once, and leaves the page with the dialog."""
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    plant.open(page, "anna", "/access")
    page.get_by_role("button", name="Add a person").click()
    dialog = page.locator("#add-person")
    expect(dialog.get_by_label("Name")).to_be_focused()
    page.keyboard.type("frida")
    dialog.get_by_label("Operator").check()
    page.keyboard.press("Enter")
    shown = once(page)
    expect(shown).to_contain_text("frida chooses a password. It works once, for 24 h.")
    link = shown.locator("code").inner_text()
    assert re.fullmatch(rf"{re.escape(plant.ui)}/setup#fgl_[\w-]{{43}}", link)
    assert axe(page) == []
    page.keyboard.press("Enter")
    expect(shown.get_by_role("button", name="Copied")).to_be_visible()
    assert page.evaluate("navigator.clipboard.readText()") == link
    shown.get_by_role("button", name="Done").click()
    expect(shown.locator("code")).to_have_count(0)
    token = link.partition("#")[2]
    assert token not in page.content()

    expect(row(page, "people", "frida")).to_contain_text("Operator")
    expect(row(page, "people", "frida").get_by_text("Link pending")).to_be_visible()
    body = {"token": token, "password": PASSWORD}
    headers = {"Origin": plant.ui}
    assert requests.post(f"{plant.ui}/api/setup", json=body, headers=headers, timeout=10).ok
    assert requests.post(f"{plant.ui}/api/setup", json=body, headers=headers, timeout=10).status_code == 401
    page.reload(wait_until="commit")
    expect(row(page, "people", "frida").get_by_text("May sign in")).to_be_visible()
    expect(row(page, "people", "frida")).to_contain_text("1 time")
    assert watch.complaints == []
    assert watch.origins == {plant.ui}


def test_a_person_is_changed_signed_out_and_removed(plant: Plant, page: Page, watch: Watch) -> None:
    """Each is one dialog away, counts at once, and is done for good only after a question that Escape takes back."""
    plant.ask("POST", "/v1/users", {"name": "gina", "role": "viewer", "password": PASSWORD})
    theirs = requests.Session()
    theirs.headers["Origin"] = plant.ui
    theirs.post(f"{plant.ui}/api/sign-in", json={"name": "gina", "password": PASSWORD}, timeout=10).raise_for_status()
    plant.open(page, "anna", "/access")
    dialog = page.locator("#person")

    def change() -> None:
        page.get_by_role("button", name="Change gina").click()
        expect(dialog).to_be_visible()

    change()
    expect(dialog.get_by_role("button", name="Save the role")).to_be_disabled()
    dialog.get_by_label("Operator").check()
    dialog.get_by_role("button", name="Save the role").click()
    expect(row(page, "people", "gina")).to_contain_text("Operator")
    expect(row(page, "people", "gina")).to_contain_text("1 time")
    change()
    dialog.get_by_role("button", name="Sign out", exact=True).click()
    expect(row(page, "people", "gina").get_by_text("no", exact=True)).to_be_visible()
    assert theirs.get(f"{plant.ui}/api/overview", timeout=10).status_code == 401
    change()
    dialog.get_by_role("button", name="Disable", exact=True).click()
    expect(row(page, "people", "gina").get_by_text("Disabled")).to_be_visible()
    change()
    dialog.get_by_role("button", name="Enable", exact=True).click()
    expect(row(page, "people", "gina").get_by_text("May sign in")).to_be_visible()

    change()
    dialog.get_by_role("button", name="Remove", exact=True).click()
    question = dialog.get_by_text("Remove gina?")
    expect(question).to_be_visible()
    expect(dialog.get_by_role("button", name="Cancel")).to_be_focused()
    page.keyboard.press("Escape")
    expect(dialog).to_be_visible()
    expect(question).to_be_hidden()
    page.keyboard.press("Enter")
    dialog.get_by_role("button", name="Remove for good").click()
    expect(row(page, "people", "gina")).to_have_count(0)
    assert "gina" not in [user["name"] for user in plant.ask("GET", "/v1/users")["users"]]
    assert watch.complaints == []


def test_the_last_admin_cannot_go_and_is_told_why(plant: Plant, page: Page) -> None:
    """What would leave the mesh without an admin is out of use; a refusal that comes all the same is told in words."""
    plant.open(page, "anna", "/access")
    page.get_by_role("button", name="Change anna").click()
    dialog = page.locator("#person")
    expect(dialog).to_contain_text("anna is the only admin who can sign in")
    expect(dialog.get_by_role("button", name="Remove", exact=True)).to_be_disabled()
    expect(dialog.get_by_role("button", name="Disable", exact=True)).to_be_disabled()
    expect(dialog.get_by_label("Viewer")).to_be_disabled()
    assert axe(page) == []
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Add a person").click()
    page.locator("#add-person").get_by_label("Name").fill("Anna")
    page.keyboard.press("Enter")
    expect(page.locator("#add-person").get_by_role("alert")).to_contain_text("choose another name")


def test_an_api_key_works_until_it_is_revoked(plant: Plant, page: Page, watch: Watch) -> None:
    """It is shown once, with lines that use it; the list says what it may and when it was used; revoking ends it."""
    plant.open(page, "anna", "/access")
    page.get_by_role("button", name="Make an API key").click()
    dialog = page.locator("#add-key")
    page.keyboard.type("wall screen")
    scopes = {scope: dialog.locator(f"input[value={scope}]") for scope in ("view", "detect", "operate", "admin")}
    scopes["admin"].check()
    expect(scopes["view"]).to_be_disabled()
    for scope in ("admin", "detect", "operate"):
        scopes[scope].uncheck()
    dialog.get_by_role("button", name="Make it").click()
    shown = once(page)
    secret, curl, player, python = shown.locator("code").all_inner_texts()
    assert re.fullmatch(r"fgk_[0-9a-f]+_[\w-]{43}", secret)
    host = plant.ui.removeprefix("http://")
    assert f'-H "Authorization: Bearer {secret}"' in curl
    assert re.fullmatch(rf"http://key:{secret}@{host}/sessions/[\w-]+/stream", player)
    assert python.startswith("python3 -c 'import requests; ")
    assert axe(page) == []
    page.keyboard.press("Escape")
    expect(shown.locator("code")).to_have_count(0)
    assert secret not in page.content()

    url = f"{plant.ui}/api/overview"
    assert requests.get(url, headers={"Authorization": f"Bearer {secret}"}, timeout=10).ok
    assert requests.get(url, auth=("key", secret), timeout=10).ok
    page.reload(wait_until="commit")
    key = row(page, "api-keys", "wall screen")
    expect(key).to_contain_text("view")
    expect(key).to_contain_text("in 90 d")
    expect(key).to_contain_text("from 127.0.0.1")
    page.get_by_role("button", name="Revoke “wall screen”").click()
    key.get_by_role("button", name="Revoke it").click()
    expect(key).to_have_count(0)
    assert requests.get(url, auth=("key", secret), timeout=10).status_code == 401
    assert watch.complaints == []


def test_a_machine_joins_by_the_command_and_is_revoked(plant: Plant, page: Page, watch: Watch) -> None:
    """One command to copy for each kind of machine; the machine appears by its name, and goes after one question."""
    plant.open(page, "anna", "/access#join")
    page.get_by_label("Machines that may join with it").fill("3")
    page.get_by_label("Name, to know it by").fill("press shop")
    page.get_by_role("button", name="Make a join token").click()
    made = page.get_by_role("region", name="Run this on the other machine")
    expect(made).to_be_focused()
    expect(made).to_contain_text("3 machines may join with this token")
    command = made.locator("code:visible").inner_text()
    begins = re.escape(f"./fogline compute --registry {plant.registry.url} --host 0.0.0.0 --join-token ")
    found = re.fullmatch(rf"{begins}(fgj_[\w.-]+)", command)
    assert found
    made.get_by_role("tab", name="Compute node").press("ArrowRight")
    expect(made.get_by_role("tab", name="Camera")).to_be_focused()
    expect(made.locator("code:visible")).to_have_text(re.compile(r"^\./fogline camera --source 0 .*fgj_"))
    page.keyboard.press("End")
    expect(made.locator("code:visible")).to_have_text(re.compile(r"^docker run .*-e FOGLINE_JOIN_TOKEN=fgj_"))
    expect(made).to_contain_text("is reached on this computer only")
    assert axe(page) == []
    made.get_by_role("button", name="Done, hide the token").click()
    assert found[1] not in page.content()
    token = row(page, "join", "press shop")
    expect(token).to_contain_text("3 of 3")
    token.get_by_role("button", name="Remove “press shop”").click()
    token.get_by_role("button", name="Remove it").click()
    expect(token).to_have_count(0)

    node_id = "7c1d3a52-0000-4000-8000-000000000001"
    joined(plant, node_id, "Gate camera")
    page.reload(wait_until="commit")
    gate = row(page, "computers", "Gate camera")
    expect(gate).to_contain_text("with the token “for Gate camera”")
    expect(row(page, "computers", "dashboard")).to_contain_text("Trusted")
    page.get_by_role("button", name="Revoke Gate camera").click()
    expect(gate.get_by_role("button", name="Cancel")).to_be_focused()
    gate.get_by_role("button", name="Revoke it").click()
    expect(gate).to_contain_text("Revoked")
    expect(gate.get_by_role("button")).to_have_count(0)
    listed = {one["node_id"]: one for one in plant.ask("GET", "/v1/enrolments")["enrolments"]}
    assert listed[node_id]["revoked_by"] == "anna"
    assert watch.complaints == []


def test_below_a_path_links_and_lines_are_whole(plant: Plant, page: Page) -> None:
    """Behind a proxy that shows the dashboard below a path, what is copied has that path in it."""
    with Front(plant.ui, "/fogline") as front:
        plant.open(page, "anna", "/access", front.url)
        page.get_by_role("button", name="Add a person").click()
        page.keyboard.type("hugo")
        page.keyboard.press("Enter")
        link = once(page).locator("code").inner_text()
        assert link.startswith(f"{front.url}/setup#fgl_")
        page.get_by_role("button", name="Done").click()
        page.get_by_role("button", name="Make an API key").click()
        page.keyboard.type("below")
        page.keyboard.press("Enter")
        _, curl, player, _ = once(page).locator("code").all_inner_texts()
        assert f" {front.url}/sessions/" in curl
        assert re.fullmatch(rf"http://key:[\w-]+@{front.url.removeprefix('http://')}/sessions/[\w-]+/stream", player)


def test_names_are_shown_as_text(plant: Plant, page: Page) -> None:
    """The registry refuses names made of HTML; should one come all the same, it runs nowhere."""
    now = time.time()
    made = {"name": SCRIPT, "created_at": now, "created_by": SCRIPT, "expires_at": now + 60}
    for path, members in {
        "users": [{**made, "role": "viewer", "sign_ins": 0}],
        "keys": [{**made, "key_id": "1", "scopes": ["view"], "last_used": now, "last_address": SCRIPT}],
        "enrolments": [
            {**made, "node_id": SCRIPT, "kind": SCRIPT, "token_name": SCRIPT, "enrolled_at": now, "renewed_at": now},
            {**made, "node_id": "2", "kind": "ui", "token_name": "t", "enrolled_at": now, "renewed_at": now}
            | {"revoked_at": now, "revoked_by": SCRIPT},
        ],
        "join-tokens": [{**made, "token_id": "1", "uses": 1, "uses_left": 1}],
    }.items():
        answer = {path.replace("join-", ""): members}
        page.route(f"**/api/{path}", partial(fulfil, answer))
    plant.open(page, "anna", "/access")
    for section, rows in {"people": 1, "api-keys": 1, "computers": 2, "join": 1}.items():
        expect(page.locator(f"#{section} tbody tr")).to_have_count(rows)
        expect(page.locator(f"#{section} tbody tr th").first).to_contain_text(SCRIPT)
    for button in ("Change", "Revoke “", "Remove “"):
        page.get_by_role("button", name=f"{button}").first.click()
        page.keyboard.press("Escape")
    assert page.evaluate("window.broken") is None
    assert page.locator("img").count() == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_shows_all_of_it(plant: Plant, page: Page, scheme: str) -> None:
    """No sideways scrolling, and nothing that keeps people from using it, by day and by night."""
    page.set_viewport_size({"width": 390, "height": 844})
    page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    plant.open(page, "anna", "/access")
    expect(row(page, "people", "anna")).to_be_visible()
    expect(row(page, "computers", "dashboard")).to_be_visible()
    page.get_by_role("button", name="Revoke dashboard").click()
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    assert axe(page) == []


def test_lists_that_cannot_be_read_say_why(mesh: Mesh, page: Page) -> None:
    """Where nobody signs in the page says so, and a registry that knows no such lists is told in its words."""
    page.goto(f"{mesh.ui}/access", wait_until="commit")
    expect(page.locator("#open-here")).to_be_visible()
    for section in ("people", "api-keys", "computers", "join"):
        expect(page.locator(f"#{section} > [data-part=problem]")).to_contain_text("Unknown")
        expect(page.locator(f"#{section} > .loading")).to_be_hidden()
