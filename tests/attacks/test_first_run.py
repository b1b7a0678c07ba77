"""What somebody does who has just heard of Fogline: on real processes, in a browser, by nothing but what it shows."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.calm import browsing
from tests.processes import Running, free_port, wait_for
from tests.ui.locked_mesh import Locked, locked_mesh
from tests.ui.test_browser import moves

PASSWORD = "horses eat 7 apples"
SHOTS = os.environ.get("FOGLINE_SHOTS", "")  # a folder for a picture of each step, wide and as on a phone
SMALL = ("--source", "demo:", "--width", "640", "--height", "360", "--fps", "10", "--name", "Press line 3")


@dataclass
class Newcomer:
    """page: the browser's. complaints: of its console."""

    page: Page
    mesh: Locked
    folder: Path
    ends: ExitStack
    complaints: list[str] = field(default_factory=list)
    steps: int = 0

    def shot(self, name: str, about: Locator | None = None) -> None:
        """Pictures of this step, for somebody who wants to look at them. about: to be on them."""
        self.steps += 1
        if not SHOTS:
            return
        for look in ("light", "dark"):
            for shape, size in (("wide", (1440, 900)), ("phone", (390, 844))):
                self.page.emulate_media(color_scheme="dark" if look == "dark" else "light")
                self.page.set_viewport_size({"width": size[0], "height": size[1]})
                self.page.wait_for_timeout(400)
                if about is not None:
                    about.scroll_into_view_if_needed()
                self.page.screenshot(path=f"{SHOTS}/{self.steps:02d}-{name}-{shape}-{look}.png")
        self.page.emulate_media(color_scheme="light")
        self.page.set_viewport_size({"width": 1280, "height": 800})

    def compute(self, name: str, *words: str) -> None:
        """Start a compute node, which runs until the end."""
        own = ("--access", "locked", "--name", name, "--algorithms", "echo")
        self.ends.enter_context(
            Running("compute", *words, *own, port=free_port(), log=self.folder / f"{name.replace(' ', '-')}.log")
        )

    def go(self, link: str) -> None:
        """By the navigation, as people do."""
        self.page.get_by_role("navigation").first.get_by_role("link", name=link, exact=True).click()

    def menu(self, item: str) -> None:
        self.page.locator("#who summary").click()
        self.page.locator("#who").get_by_text(item, exact=True).click()


@pytest.fixture
def newcomer(browser: Browser, models: Path, tmp_path: Path) -> Iterator[Newcomer]:
    with ExitStack() as ends:
        mesh = ends.enter_context(locked_mesh(tmp_path))
        for kind in ("models", "media"):
            if (models / kind).is_dir():
                (mesh.data / kind).symlink_to(models / kind)
        shared = ("--access", "locked", "--data", str(mesh.data), "--registry", mesh.registry.url)
        camera = Running("camera", *shared, *SMALL, port=free_port(), log=tmp_path / "camera.log")
        ends.enter_context(camera).ready()  # a camera without its first picture answers 503, as the console would tell
        ends.enter_context(browsing())
        context = ends.enter_context(browser.new_context(viewport={"width": 1280, "height": 800}))
        context.set_default_timeout(15_000)
        made = Newcomer(context.new_page(), mesh, tmp_path, ends)
        made.page.on(
            "console",
            lambda m: (
                made.complaints.append(f"{m.text} {m.location.get('url', '')}")
                if m.type in ("error", "warning")
                else None
            ),
        )
        made.page.on("pageerror", lambda error: made.complaints.append(str(error)))
        yield made


def test_a_newcomer_gets_along(newcomer: Newcomer) -> None:
    """From the one-time link to a live picture, a second machine, a key for a program, and that machine's end."""
    page, mesh = newcomer.page, newcomer.mesh
    the_first_sign_in(newcomer)
    the_wall_is_live(newcomer)
    session = a_session(newcomer)
    another_machine(newcomer)
    it_serves(newcomer, session)
    a_program(newcomer, session)
    out_and_in(newcomer)
    that_machine_goes(newcomer, session)
    assert page.url.startswith(mesh.ui)
    # A node that joined a moment ago, on a busy machine, may have its first session before its first lease: it says so
    # (503) to who asks for a picture at once, and is asked again.
    early = re.compile(r"status of 503 .*/v1/sessions/[^/]+/(snapshot|stream|detections)\b")
    assert [one for one in newcomer.complaints if not early.search(one)] == []


def the_first_sign_in(newcomer: Newcomer) -> None:
    page, mesh = newcomer.page, newcomer.mesh
    page.goto(mesh.ui)
    expect(page.get_by_text("./fogline user link", exact=True)).to_be_visible()
    newcomer.shot("no-admin-yet")
    page.goto(f"{mesh.ui}/setup#{mesh.setup_token}")
    page.get_by_label("Name").fill("anna")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_label("The same again").fill(PASSWORD)
    newcomer.shot("choose-a-password")
    page.keyboard.press("Enter")
    expect(page).to_have_url(f"{mesh.ui}/")


def the_wall_is_live(newcomer: Newcomer) -> None:
    page = newcomer.page
    tile = page.locator("#wall li").filter(has_text="Press line 3").first
    expect(tile).to_be_visible(timeout=30_000)
    expect(tile.locator("[data-part=cover]")).to_be_hidden(timeout=20_000)
    assert moves(tile.locator("canvas"))
    newcomer.shot("wall")


def a_session(newcomer: Newcomer) -> str:
    """Its id."""
    page = newcomer.page
    page.get_by_role("button", name="Start an algorithm on Press line 3").first.click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_text("No compute node is here yet")).to_be_visible()
    newcomer.compute("this computer", "--data", str(newcomer.mesh.data), "--registry", newcomer.mesh.registry.url)
    expect(dialog.get_by_role("button", name="Start", exact=True)).to_be_enabled(timeout=30_000)
    dialog.get_by_text("Keep it running when nobody watches").click()
    newcomer.shot("start")
    dialog.get_by_role("button", name="Start", exact=True).click()
    expect(dialog).to_be_hidden()
    session_id = str(
        wait_for(lambda: newcomer.mesh.ask("GET", "/v1/sessions")["sessions"], 10, "session")[0]["session_id"]
    )
    wait_for(lambda: stands(newcomer, session_id)["state"] == "running", 20, "running session")
    page.goto(f"{newcomer.mesh.ui}/s/{session_id}")
    expect(page.locator("[data-part=fps]").first).to_have_text(re.compile(r"\d"), timeout=20_000)
    newcomer.shot("session")
    return session_id


def stands(newcomer: Newcomer, session_id: str) -> dict[str, object]:
    found: dict[str, object] = newcomer.mesh.ask("GET", f"/v1/sessions/{session_id}")
    return found


def another_machine(newcomer: Newcomer) -> None:
    """By the command that the page shows, in a folder of its own; only its port and host are this test's."""
    page, folder = newcomer.page, newcomer.folder
    page.goto(f"{newcomer.mesh.ui}/access")
    expect(page.locator("#computers").get_by_text("this computer")).to_be_visible()
    newcomer.shot("access")
    page.get_by_label("Name, to know it by").fill("Press shop")
    page.get_by_role("button", name="Make a join token").click()
    panel = page.locator("#panel-compute")
    expect(panel).to_contain_text("--join-token fgj_")
    newcomer.shot("join-a-machine", panel)
    words = shlex.split(panel.locator("[data-part=copy-text]").inner_text())
    assert words[:2] == ["./fogline", "compute"]
    words = [word for word in words[2:] if word not in ("--host", "0.0.0.0")]
    assert words[words.index("--registry") + 1] == newcomer.mesh.registry.url
    newcomer.compute("hall-2", "--data", str(folder / "second"), *words)
    row = page.locator("#computers tbody tr").filter(has_text="hall-2")
    expect(row).to_be_visible(timeout=30_000)
    page.get_by_role("button", name="Done, hide the token").click()
    newcomer.shot("joined", row)


def it_serves(newcomer: Newcomer, session_id: str) -> None:
    """The first machine is to rest, so the session goes to the second."""
    page = newcomer.page
    newcomer.go("Nodes")
    newcomer.shot("nodes")
    card = page.locator("#nodes [data-part=list] > *").filter(has_text="this computer")
    card.get_by_role("button", name=re.compile("Drain")).click()
    served_by(newcomer, session_id, "hall-2")
    newcomer.shot("drained")


def served_by(newcomer: Newcomer, session_id: str, name: str) -> None:
    def look() -> bool:
        found = stands(newcomer, session_id)
        return found["node_name"] == name and found["state"] == "running"

    wait_for(look, 30, f"session on {name}")


def a_program(newcomer: Newcomer, session_id: str) -> None:
    """The line for curl works as it is shown."""
    page = newcomer.page
    page.goto(f"{newcomer.mesh.ui}/access#api-keys")
    page.get_by_role("button", name="Make an API key").click()
    page.get_by_role("dialog").get_by_label("Name").fill("report script")
    newcomer.shot("make-a-key")
    page.get_by_role("button", name="Make it").click()
    lines = page.get_by_role("dialog").locator("[data-part=copy-text]")
    expect(lines.filter(has_text="curl")).to_be_visible()
    newcomer.shot("key")
    words = shlex.split(lines.filter(has_text="curl").inner_text())
    page.get_by_role("button", name="Done", exact=True).click()
    assert session_id in words[-1], "the line is for the session that runs"
    words += ["--silent", "--show-error", "--max-time", "20"]
    done = subprocess.run(words, cwd=newcomer.folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (newcomer.folder / "snapshot.jpg").read_bytes()[:2] == b"\xff\xd8"
    expect(page.locator("#api-keys tbody tr").filter(has_text="report script")).to_be_visible()


def out_and_in(newcomer: Newcomer) -> None:
    """A wrong password is told as such."""
    page = newcomer.page
    newcomer.menu("Sign out")
    expect(page.get_by_text("You are signed out.")).to_be_visible()
    newcomer.shot("signed-out")
    page.get_by_label("Name").fill("anna")
    page.get_by_label("Password").fill("not the right one")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("wrong")
    expect(page.get_by_text("You are signed out.")).to_be_hidden()
    newcomer.shot("wrong-password")
    # The browser itself notes every refusal in its console.
    newcomer.complaints[:] = [one for one in newcomer.complaints if "401" not in one]
    page.get_by_label("Password").fill(PASSWORD)
    page.keyboard.press("Enter")
    expect(page.locator("#who summary")).to_have_accessible_name("Signed in as anna, Admin")


def that_machine_goes(newcomer: Newcomer, session_id: str) -> None:
    """The first works again, and takes over."""
    page = newcomer.page
    first = next(one for one in newcomer.mesh.ask("GET", "/v1/nodes")["nodes"] if one["name"] == "this computer")
    newcomer.mesh.ask("POST", f"/v1/nodes/{first['node_id']}/undrain")
    page.goto(f"{newcomer.mesh.ui}/access#computers")
    row = page.locator("#computers tbody tr").filter(has_text="hall-2")
    row.get_by_role("button", name="Revoke hall-2").click()
    newcomer.shot("revoke", row)
    row.get_by_role("button", name="Revoke it").click()
    served_by(newcomer, session_id, "this computer")
    wait_for(lambda: "hall-2" not in {one["name"] for one in newcomer.mesh.ask("GET", "/v1/nodes")["nodes"]}, 15, "end")
    newcomer.shot("revoked", row)
    page.goto(f"{newcomer.mesh.ui}/audit")
    expect(page.get_by_text("node revoked").first).to_be_visible()
    newcomer.shot("audit")
