"""A page before a real mesh whose compute node is killed: the picture goes on without a click."""

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


@dataclass
class RealMesh:
    """A registry, a camera, two compute nodes by name, and the dashboard."""

    registry: Running
    computes: dict[str, Running]
    ui: Running

    def read(self, session_id: str) -> Json:
        found: Json = requests.get(f"{self.registry.url}/v1/sessions/{session_id}", timeout=5).json()
        return found


@pytest.fixture(scope="module")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealMesh]:
    folder: Path = tmp_path_factory.mktemp("failover")
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
            name: run("compute", name, *joined, "--algorithms", "echo", "--name", name) for name in ("hall-1", "hall-2")
        }
        ui = run("ui", "ui", *joined)
        for one in (registry, camera, *computes.values(), ui):
            one.ready()
        for name in computes:
            node(registry, "compute", name=name)
        node(registry, "camera")
        yield RealMesh(registry, computes, ui)


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
    other = next(name for name in mesh.computes if name != made["node_name"])
    expect(page.locator("[data-part=node]")).to_have_text(other)
    expect(page.locator("[data-part=moved]")).to_have_text(
        re.compile(rf"^Moved from {made['node_name']} to {other} at \d\d:\d\d:\d\d$")
    )
    live(page)
    assert page.evaluate("window.covered") == 0
    page.reload()
    expect(page.locator("[data-part=moved]")).to_contain_text(f"to {other} at")
    requests.post(f"{mesh.registry.url}/v1/nodes/{made['node']}/undrain", timeout=5)
    requests.delete(f"{mesh.registry.url}/v1/sessions/{made['session_id']}", timeout=5)


def test_a_killed_node_is_replaced_without_a_click(mesh: RealMesh, page: Page) -> None:
    """Last of this file: kill -9. The page says what it does, has the session moved, and says where it went."""
    made = session(mesh.registry, "Press line 3", "echo", width=300)
    name = made["node_name"]
    page.goto(f"{mesh.ui.url}/s/{made['session_id']}")
    live(page)
    page.wait_for_timeout(1500)
    other = next(one for one in mesh.computes if one != name)
    mesh.computes[name].kill()
    cover = page.locator(".stage .cover")
    expect(cover).to_contain_text(f"Node {name} gives no pictures; moving …")
    expect(cover).to_be_hidden()
    image = page.locator(".stage img")
    assert loaded(image)
    assert moves(image)
    assert "a viewer got no frames" in mesh.read(made["session_id"])["state_reason"], "the page asked; not the sweep"
    expect(page.locator("[data-part=moved]")).to_have_text(re.compile(rf"^Moved from {name} to {other} at "))
    expect(page.locator("[data-part=node]")).to_have_text(other)
    wait_for(lambda: page.locator("[data-part=word]").text_content() == "Live", 5, "state")
