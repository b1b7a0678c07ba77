"""Times as people write and read them on the command line."""

from __future__ import annotations

import re
import time

import click

UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}


def duration(_context: click.Context, parameter: click.Parameter, value: str | None) -> float | None:
    """A callback of options: `30m`, `24h`, `7d`, `1h30m` as seconds. Raises click.BadParameter."""
    if value is None:
        return None
    text = value.strip().lower()
    parts = re.findall(r"(\d{1,6})([smhdw])", text)
    found = float(sum(int(number) * UNITS[unit] for number, unit in parts))
    if "".join(number + unit for number, unit in parts) != text or not found:
        raise click.BadParameter(f"{value!r} is no duration: write it as 30m, 24h or 7d", param=parameter)
    return found


def moment(at: float | None, never: str = "–") -> str:
    """A point in time in this machine's zone; `never` for None."""
    return never if at is None else time.strftime("%Y-%m-%d %H:%M", time.localtime(at))


def left(until: float | None, now: float | None = None) -> str:
    """How long something is still good."""
    if until is None:
        return "for ever"
    rest = until - (time.time() if now is None else now)
    if rest <= 0:
        return "expired"
    for unit in ("d", "h", "m"):
        if rest >= 2 * UNITS[unit] or (unit == "m" and rest >= UNITS[unit]):
            return f"{rest / UNITS[unit]:.0f} {unit if unit != 'm' else 'min'}"
    return f"{rest:.0f} s"
