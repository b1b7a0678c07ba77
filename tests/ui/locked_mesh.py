"""A locked mesh of real services on this machine: a registry, a dashboard, and people who sign in."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests

from mesh.credentials import ADMIN_KEY, SETUP_LINK
from tests.processes import Running, free_port, wait_for

PASSWORD = "correct horse battery"


@dataclass
class Locked:
    """registry, dashboard: the running services, which share the folder `data`."""

    registry: Running
    dashboard: Running
    data: Path
    people: set[str] = field(default_factory=set)
    browsers: dict[str, requests.Session] = field(default_factory=dict)

    @property
    def ui(self) -> str:
        return self.dashboard.url

    @property
    def key(self) -> str:
        """An API key with the scope admin."""
        return wait_for(lambda: (self.data / ADMIN_KEY).read_text().strip(), 10, "the registry's own key")

    @property
    def setup_token(self) -> str:
        """Of the first start's one-time link."""
        return wait_for(lambda: (self.data / SETUP_LINK).read_text().strip(), 10, "the first one-time link")

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """The registry's answer to an admin."""
        shown = {"Authorization": f"Bearer {self.key}"}
        answer = requests.request(method, self.registry.url + path, json=body, headers=shown, timeout=10)
        assert answer.ok, answer.text
        return answer.json() if answer.content else None

    def person(self, role: str, name: str = "") -> str:
        """The name of somebody with this role, whose password is PASSWORD."""
        name = name or f"{role}-1"
        if name not in self.people:
            self.ask("POST", "/v1/users", {"name": name, "role": role, "password": PASSWORD})
            self.people.add(name)
        return name

    def browser(self, role: str) -> requests.Session:
        """A browser in which somebody with this role stays signed in: passwords are slow to check."""
        if role not in self.browsers:
            self.browsers[role] = self.sign_in(role, f"steady-{role}")
        return self.browsers[role]

    def sign_in(self, role: str, name: str = "") -> requests.Session:
        """A browser, as far as it keeps cookies, in which somebody with this role has signed in."""
        browser = requests.Session()
        browser.trust_env = False
        browser.headers["Sec-Fetch-Site"] = "same-origin"
        body = {"name": self.person(role, name), "password": PASSWORD}
        answer = browser.post(f"{self.ui}/api/sign-in", json=body, timeout=10)
        assert answer.ok, answer.text
        return browser


@contextmanager
def locked_mesh(folder: Path, *words: str) -> Iterator[Locked]:
    """words: more options of the dashboard."""
    data = folder / "data"
    shared = ("--access", "locked", "--data", str(data))
    with Running("registry", *shared, "--redis", "memory:", port=free_port(), log=folder / "registry.log") as registry:
        registry.ready()
        join = ("--registry", registry.url)
        with Running("ui", *shared, *join, *words, port=free_port(), log=folder / "ui.log") as dashboard:
            yield Locked(registry, dashboard.ready(), data)
