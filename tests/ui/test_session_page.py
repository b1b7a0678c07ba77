"""The page of one session in a real browser: what it shows, what it does, and what its lines are worth."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import pytest
import requests
from playwright.sync_api import Locator, Page, expect

from tests.cluster import Cluster
from tests.processes import Running, free_port, wait_for
from tests.ui.accessibility import axe
from tests.ui.conftest import Mesh, Watch
from tests.ui.fakes import FakeCompute
from tests.ui.test_browser import clean, live, loaded, number

# How many pixels of a chart have the colour of a variable of the style sheet.
PIXELS = """(canvas, variable) => {
    const context = new OffscreenCanvas(1, 1).getContext("2d");
    context.fillStyle = getComputedStyle(document.querySelector(".chart")).getPropertyValue(variable);
    context.fillRect(0, 0, 1, 1);
    const wanted = context.getImageData(0, 0, 1, 1).data;
    const copy = new OffscreenCanvas(canvas.width, canvas.height).getContext("2d");
    copy.drawImage(canvas, 0, 0);
    const { data } = copy.getImageData(0, 0, canvas.width, canvas.height);
    let count = 0;
    for (let i = 0; i < data.length; i += 4) {
        count += data[i + 3] > 200 && [0, 1, 2].every(c => data[i + c] === wanted[c]);
    }
    return count;
}"""
EDGE = """canvas => {
    const copy = new OffscreenCanvas(canvas.width, canvas.height).getContext("2d", { willReadFrequently: true });
    copy.drawImage(canvas, 0, 0);
    return [...copy.getImageData(89, 60, 1, 1).data];
}"""


def opened(mesh: Mesh, page: Page, **more: Any) -> dict[str, Any]:
    """The page of a new session, with its numbers there."""
    session = mesh.registry.add_session(mesh.camera_id, "yolo", mesh.compute_id, **more)
    page.goto(f"{mesh.ui}/s/{session['session_id']}", wait_until="commit")
    flowing(page)
    return session


def flowing(page: Page) -> None:
    """Frames come, and no cover says otherwise."""
    expect(page.locator("[data-part=fps]")).to_have_text(re.compile(r"\d"), timeout=15_000)
    expect(page.locator(".stage .cover")).to_be_hidden()


def chart(page: Page, title: str) -> Locator:
    return page.locator("figure.chart", has_text=title)


def legend(page: Page, title: str, name: str) -> Locator:
    """What a chart says of one line."""
    return chart(page, title).locator(".legend li", has_text=name).locator("b")


def fact(page: Page, name: str) -> Locator:
    return page.locator(".about dl > div", has=page.get_by_text(name, exact=True)).locator("dd")


def test_it_says_what_runs_where_and_what_is_found(mesh: Mesh, page: Page, watch: Watch) -> None:
    """A moving picture, heading, numbers, node, objects with their confidence, and what was asked for."""
    opened(mesh, page, max_fps=5.0, width=640, gate="motion", pinned=True)
    live(page)
    expect(page.get_by_role("heading", level=1)).to_have_text("Object detection (YOLO) on Press line 3")
    expect(page.locator("[data-part=inference]")).to_have_text("17")
    expect(page.locator("[data-part=latency]")).to_have_text("48")
    expect(page.get_by_role("link", name="Press shop 2")).to_have_attribute("href", f"/nodes#{mesh.compute_id}")
    expect(page.locator(".counts li")).to_have_text(["bottle 1", "person 2"])
    expect(page.locator(".objects li")).to_have_text(["bottle70 %", "person90 %", "person80 %"])
    expect(fact(page, "Model")).to_have_text("yolov3-tiny")
    expect(fact(page, "Picture")).to_have_text("640 × 360")
    expect(fact(page, "Asked for")).to_have_text("640 pixels wide · 5 a second at most")
    expect(fact(page, "Searches")).to_have_text("only when something moves")
    expect(fact(page, "Runs")).to_have_text("until it is stopped, watched or not")
    expect(fact(page, "Placed because")).to_contain_text("It had the most room")
    clean(mesh, watch)


def test_the_charts_draw_and_move(mesh: Mesh, page: Page, watch: Watch) -> None:
    """A line a chart, with its value in words, that goes on; as many minutes as were chosen, remembered."""
    opened(mesh, page)
    canvas = chart(page, "Frames a second").locator("canvas")
    page.get_by_role("radio", name="1 min").check()
    wait_for(lambda: canvas.count() and canvas.evaluate(PIXELS, "--line-1") > 5, 10, "line")
    first = canvas.evaluate("canvas => canvas.toDataURL()")
    searched = number(legend(page, "Frames a second", "Searched"))
    # Of some second: on a busy machine one may have fewer frames, and the next those that came late.
    wait_for(lambda: 9 <= (searched() or 0) <= 15, 10, "as many frames a second as there are")
    expect(legend(page, "Frames a second", "Camera")).to_have_text("12")
    expect(legend(page, "Inference", "Inference")).to_have_text("17 ms")
    expect(legend(page, "Latency", "here")).to_have_text("48 ms")
    expect(legend(page, "Found", "person")).to_have_text("2")
    expect(legend(page, "Found", "bottle")).to_have_text("1")
    wait_for(lambda: canvas.evaluate("canvas => canvas.toDataURL()") != first, 5, "chart that moves")
    page.emulate_media(color_scheme="dark")
    wait_for(lambda: canvas.evaluate(PIXELS, "--line-1") > 5, 5, "line in dark colours")
    page.get_by_role("radio", name="15 min").check()
    page.reload(wait_until="commit")
    expect(page.get_by_role("radio", name="15 min")).to_be_checked()
    clean(mesh, watch)


def test_more_labels_than_lines_share_one(mesh: Mesh, page: Page) -> None:
    """The five most frequent have a line each."""
    mesh.compute.labels = ["a", "b", "c", "d", "e", "f", "g"]
    opened(mesh, page)
    expect(chart(page, "Found").locator(".legend li")).to_have_text(["a 1", "b 1", "c 1", "d 1", "e 1", "Others 2"])


def test_what_appears_is_noted_and_what_leaves(mesh: Mesh, page: Page) -> None:
    """Newest first, with the time, in a part that is closed at first."""
    mesh.compute.labels = ["person"]
    opened(mesh, page)
    rows = page.locator(".appeared li")
    expect(rows).to_have_text([re.compile(r"^\d\d:\d\d:\d\d person ×1$")])
    expect(rows).to_be_hidden()
    page.get_by_text("What appeared").click()
    mesh.compute.labels = ["cat", "cat"]
    expect(rows.first).to_be_visible()

    def said() -> list[str]:
        return [" ".join(text.split()[1:]) for text in rows.all_inner_texts()]

    wait_for(lambda: {"person gone", "cat ×2"} <= set(said()), 5, "changes")
    assert said()[-1] == "person ×1"


def test_a_stream_that_stalls_leaves_a_gap_and_is_taken_up_again(mesh: Mesh, page: Page) -> None:
    """The page says that no picture comes, and goes on by itself when it does."""
    opened(mesh, page)
    mesh.compute.frozen = True
    expect(page.locator(".stage .cover")).to_contain_text("No picture for")
    expect(legend(page, "Frames a second", "Searched")).to_have_text("none")
    expect(page.locator("[data-part=nothing]").first).to_have_text("No picture yet.")
    mesh.compute.frozen = False
    flowing(page)
    expect(legend(page, "Inference", "Inference")).to_have_text("17 ms")


def test_a_session_that_moves_is_followed(mesh: Mesh, page: Page) -> None:
    """Its node dies, the registry places it elsewhere: the picture moves again without a click."""
    session = opened(mesh, page)
    other = FakeCompute()
    mesh.compute.down()
    base = f"{other.url}/v1/sessions/{session['session_id']}"
    session |= {f"{view}_url": f"{base}/{view}" for view in ("stream", "snapshot", "detections")}
    session |= {"token": 2, "node_name": "Thinkstation", "node_url": other.url}
    expect(page.locator("[data-part=node]")).to_have_text("Thinkstation")
    expect(page.locator("[data-part=moved]")).to_have_text(
        re.compile(r"^Moved from Press shop 2 to Thinkstation at \d\d:\d\d:\d\d$")
    )
    live(page)
    other.down()


def test_a_session_that_ended_says_so_and_starts_again_as_it_was(mesh: Mesh, page: Page) -> None:
    """The reason and one button, which asks for what was asked for, on any node."""
    wish = {"width": 640, "fps": 5.0, "gate": "motion", "pinned": True}
    session = opened(mesh, page, width=640, height=None, max_fps=5.0, gate="motion", pinned=True)
    mesh.registry.end(session["session_id"])
    ended = page.locator("#ended")
    expect(ended).to_contain_text("Object detection (YOLO) on Press line 3 has ended")
    expect(ended).to_contain_text("Ended by request")
    again = page.get_by_role("button", name="Start it again")
    expect(again).to_be_focused()
    assert axe(page) == []
    with page.expect_request(lambda request: request.method == "POST") as caught:
        page.keyboard.press("Enter")
    assert json.loads(caught.value.post_data or "") == {"camera": mesh.camera_id, "algorithm": "yolo", **wish}
    page.wait_for_url(lambda url: "/s/" in url and session["session_id"] not in url, wait_until="commit")
    flowing(page)


def test_a_session_that_nobody_knows_is_told_at_once(mesh: Mesh, page: Page) -> None:
    """No picture is asked for, and the way back is there."""
    page.goto(f"{mesh.ui}/s/none", wait_until="commit")
    expect(page.get_by_role("heading", level=1)).to_have_text("There is no such session")
    expect(page.get_by_role("link", name="To the wall")).to_be_visible()
    expect(page.get_by_role("button", name="Start it again")).to_be_hidden()


def test_where_the_time_goes_is_shown_live(mesh: Mesh, page: Page, watch: Watch) -> None:
    """The node's own numbers while they are in sight; a stage that does not happen is not listed."""
    opened(mesh, page)
    stats = page.locator(".stats")
    stats.scroll_into_view_if_needed()
    expect(stats.locator("tbody tr")).to_have_text(
        ["Decode1.2 ms2.4 ms", "Inference17 ms34 ms", "Capture to result48 ms96 ms"]
    )
    expect(stats).to_contain_text("10 (the node was busy)")
    expect(stats).to_contain_text("2,580 to 2 viewers")
    mesh.compute.stats["stages"]["decode"] |= {"p50": 3.4}
    mesh.compute.stats |= {"gate": "motion", "frames": {"gated": 77}}
    expect(stats.locator("tbody tr").first).to_have_text("Decode3.4 ms2.4 ms")
    expect(stats).to_contain_text("77 still")
    page.locator("#main").evaluate("main => scrollTo(0, 0)")
    page.set_viewport_size({"width": 1280, "height": 500})
    page.wait_for_timeout(200)
    asked = sum("/stats" in url for url in watch.requests)
    page.wait_for_timeout(1200)
    assert sum("/stats" in url for url in watch.requests) - asked <= 1, "asked for what nobody sees"
    clean(mesh, watch)


def test_boxes_are_drawn_in_the_browser_over_the_cameras_own_stream(mesh: Mesh, page: Page, watch: Watch) -> None:
    """The node is asked for no picture any more; the boxes stand where the detections say. The choice is remembered."""
    opened(mesh, page)
    page.get_by_role("switch").check()
    wait_for(lambda: any("/stream.jpg" in one for one in mesh.camera.requests), 5, "the camera's stream")
    wait_for(lambda: page.locator(".stage .boxes").evaluate(EDGE)[3] > 0, 5, "the box's right edge")
    assert page.locator(".stage .boxes").evaluate("canvas => [canvas.width, canvas.height]") == [640, 360]
    mesh.compute.requests.clear()
    page.reload(wait_until="commit")
    flowing(page)
    assert not any("/stream" in one for one in mesh.compute.requests)
    page.keyboard.press("b")
    expect(page.get_by_role("switch")).not_to_be_checked()
    wait_for(lambda: any("/stream" in one for one in mesh.compute.requests), 5, "the node's own pictures")
    expect(page.locator(".stage .boxes")).to_be_hidden()
    clean(mesh, watch)


def test_the_keyboard_alone_does_everything(mesh: Mesh, page: Page, watch: Watch) -> None:
    """`f` fills the screen and leaves it; Tab reaches Stop and Enter stops."""
    session = opened(mesh, page)
    full: Callable[[], Any] = lambda: page.evaluate("document.fullscreenElement?.dataset.part")  # noqa: E731
    page.keyboard.press("f")
    wait_for(lambda: full() == "stage", 5, "full screen")
    page.keyboard.press("f")
    wait_for(lambda: full() is None, 5, "the page again")
    stop = page.get_by_role("button", name="Stop")
    for _ in range(12):
        page.keyboard.press("Tab")
        if stop.evaluate("button => button === document.activeElement"):
            break
    page.keyboard.press("Enter")
    page.wait_for_url(mesh.ui + "/", wait_until="commit")
    assert mesh.registry.sessions[session["session_id"]]["state"] == "ended"
    assert watch.origins <= mesh.origins


def test_everybody_can_read_it(mesh: Mesh, page: Page) -> None:
    """axe finds nothing serious, in light and in dark; a phone has the picture first and never scrolls sideways."""
    mesh.registry.nodes[mesh.camera_id]["name"] = "a-name-without-any-space-" * 6
    mesh.compute.labels = ["a-label-without-any-space-" * 6] * 40
    opened(mesh, page, why="a-reason-without-any-space-" * 8)
    page.wait_for_timeout(1500)
    for summary in page.locator("summary").all():
        summary.click()
    assert axe(page) == []
    page.emulate_media(color_scheme="dark")
    assert axe(page) == []
    page.set_viewport_size({"width": 390, "height": 844})
    page.wait_for_timeout(300)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    tops = [
        page.locator(one).first.evaluate("e => e.getBoundingClientRect().top")
        for one in (".stage", ".side", ".charts", ".about")
    ]
    assert tops == sorted(tops)
    assert axe(page) == []


def test_markup_in_names_is_text(mesh: Mesh, page: Page, watch: Watch) -> None:
    """Names, reasons and labels may hold anything; none of it becomes an element."""
    evil = '<img src=x onerror="window.broken=1"><b>bold</b>'
    mesh.registry.nodes[mesh.camera_id] |= {"name": evil}
    mesh.registry.nodes[mesh.compute_id] |= {"name": evil}
    mesh.registry.nodes[mesh.compute_id]["algorithm"][0]["name"] = evil
    mesh.compute.labels = [evil]
    history = [{"at": 1.0, "state": "placed", "node": evil, "reason": evil}]
    opened(mesh, page, why=evil, history=history)
    expect(page.locator(".counts li").first).to_contain_text("<b>bold</b>")
    expect(page.locator(".past li")).to_contain_text(f"Started on {evil}")
    expect(chart(page, "Found").locator(".legend")).to_contain_text("<b>bold</b>")
    assert page.locator("b", has_text="bold").filter(has_not_text="<b>").count() == 0
    assert page.evaluate("window.broken") is None
    clean(mesh, watch)


def test_lines_for_other_programs_are_copied(mesh: Mesh, page: Page) -> None:
    """The lines name the dashboard's own address, which outlives every move."""
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    session = opened(mesh, page)
    page.get_by_text("Use it in other programs").click()
    page.get_by_role("button", name="Copy: OpenCV").click()
    line = f'cv2.VideoCapture("{mesh.ui}/sessions/{session["session_id"]}/stream")'
    wait_for(lambda: page.evaluate("navigator.clipboard.readText()") == line, 5, "line in the clipboard")


# --- on real services


@dataclass
class RealMesh:
    """A camera, two compute nodes, and the dashboard."""

    cluster: Cluster
    ui: str


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory, models: Path) -> Iterator[RealMesh]:
    folder = tmp_path_factory.mktemp("session")
    with ExitStack() as stack:
        cluster = stack.enter_context(Cluster(folder, models))
        cluster.registry().running.ready()
        cluster.camera("Press line 3")
        cluster.compute("hall-1")
        cluster.compute("hall-2")
        where = ("--registry", cluster.registries, "--data", str(folder / "ui"))
        ui = stack.enter_context(Running("ui", *where, port=free_port(), log=folder / "ui.log"))
        ui.ready()
        cluster.healthy()
        yield RealMesh(cluster, ui.url)


def test_a_move_is_kept_with_its_reason_and_marked_in_the_charts(real: RealMesh, page: Page, watch: Watch) -> None:
    """The node is drained: the list of moves says from where to where and why, and a line stands in every chart."""
    made = real.cluster.open("Press line 3", pinned=True)
    page.goto(f"{real.ui}/s/{made['session_id']}", wait_until="commit")
    live(page)
    past = page.locator(".past li")
    expect(past).to_have_count(1)
    expect(past).to_contain_text(f"Started on {made['node_name']}")
    canvas = chart(page, "Frames a second").locator("canvas")
    wait_for(lambda: canvas.evaluate(PIXELS, "--line-1") > 5, 10, "line")
    assert canvas.evaluate(PIXELS, "--mark") == 0
    real.cluster.post(f"/v1/nodes/{made['node']}/drain")
    other = "hall-2" if made["node_name"] == "hall-1" else "hall-1"
    expect(past.first).to_have_text(
        re.compile(rf"^\d\d:\d\d:\d\d *Moved from {made['node_name']} to {other} +{made['node_name']} is draining$")
    )
    wait_for(lambda: canvas.evaluate(PIXELS, "--mark") > 10, 5, "mark of the move")
    live(page)
    assert watch.complaints == []
    real.cluster.post(f"/v1/nodes/{made['node']}/undrain")
    requests.delete(f"{real.cluster.registries}/v1/sessions/{made['session_id']}", timeout=5)


def test_every_line_for_other_programs_works_as_it_stands(real: RealMesh, page: Page, tmp_path: Path) -> None:
    """curl, Python, OpenCV and a page get pictures and detections by what the page gave them."""
    made = real.cluster.open("Press line 3", pinned=True)
    real.cluster.settled(made["session_id"])
    page.goto(f"{real.ui}/s/{made['session_id']}", wait_until="commit")
    page.get_by_text("Use it in other programs").click()
    expect(page.locator(".line")).not_to_have_count(0)  # the page's script writes all of them at once
    lines = {
        line.locator(".line-name").inner_text(): line.locator("code").inner_text()
        for line in page.locator(".line").all()
    }

    def words(name: str) -> list[str]:
        return [sys.executable if word == "python3" else word for word in shlex.split(lines[name])]

    subprocess.run([*words("curl, newest picture"), "-s"], cwd=tmp_path, timeout=10, check=True)
    picture = cv2.imread(str(tmp_path / "snapshot.jpg"))
    assert picture is not None
    assert picture.shape == (180, 320, 3)
    for name in ("curl, detections", "Python, detections"):
        bounded = ["timeout", "10", *words(name)]  # detections have no end
        unbuffered = {**os.environ, "PYTHONUNBUFFERED": "1"}
        with subprocess.Popen(bounded, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=unbuffered) as running:
            assert running.stdout is not None
            found = list(islice((line for line in running.stdout if line.startswith(b"data: {")), 2))
            running.terminate()
        assert len(found) == 2, name
    capture = eval(lines["OpenCV"], {"cv2": cv2})  # what people paste into their program
    assert capture.isOpened()
    for _ in range(3):
        ok, frame = capture.read()
        assert ok
        assert frame.shape == (180, 320, 3)
    capture.release()
    page.set_content(lines["In a page"])
    wait_for(lambda: loaded(page.locator("img")), 10, "picture in another page")
    assert requests.get(lines["Newest picture"], timeout=5).headers["Content-Type"] == "image/jpeg"
    for name in ("VLC", "FFmpeg"):
        assert lines[name].endswith(lines["Stream (MJPEG)"])
    requests.delete(f"{real.cluster.registries}/v1/sessions/{made['session_id']}", timeout=5)
