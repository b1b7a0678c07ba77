"""A locked registry of one's own, and the command line that asks it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import requests
from click.testing import CliRunner, Result

from cli.main import fogline
from tests.processes import Running, free_port

PASSWORD = "a long enough password"


class Locked:
    """`call` runs a command as whoever may read the registry's data folder."""

    def __init__(self, running: Running, data: Path) -> None:
        self.running = running
        self.url = running.url
        self.data = data

    def run(self, *arguments: str, data: Path | None = None, **environment: str) -> Result:
        where = ("--registry", self.url, "--data", str(data or self.data))
        return CliRunner().invoke(fogline, [*arguments, *where], env=environment)

    def call(self, *arguments: str) -> Result:
        done = self.run(*arguments)
        assert done.exit_code == 0, (done.output, done.exception)
        return done

    def json(self, *arguments: str) -> Any:
        return json.loads(self.call(*arguments, "--json").stdout)

    def ask(self, path: str, bearer: str = "", method: str = "GET", **more: Any) -> requests.Response:
        shown = {"Authorization": f"Bearer {bearer}"} if bearer else {}
        return requests.request(method, f"{self.url}{path}", headers=shown, timeout=5, **more)

    def sign_in(self, link: str, **first: str) -> str:
        """Choose a password with a link; the bearer. first: `name`, with the link of the first run."""
        words = {"token": link.partition("#")[2], "password": PASSWORD}
        answer = self.ask("/v1/setup", method="POST", json={**words, **first})
        assert answer.ok, answer.text
        bearer: str = answer.json()["token"]
        return bearer


def locked(folder: Path) -> Iterator[Locked]:
    """It runs in memory: nothing here is about Redis."""
    port, data = free_port(), folder / "data"
    options = ("--access", "locked", "--redis", "memory:", "--announce", "off", "--data", str(data))
    with Running("registry", *options, port=port, log=folder / "registry.log") as running:
        running.ready()
        yield Locked(running, data)
