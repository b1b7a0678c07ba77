"""The dashboard behind a proxy that shows it below a path."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests
from playwright.sync_api import Page, expect

from tests.processes import Running, free_port
from tests.ui.conftest import Watch
from tests.ui.front import Front
from tests.ui.locked_mesh import PASSWORD, Locked

PREFIX = "/fogline"
JSON = {"Content-Type": "application/json"}


@pytest.fixture(scope="module")
def dashboard(locked: Locked, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A second dashboard of the locked mesh, which believes one proxy."""
    folder: Path = tmp_path_factory.mktemp("behind")
    words = ("--access", "locked", "--data", str(locked.data), "--registry", locked.registry.url)
    with Running("ui", *words, "--trusted-proxies", "1", port=free_port(), log=folder / "ui.log") as running:
        yield running.ready()


def addresses(text: str) -> list[str]:
    """Where a page's links, files and forms lead."""
    found: list[str] = re.findall(r'(?:href|src|action|data-words|data-wanted)="([^"]+)"', text)
    return [one for one in found if not one.startswith("#")]


@pytest.mark.parametrize("keeps", [False, True], ids=["cut off", "passed on"])
def test_every_address_of_every_page_is_below_the_path(locked: Locked, dashboard: Running, keeps: bool) -> None:
    """Pages, files, forms and redirects, and the cookie is for that path only; whether the proxy cuts it off or not."""
    with Front(dashboard.url, PREFIX, keeps=keeps) as front, requests.Session() as browser:
        first = browser.get(f"{front.url}/nodes?x=1", allow_redirects=False, timeout=10)
        assert first.headers["Location"] == f"{PREFIX}/sign-in?next=%2Fnodes%3Fx%3D1"
        page = browser.get(front.origin + first.headers["Location"], timeout=10)
        assert f'data-wanted="{PREFIX}/nodes?x=1"' in page.text
        answer = browser.post(
            f"{front.url}/api/sign-in",
            json={"name": locked.person("admin", "below"), "password": PASSWORD},
            headers={"Origin": front.origin},
            timeout=10,
        )
        assert answer.ok, answer.text
        assert f"Path={PREFIX}/;" in answer.headers["Set-Cookie"]
        for path in ("/", "/cameras", "/nodes", "/s/nothing", "/account", "/access", "/audit", "/about"):
            text = browser.get(front.url + path, timeout=10).text
            assert f'data-root="{PREFIX}"' in text, path
            outside = [one for one in addresses(text) if not one.startswith(f"{PREFIX}/")]
            assert not outside, path
        files = {one.partition("#")[0] for one in addresses(text) if "/assets/" in one}
        assert all(browser.get(front.origin + one, timeout=10).ok for one in files)
        back = browser.get(f"{front.url}/language/en?back=/nodes", allow_redirects=False, timeout=10)
        assert back.headers["Location"] == f"{PREFIX}/nodes"


def test_over_tls_the_cookie_and_the_browser_are_bound_to_it(locked: Locked, dashboard: Running) -> None:
    """Secure, under a name that no other host and no plain page can set, and HSTS; nothing of that is believed of who
    is no proxy of ours."""
    body = {"name": locked.person("viewer", "tls"), "password": PASSWORD}
    with Front(dashboard.url, PREFIX, scheme="https") as front:
        answer = requests.post(f"{front.url}/api/sign-in", json=body, timeout=10)
        assert answer.headers["Set-Cookie"].startswith("__Secure-fogline=fgs_")
        assert "; Secure;" in answer.headers["Set-Cookie"]
        assert re.match(r"max-age=\d{7,}", answer.headers["Strict-Transport-Security"])
    with Front(dashboard.url, "", scheme="https") as front:
        answer = requests.post(f"{front.url}/api/sign-in", json=body, timeout=10)
        assert answer.headers["Set-Cookie"].startswith("__Host-fogline=fgs_")
        assert {"Secure", "Path=/"} <= set(answer.headers["Set-Cookie"].split("; "))
        assert "Domain" not in answer.headers["Set-Cookie"]
    said = {"X-Forwarded-Proto": "https", "X-Forwarded-Prefix": PREFIX, "X-Forwarded-For": "10.9.9.9"}
    answer = requests.post(f"{locked.ui}/api/sign-in", json=body, headers=said, timeout=10)
    assert answer.headers["Set-Cookie"].startswith("fogline=")
    assert "Path=/;" in answer.headers["Set-Cookie"]
    entries = locked.ask("GET", "/v1/audit?limit=3")["entries"]
    assert {entry["address"] for entry in entries if entry["who"] == "tls"} == {"127.0.0.1"}


def test_the_pages_work_below_the_path(locked: Locked, dashboard: Running, page: Page, watch: Watch) -> None:
    """In a browser: sign in, come to the page that was wanted, hear events, walk on, sign out; nothing is asked for
    outside of the path."""
    name = locked.person("admin", "walker")
    with Front(dashboard.url, PREFIX) as front:
        page.goto(f"{front.url}/nodes", wait_until="commit")
        page.get_by_label("Name").fill(name)
        page.get_by_label("Password").fill(PASSWORD)
        with page.expect_request(lambda request: urlsplit(request.url).path == f"{PREFIX}/api/events"):
            page.locator("#sign-in button").click()
        expect(page).to_have_url(f"{front.url}/nodes")
        page.get_by_role("link", name="Cameras").first.click()
        expect(page).to_have_url(f"{front.url}/cameras")
        expect(page.locator("#banner")).to_be_hidden()
        page.locator("#who summary").click()
        page.get_by_role("button", name="Sign out").click()
        expect(page.get_by_text("You are signed out.")).to_be_visible()
        assert urlsplit(page.url).path == f"{PREFIX}/sign-in"
        assert not front.strays
        assert watch.complaints == []
        assert watch.origins == {front.origin}
