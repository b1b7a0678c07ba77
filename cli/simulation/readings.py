"""The figures of a simulation: what was measured, beside what was asked for."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Reading:
    """One figure. value: None when it could not be measured. at_most, at_least: what was asked of it, if anything.
    must: something is broken, not only slow, when it is not so."""

    step: str
    what: str
    value: float | None
    unit: str = ""
    at_most: float | None = None
    at_least: float | None = None
    must: bool = False

    @property
    def asked(self) -> str:
        """The target in words, '' for none."""
        if self.at_most is not None and self.at_most == self.at_least:
            return f"{self.at_most:,.6g}"
        if self.at_most is not None:
            return f"≤ {self.at_most:,.6g}"
        return f"≥ {self.at_least:,.6g}" if self.at_least is not None else ""

    @property
    def met(self) -> bool | None:
        """Whether it is as asked for; None when nothing was."""
        if not self.asked:
            return None
        if self.value is None:
            return False
        low = self.at_least is None or self.value >= self.at_least
        return low and (self.at_most is None or self.value <= self.at_most)

    def shown(self) -> str:
        if self.value is None:
            return "–"
        if self.value == int(self.value) or abs(self.value) >= 1000:
            return f"{self.value:,.0f}"
        return f"{self.value:.3g}" if abs(self.value) < 100 else f"{self.value:.0f}"

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), "met": self.met}
