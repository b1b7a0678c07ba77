"""The dashboard as a real process before a mesh of fakes, and a browser before the dashboard."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests
from playwright.sync_api import Browser, Error, Page

from tests.calm import browsing
from tests.processes import Running, free_port, wait_for
from tests.ui.fake_registry import FakeRegistry
from tests.ui.fakes import FakeCamera, FakeCompute
from tests.ui.locked_mesh import Locked, locked_mesh
from tests.ui.plant import Plant, plant_of


@dataclass
class Mesh:
    """A registry, one camera and one compute node that it lists, and the dashboard's address."""

    registry: FakeRegistry
    camera: FakeCamera
    compute: FakeCompute
    camera_id: str
    compute_id: str
    ui: str

    def settled(self) -> bool:
        """Whether the dashboard knows this mesh and nothing else. It hears of nodes and sessions at once, and of
        algorithms and added cameras with its next reading."""
        found = requests.get(f"{self.ui}/api/overview", timeout=5).json()
        nodes = {node["node_id"] for node in found["nodes"]}
        runners = {node["id"] for algorithm in found["algorithms"] for node in algorithm["nodes"]}
        others = found["sessions"] or found["cameras"] or found["stale"]
        heard = nodes == {self.camera_id, self.compute_id} and runners == {self.compute_id} and not others
        return heard and self.registry.watchers == 1

    @property
    def origins(self) -> set[str]:
        """From where the page may take anything."""
        return {self.ui, self.camera.url, self.compute.url}


@dataclass(frozen=True)
class Dashboard:
    """The process, which all tests share, and the registry that it asks."""

    running: Running
    registry: FakeRegistry

    @property
    def url(self) -> str:
        return self.running.url


@pytest.fixture(scope="session")
def dashboard(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dashboard]:
    folder = tmp_path_factory.mktemp("ui")
    registry = FakeRegistry()
    arguments = ("--registry", registry.url, "--data", str(folder / "data"))
    with Running("ui", *arguments, port=free_port(), log=folder / "ui.log") as running:
        yield Dashboard(running.ready(), registry)
    registry.down()


@pytest.fixture
def mesh(dashboard: Dashboard) -> Iterator[Mesh]:
    """A mesh in which nothing has happened yet."""
    registry = dashboard.registry
    registry.reset()
    with contextlib.ExitStack() as stack:
        camera, compute = FakeCamera(), FakeCompute()
        for fake in (camera, compute):
            stack.callback(fake.down)
        made = Mesh(
            registry=registry,
            camera=camera,
            compute=compute,
            camera_id=registry.add_camera(camera, "Press line 3"),
            compute_id=registry.add_compute(compute, "Press shop 2"),
            ui=dashboard.url,
        )
        # What the dashboard remembers of the test before must be gone. It reads anew at once when something is stopped.
        requests.delete(f"{dashboard.url}/api/sessions/none", timeout=10)
        wait_for(made.settled, 10, "overview of the new mesh")
        yield made


@pytest.fixture(scope="session")
def locked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Locked]:
    """A locked mesh of real services, which tests share: each signs in people of its own names."""
    with locked_mesh(tmp_path_factory.mktemp("locked")) as mesh:
        yield mesh


@pytest.fixture(scope="session")
def plant(tmp_path_factory: pytest.TempPathFactory, models: Path) -> Iterator[Plant]:
    """A locked mesh with people of each role, which tests share: what they make in it has names of its own."""
    with plant_of(tmp_path_factory.mktemp("plant"), models) as made:
        yield made


@dataclass
class Watch:
    """What a page asked for, and what it complained about."""

    requests: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    @property
    def origins(self) -> set[str]:
        parts = (urlsplit(url) for url in self.requests if not url.startswith(("data:", "blob:")))
        return {f"{part.scheme}://{part.netloc}" for part in parts}


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    with browsing(), browser.new_context(viewport={"width": 1280, "height": 800}) as context:
        context.set_default_timeout(10_000)
        page = context.new_page()
        yield page
        # Closing in the midst of a navigation hangs at times.
        with contextlib.suppress(Error):
            page.wait_for_load_state("domcontentloaded", timeout=5000)


@pytest.fixture
def watch(page: Page) -> Watch:
    seen = Watch()
    page.on("request", lambda request: seen.requests.append(request.url))
    page.on(
        "console",
        lambda m: (
            seen.complaints.append(f"{m.text} {m.location.get('url', '')}") if m.type in ("error", "warning") else None
        ),
    )
    page.on("pageerror", lambda error: seen.complaints.append(str(error)))
    return seen
