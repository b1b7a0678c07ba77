"""How one pipeline's frames fare: its own figures for its page, and the node's metrics at the same time."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from compute_node.metrics import STAGES, Metrics
from mesh.rate import Rate, Recent
from mesh.wire import Times

AGE = "age"  # from capture to publication


class Figures:
    """One thread counts, any may read; each figure is right by itself, and no lock makes them of one moment."""

    def __init__(self, metrics: Metrics) -> None:
        self.rate = Rate()
        self.frames = {"in": 0, "searched": 0, "gated": 0, "drawn": 0}
        self.dropped: dict[str, int] = {}
        self._metrics = metrics
        self._recent = {name: Recent() for name in (*STAGES, AGE)}

    def took(self, stage: str, seconds: float) -> None:
        self._recent[stage].add(seconds)
        self._metrics.stages[stage].observe(seconds)

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        """Time what runs inside as `stage`."""
        began = time.perf_counter()
        yield
        self.took(stage, time.perf_counter() - began)

    def came(self, frames: int) -> None:
        """So many new frames of the camera have been seen, taken or not."""
        self.frames["in"] += frames
        self._metrics.offered.inc(frames)

    def drop(self, reason: str, frames: int = 1) -> None:
        if frames > 0:
            self.dropped[reason] = self.dropped.get(reason, 0) + frames
            self._metrics.dropped(reason, frames)

    def found(self, captured_at: float, *, gated: bool) -> None:
        """A frame's result has been published: of a search, or the last one's again."""
        if gated:
            self.frames["gated"] += 1
            self._metrics.gated.inc()
        else:
            self.frames["searched"] += 1
            self.rate.tick()
        self._metrics.out.inc()
        age = max(0.0, time.time() - captured_at)
        self._recent[AGE].add(age)
        self._metrics.age.observe(age)

    def drew(self) -> None:
        """A picture with boxes has been published."""
        self.frames["drawn"] += 1
        self._metrics.published.inc()

    def stages(self, **more: Recent) -> dict[str, Times]:
        """What each stage took lately, without those that nothing went through. more: stages counted elsewhere."""
        every: Mapping[str, Recent] = {**self._recent, **more}
        return {name: times for name, recent in every.items() if (times := recent.times()) is not None}
