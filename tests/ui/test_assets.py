"""What the pages load: how it is sent, kept and counted."""

from __future__ import annotations

import gzip
import re
from typing import Any

import pytest
import requests
from playwright.sync_api import Browser

from tests.calm import browsing
from tests.processes import ROOT, wait_for
from tests.ui.conftest import Mesh
from ui.assets import ICONS, LIBRARIES, Assets

KINDS = {"js": "text/javascript", "css": "text/css", "svg": "image/svg+xml", "json": "application/json"}
MOST = 150_000  # bytes that one page transfers at most, pictures and events aside
# A browser without a window asks for no icon: so the page does, and what is there already is not asked for twice.
FAVICON = """() => Promise.all([...document.querySelectorAll("link[rel~=icon]")].map(link =>
    performance.getEntriesByName(link.href).length || fetch(link.href).then(answer => answer.blob()).then(() => 0)))"""
AS_IT_IS = {"Accept-Encoding": "identity"}


def loads(mesh: Mesh, path: str = "/") -> list[str]:
    """The addresses that a page in Chinese names, which has everything that English ones have."""
    text = requests.get(mesh.ui + path, headers={"Accept-Language": "zh"}, timeout=5).text
    return sorted({one.partition("#")[0] for one in re.findall(r'(?:src|href|data-words)="(/assets/[^"]+)"', text)})


def test_files_are_compressed_for_who_can_read_that(mesh: Mesh) -> None:
    """Both forms have the same content, tags of their own and the right kind."""
    for address in loads(mesh):
        packed = requests.get(mesh.ui + address, headers={"Accept-Encoding": "gzip"}, stream=True, timeout=5)
        plain = requests.get(mesh.ui + address, headers=AS_IT_IS, timeout=5)
        assert packed.headers["Content-Encoding"] == "gzip", address
        assert "Content-Encoding" not in plain.headers
        assert packed.headers["Vary"] == plain.headers["Vary"] == "Accept-Encoding"
        assert gzip.decompress(packed.raw.read()) == plain.content
        assert packed.headers["ETag"] != plain.headers["ETag"]
        ending = address.partition("?")[0].rpartition(".")[2]
        assert plain.headers["Content-Type"].startswith(KINDS[ending]), address


def test_browsers_keep_what_they_have(mesh: Mesh) -> None:
    """An address with the present stamp is kept for ever; any other is asked for again and costs a 304."""
    for address in loads(mesh):
        first = requests.get(mesh.ui + address, timeout=5)
        assert "immutable" in first.headers["Cache-Control"], address
        again = requests.get(mesh.ui + address, headers={"If-None-Match": first.headers["ETag"]}, timeout=5)
        assert again.status_code == 304
        assert again.content == b""
    old = requests.get(f"{mesh.ui}/assets/000000000000/css/frame.css", timeout=5)
    assert old.ok
    assert old.headers["Cache-Control"] == "no-cache"
    assert requests.get(f"{mesh.ui}/assets/vendor/pico.min.css", timeout=5).headers["Cache-Control"] == "no-cache"


def test_pages_are_compressed_and_kept_by_nobody(mesh: Mesh) -> None:
    """They carry the mesh as it is now, in the language of who asks."""
    packed = requests.get(mesh.ui, headers={"Accept-Encoding": "gzip"}, stream=True, timeout=5)
    assert packed.headers["Content-Encoding"] == "gzip"
    assert packed.headers["Cache-Control"] == "no-store"
    assert {"Cookie", "Accept-Language", "Accept-Encoding"} == set(packed.headers["Vary"].split(", "))
    assert b"</html>" in gzip.decompress(packed.raw.read())
    assert "Content-Encoding" not in requests.get(mesh.ui, headers=AS_IT_IS, timeout=5).headers


@pytest.mark.parametrize(
    "path", ["../app.py", "%2e%2e/app.py", "..%2fapp.py", "js", "js/none.js", "a%00b", "/etc/passwd"]
)
def test_only_our_own_files_are_sent(mesh: Mesh, path: str) -> None:
    """Whatever the path leads to."""
    answer = requests.get(f"{mesh.ui}/assets/x/{path}", timeout=5)
    assert answer.status_code == 404
    assert answer.headers["Content-Type"] == "application/problem+json"


def test_every_icon_is_drawn() -> None:
    """Each name that the pages use is in the sprite, with something to see."""
    sprite = Assets().icons().content.decode()
    drawn = dict(re.findall(r'<symbol [^>]*?id="([\w-]+)"[^>]*>(.*?)</symbol>', sprite, re.DOTALL))
    assert drawn.keys() == {*ICONS, "mark"}
    assert all("<" in body for body in drawn.values())
    pages = "".join(path.read_text() for path in (ROOT / "ui" / "templates").glob("*.html"))
    for name in re.findall(r"\bicon\([\"']([\w-]+)[\"']", pages):
        assert any(one.startswith(name) if name.endswith("-") else one == name for one in drawn), name


def test_licences_are_told(mesh: Mesh) -> None:
    """Each library with its version, licence and purpose."""
    text = requests.get(f"{mesh.ui}/about", timeout=5).text
    for library in LIBRARIES:
        named = f"<dt><strong>{library.package}</strong> {Assets().version(library)}</dt>"
        told = re.search(rf"{re.escape(named)}\s*<dd>(.*)</dd>", text)
        assert told, library.package
        licence, purpose, home = told.group(1).split(" · ")
        assert (licence, home) == (library.licence, library.home)
        assert purpose


@pytest.mark.parametrize("path", ["/", "/cameras", "/nodes", "/s/{session_id}"])
def test_a_page_is_light(mesh: Mesh, browser: Browser, path: str) -> None:
    """What Chromium really takes over the wire for page, styles, scripts, icons and texts."""
    session = mesh.registry.add_session(mesh.camera_id, "yolo", mesh.compute_id)
    with browsing(), browser.new_context(locale="zh-CN") as context:
        page = context.new_page()
        wire = context.new_cdp_session(page)
        addresses: dict[str, str] = {}
        sizes: dict[str, float] = {}

        def answered(event: dict[str, Any]) -> None:
            addresses[event["requestId"]] = event["response"]["url"]

        def finished(event: dict[str, Any]) -> None:
            address = addresses.get(event["requestId"], "")
            if address.startswith(mesh.ui) and "/api/" not in address and "/sessions/" not in address:
                sizes[address.removeprefix(mesh.ui)] = event["encodedDataLength"]

        wire.on("Network.responseReceived", answered)
        wire.on("Network.loadingFinished", finished)
        wire.send("Network.enable")
        page.goto(mesh.ui + path.format(session_id=session["session_id"]), wait_until="commit")
        wanted = set(loads(mesh, path.format(session_id=session["session_id"])))
        page.wait_for_load_state("load")
        page.evaluate(FAVICON)

        def there() -> bool:
            page.wait_for_timeout(50)  # in which the answers are told
            return wanted <= set(sizes)

        wait_for(there, 10, f"all of {wanted}")
        page.wait_for_timeout(500)  # what modules load that the page does not name
    assert 0 < sum(sizes.values()) < MOST, sorted(sizes.items(), key=lambda one: -one[1])
