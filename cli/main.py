"""`./fogline`: every command, and how an error is said."""

from __future__ import annotations

import gc
import importlib
import os
import sys

import click

from cli.options import from_settings
from cli.settings import DiscoverSettings, DoctorSettings, SimulateSettings, StatusSettings, UpSettings
from mesh.errors import FoglineError, Unauthorized
from mesh.version import VERSION

HOW_TO_SHOW = (
    "On the command line: give an API key by FOGLINE_API_KEY, or run this on the registry's machine, as the user who"
    " started it and with its --data"
)

# Each command imports what it runs when it runs: `fogline status` on a small computer loads no engine, and a service
# that starts loads no other command's parts.
# ruff: noqa: PLC0415
ROLES = {
    "registry": ("registry", "RegistrySettings", "The registry: who is there, what they can do, who serves what."),
    "ui": ("ui", "UiSettings", "The dashboard."),
    "camera": ("camera_node", "CameraSettings", "A camera node: one source, any number of viewers."),
    "compute": ("compute_node", "ComputeSettings", "A compute node: runs algorithms on the mesh's cameras."),
}
# Commands by their modules, in which they stand under their own names.
MODULES = {
    **{"audit": "cli.audit", "backup": "cli.backup", "bench": "cli.checks", "check": "cli.checks", "key": "cli.key"},
    **{"models": "cli.models", "mqtt": "cli.mqtt", "restore": "cli.backup"},
    **{"node": "cli.node", "signing-key": "cli.node", "test": "cli.checks", "token": "cli.token", "user": "cli.user"},
}


class _Commands(click.Group):
    """Imports a command when it is called, or listed."""

    def list_commands(self, context: click.Context) -> list[str]:
        return sorted({*super().list_commands(context), *ROLES, *MODULES})

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        if name in ROLES and name not in self.commands:
            self.add_command(_role(name))
        elif name in MODULES and name not in self.commands:
            self.add_command(getattr(importlib.import_module(MODULES[name]), name.replace("-", "_")))
        return super().get_command(context, name)


def _role(name: str) -> click.Command:
    """The command of one service."""
    package, settings_name, words = ROLES[name]
    settings_class = getattr(importlib.import_module(f"{package}.settings"), settings_name)

    @from_settings(settings_class)
    def role(settings: object) -> None:
        from cli.prepare import prepare

        prepare(name, settings)
        # All that a module makes stays: to look for garbage meanwhile is a sixth of a start, and to take everything
        # apart at the end the longest part of stopping.
        gc.disable()
        service = importlib.import_module(f"{package}.main")
        gc.freeze()
        gc.enable()
        try:
            service.run(settings)
        except SystemExit as end:
            if end.code in (None, 0):
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(0)
            raise

    role.__doc__ = words
    return click.command(name)(role)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
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
    from cli.processes import follow_parent

    follow_parent()
    try:
        fogline.main(prog_name="fogline", standalone_mode=False)
    except click.exceptions.Exit as error:
        sys.exit(error.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (KeyboardInterrupt, click.Abort):
        sys.exit(130)
    except Unauthorized as error:
        click.echo(f"fogline: {error.detail}. {HOW_TO_SHOW}", err=True)
        sys.exit(1)
    except FoglineError as error:
        click.echo(f"fogline: {error.detail}", err=True)
        sys.exit(1)
