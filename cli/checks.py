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

# The first is the same engine without what a window needs, at a third of the processor time.
BROWSERS = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
# What tests need beside Python packages, by Debian's package: a browser for the pages, hosts of their own for the
# mesh, a proxy in front of it, who collects its figures, a broker that is told of it, and what looks
# through units.
PROGRAMS = {
    "caddy": ("caddy",),
    BROWSERS[0]: BROWSERS,
    "iproute2": ("ip",),
    "mosquitto": ("mosquitto",),
    "prometheus": ("promtool",),
    "systemd": ("systemd-analyze",),
}
# Where an engine has the images, these run them as the pods of Kubernetes.
POD_PROGRAMS = {"podman": ("podman",), "runc": ("runc", "crun")}
POD_PARTS = ("netavark", "aardvark-dns", "catatonit")  # no commands, and needed


@click.command(context_settings={"ignore_unknown_options": True})
@click.argument("pytest_arguments", nargs=-1, type=click.UNPROCESSED)
def test(pytest_arguments: tuple[str, ...]) -> None:
    """Runs all tests (arguments go to pytest)."""
    _prepare_tests()
    if not any("::" in one or one.startswith("tests/") for one in pytest_arguments):
        _build_images()
    # Most tests wait for something most of the time: three at once keep two cores busy.
    both = () if {"-n", "-x", "--pdb"}.intersection(pytest_arguments) else ("-n", "3", "--dist", "loadfile")
    sys.exit(_run(sys.executable, "-m", "pytest", *both, *pytest_arguments))


@click.command()
def check() -> None:
    """Lint, format, types, and known vulnerabilities in what the images install."""
    for command in (
        (sys.executable, "-m", "ruff", "check", "."),
        (sys.executable, "-m", "ruff", "format", "--check", "."),
        (sys.executable, "-m", "mypy"),
        (sys.executable, "deploy/advisories.py"),
    ):
        click.echo(f"$ {' '.join(command[1:]).removeprefix('-m ')}")
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
    wanted = PROGRAMS | (POD_PROGRAMS if _engine() else {})
    missing = [package for package, programs in wanted.items() if not any(map(shutil.which, programs))]
    if "podman" in missing:
        missing += POD_PARTS
    if not missing:
        return
    with console.status(f"Installing {' and '.join(missing)} for the tests …"):
        code = _install(missing)
    if code and os.environ.get("CI"):
        raise SetupProblem(f"{' and '.join(missing)} could not be installed; install them and run ./fogline test again")


def _build_images() -> None:
    """Where a container engine answers: for the tests that start them. One after the other, for builds side by side
    would each make the layers that they share."""
    from rich.console import Console  # noqa: PLC0415

    docker = _engine()
    if docker is None:
        return
    own = Path(sys.executable).parent / "docker-compose"
    compose = [str(own)] if own.exists() else [docker, "compose"]
    with Console(stderr=True, highlight=False).status("Building the images for the tests …"):
        built = subprocess.run(
            [*compose, "--parallel", "1", "build", "--quiet"], cwd=ROOT, capture_output=True, text=True, check=False
        )
    if built.returncode:
        raise SetupProblem(f"the images could not be built: {(built.stdout + built.stderr)[-2000:]}")


def _engine() -> str | None:
    """Docker's command, where its engine answers."""
    docker = shutil.which("docker")
    if docker is None or subprocess.call([docker, "info"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL):
        return None
    return docker


def _install(packages: list[str]) -> int:
    """Debian's packages where we may install them; elsewhere at least a browser."""
    if not (shutil.which("apt-get") and os.geteuid() == 0):
        if BROWSERS[0] not in packages:
            return 0
        return subprocess.call([sys.executable, "-m", "playwright", "install", "chromium"])
    # Some of them are services: they are not to run on this machine because its user tests something.
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "SYSTEMD_OFFLINE": "1"}
    subprocess.call(["apt-get", "update", "-qq"], stdout=subprocess.DEVNULL)
    install = ["apt-get", "install", "-y", "-qq", "--no-install-recommends", *packages]
    return subprocess.call(install, env=environment, stdout=subprocess.DEVNULL)


def _data() -> Path:
    from mesh.settings import DATA, PREFIX  # noqa: PLC0415

    return Path(os.environ.get(f"{PREFIX}DATA") or DATA).resolve()


def _run(*command: str) -> int:
    # Tests start hundreds of services: without compiled modules each would spend most of its start on compiling.
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    return subprocess.call(command, cwd=ROOT, env=environment)
