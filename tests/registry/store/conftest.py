"""Both stores, one after the other, for each test that they have to pass alike."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import redis

from registry.memory.store import MemoryStore
from registry.redis_store import RedisStore
from registry.settings import RegistrySettings
from registry.store import Store
from registry.valkey import EmbeddedValkey
from tests.registry.store.trial import IDLE, LEASE, Trial

KINDS = ("redis", "memory")


@pytest.fixture(scope="session")
def stores_valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a Valkey for these tests alone."""
    server = EmbeddedValkey(tmp_path_factory.mktemp("stores"))
    server.start()
    yield server.url
    server.stop()


@pytest.fixture
def new_trial(stores_valkey: str) -> Iterator[Callable[[str], Trial]]:
    """Make a trial of the store of this kind."""
    settings = RegistrySettings(redis=stores_valkey, redis_timeout=5.0, lease_seconds=LEASE, idle_seconds=IDLE)
    made: list[Trial] = []
    with redis.Redis.from_url(stores_valkey) as valkey:

        def make(kind: str) -> Trial:
            made.append(Trial(kind, valkey, settings))
            return made[-1]

        yield make
        for one in made:
            one.store.close()


@pytest.fixture(params=KINDS)
def trial(request: pytest.FixtureRequest, new_trial: Callable[[str], Trial]) -> Trial:
    """A mesh of one camera."""
    one: Trial = new_trial(request.param)
    one.camera()
    return one


@pytest.fixture(params=KINDS)
def any_store(request: pytest.FixtureRequest, stores_valkey: str) -> Iterator[Store]:
    """A store that goes by the machine's clock."""
    settings = RegistrySettings(redis=stores_valkey, redis_timeout=5.0, lease_seconds=0.4, idle_seconds=IDLE)
    if request.param == "redis":
        with redis.Redis.from_url(stores_valkey) as valkey:
            valkey.flushall()
    store: Store = RedisStore(settings) if request.param == "redis" else MemoryStore(settings)
    yield store
    store.close()
