"""Two locked replicas of one registry on one Valkey, for all tests of trust."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.processes import Running, free_port
from tests.registry.access_trust.members import Locked, Member
from tests.registry.conftest import QUICK
from tests.registry.servers import Server

STREAM = 77.0  # seconds after which a person's stream ends
TICKET = 55.0  # seconds within which a signed address is opened
ORIGINAL = 60.0  # seconds for which the original's devices stay: longer than a test, none of which renews them


@pytest.fixture(scope="session")
def _replicas(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, list[Running], Path]]:
    folder = tmp_path_factory.mktemp("trust")
    data = folder / "data"
    options = ("--access", "locked", "--legacy-open", "--datagrams", "off", "--announce", "off")
    lasting = ("--stream-seconds", str(STREAM), "--ticket-seconds", str(TICKET), "--original-seconds", str(ORIGINAL))
    with Server(folder) as server, ExitStack() as stopping:
        running = [
            stopping.enter_context(
                Running(
                    "registry",
                    *("--data", str(data), "--redis", server.url, *options, *QUICK, *lasting),
                    port=free_port(),
                    log=folder / f"registry-{number}.log",
                )
            )
            for number in range(2)
        ]
        yield server, [one.ready() for one in running], data


@pytest.fixture
def server(_replicas: tuple[Server, list[Running], Path]) -> Server:
    """The Valkey of the replicas."""
    return _replicas[0]


@pytest.fixture
def registry(_replicas: tuple[Server, list[Running], Path]) -> Locked:
    """The first replica, asked by an admin."""
    return Locked(_replicas[1][0], _replicas[2])


@pytest.fixture
def other(_replicas: tuple[Server, list[Running], Path]) -> Locked:
    """The second replica, asked by an admin."""
    return Locked(_replicas[1][1], _replicas[2])


@pytest.fixture
def member(registry: Locked) -> Iterator[Callable[..., Member]]:
    """Make nodes that have not joined yet: `member("compute", "press-1")`."""
    made: list[Member] = []

    def make(kind: str = "camera", name: str = "line-3") -> Member:
        made.append(Member(registry, kind, name))
        return made[-1]

    yield make
    for one in made:
        one.close()
        registry.delete(f"/v1/nodes/{one.node_id}")
