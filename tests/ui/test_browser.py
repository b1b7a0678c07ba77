"""The pages in a real browser, with pictures that move."""

from __future__ import annotations

from collections.abc import Callable

from playwright.sync_api import Locator, Page, expect

from tests.processes import wait_for
from tests.ui.conftest import Mesh, Watch


def loaded(image: Locator) -> bool:
    """Whether the picture has come."""
    return bool(image.evaluate("image => (image.naturalWidth ?? image.width) > 0 && !image.hidden"))


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
    image = page.locator(".stage .live")
    wait_for(lambda: loaded(image), 10, "live picture")
    expect(page.locator(".stage .cover")).to_be_hidden()
    assert moves(image)
    fps = wait_for(number(page.locator("[data-part=fps]")), 5, "frame rate")
    assert fps > 0


def clean(mesh: Mesh, watch: Watch) -> None:
    """Nothing went wrong, and nothing was asked of anybody but us and the nodes."""
    assert watch.complaints == []
    assert watch.origins <= mesh.origins


def test_markup_in_names_is_text(mesh: Mesh, page: Page, watch: Watch) -> None:
    """Names, reasons and labels may hold anything; none of it becomes an element."""
    evil = '<img src=x onerror="window.broken=1"><b>bold</b>'
    mesh.registry.nodes[mesh.camera_id] |= {"name": evil, "source": evil, "load": {"no_signal": evil}}
    mesh.registry.nodes[mesh.compute_id] |= {"name": evil, "FriendlyName": evil, "state_reason": evil, "cpu": evil}
    mesh.registry.nodes[mesh.compute_id]["algorithm"][0]["name"] = evil
    mesh.compute.labels = [evil]
    session = mesh.registry.add_session(mesh.camera_id, "yolo", mesh.compute_id, why=evil)
    page.goto(f"{mesh.ui}/s/{session['session_id']}")
    expect(page.locator(".counts li").first).to_contain_text("<b>bold</b>")
    page.goto(mesh.ui)
    expect(page.locator(".tile .name")).to_have_text(evil)
    expect(page.locator(".tile .algorithm")).to_have_text(evil)
    page.keyboard.press("s")
    expect(page.get_by_role("dialog").locator(".option-name").first).to_have_text(evil)
    assert page.locator("b", has_text="bold").count() == 0
    assert page.evaluate("window.broken") is None
    clean(mesh, watch)


def test_a_phone_shows_everything_without_scrolling_sideways(mesh: Mesh, page: Page) -> None:
    """Wall, form and session fit into 360 pixels."""
    session = mesh.registry.add_session(mesh.camera_id, "yolo", mesh.compute_id)
    mesh.registry.nodes[mesh.camera_id]["name"] = "a-name-without-any-space-" * 6
    page.set_viewport_size({"width": 360, "height": 740})
    for path in ("/", f"/s/{session['session_id']}", "/about"):
        page.goto(mesh.ui + path)
        page.wait_for_timeout(500)
        assert page.evaluate("document.documentElement.scrollWidth") <= 360, path
