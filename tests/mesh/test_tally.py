"""What was found, in a line that is fit for a header."""

from __future__ import annotations

from urllib.parse import unquote

import pytest

from mesh.frame import Frame
from mesh.tally import MOST_BYTES, tally


def read(line: str) -> dict[str, int]:
    """As a page reads it."""
    counts = (part.rpartition("=") for part in line.split(", ") if part)
    return {unquote(label): int(count) for label, _, count in counts}


def test_the_most_frequent_comes_first() -> None:
    """Those as frequent in the order of the alphabet; nothing found is an empty line."""
    assert tally(["car", "person", "bus", "person", "person"]) == "person=3, bus=1, car=1"
    assert tally([]) == ""


@pytest.mark.parametrize("label", ["traffic light", "人", "a=b, c", "50 %", "x\r\nSet-Cookie: y", "\ud800", "", "é"])
def test_any_label_goes_through_a_header(label: str) -> None:
    """A code's text may be anything: it comes back as it was, or with a sign for what nothing can carry."""
    line = tally([label, label, "person"])
    assert line.isascii()
    assert line.isprintable()
    assert read(line) == {label.replace("\ud800", "?"): 2, "person": 1}
    frame = Frame(b"", 1, 2.0, 3, 4, objects=line)
    assert frame.headers()["X-Objects"] == line


def test_what_finds_no_room_is_summed_up() -> None:
    """The line stays short, the rare ones are counted together, and nothing is lost."""
    labels = [f"検査対象 {number}" for number in range(300) for _ in range(300 - number)]
    line = tally(labels)
    assert len(line) <= MOST_BYTES
    found = read(line)
    assert sum(found.values()) == len(labels)
    first, *_, last = found
    assert (first, last) == ("検査対象 0", "other")
    assert len(found) > 5


def test_long_labels_that_begin_alike_are_one() -> None:
    """A code's text is clipped as it is on the picture."""
    assert read(tally(["x" * 50 + "1", "x" * 50 + "2"])) == {"x" * 40: 2}
