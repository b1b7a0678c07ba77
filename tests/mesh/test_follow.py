"""The reference client of a stream: what it does when pictures stop, and what it leaves alone."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from itertools import islice, pairwise

import pytest

from mesh import follow
from mesh.errors import NotFound
from mesh.follow import Follower, Sight
from mesh.frame import Frame
from mesh.multipart import part
from tests.processes import free_port
from tests.rogue import RogueCamera
from tests.scripted import ScriptedRegistry

Chunks = Callable[[], Iterator[bytes]]


def frames(first: int, count: int = 10_000, *, rate: float = 50, no_signal: str | None = None) -> Iterator[bytes]:
    for number in range(first, first + count):
        yield part(Frame(b"\xff\xd8\xff\xd9", number, time.time(), 1, 1, no_signal=no_signal))
        time.sleep(1 / rate)


def hangs(first: int, count: int) -> Iterator[bytes]:
    """A node that is stopped, or whose cable is cut: the connection stays, and nothing comes."""
    yield from frames(first, count)
    time.sleep(20)


@pytest.fixture
def registry() -> Iterator[ScriptedRegistry]:
    with ScriptedRegistry() as one:
        yield one


def lead(registry: ScriptedRegistry, node: RogueCamera, token: int) -> None:
    registry.place = f"{node.url}/stream.jpg?token={token}"


def numbers(sights: list[Sight]) -> list[int]:
    return [int(sight.headers["x-frame"]) for sight in sights]


def gap(sights: list[Sight]) -> float:
    """The longest time from one picture to the next, in seconds."""
    return max(later.at - earlier.at for earlier, later in pairwise(sights))


def test_a_stream_that_ends_is_opened_again_at_once(registry: ScriptedRegistry) -> None:
    """At the registry's address; each picture says from which node and placement it came."""
    with RogueCamera(lambda: frames(1, 5)) as node:
        lead(registry, node, 7)
        seen = list(islice(Follower(registry.url, "s"), 18))
    assert numbers(seen) == [*range(1, 6)] * 3 + [1, 2, 3]
    assert {(sight.node, sight.token) for sight in seen} == {(node.url, 7)}
    assert registry.opened == 4
    assert registry.asked == []
    assert gap(seen) < 0.9, "it waits for nothing"


@pytest.mark.parametrize("ask", [True, False])
def test_silence_on_an_open_connection_leads_elsewhere(registry: ScriptedRegistry, ask: bool) -> None:
    """After a second: who asks has the session moved, with the token of the placement that is silent; who does not asks
    comes back to the same address."""
    with RogueCamera(lambda: hangs(1, 20)) as stuck, RogueCamera(lambda: frames(100)) as other:
        lead(registry, stuck, 4)

        def moved(token: int) -> dict[str, object]:
            lead(registry, other, token + 1)
            return {"token": token + 1, "outcome": "moved"}

        registry.moved = moved  # type: ignore[method-assign]
        follower = iter(Follower([registry.url], "s", ask=ask))
        seen = list(islice(follower, 20))
        if not ask:
            lead(registry, other, 5)  # somebody else's doing
        seen += list(islice(follower, 5))
    assert numbers(seen)[19:] == [20, 100, 101, 102, 103, 104]
    assert 0.9 < gap(seen) < 2
    assert registry.asked == ([4] if ask else [])
    assert (seen[-1].node, seen[-1].token) == (other.url, 5)


def test_a_dead_registry_is_passed_over(registry: ScriptedRegistry) -> None:
    """The next one of the list is asked, and stays the first choice."""
    with RogueCamera(lambda: frames(1, 3)) as node:
        lead(registry, node, 1)
        follower = Follower(f"http://127.0.0.1:{free_port()}, {registry.url}/", "s")
        assert numbers(list(islice(follower, 7))) == [1, 2, 3, 1, 2, 3, 1]


def test_without_a_registry_the_last_place_is_tried(registry: ScriptedRegistry) -> None:
    """What runs goes on: a broken connection alone needs nobody who leads the way."""
    with RogueCamera(lambda: frames(1, 5)) as node:
        lead(registry, node, 1)
        follower = iter(Follower(registry.url, "s"))
        next(follower)
        registry.__exit__(None, None, None)
        seen = list(islice(follower, 9))
    assert numbers(seen) == [2, 3, 4, 5, 1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    "slow",
    [lambda: frames(1, rate=0.8), lambda: frames(1, rate=0.8, no_signal="the cable is out")],
    ids=["slow", "dark"],
)
def test_what_is_slow_by_nature_is_not_taken_for_dead(registry: ScriptedRegistry, slow: Chunks) -> None:
    """A session of one picture in more than a second, and a camera without a signal: no other node would help."""
    with RogueCamera(slow) as node:
        lead(registry, node, 1)
        assert numbers(list(islice(Follower(registry.url, "s"), 3))) == [1, 2, 3]
    assert registry.asked == []
    assert registry.opened == 1


def test_a_move_that_brings_nothing_is_not_repeated_at_once(
    registry: ScriptedRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When every node is silent, patience grows: the session is not tossed about."""
    monkeypatch.setattr(follow, "PATIENCE", 0.4)
    monkeypatch.setattr(follow, "START", 0.4)
    with RogueCamera(lambda: hangs(1, 0)) as stuck:
        lead(registry, stuck, 1)
        follower = Follower(registry.url, "s")
        asked_at: list[float] = []

        def moved(token: int) -> dict[str, object]:
            asked_at.append(time.monotonic())
            if len(asked_at) == 2:
                threading.Timer(0.6, follower.close).start()  # long before it asks again
            return {"token": token}

        registry.moved = moved  # type: ignore[method-assign]
        began = time.monotonic()
        assert list(follower) == []
    assert time.monotonic() - began < 4
    assert registry.asked == [1, 1]
    assert asked_at[1] - asked_at[0] > 0.75


def test_a_session_that_has_ended_is_not_waited_for(
    registry: ScriptedRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A registry that was wiped knows it again within seconds; one that does not then, never will."""
    monkeypatch.setattr(follow, "FORGOTTEN", 0.5)
    registry.status = 404
    began = time.monotonic()
    with pytest.raises(NotFound, match="has ended"):
        next(iter(Follower(registry.url, "s")))
    assert 0.5 < time.monotonic() - began < 3
