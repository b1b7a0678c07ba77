"""Signing in, in a browser."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.ui.accessibility import axe
from tests.ui.conftest import Watch
from tests.ui.locked_mesh import PASSWORD, Locked, locked_mesh


def test_the_first_sign_in(tmp_path: Path, page: Page, watch: Watch) -> None:
    """The page says how to get the link; the link makes the first admin, by keyboard alone; its token leaves the
    address at once; who signed in sees who they are; signing in again leads back to the page that was wanted."""
    with locked_mesh(tmp_path) as mesh:
        page.goto(f"{mesh.ui}/nodes", wait_until="commit")
        expect(page.get_by_role("heading", name="There is no admin yet")).to_be_visible()
        expect(page.get_by_text("./fogline user link", exact=True)).to_be_visible()
        expect(page.get_by_text("docker compose exec registry python -m cli user link")).to_be_visible()
        assert axe(page) == []

        token = mesh.setup_token
        page.goto(f"{mesh.ui}/setup#{token}", wait_until="commit")
        expect(page.get_by_label("Name")).to_be_focused()
        expect(page).to_have_url(f"{mesh.ui}/setup")
        assert token not in page.content()
        assert axe(page) == []
        for words in ("anna", PASSWORD, PASSWORD):
            page.keyboard.type(words)
            page.keyboard.press("Tab")
        page.keyboard.press("Enter")
        expect(page).to_have_url(f"{mesh.ui}/")
        expect(page.locator("#who summary")).to_have_accessible_name("Signed in as anna, Admin")
        assert not any(token in url for url in watch.requests)

        page.locator("#who summary").press("Enter")
        expect(page.get_by_role("link", name="Audit")).to_be_visible()
        assert axe(page) == []
        page.get_by_role("button", name="Sign out").click()
        expect(page.get_by_text("You are signed out.")).to_be_visible()
        page.goto(f"{mesh.ui}/cameras#add", wait_until="commit")
        page.get_by_label("Name").fill("anna")
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Sign in").click()
        expect(page).to_have_url(f"{mesh.ui}/cameras#add", timeout=15_000)
        expect(page.get_by_role("dialog")).to_be_visible()
        assert watch.complaints == []
        assert watch.origins == {mesh.ui}


def test_wrong_passwords_are_counted_down(locked: Locked, page: Page) -> None:
    """What is wrong is said beside the form; after too many the button counts the seconds, and is good again then."""
    name = locked.person("viewer", "hasty")
    page.clock.install()
    page.goto(f"{locked.ui}/sign-in", wait_until="commit")
    opened(page)
    page.get_by_label("Name").fill(name)
    go = page.locator("#sign-in button")
    problem = page.get_by_role("alert")
    for _ in range(4):
        page.get_by_label("Password").fill("certainly wrong")
        with page.expect_response(f"{locked.ui}/api/sign-in"):
            go.click()
        expect(go).to_be_enabled()
        expect(problem).to_contain_text("wrong")
    go.click()
    expect(go).to_have_text(re.compile(r"In (30|2\d) seconds"))
    expect(go).to_be_disabled()
    page.clock.run_for(31_000)
    expect(go).to_have_text("Sign in")
    expect(problem).to_have_text("You can try again now.")


def test_a_link_that_was_used_says_so(locked: Locked, page: Page) -> None:
    """A one-time link of an admin's works once, asks for no name, and says what to do when it comes again; so does the
    page without one."""
    made = locked.ask("POST", "/v1/users", {"name": "newcomer", "role": "operator"})
    locked.browser("admin")  # else the page is for the first admin
    address = f"{locked.ui}/setup#{made['link']['token']}"
    page.goto(address, wait_until="commit")
    expect(page.get_by_label("Password")).to_be_focused()
    assert page.get_by_label("Name").count() == 0
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_label("The same again").fill(PASSWORD + "?")
    page.get_by_role("button", name="Keep it").click()
    expect(page.get_by_role("alert")).to_have_text("The two passwords are not the same.")
    page.get_by_label("The same again").fill(PASSWORD)
    page.get_by_role("button", name="Keep it").click()
    expect(page.locator("#who")).to_contain_text("newcomer")
    page.goto("about:blank")
    page.goto(address, wait_until="commit")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_label("The same again").fill(PASSWORD)
    page.get_by_role("button", name="Keep it").click()
    expect(page.get_by_role("heading", name="This link is no longer good")).to_be_visible()
    assert axe(page) == []
    page.goto(f"{locked.ui}/setup", wait_until="commit")
    expect(page.get_by_role("heading", name="This page needs a link")).to_be_visible()


def test_the_account_page(locked: Locked, page: Page, watch: Watch) -> None:
    """It says what the role means and how many sign-ins there are, changes the password, and ends all sign-ins."""
    enter(locked, page, locked.person("operator", "owner"), "/account")
    other = locked.sign_in("operator", "owner")
    page.reload()
    expect(page.get_by_text("You start and stop sessions")).to_be_visible()
    expect(page.get_by_text("You are signed in at 2 places")).to_be_visible()
    assert axe(page) == []
    page.get_by_label("The one you have").fill(PASSWORD)
    page.get_by_label("The new one", exact=False).first.fill("another horse battery")
    page.get_by_label("The new one again").fill("another horse battery")
    page.get_by_role("button", name="Change the password").click()
    expect(page.get_by_text("The password is changed")).to_be_visible()
    expect(page.get_by_text("You are signed in here, and nowhere else.")).to_be_visible()
    page.get_by_role("button", name="Sign out everywhere").click()
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    assert watch.complaints == []
    assert other.cookies


def test_a_page_whose_sign_in_ends_says_so_and_stays(locked: Locked, page: Page) -> None:
    """A wall that nobody touches keeps what it shows and says it calmly; signing in again leads back to it."""
    name = locked.person("viewer", "wallboard")
    enter(locked, page, name, "/nodes")
    expect(page.locator("#totals")).to_be_visible()
    page.wait_for_timeout(100)
    locked.ask("DELETE", f"/v1/users/{name}/sign-ins")
    banner = page.locator("#signed-out")
    # Eight seconds until the dashboard has asked again, half a one until it ends the stream, one until the page comes
    # back, and what a busy machine needs for it.
    expect(banner).to_be_visible(timeout=15_000)
    expect(page.locator("#banner")).to_be_hidden()
    assert page.url == f"{locked.ui}/nodes"
    banner.get_by_role("link", name="Sign in again").click()
    expect(page).to_have_url(f"{locked.ui}/sign-in?next=%2Fnodes")


def test_a_page_that_is_not_for_ones_role_says_so(locked: Locked, page: Page) -> None:
    """In words, with a way back; the menu of a viewer does not offer it."""
    enter(locked, page, locked.person("viewer", "curious"), "/account")
    page.locator("#who summary").click()
    assert page.get_by_role("link", name="Audit").count() == 0
    answer = page.goto(f"{locked.ui}/audit")
    assert answer is not None
    assert answer.status == 403
    expect(page.get_by_role("heading", name="This page is not for you")).to_be_visible()
    assert axe(page) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_a_phone(locked: Locked, page: Page, scheme: str) -> None:
    """390 pixels without sideways scrolling, in both looks, and with enough contrast."""
    page.set_viewport_size({"width": 390, "height": 844})
    page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    enter(locked, page, locked.person("viewer", "phone"), "/account")
    for path in ("/account", "/sign-in?next=/x", "/setup"):
        if path != "/account":
            page.context.clear_cookies()
            page.goto(locked.ui + path, wait_until="commit")
        expect(page.get_by_role("heading", level=1).first).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), path
        assert axe(page) == [], path


def opened(page: Page) -> None:
    """The form is there; until somebody is admin it is folded away."""
    page.wait_for_load_state("domcontentloaded")  # before, what is not there yet looks as if it were not folded away
    opener = page.get_by_text("I have a name and a password")
    if opener.is_visible():
        opener.click()


def enter(locked: Locked, page: Page, name: str, wanted: str) -> None:
    """Sign in, and be on the page that was wanted."""
    page.goto(locked.ui + wanted, wait_until="commit")
    opened(page)
    page.get_by_label("Name").fill(name)
    page.get_by_label("Password").fill(PASSWORD)
    page.locator("#sign-in button").click()
    expect(page).to_have_url(locked.ui + wanted)
