"""Books of both kinds, and processes of a registry on them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from registry.valkey import EmbeddedValkey
from tests.registry.access.houses import KINDS, House, books


@pytest.fixture(scope="session")
def books_valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[redis.Redis]:
    """A Valkey for these tests alone."""
    server = EmbeddedValkey(tmp_path_factory.mktemp("books"))
    server.start()
    with redis.Redis.from_url(server.url, decode_responses=True) as client:
        yield client
    server.stop()


@pytest.fixture(params=KINDS)
def house(request: pytest.FixtureRequest, books_valkey: redis.Redis, tmp_path: Path) -> House:
    """The one process of a registry."""
    clock, (book,) = books(request.param, books_valkey)
    return House(book, clock, tmp_path)


@pytest.fixture
def two(books_valkey: redis.Redis, tmp_path: Path) -> tuple[House, House]:
    """Two replicas on one Valkey."""
    clock, (one, other) = books("redis", books_valkey, replicas=2)
    return House(one, clock, tmp_path / "one"), House(other, clock, tmp_path / "other")
