"""`./fogline test`, `check` and `bench`: what developers and CI run."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import click

from cli.prepare import ROOT
from mesh.errors import SetupProblem

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
# What tests need beside Python packages, by Debian's package: a browser for the pages, hosts of their own for the mesh.
PROGRAMS = {"chromium": BROWSERS, "iproute2": ("ip",)}


@click.command(context_settings={"ignore_unknown_options": True})
@click.argument("pytest_arguments", nargs=-1, type=click.UNPROCESSED)
def test(pytest_arguments: tuple[str, ...]) -> None:
    """Runs all tests (arguments go to pytest)."""
    _prepare_tests()
    # Most tests wait for something most of the time: two at once take little more than half as long.
    both = () if {"-n", "-x", "--pdb"}.intersection(pytest_arguments) else ("-n", "2", "--dist", "loadfile")
    sys.exit(_run(sys.executable, "-m", "pytest", *both, *pytest_arguments))


@click.command()
def check() -> None:
    """Lint, format, types and the documentation's own checks."""
    for command in (
        (sys.executable, "-m", "ruff", "check", "."),
        (sys.executable, "-m", "ruff", "format", "--check", "."),
        (sys.executable, "-m", "mypy"),
    ):
        click.echo(f"$ {' '.join(command[2:])}")
        code = _run(*command)
        if code:
            sys.exit(code)


@click.command(context_settings={"ignore_unknown_options": True, "help_option_names": []})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def bench(arguments: tuple[str, ...]) -> None:
    """The benchmarks, as tables and JSON (--help tells more)."""
    sys.exit(_run(sys.executable, "-m", "bench", *arguments))


def _prepare_tests() -> None:
    """Install what the tests need beside Python packages: the dashboard's libraries, the models, a browser."""
    from rich.console import Console  # noqa: PLC0415

    from cli.prepare import prepare_front_end, prepare_models  # noqa: PLC0415

    console = Console(stderr=True, highlight=False)
    prepare_front_end(console, tests=True)
    prepare_models(_data(), console, demo=True)
    missing = [package for package, programs in PROGRAMS.items() if not any(map(shutil.which, programs))]
    if not missing:
        return
    with console.status(f"Installing {' and '.join(missing)} for the tests …"):
        code = _install(missing)
    if code and os.environ.get("CI"):
        raise SetupProblem(f"{' and '.join(missing)} could not be installed; install them and run ./fogline test again")


def _install(packages: list[str]) -> int:
    """Debian's packages where we may install them; elsewhere at least a browser."""
    if not (shutil.which("apt-get") and os.geteuid() == 0):
        if "chromium" not in packages:
            return 0
        return subprocess.call([sys.executable, "-m", "playwright", "install", "chromium"])
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    subprocess.call(["apt-get", "update", "-qq"], stdout=subprocess.DEVNULL)
    install = ["apt-get", "install", "-y", "-qq", "--no-install-recommends", *packages]
    return subprocess.call(install, env=environment, stdout=subprocess.DEVNULL)


def _data() -> Path:
    from mesh.settings import DATA, PREFIX  # noqa: PLC0415

    return Path(os.environ.get(f"{PREFIX}DATA") or DATA).resolve()


def _run(*command: str) -> int:
    return subprocess.call(command, cwd=ROOT)
