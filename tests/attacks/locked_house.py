"""A locked mesh of four real services on this machine, which share one data folder, for attacks on it."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests

from mesh.credentials import JOIN_TOKEN, NodeCredentials
from mesh.joining import join_proof
from mesh.keys import Key
from mesh.proof import Call
from mesh.settings import DATA
from tests.processes import ROOT, Running, free_port, stolen_signer, wait_for

Json = dict[str, Any]
PASSWORD = "a horse in the cellar"
SMALL = ("--source", "demo:", "--width", "320", "--height", "180", "--fps", "5")


@dataclass(frozen=True)
class House:
    """services: those that run, by their names in mesh.doors. ids: the node_id of camera and compute node. session:
    one that runs, as the registry shows it to an admin."""

    services: dict[str, Running]
    data: Path
    ids: dict[str, str]
    session: Json

    @property
    def registry(self) -> Running:
        return self.services["registry"]

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """What the registry answers an admin."""
        return _ask(self.registry, method, path, body)

    def key(self, *scopes: str, expires_in: float | None = None) -> tuple[str, str]:
        """The id and the secret of a new API key."""
        wish = {"name": f"for {' '.join(scopes)}", "scopes": list(scopes)}
        made = self.ask("POST", "/v1/keys", wish | ({"expires_in": expires_in} if expires_in else {}))
        return made["key"]["key_id"], made["secret"]

    def person(self, name: str, role: str) -> str:
        """The bearer of somebody new, who has signed in."""
        self.ask("POST", "/v1/users", {"name": name, "role": role, "password": PASSWORD})
        return self.sign_in(name)

    def sign_in(self, name: str) -> str:
        """Another bearer of the same person."""
        body = {"name": name, "password": PASSWORD}
        answer = requests.post(f"{self.registry.url}/v1/sign-in", json=body, timeout=10)
        assert answer.ok, answer.text
        return str(answer.json()["token"])

    def join(self, kind: str, node_id: str, name: str = "guest") -> NodeCredentials:
        """A node of that id that has joined, and is nothing but its key."""
        key, token = Key.new(), (self.data / JOIN_TOKEN).read_text().strip()
        wish = {"token": token, "node_id": node_id, "kind": kind, "name": name, "public_key": key.public}
        wish["proof"] = join_proof(key, node_id, token, time.time())
        answer = requests.post(f"{self.registry.url}/v1/join", json=wish, timeout=10)
        assert answer.status_code == 201, answer.text
        credentials = NodeCredentials(node_id)
        credentials.hold(key, answer.json()["certificate"])
        return credentials

    def signer(self) -> Key:
        """The registry's own signing key, stolen from its folder."""
        return stolen_signer(self.data)

    def receiver(self, service: str) -> str:
        """For whom a proof is that is shown to this service."""
        return self.ids.get(service, "registry")


@contextmanager
def locked_house(folder: Path, *words: str) -> Iterator[House]:
    """words: more options of the registry."""
    data = folder / "data"
    data.mkdir()
    lend_photographs(data)
    shared = ("--access", "locked", "--data", str(data), "--site", "plant-2")
    with ExitStack() as stack:

        def begin(role: str, *options: str) -> Running:
            log = folder / f"{role}.log"
            return stack.enter_context(Running(role, *shared, *options, port=free_port(), log=log))

        registry = begin("registry", "--announce", "off", *words).ready()
        join = ("--registry", registry.url)
        services = {
            "registry": registry,
            "camera": begin("camera", *join, "--name", "line-3", *SMALL, "--host-cameras", "2"),
            "compute": begin("compute", *join, "--name", "hall-1", "--algorithms", "echo"),
            "ui": begin("ui", *join),
        }
        for one in services.values():
            one.ready(60)

        def ready(kind: str) -> str | None:
            listed = _ask(registry, "GET", f"/v1/nodes?kind={kind}&state=ready")["nodes"]
            return str(listed[0]["node_id"]) if listed else None

        ids = {kind: wait_for(lambda kind=kind: ready(kind), 30, f"{kind} node") for kind in ("camera", "compute")}  # type: ignore[misc]
        wish = {"camera": "line-3", "algorithm": "echo", "pinned": True}
        session_id = _ask(registry, "POST", "/v1/sessions", wish)["session_id"]

        def running() -> Json | None:
            found: Json = _ask(registry, "GET", f"/v1/sessions/{session_id}")
            return found if found["state"] == "running" else None

        yield House(services, data, ids, wait_for(running, 30, "running session"))


def lend_photographs(data: Path) -> None:
    """The demo camera's, to a data folder, where this machine has them: it would fetch its own."""
    media = Path(os.environ.get("FOGLINE_DATA") or ROOT / DATA.name).resolve() / "media"
    if media.is_dir():
        (data / "media").symlink_to(media)


def proof_for(credentials: NodeCredentials, receiver: str, method: str, target: str, body: bytes) -> dict[str, str]:
    """The headers of one signed request."""
    return credentials.headers(Call(method, target, receiver), body)


def _ask(registry: Running, method: str, path: str, body: Any = None) -> Any:
    answer = requests.request(method, registry.url + path, json=body, headers=registry.shown, timeout=10)
    assert answer.ok, answer.text
    return answer.json() if answer.content else None
