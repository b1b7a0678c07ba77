"""How far a node's clock is off, by the stamps of answers that took their time."""

from __future__ import annotations

import random

from mesh.skew import KEPT, WANDER, Skew

AHEAD = 1_700_000_000.0  # seconds by which the registry's clock is ahead of the one that nobody sets


def answer(skew: Skew, at: float, there: float, back: float, *, stepped: float = 0.0) -> None:
    """An answer to a question of `at`, which took so long there and back. stepped: by so much the registry's clock was
    set."""
    skew.heard(at + there + AHEAD + stepped, at, at + there + back)


def test_the_quickest_answer_is_believed() -> None:
    """Slow ones, whose ways there and back differ, change nothing; a clock that is behind is negative."""
    skew = Skew()
    assert skew.ahead(AHEAD, 0.0) is None
    chance = random.Random(3)
    answer(skew, 10.0, 0.001, 0.001)
    for number in range(KEPT - 1):
        answer(skew, 11.0 + number, chance.uniform(0, 0.5), chance.uniform(0, 0.5))
        assert skew.ahead(AHEAD + 20.0 + 3.2, 20.0) == 3.2
        assert skew.ahead(AHEAD + 20.0 - 0.25, 20.0) == -0.25


def test_an_old_answer_is_forgotten() -> None:
    """Two clocks part by and by: after so many answers the quickest of the later ones counts."""
    skew = Skew()
    answer(skew, 10.0, 0.001, 0.001)
    for number in range(KEPT):
        answer(skew, 20.0 + number, 0.4, 0.2)
    ahead = skew.ahead(AHEAD + 50.0, 50.0)
    assert ahead is not None
    assert abs(ahead) > 0.05


def test_this_clock_is_set() -> None:
    """It shows at once, without another answer."""
    skew = Skew()
    answer(skew, 10.0, 0.002, 0.002)
    assert skew.ahead(AHEAD + 11.0, 11.0) == 0.0
    assert skew.ahead(AHEAD + 12.0 + 7200.0, 12.0) == 7200.0


def test_the_registrys_clock_is_set() -> None:
    """The first answer that contradicts the ones before is believed, though it was slower."""
    for step in (-5.0, 5.0):
        skew = Skew()
        answer(skew, 10.0, 0.001, 0.001)
        answer(skew, 11.0, 0.05, 0.05, stepped=step)
        assert skew.ahead(AHEAD + 12.0, 12.0) == -step
        answer(skew, 13.0, 0.05, 0.05 + WANDER, stepped=step)
        assert skew.ahead(AHEAD + 14.0, 14.0) == -step


def test_a_registry_that_says_no_time_is_no_clock() -> None:
    """One of an earlier version."""
    skew = Skew()
    skew.heard(None, 1.0, 1.1)
    assert skew.ahead(AHEAD, 1.2) is None
