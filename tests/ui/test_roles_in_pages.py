"""What people of each role are offered in the pages, and how devices without a key are marked there."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from tests.ui.accessibility import axe
from tests.ui.plant import CAMERA, COMPUTE, DEVICE, Plant

BANNER = "The original's devices are let in without a key (--legacy-open)."


@pytest.fixture(scope="module")
def working(plant: Plant) -> Plant:
    """With a session that runs, and one of the original's cameras."""
    plant.session()
    return plant


def test_a_viewer_is_offered_nothing_that_would_be_refused(working: Plant, page: Page) -> None:
    """Live pictures, and no control that starts, stops, drains, adds or changes anything."""
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.method))
    working.open(page, "vera", "/")
    tile = page.locator(".tile", has_text=CAMERA)
    expect(tile.locator(".state")).to_have_text("Live")
    tile.hover()
    expect(tile.get_by_role("link", name=re.compile("^Open"))).to_be_visible()
    expect(tile.get_by_role("button", name=re.compile("^Stop"))).to_be_hidden()
    expect(page.locator(".palette")).to_be_hidden()
    page.locator(".tile", has_text=DEVICE).focus()
    page.keyboard.press("s")
    expect(page.locator("#start")).to_be_hidden()

    working.open(page, "vera", "/cameras#add")
    expect(page.locator("#notes")).to_contain_text("Adding cameras needs the role operator.")
    expect(page.locator("ul.sources > li")).to_have_count(2)
    expect(page.get_by_role("button", name="Add a camera")).to_be_hidden()

    working.open(page, "vera", "/nodes")
    card = page.locator("#nodes article", has_text=COMPUTE)
    expect(card.locator(".state")).to_have_text("Ready")
    expect(card.get_by_role("button")).to_have_count(0)
    expect(page.locator("#algorithms li")).to_have_count(1)
    expect(page.locator("#algorithms .button")).to_be_hidden()
    expect(page.locator("#matrix .chip")).to_have_count(1)
    expect(page.locator("#matrix .offer")).to_have_count(0)
    expect(page.locator("#join")).to_contain_text("Ask an admin for one.")

    working.open(page, "vera", f"/s/{working.session()['session_id']}")
    expect(page.locator("#session .heading .state")).to_have_text("Live")
    expect(page.get_by_role("button", name="Stop")).to_be_hidden()
    assert set(asked) <= {"GET", "POST"}  # signed addresses are asked for by POST
    working.open(page, "vera", "/?algorithm=echo")
    expect(page.locator("#notes")).to_contain_text("Starting an algorithm needs the role operator.")


def test_an_operator_is_offered_all_but_the_admins_pages(working: Plant, page: Page) -> None:
    """Start, stop, drain, add; and no way to people, keys or the audit."""
    working.open(page, "olga", "/")
    tile = page.locator(".tile", has_text=CAMERA)
    tile.hover()
    expect(tile.get_by_role("button", name=re.compile("^Stop"))).to_be_visible()
    expect(page.locator(".palette")).to_be_visible()
    working.open(page, "olga", "/cameras")
    expect(page.get_by_role("button", name="Add a camera")).to_be_visible()
    working.open(page, "olga", "/nodes")
    expect(page.get_by_role("button", name=f"Drain {COMPUTE}")).to_be_visible()
    expect(page.locator("#algorithms .button")).to_be_visible()
    expect(page.locator("#join a")).to_be_hidden()
    working.open(page, "olga", f"/s/{working.session()['session_id']}")
    expect(page.get_by_role("button", name="Stop")).to_be_enabled()


def test_a_refusal_that_comes_all_the_same_is_told_in_words(working: Plant, page: Page) -> None:
    """Who loses a role while a page is open reads what is needed, where the control was pressed."""
    working.open(page, "olga", "/nodes")
    drain = page.get_by_role("button", name=f"Drain {COMPUTE}")
    expect(drain).to_be_enabled()
    working.ask("PATCH", "/v1/users/olga", {"role": "viewer"})
    try:
        drain.click()
        expect(page.locator("#nodes article [data-part=problem]")).to_contain_text(
            "may not do this: it needs the role operator"
        )
    finally:
        working.ask("PATCH", "/v1/users/olga", {"role": "operator"})


def test_an_admin_finds_the_way_to_the_admins_pages(working: Plant, page: Page) -> None:
    """From the menu, and from where a machine is to join."""
    working.open(page, "anna", "/nodes")
    link = page.locator("#join").get_by_role("link", name="Make one, with the command ready to copy")
    expect(link).to_have_attribute("href", "/access#join")
    page.locator("#who summary").click()
    page.get_by_role("link", name="Access").click()
    expect(page).to_have_url(re.compile("/access$"))
    row = page.locator("#computers tbody tr", has_text=COMPUTE)
    expect(row.locator(".state")).to_have_text("Ready")


def test_devices_without_a_key_are_marked_wherever_they_are(working: Plant, page: Page) -> None:
    """A shape, a word and a tone beside the name, and a banner that says why they are let in."""
    places = {
        "/": page.locator(".tile", has_text=DEVICE),
        "/cameras": page.locator("ul.sources > li", has_text=DEVICE),
        "/nodes": page.locator("#camera-nodes tbody tr", has_text=DEVICE),
        "/access": page.locator("#computers tbody tr", has_text=DEVICE),
    }
    for path, place in places.items():
        working.open(page, "anna", path)
        mark = place.locator(".mark, .state", has_text="Unauthenticated")
        expect(mark).to_be_visible()
        expect(mark).to_have_attribute("data-tone", "warn")
        expect(mark.locator(".shape")).to_be_visible()
        expect(page.locator("#legacy-open")).to_contain_text(BANNER)
        others = page.locator(".tile, ul.sources > li, #camera-nodes tbody tr, #computers tbody tr", has_text=CAMERA)
        expect(others.first).to_be_visible()
        expect(others.get_by_text("Unauthenticated").locator("visible=true")).to_have_count(0)
        assert path in ("/cameras", "/access") or axe(page) == []
    expect(places["/access"].get_by_role("button")).to_have_count(0)
    expect(page.locator("#computers .notice")).to_contain_text("start the registry without it")
    page.set_viewport_size({"width": 390, "height": 844})
    for path in ("/cameras", "/nodes"):
        working.open(page, "anna", path)
        expect(places[path].get_by_text("Unauthenticated")).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth") == 390
