"""`./fogline`: every command, and how an error is said."""

from __future__ import annotations

import sys

import click

from cli.options import from_settings
from cli.settings import DiscoverSettings, DoctorSettings, SimulateSettings, StatusSettings, UpSettings
from mesh.errors import FoglineError
from mesh.version import VERSION

# Each command imports what it runs when it runs: `fogline status` on a small computer loads no engine.
# ruff: noqa: PLC0415


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(VERSION, prog_name="fogline")
def fogline() -> None:
    """Turns the cameras and computers on your LAN into one vision cluster.

    \b
    ./fogline up                                   everything on this machine, with a demo camera
    ./fogline up --camera 0 --camera rtsp://…      … with your own cameras
    ./fogline camera --source 0 --registry http://HOST:5050      join a mesh with a camera
    ./fogline compute --registry http://HOST:5050                join a mesh with a computer

    Every option has a variable of the same name: --registry is FOGLINE_REGISTRY.
    """


@fogline.command()
@from_settings(UpSettings)
def up(settings: UpSettings) -> None:
    """The whole mesh on this machine: registry, dashboard, cameras, compute nodes."""
    from cli.up import run

    run(settings)


def _role(name: str) -> None:
    """Add the command of one service."""
    import importlib

    classes = {
        "registry": ("registry", "RegistrySettings", "The registry: who is there, what they can do, who serves what."),
        "ui": ("ui", "UiSettings", "The dashboard."),
        "camera": ("camera_node", "CameraSettings", "A camera node: one source, any number of viewers."),
        "compute": ("compute_node", "ComputeSettings", "A compute node: runs algorithms on the mesh's cameras."),
    }
    package, settings_name, words = classes[name]
    settings_class = getattr(importlib.import_module(f"{package}.settings"), settings_name)

    @from_settings(settings_class)
    def role(settings: object) -> None:
        from cli.prepare import prepare

        prepare(name, settings)
        importlib.import_module(f"{package}.main").run(settings)

    role.__doc__ = words
    fogline.command(name)(role)


for _name in ("registry", "ui", "camera", "compute"):
    _role(_name)


@fogline.command()
@from_settings(StatusSettings)
def status(settings: StatusSettings) -> None:
    """A table of nodes and sessions; live with --watch."""
    from cli.status import run

    run(settings)


@fogline.command()
@from_settings(SimulateSettings)
def simulate(settings: SimulateSettings) -> None:
    """Thousands of simulated nodes on real registries: joins, deaths, a cut network, a wipe, with figures."""
    from cli.simulate import run

    run(settings)


@fogline.command()
@from_settings(DoctorSettings)
def doctor(settings: DoctorSettings) -> None:
    """Checks this machine and the mesh, and says how to mend what is wrong."""
    from cli.doctor import run

    run(settings)


@fogline.command()
@from_settings(DiscoverSettings)
def discover(settings: DiscoverSettings) -> None:
    """Registries and ONVIF cameras that answer on the network, and how to add them."""
    from cli.discover import run

    run(settings)


def main() -> None:
    """Run the command line; a known error is one sentence, not a trace."""
    from cli import checks, models
    from cli.processes import follow_parent

    follow_parent()
    fogline.add_command(models.models)
    for command in (checks.test, checks.check, checks.bench):
        fogline.add_command(command)
    try:
        fogline.main(prog_name="fogline", standalone_mode=False)
    except click.exceptions.Exit as error:
        sys.exit(error.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (KeyboardInterrupt, click.Abort):
        sys.exit(130)
    except FoglineError as error:
        click.echo(f"fogline: {error.detail}", err=True)
        sys.exit(1)
