"""Figures: samples of rounds, their medians and spreads, ratios within a round, and targets."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

Values = dict[str, float]


@dataclass(frozen=True, slots=True)
class Sample:
    """One measurement. who: the contestant; case: under which load; values: its raw figures, units in their names."""

    who: str
    case: str
    round: int
    values: Values


@dataclass(frozen=True, slots=True)
class Target:
    """A claim and what was measured. rounds: the figure of each round; at_least or at_most: what was asked of it."""

    what: str
    rounds: tuple[float, ...]
    at_least: float | None = None
    at_most: float | None = None

    @property
    def figure(self) -> float:
        """The rounds' median."""
        return median(self.rounds)

    @property
    def met(self) -> bool:
        low = self.at_least is None or self.figure >= self.at_least
        return low and (self.at_most is None or self.figure <= self.at_most)

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), "figure": self.figure, "met": self.met}

    def row(self) -> list[str]:
        asked = f"≥ {self.at_least:g}" if self.at_least is not None else f"≤ {self.at_most:g}"
        spread = " / ".join(number(value) for value in self.rounds)
        return [self.what, asked, number(self.figure), spread, "met" if self.met else "MISSED"]


TARGET_HEAD = ("target", "asked", "median", "rounds", "")


def summary(samples: Sequence[Sample]) -> list[dict[str, Any]]:
    """For each contestant and case: every value's median, least and most."""
    groups: dict[tuple[str, str], list[Sample]] = {}
    for sample in samples:
        groups.setdefault((sample.who, sample.case), []).append(sample)
    rows = []
    for (who, case), many in groups.items():
        names = dict.fromkeys(name for sample in many for name in sample.values)
        spread = {}
        for name in names:
            values = [sample.values[name] for sample in many if name in sample.values]
            spread[name] = {"median": median(values), "min": min(values), "max": max(values), "rounds": len(values)}
        rows.append({"who": who, "case": case, "values": spread})
    return rows


def value(samples: Sequence[Sample], who: str, case: str, number: int, name: str) -> float | None:
    """One raw figure of one round; None where it was not measured."""
    for sample in samples:
        if (sample.who, sample.case, sample.round) == (who, case, number):
            return sample.values.get(name)
    return None


def each_round(samples: Sequence[Sample], figure: Callable[[int], float | None]) -> tuple[float, ...]:
    """`figure(round)` of every round in which it could be measured."""
    rounds = sorted({sample.round for sample in samples})
    return tuple(found for one in rounds if (found := figure(one)) is not None)


def ratio(
    samples: Sequence[Sample], name: str, above: tuple[str, str], below: tuple[str, str], *, below_name: str = ""
) -> tuple[float, ...]:
    """`name` of the contestant and case `above` ÷ that of `below`, each round by itself: machines drift."""

    def one(number: int) -> float | None:
        top = value(samples, *above, number, name)
        bottom = value(samples, *below, number, below_name or name)
        return top / bottom if top is not None and bottom else None

    return each_round(samples, one)


def number(figure: float) -> str:
    """A figure with three digits that mean something."""
    if math.isnan(figure):
        return "–"
    if abs(figure) >= 100:
        return f"{figure:,.0f}"
    return f"{figure:.2f}".rstrip("0").rstrip(".") if abs(figure) < 10 else f"{figure:.1f}"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Aligned for a terminal: words to the left, figures to the right."""
    widths = [max(len(row[i]) for row in (head, *rows)) for i in range(len(head))]
    lines = []
    for row in (head, *rows):
        cells = [
            cell.rjust(width) if i > 0 and row is not head and cell[:1].isdigit() else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    lines.insert(1, "  ".join("─" * width for width in widths))
    return "\n".join(lines)


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def summary_tables(rows: Sequence[dict[str, Any]]) -> list[tuple[list[str], list[list[str]]]]:
    """Heads and rows of tables of medians: what has no value in common stands in tables of its own."""
    groups: list[list[dict[str, Any]]] = []
    for row in rows:
        related = [group for group in groups if any(row["values"].keys() & one["values"].keys() for one in group)]
        groups = [group for group in groups if group not in related]
        groups.append([one for group in related for one in group] + [row])
    return [summary_rows(group) for group in groups]


def summary_rows(rows: Sequence[dict[str, Any]]) -> tuple[list[str], list[list[str]]]:
    """Head and rows of a table of medians, with the spread behind the first value."""
    names = list(dict.fromkeys(name for row in rows for name in row["values"]))
    body = []
    for row in rows:
        cells = [row["who"], row["case"]]
        for index, name in enumerate(names):
            spread = row["values"].get(name)
            text = number(spread["median"]) if spread else "–"
            if spread and index == 0 and spread["rounds"] > 1:
                text += f" ({number(spread['min'])}–{number(spread['max'])})"
            cells.append(text)
        body.append(cells)
    return ["", "case", *(name.replace("_", " ") for name in names)], body
