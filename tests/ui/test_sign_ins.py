"""Whose the bearers are: asked of the registry, remembered for a moment, and for longer while it is away."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

from mesh.client import RegistryClient
from mesh.errors import RegistryAway, Unavailable
from tests.processes import wait_for
from tests.ui.fakes import FakeServer, Handler
from ui import sign_ins
from ui.sign_ins import FRESH, STALE, SignIns

SECRET = "fgs_" + "a" * 43


class Introspecting(FakeServer):
    """A registry that knows one sign-in. active: whether it is good. joined: whether it takes the one who asks for a
    node of its mesh."""

    def __init__(self) -> None:
        self.active = True
        self.joined = True
        super().__init__()

    def route(self, request: Handler, method: str, path: str) -> None:
        assert urlsplit(path).path == "/v1/introspect"
        shown = request.body()["credential"]
        if not self.joined:
            request.problem(401, "Sign-in needed", "this needs a sign-in")
        else:
            good = self.active and shown == SECRET
            request.send_json({"active": good, "kind": "person", "id": "s:1", "name": "anna", "scopes": ["view"]})


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def registry() -> Iterator[Introspecting]:
    server = Introspecting()
    yield server
    server.down()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def found(registry: Introspecting, clock: Clock) -> Iterator[SignIns]:
    made = SignIns(RegistryClient(registry.url, timeout=(5, 5)), clock)  # one that has gone refuses at once
    yield made
    made.close()


def test_the_registry_is_asked_once_in_a_while(registry: Introspecting, found: SignIns, clock: Clock) -> None:
    """An answer is good for five seconds: a revocation is heeded after that, wherever it was made."""
    for _ in range(5):
        assert found.find(SECRET, "10.0.0.7")[0].active
    assert len(registry.requests) == 1
    registry.active = False
    assert found.find(SECRET, "")[0].active
    clock.now += FRESH + 0.1
    assert not found.find(SECRET, "")[0].active


def test_what_is_no_bearer_costs_the_registry_nothing(registry: Introspecting, found: SignIns) -> None:
    """Whoever tries whatever comes to mind is told no at once."""
    for text in ("", "anna", "fgs_", "fgl_abc", f"{SECRET}\n", "fgs_" + "ä" * 43, "fgs_" + "a" * 500):
        assert not found.find(text, "")[0].active
    assert registry.requests == []


def test_while_the_registry_is_away_what_was_good_stays_so(
    registry: Introspecting, found: SignIns, clock: Clock
) -> None:
    """For five minutes, marked as not of this moment; what was never seen, or was not good, is not good then."""
    assert found.find(SECRET, "") == (found.find(SECRET, "")[0], True)
    assert not found.find(f"{SECRET}b", "")[0].active
    registry.down()
    clock.now += FRESH + 0.1
    who, fresh = found.find(SECRET, "")
    assert who.active
    assert not fresh
    for text in (f"{SECRET}b", f"{SECRET}c"):
        with pytest.raises(RegistryAway):
            found.find(text, "")
    clock.now += STALE
    with pytest.raises(RegistryAway):
        found.find(SECRET, "")
    registry.up()
    clock.now += 3
    assert found.find(SECRET, "")[1]


def test_a_registry_that_is_away_is_not_waited_for_by_every_request(
    registry: Introspecting, found: SignIns, clock: Clock
) -> None:
    """Once it did not answer it is left alone for a moment; then it is asked again."""
    found.find(SECRET, "")
    registry.down()
    clock.now += FRESH + 0.1
    found.find(SECRET, "")
    registry.up()
    asked = len(registry.requests)
    assert not found.find(SECRET, "")[1]
    assert len(registry.requests) == asked
    clock.now += sign_ins.PAUSE + 0.1
    assert found.find(SECRET, "")[1]


def test_a_dashboard_that_has_not_joined_says_so(registry: Introspecting, found: SignIns) -> None:
    """It is not the person's sign-in that is wrong."""
    registry.joined = False
    with pytest.raises(Unavailable, match="no member of this mesh"):
        found.find(SECRET, "")


def test_signing_out_is_heeded_at_once(registry: Introspecting, found: SignIns) -> None:
    """Though the answer was good a moment ago; what watches hears of it."""
    found.find(SECRET, "")
    with found.hold(SECRET, "") as held:
        before = held.over
        registry.active = False
        found.forget(SECRET)
        assert (before, held.over) == (False, True)
    assert not found.find(SECRET, "")[0].active


def test_who_watches_is_looked_after(
    registry: Introspecting, found: SignIns, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sign-in that is revoked elsewhere is noticed without anybody asking; while nobody can tell it goes on."""
    monkeypatch.setattr(sign_ins, "LOOK", 0.02)
    with found.hold(SECRET, "") as held:
        registry.down()
        clock.now += STALE * 2
        wait_for(lambda: found._away_at > 0, 5, "a look in vain")
        assert not held.over
        registry.active = False
        registry.up()
        clock.now += STALE
        wait_for(lambda: held.over, 5, "the end of the sign-in")
