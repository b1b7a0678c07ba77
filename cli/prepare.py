"""What must be fetched once before a service can start: the dashboard's libraries and the default models."""

from __future__ import annotations

import fcntl
import hashlib
import subprocess
from collections.abc import Collection
from pathlib import Path

from rich.console import Console

from cli.npm import ensure_npm, npm_environment
from mesh.errors import SetupProblem

ROOT = Path(__file__).resolve().parent.parent
UI = ROOT / "ui"
NPM_SECONDS = 300  # for a handful of small packages, over a slow line


def prepare(role: str, settings: object) -> None:
    """Fetch what `role` needs and this machine lacks."""
    console = Console(stderr=True, highlight=False)
    if role == "ui":
        prepare_front_end(console)
    elif role == "compute":
        offered = [word.strip() for word in settings.algorithms.split(",")]  # type: ignore[attr-defined]
        prepare_models(settings.data, console, algorithms=offered if any(offered) else None)  # type: ignore[attr-defined]
    elif role == "camera" and settings.source == "demo:":  # type: ignore[attr-defined]
        prepare_models(settings.data, console, algorithms=(), demo=True)  # type: ignore[attr-defined]


def prepare_front_end(console: Console, *, tests: bool = False) -> None:
    """Install the dashboard's libraries by its lock file, through npm; at once when they are there. tests: also what
    only its tests need."""
    modules = UI / "node_modules"
    stamp = modules / ".fogline"
    lock_file = hashlib.sha256((UI / "package-lock.json").read_bytes()).hexdigest()
    full = f"{lock_file} and for tests"
    wanted = full if tests else lock_file

    def present() -> bool:
        return stamp.is_file() and stamp.read_text() in (wanted, full)

    if present():
        return
    try:
        with (UI / ".npm.lock").open("w") as lock, console.status("Fetching the dashboard's libraries …"):
            fcntl.flock(lock, fcntl.LOCK_EX)  # two services of one checkout must not install over one another
            if present():
                return
            words = [] if tests else ["--omit=dev"]
            done = subprocess.run(
                [*ensure_npm(console), "ci", *words, "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error"],
                cwd=UI,
                capture_output=True,
                text=True,
                timeout=NPM_SECONDS,
                check=False,
                env=npm_environment(),
            )
            if done.returncode == 0:
                stamp.write_text(wanted)
    except subprocess.TimeoutExpired:
        raise SetupProblem(
            f"npm fetched no dashboard's libraries within {NPM_SECONDS} s: check the network, run ./fogline again"
        ) from None
    except OSError as error:
        raise SetupProblem(f"the dashboard's libraries cannot be put into {modules}: {error.strerror}") from None
    if done.returncode:
        last = "\n".join((done.stderr or done.stdout).strip().splitlines()[-6:])
        raise SetupProblem(
            f"the dashboard's libraries could not be fetched through npm:\n{last}\n"
            "Check the network, or name a package index of your own in ~/.npmrc; then run ./fogline again."
        )
    console.print("  dashboard's libraries: done")


def prepare_models(
    data: Path, console: Console, *, algorithms: Collection[str] | None = None, demo: bool = False
) -> None:
    """Pull the default models of `algorithms`, of all when None; the demo camera's photographs when `demo`.

    What cannot be pulled is said, and the rest goes on: the other algorithms work without it.
    """
    from cli.models import DEFAULT_OF, pull_missing  # noqa: PLC0415  # the catalogue: only where models are wanted

    pull_missing(data, console, algorithms=DEFAULT_OF if algorithms is None else algorithms, demo=demo)


if __name__ == "__main__":  # for image builds
    prepare_front_end(Console(stderr=True))
