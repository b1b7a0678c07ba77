"""Makes the documentation's pictures from a real run.

`python -m docs.screenshots [NAME…]` starts a mesh of its own, photographs the dashboard in every state that people
meet, and ends it. It needs Chromium and the models that `./fogline test` fetches.
"""

from __future__ import annotations

import io
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

from mesh.settings import DATA
from tests.cluster import Cluster, Service
from tests.processes import wait_for
from tests.ui.plant import plant_of

PICTURES = Path(__file__).parent / "pictures"
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chromium-headless-shell")
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-sync"]
NAMES = ("Press line 3", "Loading dock", "Packing", "Gate 2", "Paint shop", "Warehouse A", "Assembly", "Canteen")
APART = 4.0  # seconds between two cameras' starts: each then looks at another part of the demo's photographs
WIDE, PHONE = (1440, 900), (390, 844)
SETTLE = 6_000  # milliseconds until pictures have come and charts have something to draw
LOCKED = ("sign-in", "access", "access-phone", "join", "audit")
Scheme = Literal["light", "dark"]


class Studio:
    """Takes pictures of the dashboard at `url`. only: names of those to take; all when empty."""

    def __init__(self, browser: Browser, url: str, only: list[str]) -> None:
        self._browser = browser
        self._url = url
        self._only = only

    def wants(self, *names: str) -> bool:
        return not self._only or any(name in self._only for name in names)

    def take(
        self,
        name: str,
        path: str = "/",
        *,
        size: tuple[int, int] = WIDE,
        scheme: Scheme = "light",
        before: Callable[[Page], None] = lambda _: None,
        opened: Callable[[Page, str], object] = lambda page, url: page.goto(url, wait_until="commit"),
    ) -> None:
        """One picture. before: what happens on the page before it is taken. opened: how the page is come by."""
        if not self.wants(name):
            return
        view = {"width": size[0], "height": size[1]}
        with self._browser.new_context(viewport=view, color_scheme=scheme) as context:  # type: ignore[arg-type]
            page = context.new_page()
            opened(page, self._url + path)
            page.wait_for_timeout(SETTLE)
            before(page)
            # 256 colours are enough for a page and make a repository's clone a third of the size.
            with Image.open(io.BytesIO(page.screenshot())) as shot:
                shot.convert("RGB").quantize(256).save(PICTURES / f"{name}.png", optimize=True)
        sys.stderr.write(f"{name}\n")


@contextmanager
def mesh(folder: Path) -> Iterator[tuple[Cluster, Service]]:
    """A registry and the dashboard; nodes are started as they are needed."""
    data = Path(os.environ.get("FOGLINE_DATA") or DATA).resolve()
    with Cluster(folder, data) as cluster:
        cluster.registry("registry", "--redis", "memory:")
        yield cluster, cluster.dashboard()


def main(*only: str) -> None:
    """Take every picture, or those named."""
    PICTURES.mkdir(exist_ok=True)
    path = next(found for name in BROWSERS if (found := shutil.which(name)))
    with (
        tempfile.TemporaryDirectory() as folder,
        sync_playwright() as playwright,
        mesh(Path(folder)) as (cluster, dashboard),
    ):
        browser = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        dashboard.running.ready()
        studio = Studio(browser, dashboard.url, list(only))
        studio.take("empty")
        _people(cluster)
        session = cluster.open(NAMES[0], algorithm="yolo", pinned=True)["session_id"]
        for name, algorithm in ((NAMES[1], "yolo"), (NAMES[2], "haar"), (NAMES[3], "motion")):
            cluster.open(name, algorithm=algorithm, pinned=True)
        cluster.settled(session, 30)
        studio.take("wall")
        studio.take("wall-dark", scheme="dark")
        studio.take("wall-phone", size=PHONE)
        studio.take("session", f"/s/{session}", before=lambda page: page.wait_for_timeout(20_000))
        studio.take("session-dark", f"/s/{session}", scheme="dark")
        studio.take("session-phone", f"/s/{session}", size=PHONE)
        studio.take("nodes", "/nodes")
        studio.take("nodes-phone", "/nodes", size=PHONE)
        studio.take("cameras", "/cameras")
        studio.take("cameras-add", "/cameras#add")

        def kill(page: Page) -> None:
            victim = cluster.serving(session)
            cluster.services[victim].kill()
            wait_for(lambda: cluster.serving(session) != victim, 15, "session on another node")
            page.wait_for_timeout(2500)

        studio.take("failover", before=kill)

        def silence(page: Page) -> None:
            cluster.services["registry"].kill()
            page.wait_for_timeout(6000)

        studio.take("registry-away", before=silence)
        browser.close()
    if not only or set(only) & set(LOCKED):
        _locked(path, list(only))


def _locked(path: str, only: list[str]) -> None:
    """What people see of a mesh that is locked."""
    models = Path(os.environ.get("FOGLINE_DATA") or DATA).resolve()
    with (
        tempfile.TemporaryDirectory() as folder,
        sync_playwright() as playwright,
        plant_of(Path(folder), models) as plant,
    ):
        browser = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        plant.session()
        plant.ask("POST", "/v1/keys", {"name": "line control", "scopes": ["view", "detect"]})
        plant.person("viewer", "vera")
        plant.person("operator", "olga")
        plant.sign_in("admin", "anna")
        studio = Studio(browser, plant.ui, only)

        def as_admin(page: Page, url: str) -> None:
            plant.open(page, "anna", url.removeprefix(plant.ui))

        def token(page: Page) -> None:
            page.get_by_role("button", name="Make a join token").click()
            page.wait_for_timeout(2000)

        studio.take("sign-in", "/sign-in")
        studio.take("access", "/access", opened=as_admin)
        studio.take("access-phone", "/access", size=PHONE, opened=as_admin)
        studio.take("join", "/access#join", before=token, opened=as_admin)
        studio.take("audit", "/audit", scheme="dark", opened=as_admin)
        browser.close()


def _people(cluster: Cluster) -> None:
    """Cameras as a factory has them, and two compute nodes."""
    cluster.compute("press-shop-2", "--algorithms", "yolo,haar,motion")
    cluster.compute("hall-1", "--algorithms", "yolo,haar,motion")
    large = ("--width", "960", "--height", "540", "--fps", "12")
    cluster.camera(NAMES[0], *large, "--host-cameras", str(len(NAMES)))
    cluster.healthy(90)
    for name in NAMES[1:]:
        time.sleep(APART)
        body = {"name": name, "source": "demo:", "width": 960, "height": 540, "fps": 12}
        cluster.post("/v1/cameras", body)
    wait_for(lambda: all(cluster.states().get(name) == "ready" for name in NAMES), 60, "all cameras")


if __name__ == "__main__":
    main(*sys.argv[1:])
