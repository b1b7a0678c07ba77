"""`./fogline user`: people, their roles, and the one-time links with which they choose a password."""

from __future__ import annotations

import time

import click
import msgspec

from cli import asking, listing
from cli.links import dashboard_of, first_run_token, setup_link
from cli.options import from_settings
from cli.settings import AskSettings, UserSettings
from cli.times import moment
from mesh.access import ROLES, Role
from mesh.access_client import AccessClient
from mesh.access_wire import Link, User, UserChange
from mesh.errors import SetupProblem

_role = click.Choice(list(ROLES))


@click.group()
def user() -> None:
    """People who may sign in at the dashboard, and their roles."""


@user.command()
@click.argument("name")
@click.option("--role", type=_role, default="viewer", show_default=True, help="what the person may do")
@from_settings(UserSettings)
def add(settings: UserSettings, name: str, role: Role) -> None:
    """Adds a person, and prints once the link with which they choose a password."""
    client = asking.registry(settings)
    made = AccessClient(client).add_user(name, role)
    if made.link is None:
        raise SetupProblem(f"the registry made no link for {name}: ./fogline user link {name}")
    _show(made.link, dashboard_of(settings.dashboard, client.address()), settings)


@user.command("list")
@from_settings(AskSettings)
def list_users(settings: AskSettings) -> None:
    """Shows who may sign in."""
    found = asking.access(settings).users()
    if settings.json:
        listing.document(found)
        return
    listing.table(
        ("Name", "Role", "State", "Signed in", "Last sign-in", "Added"),
        (
            (
                one.name,
                one.role,
                _state(one),
                str(one.sign_ins),
                moment(one.last_sign_in, "never"),
                moment(one.created_at),
            )
            for one in found
        ),
        "Nobody can sign in yet: ./fogline user link",
    )


@user.command()
@click.argument("name")
@click.argument("role", type=_role)
@from_settings(AskSettings)
def role(settings: AskSettings, name: str, role: Role) -> None:
    """Gives NAME another role: viewer, operator or admin."""
    changed = asking.access(settings).change_user(name, UserChange(role=role))
    click.echo(f"{changed.name} is {changed.role} now.", err=True)


@user.command()
@click.argument("name")
@from_settings(AskSettings)
def disable(settings: AskSettings, name: str) -> None:
    """Ends NAME's sign-ins and lets them in no more, until they are enabled again."""
    asking.access(settings).change_user(name, UserChange(disabled=True))
    click.echo(f"{name} cannot sign in any more.", err=True)


@user.command()
@click.argument("name")
@from_settings(AskSettings)
def enable(settings: AskSettings, name: str) -> None:
    """Lets NAME sign in again."""
    asking.access(settings).change_user(name, UserChange(disabled=False))
    click.echo(f"{name} can sign in again.", err=True)


@user.command()
@click.argument("name")
@from_settings(AskSettings)
def remove(settings: AskSettings, name: str) -> None:
    """Removes NAME, whose sign-ins end at once."""
    asking.access(settings).remove_user(name)
    click.echo(f"{name} is removed.", err=True)


@user.command("sign-out")
@click.argument("name")
@from_settings(AskSettings)
def sign_out(settings: AskSettings, name: str) -> None:
    """Ends every sign-in of NAME, on all devices."""
    asking.access(settings).sign_out(name)
    click.echo(f"{name} is signed out everywhere.", err=True)


@user.command()
@click.argument("name", required=False)
@from_settings(UserSettings)
def link(settings: UserSettings, name: str | None) -> None:
    """Prints a one-time link with which NAME chooses a new password; without NAME that of the first run, with which
    the first admin is made."""
    client = asking.registry(settings)
    dashboard = dashboard_of(settings.dashboard, client.address())
    if name is not None:
        _show(AccessClient(client).link(name), dashboard, settings)
        return
    token = first_run_token(settings.data)
    if not AccessClient(client).setup().needed:
        click.echo(
            f"The first-run link is not needed any more: people can sign in at {dashboard}."
            " For a person's new password: ./fogline user link NAME",
            err=True,
        )
        return
    if token is None:
        raise SetupProblem(
            f"the registry waits for its first admin, but {settings.data} does not hold its first-run link:"
            " run this on the registry's machine, as the user who started it, and with its --data"
        )
    if settings.json:
        listing.document({"token": token, "address": setup_link(dashboard, token)})
        return
    listing.secret("Open this link to make the first admin; it works once:", setup_link(dashboard, token))


def _show(made: Link, dashboard: str, settings: UserSettings) -> None:
    address = setup_link(dashboard, made.token)
    if settings.json:
        listing.document({**msgspec.to_builtins(made), "address": address})
        return
    listing.secret(
        f"{made.name} chooses a password with this link. It works once, until {moment(made.expires_at)}, and is not"
        " shown again:",
        address,
    )


def _state(one: User) -> str:
    if one.disabled:
        return "disabled"
    if one.locked_until and one.locked_until > time.time():
        return f"locked until {moment(one.locked_until)}: too many wrong passwords"
    return "has a link" if one.link_pending else "can sign in"
