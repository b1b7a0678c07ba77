"""Logs: one line an event, as JSON or to read, and no password in either."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from mesh.logs import redact
from tests.processes import ROOT

PROGRAM = """
import logging, threading, warnings
from mesh import logs
logs.configure({style!r}, service="camera", node="press", site="plant-2")
logs.logger("x").info("opened", source="rtsp://user:secret@10.0.0.5/live")
logging.getLogger("library").warning("it said %s", "http://a:secret@host/")
try:
    raise ValueError("rtsp://user:secret@10.0.0.5/live")
except ValueError:
    logs.logger("x").exception("failed")
warnings.warn("it is old")
failing = threading.Thread(target=lambda: 1 / 0, name="capture")
failing.start()
failing.join()
"""


def run(style: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(style=style)],
        capture_output=True,
        text=True,
        timeout=30,
        cwd=ROOT,
        check=True,
    )
    assert "secret" not in done.stdout + done.stderr
    return [line for line in done.stderr.splitlines() if line.strip()]


def test_json_lines_hold_the_event_and_its_fields() -> None:
    """Each record is one JSON object that says from where it is, a library's, a warning and a thread's end, too."""
    lines = [json.loads(line) for line in run("json")]
    events = ["opened", "it said http://***@host/", "failed", lines[3]["event"], "a thread has failed"]
    assert [line["event"] for line in lines] == events
    assert "it is old" in lines[3]["event"]
    assert lines[0]["source"] == "rtsp://***@10.0.0.5/live"
    assert {line["service"] for line in lines} == {"camera"}
    assert {(line["site"], line["node"]) for line in lines} == {("plant-2", "press")}
    assert [line["level"] for line in lines] == ["info", "warning", "error", "warning", "error"]
    assert (lines[4]["thread"], "ZeroDivisionError" in lines[4]["exception"]) == ("capture", True)
    assert "ValueError" in lines[2]["exception"]


def test_text_lines_are_readable() -> None:
    """The event and its fields stand on one line."""
    lines = run("text")
    assert any("opened" in line and "rtsp://***@10.0.0.5/live" in line for line in lines)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("rtsp://u:p@h/x", "rtsp://***@h/x"),
        ("http://token@h", "http://***@h"),
        ("see http://h/a@b", "see http://h/a@b"),
        ("two rtsp://a:b@c and http://d:e@f", "two rtsp://***@c and http://***@f"),
        ("rtsp://u:p:q@h", "rtsp://***@h"),
    ],
)
def test_credentials_are_taken_out_of_every_address(text: str, shown: str) -> None:
    """User and password go, the rest stays."""
    assert redact(text) == shown
