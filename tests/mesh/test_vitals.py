"""How a machine fares, asked of the real one."""

from __future__ import annotations

import threading
from pathlib import Path
from types import SimpleNamespace

import msgspec
import pytest

from mesh import vitals
from mesh.vitals import Monitor, Vitals
from mesh.wire import Load
from tests.processes import wait_for


def test_this_machines_load_is_known_within_seconds() -> None:
    """What a beat says else is kept, and all of it is what a registry takes."""

    def known() -> Load | None:
        load = vitals.measured(Load(viewers=3, fps=2.5))
        assert (load.viewers, load.fps) == (3, 2.5)
        return load if load.ram_percent is not None else None

    load = wait_for(known, 5, "memory in use")
    assert msgspec.json.decode(msgspec.json.encode(load), type=Load) == load
    assert 0 < (load.ram_percent or 0) < 100
    assert 0 <= load.cpu_percent <= 100
    if load.temperature is not None:
        assert vitals.PLAUSIBLE[0] <= load.temperature <= vitals.PLAUSIBLE[1]


class Clock:
    """Stands still until a test sets it on: threads that come late change nothing."""

    now = 1000.0

    def monotonic(self) -> float:
        return self.now


def test_a_slow_sensor_keeps_nobody_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever asks gets the last sample meanwhile, and the machine is asked at most once a second."""
    clock, slow, began = Clock(), threading.Event(), threading.Event()
    monkeypatch.setattr(vitals, "time", clock)
    samples: list[float] = []

    def sample() -> Vitals:
        samples.append(clock.now)
        began.set()
        slow.wait(10)
        return Vitals(cpu_percent=len(samples))

    monitor = Monitor(sample)
    for hundredth in range(101):
        clock.now = 1000 + hundredth / 100
        assert monitor.now() == Vitals()
    assert began.wait(5)
    for hundredth in range(100):
        clock.now = 1001 + hundredth / 100
        assert monitor.now() == Vitals()
    slow.set()
    wait_for(lambda: monitor.now().cpu_percent == 1, 5, "the first sample")
    clock.now = 1002
    wait_for(lambda: monitor.now().cpu_percent == 2, 5, "a second sample")
    assert samples == [1001, 1002]


def test_a_sensor_that_fails_is_asked_again() -> None:
    """Its failure is logged, and what comes later is told."""
    fails = threading.Event()
    fails.set()

    def sample() -> Vitals:
        if fails.is_set():
            fails.clear()
            raise OSError("the bus is stuck")
        return Vitals(temperature=41.0)

    monitor = Monitor(sample)
    wait_for(lambda: monitor.now().temperature == 41.0, 6, "temperature")


def test_accelerators_that_the_kernel_tells_of(tmp_path: Path) -> None:
    """Percent, thousandths and percent at a frequency; one that is asleep says nothing."""
    for path, said in {
        "class/drm/card0/device/gpu_busy_percent": "37\n",
        "class/drm/card1/device/gpu_busy_percent": "",
        "class/devfreq/17000000.gv11b/device/load": "425\n",
        "class/devfreq/fb000000.gpu/load": "64@800000000Hz\n",
        "class/devfreq/dmc/load": "99@1Hz\n",
    }.items():
        file = tmp_path / path
        file.parent.mkdir(parents=True)
        file.write_text(said)
    assert sorted(vitals.loads(tmp_path)) == [37.0, 42.5, 64.0]
    assert list(vitals.loads(tmp_path / "none")) == []


@pytest.mark.parametrize(
    ("chips", "hottest"),
    [
        ({"coretemp": [61.0, 58.5], "nct6775": [127.0, 92.0], "nvme": [70.0]}, 61.0),
        ({"cpu_thermal": [48.3]}, 48.3),
        ({"acpitz": [27.8], "iwlwifi": [44.0]}, 44.0),
        ({"acpitz": [-273.0, 0.0]}, None),
        ({}, None),
    ],
)
def test_the_hottest_processor_counts(
    monkeypatch: pytest.MonkeyPatch, chips: dict[str, list[float]], hottest: float | None
) -> None:
    """Not a disk, a radio or an open contact, unless nothing else is known. Machines of tests have no sensors."""
    found = {chip: [SimpleNamespace(current=heat) for heat in heats] for chip, heats in chips.items()}
    monkeypatch.setattr("psutil.sensors_temperatures", lambda: found)
    assert vitals.hottest_processor() == hottest
