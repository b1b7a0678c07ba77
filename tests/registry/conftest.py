"""A registry of the tests' own. Leases and idle times are short, so that a test need not wait long."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.processes import Running, free_port
from tests.registry.fakes import Registry

LEASE = 1.5  # seconds; beats come every 0.3
IDLE = 2.0  # seconds
QUICK = ("--lease-seconds", str(LEASE), "--beat-seconds", "0.3", "--idle-seconds", str(IDLE), "--original-seconds", "3")


@pytest.fixture(scope="session")
def _shared_registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Running, Path]]:
    folder = tmp_path_factory.mktemp("registry")
    data = folder / "data"
    running = Running("registry", "--data", str(data), *QUICK, port=free_port(), log=folder / "registry.log").ready()
    yield running, data
    running.stop()


@pytest.fixture
def registry(_shared_registry: tuple[Running, Path]) -> Iterator[Registry]:
    """One registry for all tests, empty for each."""
    running, data = _shared_registry
    one = Registry(running)
    with one.store(data) as store:
        store.flushall()  # its own Valkey: nobody else's
    yield one
    one.close()


@pytest.fixture
def own_registry(start: Callable[..., Running], tmp_path: Path) -> Iterator[Callable[..., Registry]]:
    """Start registries that a test may break: `own_registry("--lease-seconds", "1")`. The data is in tmp_path/data."""
    made: list[Registry] = []

    def begin(*options: str, data: Path | None = None) -> Registry:
        one = Registry(start("registry", *QUICK, *options, data=data).ready())
        made.append(one)
        return one

    yield begin
    for one in made:
        one.close()
