"""The cameras page before real services: cameras are tried, added, changed and removed."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from urllib.parse import quote

import pytest
import requests
from playwright.sync_api import Locator, Page, Route, expect

from tests.camera_node.pictures import picture
from tests.camera_node.web_server import Request, WebCamera
from tests.cluster import Cluster, Json
from tests.processes import Running, free_port, wait_for
from tests.ui.accessibility import axe
from tests.ui.conftest import Watch
from tests.ui.test_browser import moves

PASSWORD = "s/e:c@r?e#t%20"  # with everything that means something in an address
RIGHT = "Basic " + base64.b64encode(f"op:{PASSWORD}".encode()).decode()
# ms: a host hears of a camera with its next beat, the dashboard what became of it with its next reading.
TRIED = 10_000
_numbers = count()


def _locked(request: Request) -> None:
    """A still camera with a password."""
    if request.headers.get("Authorization") == RIGHT:
        request.answer("image/jpeg", picture(seed=next(_numbers)))
    else:
        request.answer("text/plain", b"", 401, WWW_Authenticate='Basic realm="cam"')


@dataclass
class Mesh:
    """A camera to read, one with a password, a camera host, a compute node, and the dashboard."""

    cluster: Cluster
    locked: WebCamera
    ui: str

    @property
    def origins(self) -> set[str]:
        return {self.ui, *(one.url for one in self.cluster.services.values() if one.role != "registry")}

    @property
    def dock(self) -> str:
        """The stream of a camera that joined by itself."""
        return self.cluster.services["Loading dock"].url + "/stream.jpg"

    def added(self) -> list[Json]:
        return list(self.cluster.get("/v1/cameras")["cameras"])

    def add(self, name: str, source: str = "demo:") -> str:
        """Add a camera by REST, and wait until it runs."""
        camera_id: str = self.cluster.post("/v1/cameras", {"name": name, "source": source})["camera_id"]
        wait_for(lambda: self.cluster.get(f"/v1/cameras/{camera_id}")["state"] == "running", 10, f"{name} running")
        return camera_id


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory, models: Path) -> Iterator[Mesh]:
    folder = tmp_path_factory.mktemp("cameras")
    with ExitStack() as stack:
        locked = stack.enter_context(WebCamera(_locked))
        cluster = stack.enter_context(Cluster(folder, models))
        cluster.registry().running.ready()
        cluster.camera("Loading dock")
        cluster.camera("host-1", "--source", "none", "--host-cameras", "4")
        cluster.compute("hall-1")
        where = ("--registry", cluster.registries, "--data", str(folder / "ui"))
        ui = stack.enter_context(Running("ui", *where, port=free_port(), log=folder / "ui.log"))
        ui.ready()
        cluster.healthy()
        wait_for(lambda: cluster.get("/v1/cameras")["hosts"], 10, "camera host")
        yield Mesh(cluster, locked, ui.url)


@pytest.fixture
def mesh(services: Mesh) -> Mesh:
    """The same mesh, without what the test before added."""
    for camera in services.added():
        requests.delete(f"{services.cluster.registries}/v1/cameras/{camera['camera_id']}", timeout=5)
    return services


def row(page: Page, name: str) -> Locator:
    return page.locator("ul.sources > li", has=page.get_by_role("heading", name=name, exact=True))


def opened(page: Page) -> Locator:
    """The dialog, after a click on its button."""
    page.wait_for_load_state("domcontentloaded")  # before, the button is there and nothing listens to it
    page.get_by_role("button", name="Add a camera").first.click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_be_visible()
    return dialog


def tried(dialog: Locator, address: str) -> None:
    """Type an address and test it."""
    dialog.get_by_label("Address").fill(address)
    dialog.get_by_role("button", name="Test", exact=True).click()


def verdict(dialog: Locator) -> Locator:
    return dialog.locator("[data-part=verdict]")


def saved(dialog: Locator, name: str) -> None:
    dialog.get_by_label("Name", exact=True).fill(name)
    dialog.get_by_role("button", name="Save").click()
    expect(dialog).to_be_hidden()


def test_a_camera_is_tried_and_added_by_its_address(mesh: Mesh, page: Page, watch: Watch) -> None:
    """Its picture comes before it is saved; then it is a row, and a tile of the wall, with a picture that moves."""
    page.goto(mesh.ui + "/cameras", wait_until="commit")
    own = row(page, "Loading dock")
    expect(own).to_contain_text("Joined by itself")
    expect(own).to_contain_text("--name")
    expect(own.get_by_role("button")).to_have_count(0)
    dialog = opened(page)
    tried(dialog, mesh.dock)
    expect(verdict(dialog)).to_contain_text("on host-1", timeout=TRIED)
    expect(verdict(dialog)).to_contain_text("The picture comes · 320 × 180", timeout=TRIED)
    assert moves(dialog.get_by_role("img", name="Test picture"))
    assert axe(page) == []
    expect(page.locator("ul.sources > li")).to_have_count(1)  # a draft is nobody else's
    dialog.get_by_label("Name", exact=True).fill("Loading dock again")
    dialog.get_by_role("button", name="Save").click()
    expect(dialog).to_be_hidden()
    made = row(page, "Loading dock again")
    expect(made).to_contain_text("Live")
    expect(made).to_contain_text("hosted by host-1")
    image = made.get_by_role("img", name="Live picture of Loading dock again")
    expect(image).to_be_visible()
    assert moves(image)
    assert axe(page) == []
    page.goto(mesh.ui + "/", wait_until="commit")
    tile = page.locator("ul.tiles > li", has_text="Loading dock again")
    expect(tile).to_contain_text("Live")
    assert moves(tile.locator("canvas").first)
    assert watch.complaints == []
    assert watch.origins <= mesh.origins


def test_a_password_is_taken_out_of_the_address_and_never_shown_again(mesh: Mesh, page: Page) -> None:
    """A wrong one is told with what to do; the right one opens the camera and is in no page, answer or storage."""
    page.goto(mesh.ui + "/cameras#add", wait_until="commit")
    dialog = page.get_by_role("dialog")
    address = dialog.get_by_label("Address")
    address.fill(f"http://op:wr%3Fong@{mesh.locked.host}/still.jpg")
    address.press("Enter")
    expect(address).to_have_value(f"http://{mesh.locked.host}/still.jpg")
    expect(dialog.get_by_label("Camera's user name")).to_have_value("op")
    expect(dialog.get_by_label("Camera's password")).to_have_value("wr?ong")
    expect(verdict(dialog)).to_contain_text("does not accept the user name and password", timeout=TRIED)
    expect(dialog).to_contain_text("they are the camera's own")
    password = dialog.get_by_label("Camera's password")
    assert password.get_attribute("type") == "password"
    password.fill(PASSWORD)
    expect(verdict(dialog)).to_be_hidden()  # what was tried is not what stands there now
    password.press("Enter")
    expect(verdict(dialog)).to_contain_text("The picture comes", timeout=TRIED)
    saved(dialog, "Safe")
    expect(row(page, "Safe")).to_contain_text("Live")
    expect(page).to_have_url(mesh.ui + "/cameras")
    row(page, "Safe").get_by_role("button", name="Edit").click()
    expect(dialog.get_by_label("Address")).to_have_value(f"http://{mesh.locked.host}/still.jpg")
    expect(password).to_have_value("")
    expect(verdict(dialog)).to_contain_text("The picture comes", timeout=TRIED)
    dialog.get_by_label("Name", exact=True).fill("Safer")
    dialog.get_by_role("button", name="Save").click()
    expect(row(page, "Safer")).to_contain_text("Live")  # the password is kept though it was not typed again
    fields = page.evaluate("[...document.querySelectorAll('input')].map(one => one.value).join()")
    stored = page.evaluate("JSON.stringify([localStorage, sessionStorage])")
    seen = [page.content(), fields, stored, requests.get(mesh.ui + "/api/overview", timeout=5).text]
    for secret in (PASSWORD, quote(PASSWORD, safe="")):
        assert not any(secret in one for one in seen)


def test_what_is_not_saved_leaves_nothing_behind(mesh: Mesh, page: Page) -> None:
    """A wrong address says why; a draft is kept while the dialog is open, and ends with it or with the page."""
    page.clock.install()
    page.goto(mesh.ui + "/cameras", wait_until="commit")
    dialog = opened(page)
    tried(dialog, f"http://127.0.0.1:{free_port()}/stream.jpg")
    expect(verdict(dialog)).to_contain_text("refuses connections", timeout=TRIED)
    assert [one["draft"] for one in mesh.added()] == [True]
    with page.expect_request(lambda request: request.method == "PATCH"):
        page.clock.fast_forward(50_000)
    dialog.get_by_role("button", name="Cancel").click()
    wait_for(lambda: mesh.added() == [], 5, "draft that is gone")
    tried(opened(page), "demo:")
    wait_for(lambda: [one["state"] for one in mesh.added()] == ["running"], 10, "draft")
    page.goto("about:blank")
    wait_for(lambda: mesh.added() == [], 5, "draft that is gone with its page")


def test_a_discovered_camera_fills_in_what_is_known_of_it(mesh: Mesh, page: Page) -> None:
    """Its address and name, and what is not known: the path of its stream."""
    found = {
        "name": "Dome 7",
        "hardware": "X-1",
        "location": "hall 2",
        "address": "10.20.0.31",
        "xaddrs": [],
        "urn": "u",
    }
    answer = {"cameras": [{**found, "already": "Old dome"}], "registries": [], "seconds": 2.0, "problems": []}
    page.route("**/api/discovered", lambda route: route.fulfill(json=answer))  # no camera is on a test's network
    page.goto(mesh.ui + "/cameras#add", wait_until="commit")
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("button", name="Look for cameras").click()
    option = dialog.get_by_role("button", name="Dome 7")
    expect(option).to_have_text("Dome 7 10.20.0.31 · X-1 · hall 2 is here already as Old dome")
    option.click()
    expect(dialog.get_by_label("Address")).to_have_value("rtsp://10.20.0.31:554/")
    expect(dialog.get_by_label("Name", exact=True)).to_have_value("Dome 7")
    expect(dialog).to_contain_text("add the path from its manual")
    assert axe(page) == []


def test_the_keyboard_alone_adds_and_renames(mesh: Mesh, page: Page) -> None:
    """Enter tries an address, Enter in the name saves; a name that is taken is told at its field."""
    mesh.add("Gate 4")
    page.goto(mesh.ui + "/cameras", wait_until="commit")
    expect(row(page, "Gate 4")).to_be_visible()
    page.keyboard.press("/")
    expect(page.get_by_label("Search cameras")).to_be_focused()
    page.keyboard.type("nothing of that kind")
    expect(page.locator("ul.sources > li")).to_have_count(0)
    expect(page.locator("#sources")).to_contain_text("No camera has “nothing of that kind”")
    page.keyboard.press("Escape")
    expect(page.locator("ul.sources > li")).to_have_count(2)
    page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="Add a camera")).to_be_focused()
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_label("Address")).to_be_focused()
    page.keyboard.type("demo:")
    page.keyboard.press("Enter")
    expect(verdict(dialog)).to_contain_text("The picture comes", timeout=TRIED)
    name = dialog.get_by_label("Name", exact=True)
    expect(name).to_have_value("Demo camera")
    for _ in range(8):
        page.keyboard.press("Tab")
        if name.evaluate("field => field === document.activeElement"):
            break
    page.keyboard.type("Gate 4")
    page.keyboard.press("Enter")
    expect(dialog.get_by_role("alert")).to_have_text(re.compile("^Another added camera is called 'Gate 4'"))
    expect(name).to_be_focused()
    expect(name).to_have_attribute("aria-invalid", "true")
    page.keyboard.press("Control+a")
    page.keyboard.type("Gate 5")
    page.keyboard.press("Enter")
    expect(dialog).to_be_hidden()
    edit = page.get_by_role("button", name="Edit Gate 5")
    edit.focus()
    page.keyboard.press("Enter")
    expect(name).to_be_focused()
    page.keyboard.press("End")
    page.keyboard.type(" north")
    page.keyboard.press("Enter")
    expect(row(page, "Gate 5 north")).to_contain_text("Live")
    assert sorted(one["name"] for one in mesh.added()) == ["Gate 4", "Gate 5 north"]


def test_a_dialog_that_is_opened_again_at_once_keeps_what_is_in_it(mesh: Mesh, page: Page) -> None:
    """Browsers tell that a dialog is closed a frame later: what is cleared then is not the next camera's."""
    mesh.add("Gate 7")
    page.goto(mesh.ui + "/cameras", wait_until="commit")
    expect(row(page, "Gate 7")).to_be_visible()
    dialog = opened(page)
    dialog.get_by_label("Address").fill("rtsp://10.20.0.31/")
    page.evaluate(
        """() => new Promise((done) => {
          const dialog = document.querySelector("#add");
          dialog.addEventListener("close", () => requestAnimationFrame(done));
          dialog.querySelector("[data-part=cancel]").click();
          document.querySelector("[aria-label='Edit Gate 7']").click();
        })"""
    )
    expect(dialog).to_contain_text("Edit Gate 7")
    expect(dialog.get_by_label("Address")).to_have_value("demo:")
    expect(dialog.get_by_label("Name", exact=True)).to_have_value("Gate 7")
    dialog.get_by_label("Name", exact=True).fill("Gate 8")
    dialog.get_by_role("button", name="Save").click()
    expect(row(page, "Gate 8")).to_contain_text("Live")
    assert [one["name"] for one in mesh.added()] == ["Gate 8"]


def test_a_save_that_is_answered_late_closes_no_other_dialog(mesh: Mesh, page: Page) -> None:
    """Cancelled while it was on its way, and another camera begun: that one stays as it is, and a note tells the end
    of the first, good or bad."""
    mesh.add("Gate 7")
    held: list[Route] = []

    def hold(route: Route) -> None:
        held.append(route)

    page.route(lambda url: "/api/cameras/" in url, hold)
    page.goto(mesh.ui + "/cameras", wait_until="commit")
    for answer, told in (
        ({"json": {}}, "Gate 7 is saved."),
        ({"status": 409, "json": {"detail": "Too late."}}, "Too late."),
    ):
        row(page, "Gate 7").get_by_role("button", name="Edit").click()
        dialog = page.get_by_role("dialog")
        with page.expect_request(lambda request: request.method == "PATCH"):
            dialog.get_by_role("button", name="Save").click()
        dialog.get_by_role("button", name="Cancel").click()
        dialog = opened(page)
        dialog.get_by_label("Address").fill("rtsp://10.20.0.31/")
        held.pop().fulfill(**answer)
        expect(page.get_by_role("log", name="Notes")).to_contain_text(told)
        expect(dialog.get_by_label("Address")).to_have_value("rtsp://10.20.0.31/")
        expect(dialog.get_by_role("alert")).to_have_count(0)
        expect(dialog.get_by_role("button", name="Save")).to_be_enabled()
        dialog.get_by_role("button", name="Cancel").click()
        expect(dialog).to_be_hidden()


def test_a_removal_names_the_sessions_that_end(mesh: Mesh, page: Page) -> None:
    """They are links before, are named in the question, and end with the camera."""
    mesh.add("Gate 6")
    made = mesh.cluster.open("Gate 6", pinned=True)
    page.goto(mesh.ui + "/cameras", wait_until="commit")
    link = row(page, "Gate 6").get_by_role("link", name="Echo on Gate 6")
    expect(link).to_have_attribute("href", f"/s/{made['session_id']}")
    page.get_by_role("button", name="Remove Gate 6").click()
    question = page.get_by_role("dialog")
    expect(question).to_contain_text("This session ends with it")
    expect(question.get_by_role("listitem")).to_have_text(re.compile("^Echo on hall-1"))
    assert axe(page) == []
    question.get_by_role("button", name="Cancel").click()
    assert len(mesh.added()) == 1
    page.get_by_role("button", name="Remove Gate 6").click()
    question.get_by_role("button", name="Remove").click()
    expect(row(page, "Gate 6")).to_have_count(0)
    assert mesh.added() == []
    wait_for(lambda: mesh.cluster.session(made["session_id"])["state"] == "ended", 5, "session that ended")


def test_a_phone_shows_it_without_scrolling_sideways(mesh: Mesh, page: Page) -> None:
    """List and dialog fit into 390 pixels, however long a name is."""
    mesh.add("a-name-without-any-space-" * 6)
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto(mesh.ui + "/cameras", wait_until="commit")
    expect(page.locator("ul.sources > li")).to_have_count(2)
    sideways = "() => document.documentElement.scrollWidth"
    assert page.evaluate(sideways) <= 390
    dialog = opened(page)
    dialog.get_by_text("More", exact=True).click()
    assert page.evaluate(sideways) <= 390
    assert dialog.locator(".body").evaluate("body => body.scrollWidth <= body.clientWidth")
    assert axe(page) == []


def test_without_a_host_what_is_saved_waits_and_the_page_says_what_to_start(mesh: Mesh, page: Page) -> None:
    """Last of this file: the host leaves."""
    mesh.cluster.services["host-1"].running.stop()
    page.goto(mesh.ui + "/cameras", wait_until="commit")
    dialog = opened(page)
    command = f"./fogline camera --source none --host-cameras 8 --registry {mesh.cluster.registries}"
    expect(dialog).to_contain_text(command)
    expect(dialog.get_by_role("button", name="Test", exact=True)).to_be_hidden()
    dialog.get_by_label("Address").fill("rtsp://10.20.0.31/stream1")
    saved(dialog, "Later")
    expect(row(page, "Later")).to_contain_text("Waiting")
    expect(page.locator("#sources > .notice")).to_contain_text(command)
    expect(page.locator("#notes")).to_contain_text("It waits for a camera host")
    assert axe(page) == []
