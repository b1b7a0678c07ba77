"""Ask whether what the images and the services install needs a compiler somewhere: `python deploy/processors.py`.

For each processor and each version of Python: every package in the lists (deploy/requirements-*.txt, without those that
are for one kind of machine alone) has a wheel, or comes as sources from which a wheel for any processor is made. Exits
with 1 after naming what has neither. It needs uv (requirements-dev.txt) and a package index; it downloads no wheel, but
builds the few packages that come as sources.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from deploy.lock import BUILDING, ROLES, file_of  # noqa: E402

PLATFORMS = ("x86_64-manylinux_2_36", "aarch64-manylinux_2_36")  # glibc of Debian 12 and of Raspberry Pi OS 12
PYTHONS = ("3.11", "3.12", "3.13")  # Debian 12, Ubuntu 24.04, Debian 13
SECONDS = 300  # for a hundred questions over a slow line
NEEDED = (*ROLES, *BUILDING)


def pinned() -> dict[str, str]:
    """All packages of the lists, with their versions."""
    text = "\n".join(file_of(name).read_text() for name in NEEDED)
    return dict(re.findall(r"^([A-Za-z0-9._-]+)==(\S+)", text, re.MULTILINE))


def without_wheel(platform: str, python: str, known: set[str]) -> set[str]:
    """The packages that have no wheel there. known: those that had none elsewhere, which saves questions. Raises
    RuntimeError where the index gives no answer."""
    found = set(known)
    while True:
        words = [word for name in sorted(found) for word in ("--no-binary", name)]
        done = subprocess.run(
            [
                *(sys.executable, "-m", "uv", "pip", "compile", "--no-config", "--quiet", "--no-deps"),
                *("--python-platform", platform, "--python-version", python, "--only-binary", ":all:"),
                *(*words, *(str(file_of(name)) for name in NEEDED)),
            ],
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        if done.returncode == 0:
            return found
        named = {name for name in pinned() if re.search(rf"[`\s]{re.escape(name)}(?:==|[`\s])", done.stderr)} - found
        if not named:
            raise RuntimeError(done.stderr.strip() or "no answer from the package index")
        found |= named


def is_pure(name: str, version: str) -> bool:
    """Whether the wheel that is made of a package's sources is for any processor."""
    with tempfile.TemporaryDirectory() as folder:
        words = ("wheel", "--quiet", "--no-deps", "--no-binary", name, "--wheel-dir", folder, f"{name}=={version}")
        subprocess.run([sys.executable, "-m", "pip", *words], check=True, timeout=SECONDS)
        return all(wheel.name.endswith("-none-any.whl") for wheel in Path(folder).iterdir())


def main() -> int:
    """The exit status."""
    versions, pure, status = pinned(), dict[str, bool](), 0
    for platform in PLATFORMS:
        for python in PYTHONS:
            sources = without_wheel(platform, python, set(pure))
            for name in sources - pure.keys():
                pure[name] = is_pure(name, versions[name])
            bad = sorted(name for name in sources if not pure[name])
            good = ", ".join(sorted(sources.difference(bad)))
            words = f"a compiler is needed for {', '.join(bad)}" if bad else "no compiler is needed"
            sys.stdout.write(f"{platform}, Python {python}: {len(versions)} packages, {words}")
            sys.stdout.write(f" ({good}: sources in Python alone)\n" if good else "\n")
            status = 1 if bad else status
    return status


if __name__ == "__main__":
    sys.exit(main())
