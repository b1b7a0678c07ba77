"""The pages in a real browser, with pictures that move."""

from __future__ import annotations

from collections.abc import Callable

from playwright.sync_api import Locator, Page, expect

from tests.processes import wait_for
from tests.ui.conftest import Mesh, Watch
from tests.ui.fakes import FakeCamera, FakeCompute


def loaded(image: Locator) -> bool:
    """Whether the picture has come."""
    return bool(image.evaluate("image => image.naturalWidth > 0 && !image.hidden"))


def moves(image: Locator) -> bool:
    """Whether what is seen changes."""
    first = image.screenshot()
    return bool(wait_for(lambda: image.screenshot() != first, 5, "other picture"))


def number(of: Locator) -> Callable[[], float | None]:
    def read() -> float | None:
        text = of.text_content() or ""
        return float(text) if text.replace(".", "", 1).isdigit() else None

    return read


def live(page: Page) -> None:
    """The session page shows a moving picture and its frame rate."""
    image = page.locator(".stage img")
    wait_for(lambda: loaded(image), 10, "live picture")
    expect(page.locator(".stage .cover")).to_be_hidden()
    assert moves(image)
    fps = wait_for(number(page.locator("[data-part=fps]")), 5, "frame rate")
    assert fps > 0


def clean(mesh: Mesh, watch: Watch) -> None:
    """Nothing went wrong, and nothing was asked of anybody but us and the nodes."""
    assert watch.complaints == []
    assert watch.origins <= mesh.origins


def test_cameras_are_tiles_with_live_pictures(mesh: Mesh, page: Page, watch: Watch) -> None:
    """A tile shows picture, name, state in words, size and rate; the picture moves without a new element."""
    page.goto(mesh.ui)
    tile = page.locator("#cameras article")
    expect(tile).to_have_count(1)
    expect(tile).to_contain_text("Press line 3")
    expect(tile).to_contain_text("Live")
    expect(tile).to_contain_text("640 × 360 · 12 fps")
    image = tile.locator("img")
    wait_for(lambda: loaded(image), 10, "picture")
    image.evaluate("image => { image.mine = true }")
    assert moves(image)
    expect(page.locator("#nodes article")).to_contain_text("4 of 4 slots free")
    expect(page.locator("#algorithms li")).to_have_count(2)
    page.wait_for_timeout(1500)
    assert image.evaluate("image => image.mine === true"), "the tile was built anew"
    assert "width=" in mesh.camera.requests[-1]
    clean(mesh, watch)


def test_a_hidden_tile_costs_nothing(mesh: Mesh, page: Page) -> None:
    """Pictures are asked for only where they are seen."""
    page.set_viewport_size({"width": 400, "height": 600})
    page.goto(mesh.ui)
    wait_for(lambda: loaded(page.locator("#cameras img")), 10, "picture")
    page.evaluate("document.body.style.paddingTop = '3000px'")
    page.wait_for_timeout(1000)
    before = len(mesh.camera.requests)
    page.wait_for_timeout(2000)
    assert len(mesh.camera.requests) - before <= 1


def test_two_clicks_start_an_algorithm(mesh: Mesh, page: Page, watch: Watch) -> None:
    """Start on the camera, Start in the form: the session's page shows the moving picture, numbers and objects."""
    page.goto(mesh.ui)
    page.get_by_role("button", name="Start an algorithm on Press line 3").click()
    page.get_by_role("dialog").get_by_role("button", name="Start").click()
    page.wait_for_url("**/s/*", wait_until="commit")
    live(page)
    expect(page.get_by_role("heading", level=1)).to_have_text("Object detection (YOLO) on Press line 3")
    expect(page.locator("[data-part=node]")).to_have_text("Press shop 2")
    expect(page.locator("[data-part=inference]")).to_have_text("17")
    expect(page.locator("[data-part=latency]")).to_have_text("48")
    expect(page.locator("[data-part=why]")).to_contain_text("It had the most room")
    expect(page.locator(".counts li")).to_have_text(["bottle 1", "person 2"])
    expect(page.locator(".objects li")).to_have_count(3)

    page.get_by_role("link", name="All cameras").click()
    running = page.locator("#running article")
    expect(running).to_contain_text("Press shop 2")
    wait_for(lambda: loaded(running.locator("img")), 10, "annotated picture")
    expect(page.locator("#nodes article")).to_contain_text("3 of 4 slots free")
    running.get_by_role("button", name="Stop").click()
    expect(page.locator("#running")).to_be_hidden()
    assert all(session["state"] == "ended" for session in mesh.registry.sessions.values())
    clean(mesh, watch)


def test_the_keyboard_alone_starts_and_stops(mesh: Mesh, page: Page, watch: Watch) -> None:
    """Tab to the camera, Enter, an arrow to another algorithm, Enter; then Stop."""
    page.goto(mesh.ui)
    start = page.get_by_role("button", name="Start an algorithm on Press line 3")
    expect(start).to_be_enabled()
    for _ in range(20):
        page.keyboard.press("Tab")
        if start.evaluate("button => button === document.activeElement"):
            break
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog")).to_be_visible()
    page.get_by_role("radio", name="Object detection (YOLO)").focus()
    page.keyboard.press("ArrowDown")
    expect(page.get_by_role("radio", name="Faces (Haar)")).to_be_checked()
    page.wait_for_timeout(1200)  # a refresh in between must not take the choice away
    expect(page.get_by_role("radio", name="Faces (Haar)")).to_be_checked()
    page.keyboard.press("Enter")
    page.wait_for_url("**/s/*", wait_until="commit")
    live(page)
    assert [session["algorithm"] for session in mesh.registry.sessions.values()] == ["haar"]
    page.get_by_role("button", name="Stop").focus()
    page.keyboard.press("Enter")
    page.wait_for_url(mesh.ui + "/", wait_until="commit")
    assert [session["state"] for session in mesh.registry.sessions.values()] == ["ended"]
    clean(mesh, watch)


def test_a_chosen_node_gets_the_session_and_a_full_one_cannot_be_chosen(mesh: Mesh, page: Page) -> None:
    """Nodes without room stand there with the reason."""
    other, full = FakeCompute(), FakeCompute()
    chosen = mesh.registry.add_compute(other, "Thinkstation", slots=2)
    mesh.registry.add_compute(full, "Office", slots=1, sessions=1, state="full", state_reason="1 sessions on 1 slots")
    page.goto(mesh.ui)
    page.get_by_role("button", name="Start an algorithm on Press line 3").click()
    office = page.get_by_role("radio", name="Office")
    expect(office).to_be_disabled()
    expect(page.locator(".option", has_text="Office")).to_contain_text("1 sessions on 1 slots")
    page.get_by_role("radio", name="Thinkstation").check()
    page.get_by_role("dialog").get_by_role("button", name="Start").click()
    page.wait_for_url("**/s/*", wait_until="commit")
    # The fake takes the first that fits: that it was this one shows that the choice was sent.
    assert [session["node"] for session in mesh.registry.sessions.values()] == [chosen]
    other.down()
    full.down()


def test_a_refusal_is_shown_where_the_eye_is(mesh: Mesh, page: Page) -> None:
    """When the last slot goes while the form is open, the form says so and stays."""
    page.goto(mesh.ui)
    page.get_by_role("button", name="Start an algorithm on Press line 3").click()
    page.route("**/api/overview", lambda route: route.abort())
    mesh.registry.nodes[mesh.compute_id]["sessions"] = 4
    page.get_by_role("dialog").get_by_role("button", name="Start").click()
    expect(page.get_by_role("alert")).to_contain_text("every node is full")


def test_a_stream_that_stalls_is_taken_up_again(mesh: Mesh, page: Page) -> None:
    """The page says that no picture comes, and goes on by itself when it does."""
    session = mesh.registry.add_session(mesh.camera_id, "yolo", mesh.compute_id)
    page.goto(f"{mesh.ui}/s/{session['session_id']}")
    live(page)
    mesh.compute.frozen = True
    expect(page.locator(".stage .cover")).to_contain_text("No picture for")
    mesh.compute.frozen = False
    live(page)


def test_a_session_that_moves_is_followed(mesh: Mesh, page: Page) -> None:
    """Its node dies, the registry places it elsewhere: the picture moves again without a click."""
    session = mesh.registry.add_session(mesh.camera_id, "yolo", mesh.compute_id)
    page.goto(f"{mesh.ui}/s/{session['session_id']}")
    live(page)
    other = FakeCompute()
    mesh.compute.down()
    base = f"{other.url}/v1/sessions/{session['session_id']}"
    session |= {f"{view}_url": f"{base}/{view}" for view in ("stream", "snapshot", "detections")}
    session |= {"token": 2, "node_name": "Thinkstation", "node_url": other.url}
    expect(page.locator("[data-part=node]")).to_have_text("Thinkstation")
    live(page)
    other.down()


def test_a_session_that_ended_says_so_and_starts_again(mesh: Mesh, page: Page) -> None:
    """The page of a session that somebody else stopped gives the reason and one button."""
    session = mesh.registry.add_session(mesh.camera_id, "yolo", mesh.compute_id)
    page.goto(f"{mesh.ui}/s/{session['session_id']}")
    live(page)
    mesh.registry.end(session["session_id"])
    expect(page.locator("#ended")).to_contain_text("Ended by request")
    page.get_by_role("button", name="Start it again").click()
    page.wait_for_url(lambda url: "/s/" in url and session["session_id"] not in url)
    live(page)


def test_the_registry_goes_and_comes_back(mesh: Mesh, page: Page, watch: Watch) -> None:
    """A banner says so, pictures go on, and the page is well again without a reload."""
    page.goto(mesh.ui)
    image = page.locator("#cameras img")
    wait_for(lambda: loaded(image), 10, "picture")
    mesh.registry.down()
    banner = page.locator("#banner")
    expect(banner).to_contain_text("The registry is away")
    expect(banner).to_contain_text("does not answer")
    assert moves(image)
    expect(page.get_by_role("button", name="Start an algorithm on Press line 3")).to_be_hidden()
    mesh.registry.up()
    expect(banner).to_be_hidden()
    expect(page.get_by_role("button", name="Start an algorithm on Press line 3")).to_be_visible()
    clean(mesh, watch)


def test_markup_in_names_is_text(mesh: Mesh, page: Page, watch: Watch) -> None:
    """Names, reasons and labels may hold anything; none of it becomes an element."""
    evil = '<img src=x onerror="window.broken=1"><b>bold</b>'
    mesh.registry.nodes[mesh.camera_id] |= {"name": evil, "source": evil, "load": {"no_signal": evil}}
    mesh.registry.nodes[mesh.compute_id] |= {"name": evil, "FriendlyName": evil, "state_reason": evil, "cpu": evil}
    mesh.registry.nodes[mesh.compute_id]["algorithm"][0]["name"] = evil
    mesh.compute.labels = [evil]
    session = mesh.registry.add_session(mesh.camera_id, "yolo", mesh.compute_id, why=evil)
    page.goto(mesh.ui)
    expect(page.locator("#cameras article h3")).to_have_text(evil)
    page.get_by_role("button", name="Start an algorithm on").click()
    page.goto(f"{mesh.ui}/s/{session['session_id']}")
    expect(page.locator(".counts li").first).to_contain_text("<b>bold</b>")
    assert page.locator("b", has_text="bold").count() == 0
    assert page.evaluate("window.broken") is None
    clean(mesh, watch)


def test_what_is_wrong_is_told_with_a_word_and_a_reason(mesh: Mesh, page: Page) -> None:
    """No signal, unreachable and an empty mesh each say the next step."""
    mesh.registry.nodes[mesh.camera_id]["load"] = {"no_signal": "the cable is out"}
    remedy = "unreachable at http://10.0.0.9:8000: set FOGLINE_ADVERTISE (connection refused)"
    mesh.registry.nodes[mesh.compute_id] |= {"state": "unreachable", "state_reason": remedy}
    page.goto(mesh.ui)
    expect(page.locator("#cameras article")).to_contain_text("No signal")
    expect(page.locator("#cameras article")).to_contain_text("The cable is out")
    expect(page.locator("#nodes article")).to_contain_text("set FOGLINE_ADVERTISE")
    mesh.registry.nodes.clear()
    expect(page.locator("#cameras .empty")).to_contain_text("./fogline camera")
    expect(page.locator("#nodes .empty")).to_contain_text("./fogline compute")


def test_where_the_time_goes_is_shown_live(mesh: Mesh, page: Page, watch: Watch) -> None:
    """The node's own numbers, as they change; a stage that does not happen is not listed."""
    session = mesh.registry.add_session(mesh.camera_id, "yolo", mesh.compute_id)
    page.goto(f"{mesh.ui}/s/{session['session_id']}")
    stats = page.locator(".stats")
    expect(stats.locator("tbody tr")).to_have_text(
        ["Decode1.2 ms2.4 ms", "Inference17 ms34 ms", "Capture to result48 ms96 ms"]
    )
    expect(stats).to_contain_text("10 busy")
    expect(stats).to_contain_text("2,580 to 2 viewers")
    mesh.compute.stats["stages"]["decode"] |= {"p50": 3.4}
    mesh.compute.stats |= {"gate": "motion", "frames": {"gated": 77}}
    expect(stats.locator("tbody tr").first).to_have_text("Decode3.4 ms2.4 ms")
    expect(stats).to_contain_text("77 still")
    clean(mesh, watch)


def test_boxes_are_drawn_in_the_browser_over_the_cameras_own_stream(mesh: Mesh, page: Page, watch: Watch) -> None:
    """The node is asked for no picture any more; the boxes stand where the detections say. The choice is remembered."""
    session = mesh.registry.add_session(mesh.camera_id, "yolo", mesh.compute_id)
    page.goto(f"{mesh.ui}/s/{session['session_id']}")
    live(page)
    page.get_by_role("switch").check()
    wait_for(lambda: any("/stream.jpg" in one for one in mesh.camera.requests), 5, "the camera's stream")
    edge = """canvas => {
        const copy = new OffscreenCanvas(canvas.width, canvas.height).getContext("2d", { willReadFrequently: true });
        copy.drawImage(canvas, 0, 0);
        return [...copy.getImageData(89, 60, 1, 1).data];
    }"""
    wait_for(lambda: page.locator(".stage canvas").evaluate(edge)[3] > 0, 5, "the box's right edge")
    assert page.locator(".stage canvas").evaluate("canvas => [canvas.width, canvas.height]") == [640, 360]
    mesh.compute.requests.clear()
    page.reload()
    live(page)
    assert not any("/stream" in one for one in mesh.compute.requests)
    page.get_by_role("switch").uncheck()
    wait_for(lambda: any("/stream" in one for one in mesh.compute.requests), 5, "the node's own pictures")
    expect(page.locator(".stage canvas")).to_be_hidden()
    clean(mesh, watch)


def test_a_motion_gate_is_a_choice_at_the_start(mesh: Mesh, page: Page) -> None:
    """The box in the dialogue becomes the request's `gate`."""
    page.goto(mesh.ui)
    page.get_by_role("button", name="Start an algorithm on Press line 3").click()
    page.get_by_label("Search only when something moves").check()
    with page.expect_request(lambda request: request.method == "POST") as caught:
        page.locator("#start [data-part=go]").click()
    assert '"gate":"motion"' in (caught.value.post_data or "")


def test_lines_for_other_programs_are_copied(mesh: Mesh, page: Page) -> None:
    """The lines name the dashboard's own address, which outlives every move."""
    session = mesh.registry.add_session(mesh.camera_id, "yolo", mesh.compute_id)
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.goto(f"{mesh.ui}/s/{session['session_id']}")
    page.get_by_text("Use it in other programs").click()
    page.get_by_role("button", name="Copy: OpenCV").click()
    copied = wait_for(lambda: page.evaluate("navigator.clipboard.readText()"), 5, "clipboard")
    assert copied == f'cv2.VideoCapture("{mesh.ui}/sessions/{session["session_id"]}/stream")'


def test_a_phone_shows_everything_without_scrolling_sideways(mesh: Mesh, page: Page) -> None:
    """Wall, form and session fit into 360 pixels."""
    session = mesh.registry.add_session(mesh.camera_id, "yolo", mesh.compute_id)
    mesh.registry.nodes[mesh.camera_id]["name"] = "a-name-without-any-space-" * 6
    page.set_viewport_size({"width": 360, "height": 740})
    for path in ("/", f"/s/{session['session_id']}", "/about"):
        page.goto(mesh.ui + path)
        page.wait_for_timeout(500)
        assert page.evaluate("document.documentElement.scrollWidth") <= 360, path


def test_a_camera_that_died_stands_there_with_when_and_why(mesh: Mesh, page: Page) -> None:
    """A tile that vanished would tell nobody; nothing can be started on it."""
    gone = FakeCamera()
    mesh.registry.add_camera(gone, "Hall 2", state="dead", state_reason="no beat for 3.3 s at 14:02:11 UTC")
    page.goto(mesh.ui)
    tile = page.locator(".tile", has_text="Hall 2")
    expect(tile).to_contain_text("Gone")
    expect(tile).to_contain_text("This camera is gone")
    expect(tile).to_contain_text("14:02:11")
    expect(tile.get_by_role("button", name="Start")).not_to_be_visible()
    gone.down()
