"""Nodes that join a locked registry, and sign what they say to it."""

from __future__ import annotations

import json
import time
import uuid
from pathlib import Path
from typing import Any

import requests

from mesh.credentials import Bearer, Credentials, NodeCredentials
from mesh.joining import join_proof
from mesh.keys import Key
from mesh.proof import Call, target
from tests.processes import Running
from tests.registry.fakes import FakeNode, Json, Registry


class Locked(Registry):
    """A locked registry's calls, in the name of `credentials`; those of the registry's own admin key when none."""

    def __init__(self, running: Running, data: Path, credentials: Credentials | None = None) -> None:
        super().__init__(running)
        self.data = data
        self.credentials = credentials or Bearer((data / "admin" / "key").read_text().strip())

    def ask(self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> requests.Response:
        """headers: instead of the credentials'."""
        sent = json.dumps(body).encode() if body is not None else b""
        bare, _, query = path.partition("?")
        shown = self.credentials.headers(Call(method, target(bare, query)), sent) if headers is None else headers
        return requests.request(
            method, self.url + path, data=sent or None, headers=shown, timeout=10, allow_redirects=False
        )

    def get(self, path: str, **options: Any) -> requests.Response:
        assert not options
        return self.ask("GET", path)

    def post(self, path: str, body: Any = None) -> requests.Response:
        return self.ask("POST", path, body)

    def delete(self, path: str) -> requests.Response:
        return self.ask("DELETE", path)

    def as_(self, credentials: Credentials) -> Locked:
        return Locked(self.running, self.data, credentials)

    def token(self, uses: int = 1, expires_in: float = 60) -> str:
        answer = self.post("/v1/join-tokens", {"uses": uses, "expires_in": expires_in})
        assert answer.status_code == 201, answer.text
        return str(answer.json()["secret"])

    @property
    def local_token(self) -> str:
        return (self.data / "joining" / "token").read_text().strip()


class Member:
    """One node with a key of its own."""

    def __init__(self, registry: Locked, kind: str = "camera", name: str = "line-3") -> None:
        self.kind = kind
        self.name = name
        self.node_id = str(uuid.uuid4())
        self.key = Key.new()
        self.credentials = NodeCredentials(self.node_id)
        self.registry = registry.as_(self.credentials)
        self.nodes: list[FakeNode] = []

    def request(self, token: str, **changed: Any) -> Json:
        """What it sends to join."""
        return {
            "token": token,
            "node_id": self.node_id,
            "kind": self.kind,
            "name": self.name,
            "public_key": self.key.public,
            "proof": join_proof(self.key, self.node_id, token, time.time()),
        } | changed

    def try_to_join(self, token: str, **changed: Any) -> requests.Response:
        answer = self.registry.ask("POST", "/v1/join", self.request(token, **changed), headers={})
        if answer.ok:
            self.credentials.hold(self.key, answer.json()["certificate"])
        return answer

    def join(self, token: str = "") -> Member:
        answer = self.try_to_join(token or self.registry.local_token)
        assert answer.status_code == 201, answer.text
        return self

    def node(self, **fields: Any) -> FakeNode:
        """It as a node with a web server of its own, not registered yet."""
        one = FakeNode(self.registry, self.kind, self.name, node_id=self.node_id, **fields)
        one.node_id = self.node_id
        self.nodes.append(one)
        return one

    def live(self, **fields: Any) -> FakeNode:
        """It as a node that is ready, and beats."""
        return self.node(**fields).join().live()

    def renew(self, new: Key | None = None, **changed: Any) -> requests.Response:
        body: Json = {}
        if new is not None:
            body = {"public_key": new.public, "proof": join_proof(new, self.node_id, "", time.time())}
        return self.registry.post(f"/v1/enrolments/{self.node_id}/certificate", body | changed)

    def close(self) -> None:
        for one in self.nodes:
            one.close()
