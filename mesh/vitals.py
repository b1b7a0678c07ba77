"""How the machine fares: processor, memory, temperature and accelerators, as beats tell it.

Sensors and drivers may take their time. So one thread asks them, at most once a second, and only while somebody wants
to know; whoever does gets the last answer and waits for nothing.
"""

from __future__ import annotations

import importlib
import re
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import psutil

from mesh.logs import logger
from mesh.wire import Load

PERIOD = 1.0  # seconds between two samples at least
OLD = 60.0  # seconds after which a sample is none any more: longer than between two beats; a driver hangs
PLAUSIBLE = (1.0, 125.0)  # °C: sensors that nothing is connected to say -273, 0, 127 or thousands
SYSFS = Path("/sys")
# Chips that measure processors: beside them there are disks, radios and mainboards, which have limits of their own.
_PROCESSORS = re.compile(r"core|cpu|k10temp|zenpower|soc|gpu", re.IGNORECASE)
# Files that tell how busy an accelerator is, and what to multiply what they say with to get a percentage.
_ACCELERATORS = (
    ("class/drm/card*/device/gpu_busy_percent", 1.0),  # AMD
    ("class/devfreq/*/device/load", 0.1),  # NVIDIA Jetson
    ("devices/gpu.0/load", 0.1),  # an older one
    ("class/devfreq/*gpu*/load", 1.0),  # Rockchip and relatives: `45@800000000Hz`
)
log = logger(__name__)


@dataclass(frozen=True, slots=True)
class Vitals:
    """See `mesh.wire.Load`, whose fields these are."""

    cpu_percent: float = 0.0
    ram_percent: float | None = None
    accelerator_percent: float | None = None
    temperature: float | None = None


class Monitor:
    """Any thread may call `now`. sample: asks the machine; called from a thread that begins with the first `now`."""

    def __init__(self, sample: Callable[[], Vitals]) -> None:
        self._sample = sample
        self._lock = threading.Lock()
        self._asked = threading.Event()
        self._thread: threading.Thread | None = None
        self._due = 0.0
        self._last = (Vitals(), float("-inf"))

    def now(self) -> Vitals:
        """The last sample; nothing known before the first. Asks for the next one when that is due. Never waits."""
        now = time.monotonic()
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="vitals", daemon=True)
                self._thread.start()
                self._due = now + PERIOD
            elif now >= self._due:
                self._due = now + PERIOD
                self._asked.set()
        vitals, at = self._last
        return vitals if now - at < OLD else Vitals()

    def _run(self) -> None:
        psutil.cpu_percent()  # the first call of a thread only begins to measure
        while self._asked.wait():
            self._asked.clear()
            try:
                self._last = self._sample(), time.monotonic()
            except Exception:  # drivers and sensors are anybody's code: what they cannot tell is not known
                log.exception("the machine's sensors cannot be read")


def measured(load: Load) -> Load:
    """`load` with what is known now of this machine."""
    return msgspec.structs.replace(load, **asdict(now()))


def now() -> Vitals:
    """What is known now of this machine; less at the first call, which begins to measure. Never waits."""
    return _monitor().now()


@cache
def _monitor() -> Monitor:
    return Monitor(sample)


def sample() -> Vitals:
    """Ask the machine. May take as long as its slowest sensor."""
    cards = list(_nvidia())
    busy = [use for use, _ in cards if use is not None] + list(loads(SYSFS))
    warm = [heat for _, heat in cards if heat is not None]
    if (hottest := hottest_processor()) is not None:
        warm.append(hottest)
    return Vitals(
        cpu_percent=psutil.cpu_percent(),
        ram_percent=psutil.virtual_memory().percent,
        accelerator_percent=round(max(busy), 1) if busy else None,
        temperature=round(max(warm), 1) if warm else None,
    )


def hottest_processor() -> float | None:
    """°C of the hottest processor; of the hottest sensor at all where none is known to be a processor's; None without
    any, as in most virtual machines."""
    read: Callable[[], dict[str, list[Any]]] = getattr(psutil, "sensors_temperatures", dict)  # on Linux alone
    found = {
        chip: [one.current for one in sensors if PLAUSIBLE[0] <= (one.current or 0.0) <= PLAUSIBLE[1]]
        for chip, sensors in read().items()
    }
    processors = [heat for chip, heats in found.items() if _PROCESSORS.search(chip) for heat in heats]
    return max(processors or [heat for heats in found.values() for heat in heats], default=None)


def loads(sysfs: Path) -> Iterator[float]:
    """How busy each accelerator is that the kernel tells of, in percent. sysfs: where /sys is."""
    for file, factor in _load_files(sysfs):
        try:
            said = float(file.read_text(encoding="ascii").partition("@")[0])
        except (OSError, ValueError):  # asleep, or it says something else
            continue
        yield min(100.0, max(0.0, said * factor))


@cache
def _load_files(sysfs: Path) -> list[tuple[Path, float]]:
    return [(file, factor) for pattern, factor in _ACCELERATORS for file in sorted(sysfs.glob(pattern))]


def _nvidia() -> Iterator[tuple[float | None, float | None]]:
    """Use in percent and °C of each NVIDIA card; None for what a card does not tell."""
    nvml = _nvml()
    if nvml is None:
        return

    def told(call: Callable[..., Any], *arguments: Any) -> Any:
        try:
            return call(*arguments)
        except nvml.NVMLError:  # not by this card, not to this user, not while it is divided
            return None

    for number in range(told(nvml.nvmlDeviceGetCount) or 0):
        card = told(nvml.nvmlDeviceGetHandleByIndex, number)
        if card is not None:
            use = told(nvml.nvmlDeviceGetUtilizationRates, card)
            heat = told(nvml.nvmlDeviceGetTemperature, card, nvml.NVML_TEMPERATURE_GPU)
            yield None if use is None else float(use.gpu), None if heat is None else float(heat)


@cache
def _nvml() -> Any:
    """NVIDIA's library (nvidia-ml-py), ready to be asked; None where it or a driver is missing."""
    try:
        nvml = importlib.import_module("pynvml")
    except ImportError:
        return None
    try:
        nvml.nvmlInit()
    except nvml.NVMLError:
        return None
    return nvml
