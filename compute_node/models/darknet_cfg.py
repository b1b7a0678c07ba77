"""Reads Darknet's `.cfg` text: sections of `key=value` lines, in the order in which the network is built."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from mesh.errors import ModelRefused

MAX_CFG_BYTES = 1 << 20  # yolov4's has 12 KB
MAX_SECTIONS = 2000  # yolov3 has 107; every section costs time to build


@dataclass(frozen=True, slots=True)
class Section:
    """One `[name]` of a cfg. line: where it starts, from 1. index: its number among the layers, -1 for `[net]`."""

    name: str
    line: int
    index: int
    values: Mapping[str, str] = field(default_factory=dict)

    def refuse(self, why: str) -> ModelRefused:
        """An error about this section, with its place."""
        number = f" (layer {self.index})" if self.index >= 0 else ""
        return ModelRefused(f"cfg line {self.line}, [{self.name}]{number}: {why}")

    def integer(self, key: str, default: int, *, least: int = 0, most: int = 1 << 16) -> int:
        """The whole number `key`; `default` where it is absent. Raises ModelRefused outside `least`…`most`."""
        text = self.values.get(key)
        if text is None:
            return default
        try:
            value = int(text)
        except ValueError:
            raise self.refuse(f"{key}={text!r} is not a whole number") from None
        if not least <= value <= most:
            raise self.refuse(f"{key}={value} is not within {least}…{most}")
        return value

    def number(self, key: str, default: float) -> float:
        text = self.values.get(key)
        if text is None:
            return default
        try:
            return float(text)
        except ValueError:
            raise self.refuse(f"{key}={text!r} is not a number") from None

    def integers(self, key: str) -> list[int]:
        return [int(n) for n in self.numbers(key)]

    def numbers(self, key: str) -> list[float]:
        """The numbers of a list with commas, such as `anchors`; empty where it is absent."""
        try:
            return [float(part) for part in self.values.get(key, "").split(",") if part.strip()]
        except ValueError:
            raise self.refuse(f"{key}={self.values[key]!r} is not a list of numbers") from None

    def text(self, key: str, default: str) -> str:
        return self.values.get(key, default)


def parse_cfg(text: str) -> list[Section]:
    """The sections of `text`; the first is `[net]` (or `[network]`). Raises ModelRefused naming the line."""
    sections: list[Section] = []
    values: dict[str, str] = {}
    for number, raw in enumerate(text.splitlines(), 1):
        line = raw.split("#", 1)[0].split(";", 1)[0].strip()
        if not line:
            continue
        if line.startswith("["):
            if not line.endswith("]"):
                raise ModelRefused(f"cfg line {number}: {line[:60]!r} does not close its bracket")
            values = {}
            sections.append(Section(line[1:-1].strip().lower(), number, len(sections) - 1, values))
            if len(sections) > MAX_SECTIONS:
                raise ModelRefused(f"cfg line {number}: more than {MAX_SECTIONS} sections")
            continue
        key, equals, value = line.partition("=")
        if not equals:
            raise ModelRefused(f"cfg line {number}: {line[:60]!r} is neither [section] nor key=value")
        if not sections:
            raise ModelRefused(f"cfg line {number}: {line[:60]!r} stands before any [section]")
        values[key.strip()] = value.strip()
    if not sections or sections[0].name not in ("net", "network"):
        raise ModelRefused("this is no Darknet cfg: it must begin with [net]")
    return sections
