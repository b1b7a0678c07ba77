"""One thing that `./fogline doctor` found."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """verdict: ok, note (works, but worth knowing) or bad. remedy: what to do about it."""

    subject: str
    verdict: str
    text: str
    remedy: str = ""
