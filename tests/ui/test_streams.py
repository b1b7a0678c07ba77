"""How pages get pictures from a locked mesh: by signed addresses that are renewed, or through the dashboard."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests
from playwright.sync_api import Page, Request, Route, expect

from mesh.multipart import Reader, boundary_of
from tests.cluster import Cluster
from tests.processes import wait_for
from tests.ui.conftest import Watch
from tests.ui.front import Front
from tests.ui.locked_mesh import Locked
from tests.ui.test_browser import live, moves
from tests.ui.test_wall import HIDE

TICKET, STREAM = "3", "5"  # seconds: short, so that a test sees several of each
# What a page fetched and painted, in the order in which it did: `open ADDRESS`, `painted`, `drop ADDRESS`.
NOTE = """(() => {
    window.done = [];
    const { fetch } = window;
    window.fetch = (address, how) => {
        if (String(address).includes("/stream")) {
            window.done.push(`open ${address}`);
            how.signal.addEventListener("abort", () => window.done.push(`drop ${address}`));
        }
        return fetch(address, how);
    };
    const draw = ImageBitmapRenderingContext.prototype.transferFromImageBitmap;
    ImageBitmapRenderingContext.prototype.transferFromImageBitmap = function (bitmap) {
        window.done.push("painted");
        return draw.call(this, bitmap);
    };
})()"""
COVERED = """() => {
    window.covered = 0;
    const cover = document.querySelector(".stage .cover");
    new MutationObserver(() => (window.covered += cover.hidden ? 0 : 1)).observe(cover, { attributes: true });
}"""


@dataclass
class Mesh:
    """direct: a dashboard whose browsers reach the nodes. proxied: one that has a trusted proxy in front."""

    cluster: Cluster
    direct: Locked
    proxied: Locked

    def opened(self, page: Page, path: str, *, name: str = "", front: Front | None = None) -> None:
        """A page as an operator sees it, through `front` if given. name: for a sign-in of its own."""
        locked = self.proxied if front else self.direct
        browser = locked.sign_in("operator", name) if name else locked.browser("operator")
        url = front.url if front else locked.ui
        page.context.add_cookies([{"name": "fogline", "value": str(browser.cookies["fogline"]), "url": url}])
        page.goto(url + path, wait_until="commit")

    def token(self, session_id: str) -> int:
        return int(self.cluster.session(session_id)["token"])


@pytest.fixture(scope="module")
def mesh(tmp_path_factory: pytest.TempPathFactory, models: Path) -> Iterator[Mesh]:
    folder = tmp_path_factory.mktemp("streams")
    locked = ("--access", "locked")
    with Cluster(folder, models) as cluster:
        registry = cluster.registry(
            "registry", *locked, "--redis", "memory:", "--ticket-seconds", TICKET, "--stream-seconds", STREAM
        )
        registry.running.ready()
        cluster.camera("Press line 3", *locked)
        for name in ("hall-1", "hall-2"):
            cluster.compute(name, *locked)
        ways = [
            cluster.dashboard("direct", *locked, "--streams", "direct"),
            cluster.dashboard("proxied", *locked, "--trusted-proxies", "1"),
        ]
        cluster.healthy()
        known: set[str] = set()  # people
        yield Mesh(
            cluster, *(Locked(registry.running, one.running.ready(), folder / "registry", known) for one in ways)
        )


@pytest.fixture(scope="module")
def session(mesh: Mesh) -> str:
    """The id of a session that runs all the time."""
    made = str(mesh.cluster.open("Press line 3", pinned=True)["session_id"])
    mesh.cluster.settled(made)
    return made


# --- straight from the nodes


def test_a_stream_is_renewed_before_it_ends(mesh: Mesh, session: str, page: Page, watch: Watch) -> None:
    """The next one is opened before its time is over, and the old one dropped when the new one's picture is there."""
    page.add_init_script(NOTE)
    mesh.opened(page, f"/s/{session}")
    live(page)
    page.evaluate(COVERED)

    def done() -> list[str]:
        return list(page.evaluate("window.done"))

    def streams() -> list[str]:
        return [what.removeprefix("open ") for what in done() if what.startswith("open ")]

    wait_for(lambda: len([what for what in done() if what.startswith("drop ")]) >= 2, 30, "two renewals")
    said = done()
    assert len(set(streams())) == len(streams()) >= 3
    for old, new in zip(streams()[:2], streams()[1:], strict=False):
        begun, dropped = said.index(f"open {new}"), said.index(f"drop {old}")
        assert "painted" in said[begun:dropped]
    assert page.evaluate("window.covered") == 0
    assert watch.complaints == []


def test_a_wall_asks_once_for_all_that_it_shows(mesh: Mesh, session: str, page: Page, watch: Watch) -> None:
    """Addresses are renewed with one call, and a hidden page asks for none."""
    other = mesh.cluster.open("Press line 3", width=160, pinned=True)
    mesh.cluster.settled(other["session_id"])  # a node refuses what it has not heard of, and the page asks once more
    calls: list[dict[str, Any]] = []

    def note(asked: Request) -> None:
        if asked.url.endswith("/api/tickets"):
            calls.append(json.loads(asked.post_data or "{}"))

    both = {session, other["session_id"]}

    def renewed() -> bool:
        page.wait_for_timeout(50)  # what happened meanwhile is told now
        return sum(set(call["sessions"]) == both for call in calls) >= 2

    page.on("request", note)
    mesh.opened(page, "/")
    expect(page.locator(".tile")).to_have_count(2)
    wait_for(renewed, 20, "two renewals")
    # A session that was placed a moment later is asked for by itself, once; from then on they are renewed together.
    together = [set(call["sessions"]) == both for call in calls]
    assert together[together.index(True) :] == [True] * (len(together) - together.index(True))
    assert together.index(True) <= 2
    for one in page.locator(".tile .picture").all():
        assert moves(one)
    page.evaluate(HIDE, True)
    page.wait_for_timeout(300)
    calls.clear()
    page.wait_for_timeout(2500)
    assert calls == []
    page.evaluate(HIDE, False)
    assert moves(page.locator(".tile .picture").first)
    assert watch.complaints == []


def test_a_page_that_is_seen_again_is_live_however_slowly_its_addresses_come(
    mesh: Mesh, session: str, page: Page, watch: Watch
) -> None:
    """It was hidden for longer than its streams last. They are opened once each, and not renewed before they are there,
    for a successor that overtook them would leave the page without pictures."""
    mesh.opened(page, f"/s/{session}")
    live(page)
    page.evaluate(HIDE, True)
    page.wait_for_timeout(int(STREAM) * 1000)
    tickets: list[Route] = []
    events: list[Route] = []

    def come(routes: list[Route]) -> bool:
        page.wait_for_timeout(20)  # what happened meanwhile is told now
        return bool(routes)

    def hold(route: Route) -> None:
        (tickets if route.request.url.endswith("/api/tickets") else events).append(route)

    page.route("**/detections**", hold)
    page.route("**/api/tickets", hold, times=1)
    page.evaluate(HIDE, False)
    wait_for(lambda: come(tickets), 5, "call for addresses")
    page.wait_for_timeout(500)
    tickets[0].continue_()
    wait_for(lambda: come(events), 5, "stream of events")
    page.wait_for_timeout(300)
    for route in reversed(events):
        route.continue_()
        page.wait_for_timeout(300)
    page.unroute_all()
    live(page)
    assert watch.complaints == []


def test_who_is_signed_out_is_told_and_moves_nothing(mesh: Mesh, session: str, page: Page) -> None:
    """The stream ends, the page says that the sign-in has ended, and no node is blamed for it."""
    before = mesh.token(session)
    mesh.opened(page, f"/s/{session}", name="leaves")
    live(page)
    mesh.direct.ask("DELETE", "/v1/users/leaves/sign-ins")
    expect(page.locator("#signed-out")).to_be_visible(timeout=15_000)
    expect(page.locator(".stage .cover")).to_contain_text("Your sign-in has ended", timeout=15_000)
    assert mesh.token(session) == before


# --- through the dashboard


def test_a_page_behind_a_proxy_shows_everything(mesh: Mesh, session: str, page: Page, watch: Watch) -> None:
    """Below a path, wall and session page have moving pictures, and ask nobody but the dashboard."""
    with Front(mesh.proxied.ui, "/fogline") as front:
        mesh.opened(page, "/", front=front)
        expect(page.locator(".tile .picture").first).to_be_visible()
        for one in page.locator(".tile .picture").all():
            assert moves(one)
        mesh.opened(page, f"/s/{session}", front=front)
        live(page)
        page.locator("[data-part=stats]").scroll_into_view_if_needed()
        expect(page.locator("[data-part=searched]")).not_to_have_text("–", timeout=10_000)
        assert watch.origins == {front.origin}
        assert front.strays == []
        assert watch.complaints == []
        page.goto("about:blank")


class Viewer:
    """Reads a relayed stream in a thread of its own. tokens: of the placements whose pictures came."""

    def __init__(self, browser: requests.Session, address: str) -> None:
        self.pictures = 0
        self.tokens: list[int] = []
        self.over = threading.Event()
        self._answer = browser.get(address, stream=True, timeout=(5, 20))
        assert self._answer.status_code == 200, self._answer.text
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        reader = Reader(boundary_of(self._answer.headers["Content-Type"]))
        with suppress(requests.RequestException, OSError, ValueError):  # it was closed, by either side
            while chunk := self._answer.raw.read1(65536):
                for part in reader.feed(chunk):
                    self.pictures += 1
                    if (token := int(part.headers["x-token"])) not in self.tokens:
                        self.tokens.append(token)
        self.over.set()


def test_a_node_is_read_once_for_all_who_watch(mesh: Mesh, session: str) -> None:
    """Two viewers are one at the node; the stream follows the session to another node, and ends with the sign-in."""
    locked = mesh.proxied
    people = [locked.sign_in("viewer", "first"), locked.sign_in("viewer", "second")]
    address = f"{locked.ui}/relay/sessions/{session}"
    viewers = [Viewer(one, f"{address}/stream") for one in people]
    first, second = viewers
    wait_for(lambda: all(one.pictures > 3 for one in viewers), 20, "pictures")

    def watched() -> int:
        viewers_there: int = people[0].get(f"{address}/stats", timeout=5).json()["viewers"]
        return viewers_there

    wait_for(lambda: watched() == 1, 10, "one viewer at the node, when those of earlier tests have gone")
    # Its node rests: the session moves, and who watches sees the pictures of the new place without asking.
    before = mesh.cluster.session(session)
    mesh.cluster.post(f"/v1/nodes/{before['node']}/drain")
    wait_for(lambda: all(len(one.tokens) == 2 for one in viewers), 20, "pictures of the new place")
    mesh.cluster.post(f"/v1/nodes/{before['node']}/undrain")
    assert not first.over.is_set()
    # Who opened it leaves, and it goes on for the other; then that one's sign-in is ended.
    locked.ask("DELETE", "/v1/users/first/sign-ins")
    assert first.over.wait(15)
    count = second.pictures
    wait_for(lambda: second.pictures > count + 3, 10, "further pictures")
    assert people[1].post(f"{locked.ui}/api/sign-out", json={}, timeout=5).ok
    assert second.over.wait(15)


def test_nothing_but_what_there_is_is_passed_on(mesh: Mesh, session: str) -> None:
    """Without a sign-in, of no known id or view, of no other size than one that nodes make: plain refusals."""
    locked = mesh.proxied
    browser = locked.browser("viewer")
    relay = f"{locked.ui}/relay"
    camera = mesh.cluster.session(session)["camera"]
    assert requests.get(f"{relay}/sessions/{session}/snapshot", timeout=5).status_code == 401
    for path, status in (
        (f"sessions/{session}/snapshot?width=160", 200),
        (f"sessions/{session}/snapshot?width=99999999", 422),
        (f"sessions/{session}/failover", 404),
        ("sessions/nobody/stream", 404),
        ("sessions/nobody/snapshot", 404),
        ("sessions/..%2f..%2fv1%2fnodes/snapshot", 404),
        ("cameras/http:%2f%2f127.0.0.1/image", 404),
        (f"cameras/{camera}/image?url=http://127.0.0.1:1/", 200),
        (f"cameras/{camera}/snapshot", 404),
    ):
        answer = browser.get(f"{relay}/{path}", timeout=15, stream=True)
        assert answer.status_code == status, (path, answer.status_code)
        assert "Access-Control-Allow-Origin" not in answer.headers
        answer.close()
