"""`./fogline` on machines that lack something: it says what, in words, and leaves nothing half done."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

from tests.processes import ROOT

LAUNCHER = ROOT / "fogline"
OLD = """
import runpy, sys
sys.version_info = (3, 9, 18, "final", 0)
sys.argv = ["fogline", "up"]
runpy.run_path({path!r}, run_name="__main__")
"""


def environment(**more: str) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("FOGLINE_", "PIP_", "PYTHONPATH"))}
    return {**kept, **more}


def test_an_old_python_can_read_the_launcher() -> None:
    """Its syntax is that of Python 3.4, so that an old Python gets words instead of a syntax error."""
    ast.parse(LAUNCHER.read_text(), feature_version=(3, 4))


def test_an_old_python_is_told_so_with_the_remedy(tmp_path: Path) -> None:
    """Without a newer one beside it the launcher ends with what to install."""
    done = subprocess.run(
        [sys.executable, "-c", OLD.format(path=str(LAUNCHER))],
        env=environment(PATH=str(tmp_path)), capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "Python 3.11 or newer; this is Python 3.9" in done.stderr
    assert "apt install python3.11" in done.stderr


def test_a_newer_python_beside_an_old_one_is_used(tmp_path: Path) -> None:
    """`python3` is old, `python3.12` is on the path: that one runs the launcher."""
    newer = tmp_path / "python3.12"
    newer.write_text('#!/bin/sh\necho "newer was called with $2"\n')
    newer.chmod(0o755)
    done = subprocess.run(
        [sys.executable, "-c", OLD.format(path=str(LAUNCHER))],
        env=environment(PATH=f"{tmp_path}:/bin:/usr/bin"), capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    assert "newer was called with up" in done.stdout


def test_an_index_that_cannot_be_reached_is_said_and_can_be_tried_again(tmp_path: Path) -> None:
    """Set-up fails in words; no stamp says that it was done."""
    venv = tmp_path / "venv"
    no_index = {"PIP_INDEX_URL": "http://127.0.0.1:9/simple", "PIP_RETRIES": "0", "PIP_CONFIG_FILE": os.devnull}
    done = subprocess.run(
        [sys.executable, str(LAUNCHER), "--help"],
        env=environment(FOGLINE_VENV=str(venv), **no_index), capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "package index cannot be reached" in done.stderr, done.stderr
    assert "run ./fogline again" in done.stderr
    assert not list(venv.glob("installed-*"))


def test_a_place_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    """A full disk or a folder of somebody else's is words, not a trace."""
    done = subprocess.run(
        [sys.executable, str(LAUNCHER), "--help"],
        env=environment(FOGLINE_VENV="/dev/null/venv"), capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "Set-up failed" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_log_that_cannot_be_written_is_told_once_and_stops_nothing() -> None:
    """A full disk must neither end `up` nor flood it."""
    import logging  # noqa: PLC0415

    from cli.processes import _LogFile  # noqa: PLC0415

    told: list[str] = []
    handler = _LogFile("/dev/full", delay=True)
    handler.failed = told.append
    log = logging.Logger("test")
    log.addHandler(handler)
    for _ in range(5):
        log.info("a line")
    assert len(told) == 1
    assert "No space left" in told[0]


def test_help_names_every_command_and_every_variable() -> None:
    """A feature that is not in --help cannot be found."""
    done = subprocess.run([sys.executable, "-m", "cli", "--help"], cwd=ROOT, capture_output=True, text=True, check=True)
    for command in (
        "up",
        "registry",
        "ui",
        "camera",
        "compute",
        "status",
        "doctor",
        "models",
        "test",
        "check",
        "bench",
    ):
        assert f"  {command} " in done.stdout, command
    done = subprocess.run(
        [sys.executable, "-m", "cli", "camera", "--help"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert "FOGLINE_SOURCE" in done.stdout
    assert "rtsp://" in done.stdout
