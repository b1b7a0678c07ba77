"""The nodes page: what each computer is and does, what runs where, and taking a node out of use."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests
from playwright.sync_api import Locator, Page, Route, expect

from tests.cluster import Cluster
from tests.processes import Running, free_port, wait_for
from tests.ui.accessibility import axe
from tests.ui.conftest import Mesh, Watch

DEAD = "http://127.0.0.1:9"  # the discard port: nothing answers there


@dataclass
class Real:
    """A camera, two compute nodes that work, one that announces a wrong address, and the dashboard."""

    cluster: Cluster
    ui: str

    def id_of(self, name: str) -> str:
        return str(next(n["node_id"] for n in self.cluster.get("/v1/nodes")["nodes"] if n["name"] == name))


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory, models: Path) -> Iterator[Real]:
    folder = tmp_path_factory.mktemp("nodes")
    with ExitStack() as stack:
        cluster = stack.enter_context(Cluster(folder, models))
        cluster.registry().running.ready()
        cluster.camera("Press line 3", "--host-cameras", "4")
        cluster.compute("hall-1", "--slots", "2", "--label", "zone=south")
        cluster.compute("hall-2", "--slots", "2")
        cluster.compute("cellar", "--advertise", DEAD)
        where = ("--registry", cluster.registries, "--data", str(folder / "ui"))
        ui = stack.enter_context(Running("ui", *where, port=free_port(), log=folder / "ui.log"))
        ui.ready()
        wanted = {"Press line 3": "ready", "hall-1": "ready", "hall-2": "ready", "cellar": "unreachable"}
        wait_for(lambda: cluster.states() == wanted, 30, "nodes")
        yield Real(cluster, ui.url)


def opened(page: Page, ui: str, place: str = "") -> None:
    page.goto(f"{ui}/nodes{place}", wait_until="commit")


def card(page: Page, name: str) -> Locator:
    return page.locator("#nodes article", has=page.get_by_role("heading", name=name, exact=True))


def fact(of: Locator, name: str) -> Locator:
    return of.locator("dl > div", has=of.page.get_by_text(name, exact=True)).locator("dd")


def cell(page: Page, camera: str, node: str) -> Locator:
    """Where a camera's row and a node's column cross."""
    heads = page.locator("#matrix thead tr > *")
    expect(heads.filter(has_text=node)).to_have_count(1)
    column = [text.splitlines()[0] if text else "" for text in heads.all_inner_texts()].index(node)
    return page.locator("#matrix tbody tr", has_text=camera).locator(":scope > *").nth(column)


def clean(watch: Watch, ui: str) -> None:
    assert watch.complaints == [], watch.complaints
    assert watch.origins == {ui}


def test_a_card_says_what_a_node_is_and_how_it_fares(real: Real, page: Page, watch: Watch) -> None:
    """State, slots, load, model, beat, clock, address, version and labels, as the node itself tells them."""
    opened(page, real.ui)
    hall = card(page, "hall-1")
    expect(hall.locator(".state")).to_have_text("Ready")
    expect(hall).to_contain_text("2 of 2 slots free")
    for name in ("CPU", "Memory"):
        expect(fact(hall, name)).to_have_text(re.compile(r"^\d+ %"))
    expect(fact(hall, "Models")).to_contain_text(re.compile(r"^echo .*fps"))
    expect(fact(hall, "Clock")).to_have_text("in step")
    expect(fact(hall, "Last beat")).to_have_text(re.compile(r"^(just now|\d+ s ago)$"))
    expect(fact(hall, "Address")).to_have_text(real.cluster.services["hall-1"].url)
    expect(fact(hall, "Labels")).to_have_text("zone=south")
    expect(page.locator("#totals")).to_contain_text("2 of 3")
    expect(page.locator("#totals .registry")).to_have_text(f"Registry {real.cluster.registries} answers")
    expect(page.locator("#algorithms li")).to_contain_text("4 slots free")
    expect(page.locator("#algorithms a")).to_have_attribute("href", "/?algorithm=echo")
    expect(page.locator("#hosts article")).to_contain_text("0 of 4 added cameras")
    expect(page.locator("#camera-nodes tbody tr")).to_contain_text("320 × 180")
    expect(page.locator("#join")).to_contain_text(f"./fogline compute --registry {real.cluster.registries}")
    assert axe(page) == []
    clean(watch, real.ui)


def test_a_node_that_nobody_reaches_comes_first_with_the_remedy(real: Real, page: Page) -> None:
    """The address that was tried, why it failed, and the line that mends it, ready to copy."""
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    opened(page, real.ui)
    first = page.locator("#nodes article").first
    expect(first.locator(".state")).to_have_text("Unreachable")
    expect(first.locator(".remedy")).to_contain_text(f"The registry tried {DEAD} and failed: ")
    port = real.cluster.services["cellar"].url.rpartition(":")[2]
    line = rf"FOGLINE_ADVERTISE=http://\S+:{port} ./fogline compute --registry {real.cluster.registries}"
    expect(first.locator(".remedy code")).to_have_text(re.compile(line))
    first.get_by_role("button", name="Copy").click()
    expect(first.get_by_role("button", name="Copied")).to_be_visible()
    assert page.evaluate("navigator.clipboard.readText()") == first.locator(".remedy code").text_content()


def test_a_node_is_drained_by_a_click_and_taken_back(real: Real, page: Page, watch: Watch) -> None:
    """Its session goes to the other node's column, the card says when it can be switched off, and the focus stays."""
    made = real.cluster.open("Press line 3", pinned=True)
    real.cluster.settled(made["session_id"])
    name, other = made["node_name"], "hall-2" if made["node_name"] == "hall-1" else "hall-1"
    opened(page, real.ui)
    link = cell(page, "Press line 3", name).get_by_role("link")
    expect(link).to_have_text("echo")
    expect(link).to_have_attribute("href", f"/s/{made['session_id']}")
    one = card(page, name)
    expect(fact(one, "Runs now")).to_contain_text("Press line 3 → echo")
    expect(one).to_contain_text("1 of 2 slots free")

    one.get_by_role("button", name=f"Drain {name}").click()
    expect(one.locator(".state")).to_have_text("Drained", timeout=15_000)
    expect(one.locator("[data-part=drain-state]")).to_have_text("Drained: it can be switched off.")
    expect(cell(page, "Press line 3", other).get_by_role("link")).to_have_text("echo")
    expect(cell(page, "Press line 3", name)).to_have_text("")
    assert real.cluster.session(made["session_id"])["node_name"] == other
    back = one.get_by_role("button", name=f"Undrain {name}")
    expect(back).to_be_focused()
    back.press("Enter")
    expect(one.locator(".state")).to_have_text("Ready")
    requests.delete(f"{real.cluster.registries}/v1/sessions/{made['session_id']}", timeout=5)
    expect(page.locator("#matrix .chip")).to_have_count(0)
    clean(watch, real.ui)


def test_the_keyboard_searches_and_walks_the_matrix(real: Real, page: Page) -> None:
    """`/` goes to the search, Escape clears it; one Tab stop for the matrix, arrows inside, Enter starts there."""
    opened(page, real.ui)
    expect(page.locator("#nodes article")).to_have_count(3)
    page.keyboard.press("/")
    expect(page.get_by_role("searchbox")).to_be_focused()
    page.keyboard.type("zone=south echo")
    expect(page.locator("#nodes article")).to_have_count(1)
    expect(page.locator("#matrix thead a")).to_have_text(["hall-1"])
    page.keyboard.press("Escape")
    expect(page.locator("#nodes article")).to_have_count(3)
    page.keyboard.type("nowhere")
    expect(page.locator("#nodes")).to_contain_text("No compute node matches.")
    expect(page.locator("#matrix")).to_be_hidden()
    page.keyboard.press("Escape")
    expect(page.locator("#matrix tbody a[tabindex='0']")).to_have_count(1)
    page.locator("#matrix tbody a[tabindex='0']").focus()
    page.keyboard.press("ArrowRight")
    start = page.get_by_role("link", name="Start an algorithm on Press line 3 at hall-2")
    expect(start).to_be_focused()
    query = f"/?start={real.id_of('Press line 3')}&node={real.id_of('hall-2')}"
    expect(start).to_have_attribute("href", query)
    page.keyboard.press("Enter")
    page.wait_for_url(f"{real.ui}{query}", wait_until="commit")


def test_what_needs_a_look_is_told_in_words(mesh: Mesh, page: Page, watch: Watch) -> None:
    """Heat, a clock that is off, memory and another version; such a node stands before those that are well."""
    mesh.registry.add_compute(mesh.compute, "Annex")
    opened(page, mesh.ui)
    expect(page.locator("#nodes article h3")).to_have_text(["Annex", "Press shop 2"])
    load = {"temperature": 91.2, "clock_skew": -2.44, "ram_percent": 97.0, "accelerator_percent": 64.0}
    mesh.registry.nodes[mesh.compute_id] |= {"load": load, "version": "0.0.9"}
    hot = card(page, "Press shop 2")
    expect(fact(hot, "Temperature")).to_have_text("91 °C, hot: look after its cooling")
    expect(fact(hot, "Clock")).to_have_text("2.4 s behind: set up NTP there")
    expect(fact(hot, "Memory")).to_have_text("97 %, nearly full")
    expect(fact(hot, "Accelerator")).to_have_text("64 %")
    expect(fact(hot, "Version")).to_contain_text("0.0.9, this dashboard is ")
    expect(page.locator("#nodes article h3")).to_have_text(["Press shop 2", "Annex"])
    mesh.registry.nodes[mesh.compute_id]["load"] = {"temperature": 83.0, "clock_skew": 0.8}
    expect(fact(hot, "Clock")).to_have_text("0.8 s ahead")
    expect(fact(hot, "Temperature")).to_have_text("83 °C")
    expect(page.locator("#nodes article h3").first).to_have_text("Press shop 2")  # not cool enough to move
    assert axe(page) == []
    clean(watch, mesh.ui)


def test_a_moving_session_stands_at_both_nodes(mesh: Mesh, page: Page) -> None:
    """From where and to where; one without a node has a column of its own."""
    other = mesh.registry.add_compute(mesh.compute, "Annex")
    session = mesh.registry.add_session(mesh.camera_id, "yolo", mesh.compute_id)
    opened(page, mesh.ui)
    expect(page.locator("#matrix thead")).to_contain_text("Annex")  # a column that comes later would shift the others
    expect(cell(page, "Press line 3", "Press shop 2")).to_have_text("yolo")
    session |= {"state": "moving", "following": other}
    expect(cell(page, "Press line 3", "Press shop 2")).to_contain_text("to Annex")
    expect(cell(page, "Press line 3", "Annex")).to_contain_text("from Press shop 2")
    session |= {"state": "requested", "following": None, "node": None, "node_name": None}
    expect(cell(page, "Press line 3", "No node yet")).to_contain_text("Waiting")
    expect(page.locator("#totals")).to_contain_text("1 waits for a node")


def test_a_drain_that_is_refused_says_why_on_the_card(mesh: Mesh, page: Page) -> None:
    """The registry's words stand where the click was; an original node has no such button."""
    mesh.registry.add_compute(mesh.compute, "Old one", original=True)
    problem = '{"title": "No", "status": 503, "detail": "Redis does not answer; try again"}'
    page.route("**/drain", lambda route: route.fulfill(status=503, body=problem))
    opened(page, mesh.ui)
    button = card(page, "Press shop 2").get_by_role("button", name="Drain")
    button.click()
    expect(card(page, "Press shop 2").get_by_role("alert")).to_have_text("Redis does not answer; try again.")
    expect(button).to_be_enabled()
    expect(card(page, "Old one").get_by_role("button")).to_have_count(0)


def test_the_dead_are_folded_away_and_links_lead_to_them(mesh: Mesh, page: Page) -> None:
    """/nodes#NODE_ID opens and marks what it names, also when that is gone."""
    reason = "no beat for 3.3 s at 14:02:11 UTC"
    gone = mesh.registry.add_compute(mesh.compute, "Cellar", state="dead", state_reason=reason, dead_at=1.7e9)
    opened(page, mesh.ui)
    expect(page.locator("#gone")).to_contain_text("Gone lately")
    expect(page.get_by_text("Cellar")).to_be_hidden()
    expect(page.locator("#totals")).to_contain_text("1 gone lately")
    opened(page, mesh.ui, f"#{gone}")
    expect(page.locator("#gone .marked")).to_contain_text("No beat for 3.3 s")
    expect(page.locator("#gone .marked")).to_be_in_viewport()
    page.evaluate(f"location.hash = '{mesh.compute_id}'")
    expect(page.locator(".marked h3")).to_have_text(["Press shop 2"])
    expect(page.locator(".marked")).to_be_focused()


def test_sixty_nodes_and_thirty_cameras_stay_in_their_places(mesh: Mesh, page: Page, watch: Watch) -> None:
    """The matrix scrolls in its own box under heads that stay; nothing is built anew when loads change."""
    for number in range(2, 61):
        mesh.registry.add_compute(mesh.compute, f"node-{number}", load={"cpu_percent": 10.0})
    for number in range(2, 31):
        mesh.registry.add_camera(mesh.camera, f"camera-{number}")
    opened(page, mesh.ui)
    expect(page.locator("#nodes article")).to_have_count(60)
    expect(page.locator("#matrix td .offer")).to_have_count(60 * 30)
    page.evaluate("() => { for (const one of document.querySelectorAll('article, #matrix td')) one.mine = true }")
    for node in mesh.registry.nodes.values():
        if node["kind"] == "compute":
            node["load"] = {"cpu_percent": 73.0}
    expect(fact(card(page, "node-60"), "CPU")).to_have_text("73 %")
    unmarked = "() => [...document.querySelectorAll('article, #matrix td')].filter(one => !one.mine).length"
    assert page.evaluate(unmarked) == 0
    box = page.locator(".matrix")
    box.evaluate("box => { box.scrollIntoView({ behavior: 'instant' }); box.scrollTo(1e6, 1e6) }")
    expect(box.get_by_role("rowheader", name="camera-30")).to_be_in_viewport(ratio=1)
    expect(box.get_by_role("columnheader", name="node-60")).to_be_in_viewport(ratio=1)
    assert page.evaluate("document.documentElement.scrollWidth") <= 1280
    clean(watch, mesh.ui)


def test_a_phone_shows_a_list_by_node(mesh: Mesh, page: Page) -> None:
    """Nothing is wider than the screen, however long the names are."""
    long = "a-name-without-any-space-" * 6
    mesh.registry.nodes[mesh.compute_id] |= {"name": long, "FriendlyName": long, "labels": {"zone": long}}
    mesh.registry.nodes[mesh.camera_id] |= {"name": long, "load": {"no_signal": long}}
    session = mesh.registry.add_session(mesh.camera_id, "yolo", mesh.compute_id)
    mesh.registry.add_compute(mesh.compute, "Idle")
    page.set_viewport_size({"width": 390, "height": 844})
    opened(page, mesh.ui)
    expect(page.locator("#matrix table")).to_be_hidden()
    expect(page.locator("#matrix li")).to_have_count(1)
    expect(page.locator("#matrix li .chip a")).to_have_attribute("href", f"/s/{session['session_id']}")
    expect(page.locator("#matrix")).to_contain_text("1 node runs nothing.")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert axe(page) == []


def test_markup_in_a_manifest_is_text(mesh: Mesh, page: Page, watch: Watch) -> None:
    """Names, reasons, labels and models may hold anything; none of it becomes an element."""
    evil = '<img src=x onerror="window.broken=1"><b>bold</b>'
    node = mesh.registry.nodes[mesh.compute_id]
    node |= {"name": evil, "FriendlyName": evil, "cpu": evil, "labels": {"zone": evil}, "accelerators": [evil]}
    node["algorithm"][0] |= {"name": evil, "model": evil}
    mesh.registry.nodes[mesh.camera_id] |= {"name": evil, "state": "suspect", "state_reason": evil}
    mesh.registry.add_session(mesh.camera_id, "yolo", mesh.compute_id)
    opened(page, mesh.ui)
    expect(page.locator("#nodes article h3")).to_have_text(evil)
    expect(page.locator("#camera-nodes .reason")).to_contain_text("<b>bold</b>")
    assert page.locator("b").count() == 0
    assert page.evaluate("window.broken") is None
    clean(watch, mesh.ui)


def test_an_empty_mesh_and_one_that_is_not_heard_of_say_the_next_step(mesh: Mesh, page: Page) -> None:
    """Without nodes the command to start one stands there; while the registry is away the last known stays, marked."""
    opened(page, mesh.ui)
    expect(card(page, "Press shop 2").get_by_role("button", name="Drain")).to_be_enabled()
    mesh.registry.down()
    expect(page.locator("#banner")).to_contain_text("The registry is away")
    expect(page.locator(".registry")).to_contain_text("away since")
    expect(card(page, "Press shop 2").get_by_role("button", name="Drain")).to_be_disabled()
    assert axe(page) == []
    mesh.registry.nodes.clear()
    mesh.registry.up()
    expect(page.locator("#nodes .empty")).to_contain_text("No compute node has joined yet")
    expect(page.locator("#camera-nodes")).to_contain_text("No camera has joined yet")
    expect(page.locator("#join")).to_contain_text(f"./fogline compute --registry {mesh.registry.url}")
    expect(page.locator("#banner")).to_be_hidden()


def test_a_suspected_network_is_told(mesh: Mesh, page: Page) -> None:
    """When many nodes vanish at once, a line says why they are still listed."""

    def preserving(route: Route) -> None:
        answer = route.fetch()
        route.fulfill(response=answer, body=answer.text().replace('"preserving": false', '"preserving": true'))

    page.route("**/nodes", preserving)
    page.route("**/api/events", lambda route: route.abort())  # what came with the page stays
    opened(page, mesh.ui)
    expect(page.locator("#totals .notice")).to_contain_text("the network is suspected")


def test_other_pages_lead_to_the_form(mesh: Mesh, page: Page, watch: Watch) -> None:
    """`/?start=CAMERA&node=NODE` opens it with both chosen; closing and reloading asks for nothing again."""
    page.goto(f"{mesh.ui}/?start={mesh.camera_id}&node={mesh.compute_id}", wait_until="commit")
    dialog = page.get_by_role("dialog")
    expect(dialog.locator("[name=camera]")).to_have_value(mesh.camera_id)
    expect(dialog.get_by_role("radio", name="Press shop 2")).to_be_checked()
    page.keyboard.press("Escape")
    page.reload(wait_until="commit")
    expect(page.locator("li.tile")).to_have_count(1)
    expect(dialog).to_be_hidden()
    page.goto(f"{mesh.ui}/?algorithm=haar", wait_until="commit")
    expect(dialog.get_by_role("radio", name="Faces (Haar)")).to_be_checked()
    assert watch.complaints == [], watch.complaints
