"""Rates: of fast and of very slow sources, and of those that have stopped."""

from __future__ import annotations

import pytest

from mesh import rate as module
from mesh.rate import Rate, Recent


class Clock:
    now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    return clock


@pytest.mark.parametrize("fps", [0.1, 0.3, 0.5, 0.7, 1.0, 5.0, 30.0, 100.0])
def test_a_steady_source_has_its_rate_at_every_moment(clock: Clock, fps: float) -> None:
    """Just after a frame and just before the next one."""
    rate = Rate()
    for _ in range(max(4, int(fps * 4))):
        clock.now += 1 / fps
        rate.tick()
    assert rate.per_second == pytest.approx(fps, rel=0.1)
    clock.now += 0.95 / fps
    assert rate.per_second == pytest.approx(fps, rel=0.1)


@pytest.mark.parametrize(("fps", "seconds"), [(30.0, 3.5), (1.0, 4.0), (0.1, 26.0)])
def test_a_source_that_stops_has_no_rate_soon(clock: Clock, fps: float, seconds: float) -> None:
    """Within seconds for a fast one, within three of its own intervals for a slow one."""
    rate = Rate()
    for _ in range(100):
        clock.now += 1 / fps
        rate.tick()
    clock.now += seconds
    assert rate.per_second == 0


def test_a_source_that_becomes_fast_shows_it_at_once(clock: Clock) -> None:
    """Half a second after the change from one frame in ten seconds to 30 a second."""
    rate = Rate()
    for _ in range(3):
        clock.now += 10
        rate.tick()
    for _ in range(15):
        clock.now += 1 / 30
        rate.tick()
    assert rate.per_second > 25


def test_nothing_has_no_rate_and_no_times(clock: Clock) -> None:
    """And one tick is no rate yet."""
    rate = Rate()
    assert rate.per_second == 0
    rate.tick()
    assert rate.per_second == 0
    recent = Recent()
    assert recent.times() is None
    for number in range(1, 101):
        recent.add(number / 1000)
    times = recent.times()
    assert times is not None
    assert times.count == 100
    assert [times.p50, times.p99] == pytest.approx([50, 99], abs=1.5)
