"""The wall in a real browser: which tiles stand where, what they show, and what people do with them."""

from __future__ import annotations

import json
import re
from contextlib import ExitStack

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.processes import wait_for
from tests.ui.accessibility import axe
from tests.ui.conftest import Mesh, Watch
from tests.ui.fakes import FakeCamera, FakeCompute
from tests.ui.test_browser import clean, moves

HIDE = """hidden => {
    Object.defineProperty(document, "hidden", { configurable: true, get: () => hidden });
    document.dispatchEvent(new Event("visibilitychange"));
}"""
DRAWN = "canvas => canvas.width !== 300 || canvas.height !== 150"  # else it is as the browser makes it


def tile(page: Page, name: str) -> Locator:
    """The tile of a camera."""
    return page.locator(".tile", has=page.locator(".name", has_text=re.compile(f"^{re.escape(name)}$")))


def pictured(one: Locator) -> None:
    """The tile shows a picture, and no words over it."""
    expect(one.locator(".cover")).to_be_hidden()
    wait_for(lambda: one.locator("[data-part=still]").evaluate(DRAWN), 5, "picture")


def names(page: Page) -> list[str]:
    """The cameras' names in the order of their tiles."""
    return page.locator(".tile .name").all_text_contents()


def opened(mesh: Mesh, page: Page, tiles: int = 1) -> None:
    """The wall, with so many tiles."""
    page.goto(mesh.ui, wait_until="commit")
    expect(page.locator(".tile")).to_have_count(tiles)


@pytest.fixture
def many(mesh: Mesh) -> Mesh:
    """Line 1 to Line 5 beside Press line 3, all pictures of one server."""
    for number in range(1, 6):
        mesh.registry.add_camera(mesh.camera, f"Line {number}")
    return mesh


def test_a_camera_is_a_tile_in_full_motion(mesh: Mesh, page: Page, watch: Watch) -> None:
    """It shows picture, name, state in words, rate and size; the picture moves without a new element."""
    opened(mesh, page)
    one = tile(page, "Press line 3")
    pictured(one)
    expect(one.locator(".state")).to_have_text("Live")
    expect(one.locator(".facts span")).to_have_text(["12 fps", "640 × 360"])
    one.evaluate("tile => { tile.mine = true }")
    expect(one.locator(".picture")).to_have_class(re.compile("in-motion"))
    assert moves(one.locator(".picture"))
    assert any(re.match(r"GET /stream\.jpg\?width=\d+&fps=25", asked) for asked in mesh.camera.requests)
    assert one.evaluate("tile => tile.mine"), "the tile was built anew"
    assert axe(page) == []
    clean(mesh, watch)


def test_a_session_takes_its_cameras_place_and_gives_it_back(many: Mesh, page: Page, watch: Watch) -> None:
    """A second session stands beside the first; their tiles say what is found, where and how fast."""
    opened(many, page, 6)
    before = names(page)
    first = many.registry.add_session(many.camera_id, "yolo", many.compute_id)
    one = tile(page, "Press line 3")
    expect(one.locator(".algorithm")).to_have_text("Object detection (YOLO)")
    assert names(page) == before
    one.locator(".picture").click()
    expect(one).to_have_attribute("aria-current", "true")
    expect(one.locator(".facts")).to_contain_text("2 person, 1 bottle")
    expect(one.locator(".facts")).to_contain_text(re.compile(r"1[0-3] fps.*48 ms.*Press shop 2"))
    expect(one.get_by_role("link", name="Open Object")).to_have_attribute("href", f"/s/{first['session_id']}")
    second = many.registry.add_session(many.camera_id, "haar", many.compute_id)
    expect(page.locator(".tile")).to_have_count(7)
    assert names(page) == [*before, "Press line 3"]
    expect(page.locator(".tile").last.locator(".algorithm")).to_have_text("Faces (Haar)")
    for session in (first, second):
        many.registry.end(session["session_id"])
    expect(page.locator(".tile")).to_have_count(6)
    expect(one.locator(".algorithm")).to_have_text("")
    assert names(page) == before
    clean(many, watch)


def test_cameras_without_pictures_say_why(mesh: Mesh, page: Page) -> None:
    """Gone, without a signal, or waiting for a host: a word, the reason, and no button that could not work."""
    with ExitStack() as stack:
        stack.callback((gone := FakeCamera()).down)
        mesh.registry.add_camera(gone, "Hall 2", state="dead", state_reason="no beat for 3.3 s at 14:02:11 UTC")
        mesh.registry.nodes[mesh.camera_id]["load"] = {"no_signal": "the cable is out"}
        for camera, draft in (("a1", False), ("a2", True)):
            mesh.registry.cameras[camera] = {
                **{"camera_id": camera, "name": f"Gate {camera}", "source": "rtsp://10.0.0.9/1", "draft": draft},
                **{"state": "waiting", "state_reason": "no camera host has room", "host": None, "url": None},
            }
        opened(mesh, page, 3)
        dead = tile(page, "Hall 2")
        expect(dead).to_contain_text("Gone")
        expect(dead).to_contain_text("This camera is gone")
        expect(dead).to_contain_text("14:02:11")
        expect(dead.locator("[data-part=start]")).to_be_hidden()
        expect(tile(page, "Press line 3")).to_contain_text("No signal")
        expect(tile(page, "Press line 3")).to_contain_text("The cable is out")
        expect(tile(page, "Gate a1")).to_contain_text("Waiting")
        expect(tile(page, "Gate a1")).to_contain_text("No camera host has room")


def test_an_empty_mesh_says_the_next_step(mesh: Mesh, page: Page) -> None:
    """Without compute nodes the cameras are shown and a line says what to start; without cameras too."""
    mesh.registry.nodes.pop(mesh.compute_id)
    opened(mesh, page)
    pictured(tile(page, "Press line 3"))
    expect(page.locator("[data-part=no-nodes]")).to_contain_text("./fogline compute --registry http")
    mesh.registry.nodes.clear()
    expect(page.locator(".empty")).to_contain_text("./fogline camera --source 0 --registry http")
    expect(page.get_by_role("button", name="Add a camera")).to_have_attribute("href", "/cameras#add")
    assert axe(page) == []


def test_the_registry_goes_and_comes_back(mesh: Mesh, page: Page, watch: Watch) -> None:
    """A banner says so, pictures go on, and the page is well again without a reload."""
    page.goto(mesh.ui)
    picture = page.locator(".tile .picture")
    expect(picture.locator(".cover")).to_be_hidden()
    mesh.registry.down()
    banner = page.locator("#banner")
    expect(banner).to_contain_text("The registry is away")
    expect(banner).to_contain_text("does not answer")
    assert moves(picture)
    expect(page.get_by_role("button", name="Start an algorithm on Press line 3")).to_be_hidden()
    mesh.registry.up()
    expect(banner).to_be_hidden()
    expect(page.get_by_role("button", name="Start an algorithm on Press line 3")).to_be_visible()
    clean(mesh, watch)


def test_sixteen_tiles_of_one_node_are_all_live(mesh: Mesh, page: Page, watch: Watch) -> None:
    """Every one asks for pictures again and again, a few at a time; one is in full motion."""
    sessions = []
    for number in range(1, 17):
        camera = mesh.registry.add_camera(mesh.camera, f"Line {number}")
        sessions.append(mesh.registry.add_session(camera, "yolo", mesh.compute_id)["session_id"])
    mesh.registry.nodes.pop(mesh.camera_id)
    opened(mesh, page, 9)
    page.keyboard.press("6")
    expect(page.locator(".tile")).to_have_count(16)
    expect(page.locator(".cover:visible")).to_have_count(0)

    def asked() -> bool:
        counts = [sum(f"/{one}/snapshot?" in request for request in mesh.compute.requests) for one in sessions[1:]]
        return min(counts) >= 4

    wait_for(asked, 10, "pictures for every tile")
    expect(page.locator(".in-motion")).to_have_count(1)
    assert moves(page.locator(".selected .picture"))
    assert page.evaluate("document.documentElement.scrollHeight <= innerHeight"), "a page of tiles fits the window"
    clean(mesh, watch)


def test_what_nobody_sees_costs_nothing(many: Mesh, page: Page) -> None:
    """Tiles out of sight, other pages and hidden pages ask for no pictures; they go on when they are seen."""
    page.set_viewport_size({"width": 1000, "height": 500})
    opened(many, page, 6)
    page.keyboard.press("1")
    expect(page.locator(".tile")).to_have_count(1)
    pictured(page.locator(".tile"))
    page.evaluate(HIDE, True)
    page.wait_for_timeout(300)  # what is under way comes to an end
    many.camera.requests.clear()
    page.wait_for_timeout(1500)
    assert many.camera.requests == []
    page.evaluate(HIDE, False)
    expect(page.locator(".in-motion")).to_have_count(1)
    page.keyboard.press("a")
    page.evaluate("document.querySelector('main').style.paddingTop = '4000px'")
    expect(page.locator(".in-motion")).to_have_count(0)  # the page has seen that nobody sees its tiles
    page.wait_for_timeout(500)
    many.camera.requests.clear()
    page.wait_for_timeout(1500)
    assert many.camera.requests == []


# --- arranging, finding


def test_layout_and_order_are_remembered(many: Mesh, page: Page, watch: Watch) -> None:
    """A tile that was dragged by its caption or moved by Shift and an arrow stays; so does the layout."""
    opened(many, page, 6)
    page.get_by_role("button", name="4 tiles", exact=True).click()
    expect(page.locator(".tile")).to_have_count(4)
    expect(page.locator("[data-part=range]")).to_have_text("1–4 of 6")
    tile(page, "Line 4").locator(".name").drag_to(tile(page, "Line 1").locator(".name"))
    wait_for(lambda: names(page) == ["Line 4", "Line 1", "Line 2", "Line 3"], 5, "dragged tile")
    tile(page, "Line 2").locator(".picture").click()
    page.keyboard.press("Shift+ArrowRight")
    wait_for(lambda: names(page) == ["Line 4", "Line 1", "Line 3", "Line 2"], 5, "moved tile")
    expect(tile(page, "Line 2")).to_be_focused()
    page.reload(wait_until="commit")
    expect(page.locator(".tile")).to_have_count(4)
    assert names(page) == ["Line 4", "Line 1", "Line 3", "Line 2"]
    page.get_by_role("button", name="Next tiles").click()
    expect(page.locator(".tile")).to_have_count(2)
    assert names(page) == ["Line 5", "Press line 3"]
    clean(many, watch)


def test_a_camera_that_comes_back_finds_its_place(many: Mesh, page: Page) -> None:
    """The order counts those that are away."""
    opened(many, page, 6)
    tile(page, "Press line 3").locator(".name").drag_to(tile(page, "Line 2").locator(".name"))
    wait_for(lambda: names(page)[1] == "Press line 3", 5, "dragged tile")
    away = many.registry.nodes.pop(many.camera_id)
    expect(page.locator(".tile")).to_have_count(5)
    tile(page, "Line 5").locator(".picture").click()
    page.keyboard.press("Shift+ArrowLeft")
    wait_for(lambda: names(page)[-1] == "Line 4", 5, "moved tile")
    many.registry.nodes[many.camera_id] = away
    expect(page.locator(".tile")).to_have_count(6)
    assert names(page) == ["Line 1", "Press line 3", "Line 2", "Line 3", "Line 5", "Line 4"]


def test_the_search_shows_what_is_meant(many: Mesh, page: Page) -> None:
    """By camera, algorithm, node or state, as one types; Escape shows all again."""
    many.registry.add_session(many.camera_id, "haar", many.compute_id)
    opened(many, page, 6)
    page.keyboard.press("/")
    for text, found in (("line 4", 1), ("faces", 1), ("press shop", 1), ("live", 6), ("nobody", 0)):
        page.keyboard.press("Control+a")
        page.keyboard.type(text)
        expect(page.locator(".tile")).to_have_count(found)
    expect(page.locator("[data-part=nothing]")).to_contain_text("none matches")
    page.keyboard.press("Escape")
    expect(page.locator(".tile")).to_have_count(6)


def test_arrows_select_and_one_tile_is_in_motion(many: Mesh, page: Page) -> None:
    """Past the last tile of a page comes the next page; the tile that loses the selection gives its stream back."""
    opened(many, page, 6)
    page.keyboard.press("4")
    expect(tile(page, "Line 1").locator(".picture")).to_have_class(re.compile("in-motion"))
    for name in ("Line 2", "Line 3", "Line 4", "Line 5"):
        page.keyboard.press("ArrowRight")
        expect(tile(page, name)).to_be_focused()
    expect(tile(page, "Line 5").locator(".picture")).to_have_class(re.compile("in-motion"))
    expect(page.locator(".in-motion")).to_have_count(1)
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_contain_text("The tile in full screen")
    page.keyboard.press("Escape")
    page.keyboard.press("f")
    wait_for(lambda: page.evaluate("document.fullscreenElement?.dataset.key ?? null"), 5, "full screen")


# --- starting, stopping


def test_two_clicks_start_an_algorithm(mesh: Mesh, page: Page, watch: Watch) -> None:
    """Start on the tile, Start in the form: the tile shows what is found, a note says why there; Stop has Undo."""
    opened(mesh, page)
    page.get_by_role("button", name="Start an algorithm on Press line 3").click()
    dialog = page.get_by_role("dialog")
    assert axe(page) == []
    dialog.get_by_role("button", name="Start").click()
    expect(page.locator("#notes")).to_contain_text("Runs on Press shop 2: it had the most room: 4 of 4 slots free")
    one = tile(page, "Press line 3")
    expect(one.locator(".algorithm")).to_have_text("Object detection (YOLO)")
    expect(one).to_be_focused()
    pictured(one)
    expect(one.locator(".picture")).to_have_class(re.compile("in-motion"))
    assert moves(one.locator(".picture"))
    assert axe(page) == []
    one.get_by_role("button", name="Stop").click()
    expect(one.locator(".algorithm")).to_have_text("")
    assert [session["state"] for session in mesh.registry.sessions.values()] == ["ended"]
    page.locator("#notes").get_by_role("button", name="Undo").last.click()
    expect(one.locator(".algorithm")).to_have_text("Object detection (YOLO)")
    clean(mesh, watch)


def test_keys_alone_start_an_algorithm(many: Mesh, page: Page, watch: Watch) -> None:
    """An arrow to the camera, Enter, an arrow to another algorithm, Enter; Enter again opens its page."""
    opened(many, page, 6)
    page.keyboard.press("ArrowRight")
    expect(tile(page, "Line 2")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog")).to_be_visible()
    yolo = page.get_by_role("radio", name="Object detection (YOLO)")
    for _ in range(12):  # back from the button that has the focus
        page.keyboard.press("Shift+Tab")
        if yolo.evaluate("radio => radio === document.activeElement"):
            break
    page.keyboard.press("ArrowDown")
    faces = page.get_by_role("radio", name="Faces (Haar)")
    expect(faces).to_be_checked()
    page.wait_for_timeout(1200)  # a refresh in between must not take the choice away
    expect(faces).to_be_checked()
    page.keyboard.press("Enter")
    expect(tile(page, "Line 2").locator(".algorithm")).to_have_text("Faces (Haar)")
    expect(tile(page, "Line 2")).to_be_focused()
    page.keyboard.press("Enter")
    page.wait_for_url("**/s/*", wait_until="commit")
    clean(many, watch)


def test_a_dragged_algorithm_starts_where_it_is_dropped(many: Mesh, page: Page, watch: Watch) -> None:
    """The tile shows that it would take it; the note tells where it runs, and takes it back."""
    opened(many, page, 6)
    chip = page.locator(".chip", has_text="Faces (Haar)")
    expect(chip).to_contain_text("4 free")
    chip.hover()
    page.mouse.down()
    target = tile(page, "Line 4").locator(".picture")
    target.hover()
    target.hover()  # a browser begins to drag with the second movement
    expect(tile(page, "Line 4")).to_contain_text("Start Faces (Haar) here")
    page.mouse.up()
    expect(tile(page, "Line 4").locator(".algorithm")).to_have_text("Faces (Haar)")
    expect(chip).to_contain_text("3 free")
    expect(page.locator("#notes")).to_contain_text("Runs on Press shop 2")
    page.locator("#notes").get_by_role("button", name="Undo").click()
    expect(tile(page, "Line 4").locator(".algorithm")).to_have_text("")
    clean(many, watch)


def test_the_form_asks_for_what_was_chosen(mesh: Mesh, page: Page) -> None:
    """Node, picture, rate and the switches are in the request; nodes that cannot take it say why."""
    with ExitStack() as stack:
        other, full = FakeCompute(), FakeCompute()
        for one in (other, full):
            stack.callback(one.down)
        chosen = mesh.registry.add_compute(other, "Thinkstation", slots=2)
        busy = {"sessions": 1, "state": "full", "state_reason": "1 sessions on 1 slots"}
        mesh.registry.add_compute(full, "Office", slots=1, **busy)
        lacking = mesh.registry.add_compute(full, "Old box")
        mesh.registry.nodes[lacking]["algorithm"] = []
        opened(mesh, page)
        page.locator(".chip", has_text="YOLO").click()
        dialog = page.get_by_role("dialog")
        for name, why in (("Office", "Full · 1 sessions on 1 slots"), ("Old box", "It does not offer this algorithm")):
            expect(dialog.get_by_role("radio", name=name)).to_be_disabled()
            expect(dialog.locator(".option", has_text=name)).to_contain_text(why)
        expect(dialog.locator(".option", has_text="Any free node")).to_contain_text("the node with most room takes it")
        dialog.get_by_role("radio", name="Thinkstation").check()
        dialog.locator("[name=width]").select_option("640 pixels wide")
        dialog.locator("[name=fps]").select_option("5")
        dialog.get_by_label("Search only when something moves").check()
        dialog.get_by_label("Keep it running").check()
        with page.expect_request(f"{mesh.ui}/api/sessions") as caught:
            dialog.get_by_role("button", name="Start").click()
        wish = json.loads(caught.value.post_data or "")
        assert wish == {
            **{"camera": mesh.camera_id, "algorithm": "yolo", "node": chosen, "width": 640, "fps": 5},
            **{"gate": "motion", "pinned": True},
        }


def test_a_refusal_is_shown_where_the_eye_is(mesh: Mesh, page: Page) -> None:
    """When the last slot goes while the form is open, the form says so and stays."""
    opened(mesh, page)
    page.get_by_role("button", name="Start an algorithm on Press line 3").click()
    mesh.registry.nodes[mesh.compute_id]["sessions"] = 4
    # Not by the button: it is switched off as soon as the page hears that nothing is free.
    page.locator("#start form").evaluate("form => form.requestSubmit()")
    expect(page.get_by_role("dialog").get_by_role("alert")).to_contain_text("every node is full", ignore_case=True)


def test_boxes_may_be_drawn_in_this_browser(mesh: Mesh, page: Page, watch: Watch) -> None:
    """With that switch on, the selected session shows the camera's own stream with boxes over it."""
    mesh.registry.add_session(mesh.camera_id, "yolo", mesh.compute_id)
    page.add_init_script("localStorage.setItem('fogline.overlay', 'yes')")
    opened(mesh, page)
    expect(page.locator(".in-motion")).to_have_count(1)
    wait_for(lambda: page.locator(".boxes").evaluate("c => c.width") == 640, 5, "boxes of the camera's size")
    assert any("/stream.jpg" in asked for asked in mesh.camera.requests)
    assert not any(asked.partition("?")[0].endswith("/stream") for asked in mesh.compute.requests)
    clean(mesh, watch)
