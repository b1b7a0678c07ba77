"""Fair turns: no more at once than allowed, first come first served, and nobody stops the others."""

from __future__ import annotations

import threading
import time

import pytest

from compute_node import turns as module
from compute_node.turns import Turns
from tests.processes import wait_for


def test_no_more_are_at_work_than_allowed_and_all_get_as_many_turns() -> None:
    """Five threads that ask again and again for one of two turns: never three at once, and even shares."""
    turns = Turns(2)
    at_work: list[int] = []
    most = 0
    counts = [0] * 5
    begin = threading.Barrier(5)  # who is there before the others gets more turns, and rightly so

    def work(number: int) -> None:
        nonlocal most
        begin.wait(10)
        end = time.monotonic() + 0.5
        while time.monotonic() < end:
            with turns.take():
                at_work.append(number)
                most = max(most, len(at_work))
                time.sleep(0.005)
                at_work.remove(number)
                counts[number] += 1

    threads = [threading.Thread(target=work, args=(n,), daemon=True) for n in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
        assert not thread.is_alive()
    assert most == 2
    assert min(counts) >= 3
    assert min(counts) >= 0.6 * max(counts)


def test_a_turn_comes_in_the_order_of_asking_and_ends_with_an_error_too() -> None:
    """The queue is a queue, and who fails gives the turn back."""
    turns = Turns(1)
    order: list[int] = []

    def work(number: int) -> None:
        with turns.take() as turn:
            assert turn.waited > 0
            order.append(number)

    threads = [threading.Thread(target=work, args=(n,), daemon=True) for n in range(4)]

    def fail() -> None:
        with turns.take():
            for number, thread in enumerate(threads):
                thread.start()
                wait_for(lambda n=number: len(turns._waiting) == n + 1, 5, "place in the queue")  # type: ignore[misc]
            raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        fail()
    for thread in threads:
        thread.join(5)
    assert order == [0, 1, 2, 3]


def test_a_turn_that_hangs_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """An algorithm that never comes back costs its own camera only."""
    monkeypatch.setattr(module, "HUNG", 0.2)
    monkeypatch.setattr(module, "_LOOK", 0.05)
    turns = Turns(1)
    for_ever = turns.take()
    for_ever.__enter__()
    with turns.take() as turn:
        assert turn.since - for_ever.since >= 0.2
    for_ever.__exit__(None, None, None)  # it comes back after all: that frees no second place
    with turns.take():
        assert len(turns._at_work) == 1
