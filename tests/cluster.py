"""A mesh of real services that a test may break: each on a host of its own, or all on this machine."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import requests

from mesh.credentials import JOIN_TOKEN
from tests.hosts import Host
from tests.processes import ROOT, Running, free_port, wait_for

Json = dict[str, Any]
PORTS = {"registry": 5050, "camera": 5000, "compute": 8000, "ui": 8080}  # on hosts of their own
NODES = ("camera", "compute")
FPS = 20.0  # of a camera: a gap is measured to 50 ms


@dataclass
class Service:
    """One service, and how to start it. tree: the checkout whose code it runs."""

    role: str
    words: tuple[str, ...]
    log: Path
    host: Host | None
    environment: Mapping[str, str]
    tree: Path = ROOT

    def __post_init__(self) -> None:
        self._port = PORTS[self.role] if self.host else free_port()
        self.start()

    @property
    def url(self) -> str:
        """Where others reach it."""
        return self.running.url

    def start(self) -> None:
        """Run it."""
        self.running = Running(
            self.role,
            *self.words,
            port=self._port,
            log=self.log,
            host=self.host,
            environment=self.environment,
            tree=self.tree,
        )

    def again(self) -> None:
        """Start it after `kill`, with the words and the data it had."""
        self.running.stop()
        self.start()

    def replace(self, tree: Path) -> None:
        """Stop it as an administrator does, and start the code of another version on what it left behind."""
        self.tree = tree
        self.again()

    def kill(self) -> None:
        """As a power cut would."""
        self.running.kill()

    def stall(self) -> None:
        """Stop it where it is: its sockets stay open and nothing answers."""
        os.killpg(self.running.process.pid, signal.SIGSTOP)

    def wake(self) -> None:
        """Let it go on, as if nothing had been."""
        os.killpg(self.running.process.pid, signal.SIGCONT)


class Cluster:
    """Starts services by name and asks the registries. It ends with its context, and they with it.

    folder: for data and logs. models: a data folder with the models and the demo camera's photographs. tree: the
    checkout whose code they run.
    """

    def __init__(self, folder: Path, models: Path, tree: Path = ROOT) -> None:
        self._folder = folder
        self._tree = tree
        self._models = models
        self.services: dict[str, Service] = {}

    def __enter__(self) -> Cluster:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        # Nodes first, all at once: they say goodbye to a registry that is still there.
        services = sorted(self.services.values(), key=lambda one: one.role == "registry")
        for service in services:
            with suppress(ProcessLookupError):
                service.wake()
            if service.role != "registry":
                service.running.end()
        for service in services:
            service.running.stop(10)

    @property
    def registries(self) -> str:
        """The registries' addresses, as `--registry` takes them."""
        return ",".join(service.url for service in self.services.values() if service.role == "registry")

    def shown(self, url: str) -> dict[str, str]:
        """The header that makes the caller of that registry an admin, where it is locked; else none."""
        return next(service.running.shown for service in self.services.values() if service.url == url)

    def key(self, url: str) -> str:
        """The API key in it; empty where there is none."""
        return self.shown(url).get("Authorization", "").removeprefix("Bearer ")

    def registry(self, name: str = "registry", *words: str, host: Host | None = None) -> Service:
        return self._start("registry", name, *words, host=host)

    def camera(self, name: str, *words: str, host: Host | None = None, **environment: str) -> Service:
        """A camera of small pictures, FPS a second."""
        small = ("--source", "demo:", "--width", "320", "--height", "180", "--fps", f"{FPS:g}")
        join = ("--registry", self.registries, "--name", name)
        return self._start("camera", name, *join, *small, *words, host=host, **environment)

    def compute(self, name: str, *words: str, host: Host | None = None, **environment: str) -> Service:
        """A compute node that costs next to nothing."""
        join = ("--registry", self.registries, "--name", name)
        return self._start("compute", name, *join, "--algorithms", "echo", *words, host=host, **environment)

    def dashboard(self, name: str = "dashboard", *words: str, host: Host | None = None) -> Service:
        return self._start("ui", name, "--registry", self.registries, *words, host=host)

    def _start(self, role: str, name: str, *words: str, host: Host | None, **environment: str) -> Service:
        data = self._folder / name
        data.mkdir(exist_ok=True)
        for kind in ("models", "media"):
            if (self._models / kind).is_dir() and not (data / kind).exists():
                (data / kind).symlink_to(self._models / kind)
        first = next((one for one, service in self.services.items() if service.role == "registry"), name)
        if first != name and role != "registry":  # what a registry of the same machine would have written there
            (data / JOIN_TOKEN.parent).symlink_to(self._folder / first / JOIN_TOKEN.parent)
        log = self._folder / f"{name}.log"
        self.services[name] = Service(role, ("--data", str(data), *words), log, host, environment, self._tree)
        return self.services[name]

    # --- what the registries say

    def get(self, path: str) -> Json:
        """The answer of the first registry that gives one."""
        problem: Exception | None = None
        for url in self.registries.split(","):
            try:
                answer = requests.get(url + path, headers=self.shown(url), timeout=3)
                answer.raise_for_status()
                return dict(answer.json())
            except (requests.RequestException, OSError) as error:
                problem = error
        assert problem is not None
        raise problem

    def leader(self) -> str:
        """The name of the registry that does the periodic work."""

        def leads(service: Service) -> bool:
            told = [line for line in service.running.log().splitlines() if "does the periodic work" in line]
            return service.role == "registry" and bool(told) and "this registry" in told[-1]

        return next(name for name, service in self.services.items() if leads(service))

    def post(self, path: str, body: Any = None) -> Json:
        url = self.registries.split(",", maxsplit=1)[0]
        answer = requests.post(url + path, json=body, headers=self.shown(url), timeout=10)
        assert answer.ok, answer.text
        return dict(answer.json())

    def open(self, camera: str, **wishes: Any) -> Json:
        """A session of `echo` on that camera, as soon as it can be had."""
        made: list[Json] = []

        def look() -> bool:
            body = {"camera": camera, "algorithm": "echo", **wishes}
            url = self.registries.split(",", maxsplit=1)[0]
            answer = requests.post(url + "/v1/sessions", json=body, headers=self.shown(url), timeout=5)
            if answer.status_code == 201:
                made.append(answer.json())
            return bool(made)

        wait_for(look, 30, f"session on {camera}")
        return made[0]

    def session(self, session_id: str) -> Json:
        return self.get(f"/v1/sessions/{session_id}")

    def states(self) -> dict[str, str]:
        """What is listed: the state of each node, by name; a name that two nodes have shows as such."""
        listed = self.get("/v1/nodes")["nodes"]
        states: dict[str, str] = {}
        for node in listed:
            states[node["name"]] = "listed twice" if node["name"] in states else node["state"]
        return states

    def serving(self, session_id: str) -> str:
        """The name of the service that serves the session."""
        url = self.session(session_id)["node_url"]
        return next(name for name, service in self.services.items() if service.url == url)

    def healthy(self, seconds: float = 30) -> None:
        """Wait until every node that was started is listed as ready."""
        wanted = {name: "ready" for name, service in self.services.items() if service.role in NODES}

        def look() -> bool:
            for name, service in self.services.items():
                if service.running.process.poll() is not None:
                    raise AssertionError(f"{name} has ended:\n{service.running.log()[-2000:]}")
            return self.states() == wanted

        wait_for(look, seconds, f"all of {', '.join(wanted)} ready")

    def settled(self, session_id: str, seconds: float = 15) -> None:
        """Wait until the session runs, and its node says so."""
        wait_for(lambda: self.session(session_id)["state"] == "running", seconds, "running session")

    def watch_states(self, seconds: float) -> list[dict[str, str]]:
        """What is listed, looked at for so long."""
        until = time.monotonic() + seconds
        found = []
        while time.monotonic() < until:
            found.append(self.states())
            time.sleep(0.2)
        return found
