"""A locked mesh as a plant has it: people of every role, a camera, a compute node, and a device of the original's."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests
from playwright.sync_api import Page

from tests.processes import Running, free_port, wait_for
from tests.ui.locked_mesh import Locked

PEOPLE = {"vera": "viewer", "olga": "operator", "anna": "admin"}
CAMERA, COMPUTE, DEVICE = "Press line 3", "hall-1", "web camera"
SMALL = ("--source", "demo:", "--width", "320", "--height", "180", "--fps", "10")


@dataclass
class Plant(Locked):
    """The nodes come when a test wants them. stack: ends them."""

    stack: ExitStack = field(default_factory=ExitStack)
    running: dict[str, Any] = field(default_factory=dict)

    def open(self, page: Page, name: str, path: str, root: str = "") -> None:
        """A page of the dashboard, as that person sees it, who stays signed in: passwords are slow to check. root: of
        the dashboard, where the page comes through a proxy."""
        if name not in self.browsers:
            self.browsers[name] = self.sign_in(PEOPLE[name], name)
        cookie = str(self.browsers[name].cookies.get("fogline"))
        page.context.add_cookies([{"name": "fogline", "value": cookie, "url": root or self.ui}])
        page.goto((root or self.ui) + path, wait_until="commit")

    def session(self) -> dict[str, Any]:
        """A session that runs on the camera and the compute node."""
        if not self.running:
            self._start("camera", CAMERA, *SMALL)
            self._start("compute", COMPUTE, "--algorithms", "echo")
            body = {"host_name": "pi-7", "name": DEVICE, "type": "Camera", "ip_address": "127.0.0.1"}
            requests.post(f"{self.registry.url}/cam", json=body, timeout=5).raise_for_status()
            wait_for(lambda: {CAMERA, COMPUTE} <= self._ready(), 30, "nodes")
            self.running = self.ask("POST", "/v1/sessions", {"camera": CAMERA, "algorithm": "echo", "pinned": True})
            wait_for(lambda: self._stands(self.running["session_id"]) == "running", 20, "session")
        return self.running

    def _start(self, role: str, name: str, *words: str) -> None:
        where = ("--access", "locked", "--data", str(self.data), "--registry", self.registry.url, "--name", name)
        self.stack.enter_context(Running(role, *where, *words, port=free_port(), log=self.data / f"{role}.log"))

    def _ready(self) -> set[str]:
        return {node["name"] for node in self.ask("GET", "/v1/nodes")["nodes"] if node["state"] == "ready"}

    def _stands(self, session_id: str) -> str:
        return str(self.ask("GET", f"/v1/sessions/{session_id}")["state"])


@contextmanager
def plant_of(folder: Path, models: Path) -> Iterator[Plant]:
    """It ends with its context. models: a data folder with the demo camera's photographs."""
    data = folder / "data"
    data.mkdir()
    for kind in ("models", "media"):
        if (models / kind).is_dir():
            (data / kind).symlink_to(models / kind)
    shared = ("--access", "locked", "--data", str(data))
    with ExitStack() as stack:
        alone = (*shared, "--redis", "memory:", "--legacy-open")
        registry = stack.enter_context(Running("registry", *alone, port=free_port(), log=folder / "registry.log"))
        joined = (*shared, "--registry", registry.ready().url, "--trusted-proxies", "1")
        dashboard = stack.enter_context(Running("ui", *joined, port=free_port(), log=folder / "ui.log"))
        yield Plant(registry, dashboard.ready(), data, stack=stack)
