"""The page that says who did what, from where, before a locked mesh of real services."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta, timezone
from functools import partial
from typing import Any

import pytest
import requests
from playwright.sync_api import Browser, Page, Route, expect

from tests.calm import browsing
from tests.ui.accessibility import axe
from tests.ui.conftest import Watch
from tests.ui.plant import Plant

SCRIPT = "<img src=x onerror=window.broken=1>"
ENTRIES = 105  # more than a page of the audit has


@pytest.fixture(scope="module")
def busy(plant: Plant) -> Plant:
    """A mesh in which much was done, last of all a sign-in with a wrong password."""
    plant.sign_in("admin", "anna")
    with requests.Session() as session:
        session.headers["Authorization"] = f"Bearer {plant.key}"
        for number in range(ENTRIES):
            body = {"uses": 1, "expires_in": 60, "name": f"{number}th token"}
            session.post(f"{plant.registry.url}/v1/join-tokens", json=body, timeout=5).raise_for_status()
    body = {"name": "anna", "password": "not the right one"}
    refused = requests.post(f"{plant.ui}/api/sign-in", json=body, headers={"Origin": plant.ui}, timeout=10)
    assert refused.status_code == 401
    plant.browsers["anna"] = plant.sign_in("admin", "anna")
    return plant


def fulfil(answer: Any, route: Route) -> None:
    route.fulfill(json=answer)


def test_the_newest_comes_first_with_who_what_and_from_where(busy: Plant, page: Page, watch: Watch) -> None:
    """What was refused has its own shape and says why; older entries come on demand, what is new by itself."""
    busy.open(page, "anna", "/audit")
    rows = page.locator("#audit tbody tr")
    expect(rows).to_have_count(100)
    expect(rows.first).to_contain_text("anna")
    refused = rows.filter(has_text="sign-in refused").first
    expect(refused).to_contain_text("127.0.0.1")
    expect(refused.locator(".state")).to_have_attribute("data-tone", "warn")
    expect(refused).to_contain_text("Wrong password")
    assert axe(page) == []
    older = page.get_by_role("button", name="Older entries")
    expect(older).to_be_enabled()  # it is not while the page looks for what is new
    older.focus()
    page.keyboard.press("Enter")
    expect(rows.get_by_text(re.compile("^0th token"))).to_have_count(1)
    newest = busy.ask("GET", "/v1/audit?limit=1")["entries"][0]
    busy.ask("POST", "/v1/join-tokens", {"uses": 1, "expires_in": 60, "name": "a new one"})
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")  # as when the tab is seen again
    # Where the page was just looking it does not look twice, but ten seconds later.
    expect(rows.first).to_contain_text("a new one", timeout=15_000)
    expect(rows.nth(1)).to_contain_text(newest["who"])
    assert watch.complaints == []


def test_the_filter_looks_through_what_is_loaded(busy: Plant, page: Page) -> None:
    """All its words must be there; `/` goes to it, Escape shows all again; nothing found says so."""
    busy.open(page, "anna", "/audit")
    rows = page.locator("#audit tbody tr")
    expect(rows).to_have_count(100)
    page.keyboard.press("/")
    page.keyboard.type(f"{ENTRIES - 1}th TOKEN")
    expect(rows).to_have_count(1)
    expect(page.locator("#audit")).to_contain_text("1 of 100 entries loaded")
    page.keyboard.type(" nonsense")
    expect(rows).to_have_count(0)
    expect(page.locator("#audit").get_by_role("status")).to_contain_text("older entries may")
    page.keyboard.press("Escape")
    expect(rows).to_have_count(100)


def test_the_export_is_all_of_it_as_json_lines(busy: Plant, page: Page) -> None:
    """A link: a file with one entry a line, oldest first, of which none is missing."""
    busy.open(page, "anna", "/audit")
    with page.expect_download() as download:
        page.get_by_role("link", name="Export as JSON lines").click()
    lines = [json.loads(line) for line in download.value.path().read_text().splitlines()]
    assert download.value.suggested_filename == "fogline-audit.jsonl"
    assert len(lines) > ENTRIES
    assert [one["at"] for one in lines] == sorted(one["at"] for one in lines)
    assert {"who", "address", "action", "subject", "outcome"} <= lines[0].keys()


def test_times_are_of_the_viewers_zone(busy: Plant, browser: Browser) -> None:
    """Somebody in Tokyo reads their own clock, and which zone that is."""
    with browsing(), browser.new_context(timezone_id="Asia/Tokyo", locale="en-GB") as context:
        page = context.new_page()
        busy.open(page, "anna", "/audit")
        time = page.locator("#audit tbody time").first
        at = datetime.fromisoformat(str(time.get_attribute("datetime"))).astimezone(UTC)
        expect(time).to_contain_text(at.astimezone(timezone(timedelta(hours=9))).strftime("%H:%M:%S"))
        expect(page.locator("#zone")).to_have_text("Times are of the zone Asia/Tokyo.")


def test_entries_are_text_and_fit_a_phone(plant: Plant, page: Page) -> None:
    """Whatever somebody managed to have written down runs nowhere, and long words do not widen the page."""
    entry = {"entry_id": "1-0", "at": 1.0, "who": SCRIPT, "address": SCRIPT, "action": SCRIPT, "outcome": SCRIPT}
    answer = {"entries": [{**entry, "subject": SCRIPT + "x" * 150}], "next_cursor": None}
    page.route("**/api/audit", partial(fulfil, answer))
    page.set_viewport_size({"width": 390, "height": 844})
    plant.open(page, "anna", "/audit")
    expect(page.locator("#audit tbody tr")).to_contain_text(re.compile(re.escape(SCRIPT)))
    assert page.evaluate("window.broken") is None
    assert page.locator("img").count() == 0
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    assert axe(page) == []


@pytest.mark.parametrize("name", ["vera", "olga"])
def test_the_pages_of_admins_are_for_them_alone(plant: Plant, page: Page, name: str) -> None:
    """Others find no way there, and are told what it needs when they go all the same."""
    plant.open(page, name, "/")
    page.locator("#who summary").click()
    expect(page.locator("#who a")).to_have_text(["Your account"])
    for path in ("/access", "/audit"):
        plant.open(page, name, path)
        expect(page.locator("main")).to_contain_text("it needs the role admin")
