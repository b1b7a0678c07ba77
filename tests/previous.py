"""The code of the previous minor version, from the project's own history."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from mesh.version import VERSION
from tests.processes import ROOT

VERSION_FILE = "mesh/version.py"


def previous(folder: Path) -> Path:
    """The last commit of the minor version before this one, laid out in `folder`; skips the test where the checkout has
    no such history."""
    commit = _commit()
    if commit is None:
        pytest.skip(f"this checkout's history (git) has no minor version before {VERSION}")
    packed = _git("archive", "--format=tar", commit)
    assert packed is not None
    folder.mkdir(parents=True)
    subprocess.run(["tar", "-x", "-C", str(folder)], input=packed, timeout=30, check=True)
    return folder


def _commit() -> str | None:
    """The commit before the one that began the present minor version; the newest one, while that is not committed."""
    major, minor, *_ = map(int, VERSION.split("."))
    changes = (_git("log", "--format=%H", "--", VERSION_FILE) or b"").decode().split()
    for number, commit in enumerate(changes):
        text = (_git("show", f"{commit}:{VERSION_FILE}") or b"").decode()
        if re.search(rf'"{major}\.{minor - 1}\.', text):
            return f"{changes[number - 1]}^" if number else "HEAD"
    return None


def _git(*words: str) -> bytes | None:
    """What git prints; None where it cannot."""
    try:
        done = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, timeout=30, check=False)
    except OSError:
        return None
    return done.stdout if done.returncode == 0 else None
