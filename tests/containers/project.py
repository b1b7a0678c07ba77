"""Projects of containers on a real engine, where one answers, as a user of the compose files starts them."""

from __future__ import annotations

import ipaddress
import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from tests.processes import ROOT

BUILD_SECONDS = 1800  # models and front end are fetched, too, where that was not done before


@cache
def engine_answers() -> bool:
    return bool(shutil.which("docker")) and subprocess.call(["docker", "info"], stdout=-3, stderr=-3, timeout=60) == 0


def docker(*arguments: str, seconds: float = 60) -> str:
    """What the engine prints. Fails with what it says when it refuses."""
    done = subprocess.run(["docker", *arguments], capture_output=True, text=True, timeout=seconds, check=False)
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
    return done.stdout.strip()


def this_host() -> str:
    """An address of this machine at which its containers find it, too: the one on the engine's own network."""
    (first, *_) = json.loads(docker("network", "inspect", "bridge", "--format", "{{json .IPAM.Config}}"))
    return str(first.get("Gateway") or ipaddress.ip_network(first["Subnet"])[1])


def free_ports(count: int) -> int:
    """The first of `count` ports in a row that nothing listens on now, below those that the system hands out."""
    for first in range(20_000 + os.getpid() % 5000, 32_000, count):
        with ExitStack() as ending:
            try:
                for port in range(first, first + count):
                    ending.enter_context(socket.socket()).bind(("", port))
            except OSError:
                continue
            return first
    raise AssertionError(f"no {count} free ports in a row")


@dataclass
class Project:
    """name: of the compose project. file: the compose file. variables: what its user has set."""

    name: str
    file: Path
    variables: dict[str, str]

    def __call__(self, *arguments: str, seconds: float = 120) -> str:
        """What compose prints. Fails with what it says when it refuses."""
        program = Path(sys.executable).parent / "docker-compose"
        command = [str(program)] if program.exists() else ["docker", "compose"]
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("FOGLINE_", "COMPOSE_PRO"))}
        done = subprocess.run(
            [*command, "-p", self.name, "-f", str(self.file), *arguments],
            cwd=self.file.parent, env={**kept, **self.variables}, stdin=subprocess.DEVNULL,
            capture_output=True, text=True, timeout=seconds, check=False,
        )  # fmt: skip
        assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
        return done.stdout.strip()

    def build(self) -> None:
        """Its images, one after the other: builds side by side would each make the layers that they share."""
        self("--parallel", "1", "build", seconds=BUILD_SECONDS)

    def cli(self, *arguments: str, service: str = "registry") -> str:
        """`python -m cli …` in the container of a service."""
        return self("exec", "-T", service, "python", "-m", "cli", *arguments)

    def containers(self, service: str) -> list[dict[str, Any]]:
        """What the engine knows of the service's running containers."""
        ids = self("ps", "--quiet", service).split()
        return [json.loads(docker("inspect", ident))[0] for ident in ids]

    def crash(self, container: dict[str, Any]) -> None:
        """kill -9 from outside, as a defect would: after `docker kill` the engine starts nothing again."""
        os.kill(container["State"]["Pid"], 9)

    def left(self) -> list[str]:
        """Containers, volumes and networks of this project that are there."""
        mine = ("--quiet", "--filter", f"label=com.docker.compose.project={self.name}")
        return [
            line
            for kind in (("ps", "--all"), ("volume", "ls"), ("network", "ls"))
            for line in docker(*kind, *mine).split()
        ]


@contextmanager
def project(name: str, variables: dict[str, str], file: Path = ROOT / "docker-compose.yml") -> Iterator[Project]:
    """A project that is removed with its volumes in the end."""
    one = Project(f"fogline-{name}-{os.getpid()}", file, variables)
    try:
        yield one
    finally:
        one("down", "--volumes", "--remove-orphans", "--timeout", "5")
