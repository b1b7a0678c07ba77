"""Ask whether a known vulnerability is in what the images install: `python deploy/advisories.py`.

Exits with 1 for one that is known, after naming it with the version that mends it. Where nobody answers that question
(no network, an index that knows nothing of vulnerabilities) it says so and exits with 0: no answer is no finding. It
needs pip-audit (requirements-dev.txt).
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from deploy.lock import LISTS, file_of  # noqa: E402

SECONDS = 120  # for a few dozen questions over a slow line
ANSWER_SECONDS = "5"  # for each of them


def ask() -> list[dict[str, Any]] | None:
    """What is said of each package: `name`, and `version` with `vulns`, or `skip_reason`. None without an answer."""
    lists = [word for one in LISTS for word in ("-r", str(file_of(one)))]
    options = ("--disable-pip", "--require-hashes", "--progress-spinner", "off", "--desc", "off", "--format", "json")
    try:
        done = subprocess.run(
            [sys.executable, "-m", "pip_audit", *options, "--timeout", ANSWER_SECONDS, *lists],
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        found: list[dict[str, Any]] = json.loads(done.stdout)["dependencies"]
    except (subprocess.TimeoutExpired, ValueError, KeyError):
        return None
    return found


def report(found: list[dict[str, Any]] | None) -> tuple[str, int]:
    """The words for what was found, and the exit status."""
    asked = [one for one in found or () if "skip_reason" not in one]
    if not asked:
        return "known vulnerabilities: not checked, for no service that knows of them answers here", 0
    wrong = [
        f"  {one['name']} {one['version']}: {hole['id']}, mended in {', '.join(hole['fix_versions']) or 'none yet'}"
        for one in asked
        for hole in one["vulns"]
    ]
    if wrong:
        return "\n".join(["known vulnerabilities in deploy/requirements-*.txt:", *wrong]), 1
    skipped = len(found or ()) - len(asked)
    return f"known vulnerabilities: none in {len(asked)} packages" + (f"; {skipped} unknown" if skipped else ""), 0


if __name__ == "__main__":
    words, status = report(ask())
    sys.stdout.write(f"{words}\n")
    sys.exit(status)
