"""What was found in a picture, in one line: `person=3, car=1`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from urllib.parse import quote

MOST_BYTES = 400  # of the line: some proxies take no more than 4 KB of headers in all
MOST_LETTERS = 40  # of a label: as many as are drawn; a code's text may have hundreds
OTHER = "other"  # stands for all labels for which there is no room


def tally(labels: Iterable[str]) -> str:
    """Each of `labels` and how often it is there, the most frequent first; empty when there is none.

    The line is fit for a header: at most MOST_BYTES bytes of ASCII, each label percent-encoded as `encodeURIComponent`
    does it and clipped to MOST_LETTERS. What finds no room is summed up, as `other=12`.
    """
    counts = Counter(label[:MOST_LETTERS] for label in labels)
    most = MOST_BYTES - len(f", {OTHER}={counts.total()}")
    parts: list[str] = []
    left, length = counts.total(), 0
    for label, count in sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])):
        part = f"{quote(label, safe='', errors='replace')}={count}"
        if length + len(part) > most:
            break
        parts.append(part)
        left -= count
        length += len(part) + len(", ")
    return ", ".join([*parts, f"{OTHER}={left}"] if left else parts)
