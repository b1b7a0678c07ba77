"""`./fogline status`: one look or a live table, readable in any terminal, and honest about what it does not know."""

from __future__ import annotations

import contextlib
import fcntl
import io
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from click.testing import CliRunner
from rich.console import Console, ConsoleDimensions, RenderableType

from cli import status_view
from cli.main import fogline
from cli.status_view import Reading
from mesh.errors import SetupProblem
from tests.processes import ROOT, Running
from tests.registry.fakes import Registry

Json = dict[str, Any]
LONG = "unreachable at http://172.17.0.3:8000: set FOGLINE_ADVERTISE (connection refused: is it running?)"


def drawn(what: RenderableType, width: int, height: int = 60) -> list[str]:
    console = Console(width=width, height=height, record=True, file=io.StringIO(), legacy_windows=False)
    console.print(what)
    return console.export_text().splitlines()


def node(number: int, state: str = "ready", reason: str = "", **fields: Any) -> Json:
    """A compute node as the registry lists it."""
    return {
        "node_id": f"id-{number}",
        "kind": "compute",
        "name": f"press-shop {number:03}",
        "state": state,
        "state_reason": reason,
        "url": f"http://10.20.0.{number % 250}:8000",
        "last_seen": time.time() - 0.4,
        "slots": 4,
        "free_slots": 3 if state == "ready" else 0,
        "load": {"fps": 12.34},
        "algorithm": [{"id": "yolo"}, {"id": "haar"}],
        **fields,
    }


def session(number: int, state: str = "running", reason: str = "", **fields: Any) -> Json:
    return {
        "session_id": f"0b1c2d3e-0000-0000-0000-{number:012}",
        "camera": f"cam-{number}",
        "camera_name": f"line {number:03}",
        "algorithm": "yolo",
        "node_name": "press-shop 001",
        "state": state,
        "state_reason": reason,
        "viewers": 2,
        "fps": 24.9,
        "created_at": time.time() - 65,
        **fields,
    }


@pytest.mark.parametrize("width", [80, 160])
def test_of_many_nodes_the_troubled_ones_come_first(width: int) -> None:
    """The rest is counted, nothing is wider than the terminal, and the summary counts all."""
    nodes = [node(n) for n in range(497)]
    nodes += [node(497, "dead", "no beat"), node(498, "suspect", "not heard of"), node(499, "unreachable", LONG)]
    lines = drawn(status_view.page(Reading("http://r:5050", nodes, []), width), width, 400)
    rows = [line for line in lines if line.startswith("press-shop")]
    assert [row[11:14] for row in rows[:4]] == ["498", "499", "497", "000"]
    assert len(rows) == 40
    assert "… and 460 more (--json lists all)" in "\n".join(lines)
    assert max(map(len, lines)) <= width
    words = " ".join(" ".join(lines).split())
    assert "500 nodes (● 497 ready, ○ 1 dead, ✕ 1 unreachable, ▲ 1 suspect) · 1491 of 1996 slots free" in words
    assert "is it running?)" in words
    assert ("10.20.0.248" in words) == (width == 160)


@pytest.mark.parametrize(("width", "height"), [(80, 24), (120, 30), (160, 45)])
def test_the_live_table_fits_the_screen(width: int, height: int) -> None:
    """With hundreds of nodes and sessions, long reasons, and everything wrong at once: both tables show some rows."""
    nodes = [node(n, "unreachable", LONG) for n in range(300)]
    sessions = [session(n, "moving", LONG) for n in range(100)]
    reading = Reading("http://registry:5050", nodes, sessions, stale_seconds=12, preserving=True)
    away = status_view.away("the registry at http://registry:5050 does not answer (connection refused)", time.time())
    lines = drawn(status_view.screen(reading, away, ConsoleDimensions(width, height)), width, height)
    assert len(lines) <= height
    assert max(map(len, lines)) <= width
    for begin in ("press-shop", "line "):
        assert sum(line.startswith(begin) for line in lines) >= 3, lines
    few = Reading("http://r:5050", nodes[:1], sessions[:1])
    text = " ".join(drawn(status_view.screen(few, None, ConsoleDimensions(width, height)), width, height))
    assert "running?)" in text, "there is room for the whole reason"


def test_rows_that_one_table_does_not_need_go_to_the_other() -> None:
    """Together never more than there are, and never none."""
    assert status_view.shares(100, 100, 20) == (10, 10)
    assert status_view.shares(4, 100, 20) == (4, 16)
    assert status_view.shares(100, 3, 20) == (17, 3)
    assert status_view.shares(100, 100, -5) == (3, 3)


def test_ages_are_right_when_the_clocks_differ() -> None:
    """By an hour, in both directions: who is ready has just been heard of."""
    for off in (-3600.0, 3600.0, 0.0):
        now = time.time() + off
        nodes = [node(1, last_seen=now - 0.3), node(2, "dead", "no beat", last_seen=now - 300)]
        lines = drawn(status_view.page(Reading("http://r:5050", nodes, [session(1, created_at=now - 65)]), 80), 80)
        text = "\n".join(lines)
        assert re.search(r"002 .* 5 min ", text), text
        assert re.search(r"line 001 .* 6[456] s", text), text


def test_how_machines_fare_is_shown_where_there_is_room() -> None:
    """CPU, memory and temperature, each where it is known; without a word of them there are no such columns."""
    load = {"fps": 12.3, "cpu_percent": 41.4, "ram_percent": 62.6, "temperature": 71.2}
    nodes = [node(1, load=load), node(2, load={"fps": 1.0, "ram_percent": 8.0}), node(3)]
    text = "\n".join(drawn(status_view.page(Reading("http://r:5050", nodes, []), 160), 160))
    assert re.search(r"001 .* 41% +63% +71 ", text), text
    assert re.search(r"002 .* 0% +8% +yolo", text), text
    narrow = "\n".join(drawn(status_view.page(Reading("http://r:5050", nodes, []), 120), 120))
    none = "\n".join(drawn(status_view.page(Reading("http://r:5050", nodes[2:], []), 160), 160))
    assert "RAM" in text
    assert "RAM" not in narrow + none


@pytest.mark.parametrize(
    ("skew", "words"),
    [(3.2, "3.2 s ahead of"), (-7200, "2.0 h behind"), (0.9, None), (-1.0, None), (None, None)],
)
def test_a_clock_that_is_off_is_said_with_its_remedy(skew: float | None, words: str | None) -> None:
    """Beside any other reason, and such a node comes before those that are well; a dead one's clock is nobody's."""
    off = {"fps": 1.0, "clock_skew": skew}
    nodes = [node(1), node(2, load=off), node(3, "unreachable", LONG, load=off), node(4, "dead", "no beat", load=off)]
    text = " ".join(" ".join(drawn(status_view.page(Reading("http://r:5050", nodes, []), 160), 160)).split())
    if words is None:
        assert "clock" not in text
        assert text.index("shop 001") < text.index("shop 002")
        return
    assert text.count(f"its clock is {words} the registry's: set up NTP") == 2
    assert f"is it running?); its clock is {words}" in text
    assert text.index("shop 002") < text.index("shop 001")


def test_names_are_shown_as_they_are() -> None:
    """What looks like the table's own markup is none."""
    nodes = [node(1, name="[red]hall[/red] 1"), node(2, "odd-state", "[bold]why")]
    text = "\n".join(drawn(status_view.page(Reading("http://r:5050", nodes, []), 160), 160))
    assert "[red]hall[/red] 1" in text
    assert "▲ odd-state" in text
    assert "[bold]why" in text


@pytest.fixture
def mesh(start: Callable[..., Running]) -> Iterator[Registry]:
    registry = Registry(start("registry").ready())
    yield registry
    registry.close()


def test_the_mesh_is_shown_once_and_live_and_the_registrys_death_is_said(mesh: Registry) -> None:
    """Tables and JSON of a real registry; --watch goes on when the registry is gone, and Ctrl-C ends it."""
    mesh.camera("gate 4", width=640, height=480, source="rtsp")
    compute = mesh.compute("press-shop-2")
    made = mesh.open("gate 4")
    compute.serves(made)
    arguments = ["status", "--registry", mesh.url]
    done = CliRunner().invoke(fogline, arguments, catch_exceptions=False)
    assert "2 nodes (● 2 ready) · 1 of 2 slots free" in done.output
    assert "camera, rtsp 640×480" in done.output
    done = CliRunner().invoke(fogline, [*arguments, "--json"], catch_exceptions=False)
    assert [one["session_id"] for one in json.loads(done.output)["sessions"]] == [made["session_id"]]
    with pytest.raises(SetupProblem, match="--watch needs a terminal"):
        CliRunner().invoke(fogline, [*arguments, "--watch"], catch_exceptions=False)
    with live(*arguments, "--watch") as screen:
        screen.shows("press-shop-2", "gate 4", "yolo")
        mesh.node("camera", "late one").join().live()
        screen.shows("late one")
        mesh.running.kill()
        screen.shows("No answer since", "connection refused", "What was known last:", "late one")
        screen.process.send_signal(signal.SIGINT)
        assert screen.process.wait(5) == 0


class Screen:
    """A program in a terminal of its own."""

    def __init__(self, process: subprocess.Popen[bytes], terminal: int) -> None:
        self.process = process
        self._terminal = terminal
        self._text = ""

    def shows(self, *words: str, seconds: float = 15) -> None:
        """Wait until all of `words` stand on one and the same screen."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if select.select([self._terminal], [], [], 0.1)[0]:
                self._text += os.read(self._terminal, 65536).decode("utf-8", "replace")
            last = re.split(r"\x1b\[H", self._text)[-2:]  # the cursor goes home before each
            if any(all(word in re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", one) for word in words) for one in last):
                return
        raise AssertionError(f"not shown after {seconds} s: {words}; last: {self._text[-3000:]}")


@contextlib.contextmanager
def live(*arguments: str) -> Iterator[Screen]:
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 150, 0, 0))
    environment = {key: value for key, value in os.environ.items() if key not in ("COLUMNS", "LINES", "NO_COLOR")}
    # A test run in the background ignores Ctrl-C, and what it starts would do so, too; in a terminal nothing does.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        process = subprocess.Popen(
            [sys.executable, "-m", "cli", *arguments],
            cwd=ROOT, stdin=theirs, stdout=theirs, stderr=theirs, env={**environment, "TERM": "xterm-256color"},
        )  # fmt: skip
    finally:
        signal.signal(signal.SIGINT, before)
    os.close(theirs)
    try:
        yield Screen(process, ours)
    finally:
        process.kill()
        process.wait(5)
        os.close(ours)
