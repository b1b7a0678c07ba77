"""Pages before a real mesh whose compute nodes are killed: the pictures go on without a click."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests
from playwright.sync_api import Page, expect

from tests.processes import Running, free_port, wait_for
from tests.scripted import Json
from tests.ui.test_browser import live, loaded, moves
from tests.viewers import node, session

# What an element said while it was seen: a move may be over before a test looks.
NOTE = """cover => {
    window.said = [];
    const note = () => { if (!cover.hidden) window.said.push(cover.textContent); };
    new MutationObserver(note).observe(cover, { attributes: true, childList: true, characterData: true });
}"""


@dataclass
class RealMesh:
    """A registry, a camera, three compute nodes by name, and the dashboard."""

    registry: Running
    computes: dict[str, Running]
    ui: Running

    def read(self, session_id: str) -> Json:
        found: Json = requests.get(f"{self.registry.url}/v1/sessions/{session_id}", timeout=5).json()
        return found


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory, models: Path) -> Iterator[RealMesh]:
    folder: Path = tmp_path_factory.mktemp("failover")
    # Else the camera fetches its photographs from elsewhere while everybody waits for it.
    (folder / "camera").mkdir()
    (folder / "camera" / "media").symlink_to(models / "media")
    with ExitStack() as stack:

        def run(role: str, name: str, *arguments: str) -> Running:
            where = ("--data", str(folder / name), *arguments)
            return stack.enter_context(Running(role, *where, port=free_port(), log=folder / f"{name}.log"))

        registry = run("registry", "registry")
        joined = ("--registry", registry.url)
        camera = run(
            *("camera", "camera", *joined, "--source", "demo:", "--name", "Press line 3"),
            *("--width", "320", "--height", "180", "--fps", "15"),
        )
        computes = {
            name: run("compute", name, *joined, "--algorithms", "echo", "--name", name)
            for name in ("hall-1", "hall-2", "hall-3")
        }
        ui = run("ui", "ui", *joined)
        for one in (registry, camera, *computes.values(), ui):
            one.ready()
        for name in computes:
            node(registry, "compute", name=name)
        node(registry, "camera")
        yield RealMesh(registry, computes, ui)


@pytest.fixture
def mesh(services: RealMesh) -> Iterator[RealMesh]:
    """The same mesh; what a test that fails leaves in it fails no other."""
    yield services
    api = f"{services.registry.url}/v1"
    for one in requests.get(f"{api}/sessions", timeout=5).json()["sessions"]:
        requests.delete(f"{api}/sessions/{one['session_id']}", timeout=5)
    for one in requests.get(f"{api}/nodes", params={"state": "draining"}, timeout=5).json()["nodes"]:
        requests.post(f"{api}/nodes/{one['node_id']}/undrain", timeout=5)


def test_a_drained_node_hands_the_picture_over(mesh: RealMesh, page: Page) -> None:
    """The page never covers the picture, and says where it went."""
    made = session(mesh.registry, "Press line 3", "echo")
    page.goto(f"{mesh.ui.url}/s/{made['session_id']}")
    live(page)
    page.evaluate(
        """() => {
            window.covered = 0;
            const cover = document.querySelector("[data-part=cover]");
            const count = () => { window.covered += cover.hidden ? 0 : 1; };
            new MutationObserver(count).observe(cover, { attributes: true });
        }"""
    )
    requests.post(f"{mesh.registry.url}/v1/nodes/{made['node']}/drain", timeout=5)
    expect(page.locator("[data-part=node]")).not_to_have_text(made["node_name"])
    other = mesh.read(made["session_id"])["node_name"]
    expect(page.locator("[data-part=moved]")).to_have_text(
        re.compile(rf"^Moved from {made['node_name']} to {other} at \d\d:\d\d:\d\d$")
    )
    live(page)
    assert page.evaluate("window.covered") == 0
    page.reload()
    expect(page.locator("[data-part=moved]")).to_contain_text(f"to {other} at")


def test_a_tile_that_is_not_selected_goes_on_when_its_node_is_killed(mesh: RealMesh, page: Page) -> None:
    """Kill -9: the tile has its session moved, says so, and its picture moves again; the other one never stops."""
    selected = session(mesh.registry, "Press line 3", "echo", node="hall-2")
    made = session(mesh.registry, "Press line 3", "echo", width=300, node="hall-1")
    page.goto(mesh.ui.url, wait_until="commit")
    page.locator(f'[data-key$="{made["session_id"]}"] .picture').wait_for()
    first, second = page.locator(".tile").all()
    for tile in (first, second):
        expect(tile.locator(".cover")).to_be_hidden()
        expect(tile.locator(".word")).to_have_text("Live")
    expect(first).to_have_attribute("aria-current", "true")
    assert moves(second.locator("[data-part=still]"))
    second.locator(".cover").evaluate(NOTE)
    mesh.computes["hall-1"].kill()
    told = "window.said.includes('Node hall-1 gives no pictures; moving …')"
    wait_for(lambda: page.evaluate(told), 5, "words on the tile")
    expect(second.locator(".moved")).to_be_visible()
    expect(second.locator(".cover")).to_be_hidden()
    assert moves(second.locator("[data-part=still]"))
    now = mesh.read(made["session_id"])
    assert "a viewer got no frames" in now["state_reason"], "the page asked; not the sweep"
    expect(second.locator(".moved")).to_have_text(re.compile(rf"^Moved from hall-1 to {now['node_name']} at \d\d:"))
    expect(first.locator(".moved")).to_be_hidden()
    expect(first.locator(".picture")).to_have_class(re.compile("in-motion"))
    for one in (selected, made):
        requests.delete(f"{mesh.registry.url}/v1/sessions/{one['session_id']}", timeout=5)
    expect(page.locator(".tile")).to_have_count(1)
    expect(page.locator(".algorithm")).to_have_text("")


def test_a_killed_node_is_replaced_without_a_click(mesh: RealMesh, page: Page) -> None:
    """Last of this file: kill -9. The page says what it does, has the session moved, and says where it went."""
    made = session(mesh.registry, "Press line 3", "echo", width=300)
    name = made["node_name"]
    page.goto(f"{mesh.ui.url}/s/{made['session_id']}")
    live(page)
    page.wait_for_timeout(1500)
    mesh.computes[name].kill()
    cover = page.locator(".stage .cover")
    expect(cover).to_contain_text(f"Node {name} gives no pictures; moving …")
    expect(cover).to_be_hidden()
    image = page.locator(".stage .live")
    assert loaded(image)
    assert moves(image)
    now = mesh.read(made["session_id"])
    assert "a viewer got no frames" in now["state_reason"], "the page asked; not the sweep"
    other = now["node_name"]
    expect(page.locator("[data-part=moved]")).to_have_text(re.compile(rf"^Moved from {name} to {other} at "))
    expect(page.locator("[data-part=node]")).to_have_text(other)
    wait_for(lambda: page.locator("[data-part=word]").text_content() == "Live", 5, "state")
