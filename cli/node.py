"""`./fogline node` and `./fogline signing-key`: nodes that the mesh trusts and that are taken out of service, and the
key with which it says so."""

from __future__ import annotations

import click

from cli import asking, draining, listing
from cli.options import from_settings
from cli.settings import AskSettings
from cli.times import moment
from mesh.access_wire import Enrolment
from mesh.errors import Conflict, NotFound


@click.group()
def node() -> None:
    """Nodes: which have joined with a key of their own, and how one is taken out of service."""


@node.command("list")
@from_settings(AskSettings)
def list_nodes(settings: AskSettings) -> None:
    """Shows who has joined; `status` shows how they are."""
    found = asking.access(settings).enrolments()
    if settings.json:
        listing.document(found)
        return
    listing.table(
        ("Id", "Name", "Kind", "Joined", "State"),
        (
            (
                one.node_id,
                one.name,
                one.kind,
                moment(one.enrolled_at),
                f"revoked {moment(one.revoked_at)} by {one.revoked_by or '–'}" if one.revoked_at else "trusted",
            )
            for one in found
        ),
        "No node has joined with a key: a mesh that only its own machine can open needs none",
    )


@node.command()
@click.argument("node_id", metavar="ID|NAME")
@from_settings(AskSettings)
def revoke(settings: AskSettings, node_id: str) -> None:
    """Trusts a node no more: its key is good for nothing, its sessions move, and it needs a new join token."""
    client = asking.access(settings)
    found = chosen(client.enrolments(), node_id)
    client.revoke_node(found.node_id)
    click.echo(f"{found.name} ({found.node_id}) is revoked.", err=True)


def chosen(enrolments: list[Enrolment], wanted: str) -> Enrolment:
    """The node with this id, else the one trusted node with this name. Raises NotFound or Conflict."""
    for one in enrolments:
        if one.node_id == wanted:
            return one
    trusted = [one for one in enrolments if one.revoked_at is None]
    named = [one for one in trusted if one.name == wanted]
    if not named:
        raise NotFound.among("node", wanted, (one.name for one in trusted))
    if len(named) > 1:
        ids = ", ".join(one.node_id for one in named)
        raise Conflict(f"{len(named)} nodes are called {wanted!r}: name one by its id ({ids})")
    return named[0]


@node.command()
@click.argument("wanted", metavar="[NAME|ID]", required=False)
@click.option("--here", is_flag=True, help="the nodes that run here with the folder --data, by their own keys")
@click.option(
    "--wait",
    "seconds",
    type=click.FloatRange(0, 86_400),
    metavar="SECONDS",
    help="return when no session is left; after so long say which are, and why, and exit with 1",
)
@from_settings(AskSettings)
def drain(settings: AskSettings, wanted: str | None, here: bool, seconds: float | None) -> None:
    """Lets a node take no new sessions; those that it has move to others without a gap.

    It ends when the node is started anew, or with `undrain`.
    """
    nodes = _meant(settings, wanted, here)
    documents = [one.registry.drain(one.node_id) for one in nodes]
    if settings.json:
        listing.document(documents)
    for one in nodes:
        click.echo(f"{one.name} ({one.node_id}) takes no new sessions.", err=True)
    if seconds is not None:
        draining.wait(nodes, seconds)
        click.echo("No session is left: it can be stopped.", err=True)


@node.command()
@click.argument("wanted", metavar="[NAME|ID]", required=False)
@click.option("--here", is_flag=True, help="the nodes that run here with the folder --data, by their own keys")
@from_settings(AskSettings)
def undrain(settings: AskSettings, wanted: str | None, here: bool) -> None:
    """Lets a node take sessions again."""
    nodes = _meant(settings, wanted, here)
    documents = [one.registry.drain(one.node_id, undo=True) for one in nodes]
    if settings.json:
        listing.document(documents)
    for one in nodes:
        click.echo(f"{one.name} ({one.node_id}) takes sessions again.", err=True)


def _meant(settings: AskSettings, wanted: str | None, here: bool) -> list[draining.Node]:
    if here == bool(wanted):
        raise click.UsageError("name one node, by its name or id, or say --here")
    if here:
        return draining.here(settings)
    return [draining.named(asking.registry(settings), str(wanted))]


@click.group("signing-key")
def signing_key() -> None:
    """The registry's own key, with which it signs nodes' certificates and stream addresses."""


@signing_key.command()
@from_settings(AskSettings)
def rotate(settings: AskSettings) -> None:
    """Lets the registry sign with a new key from now on. Nothing stops: what the old one signed stays good for its
    time, and nodes learn of the new one by themselves."""
    asking.access(settings).rotate_signing_key()
    click.echo("The registry signs with a new key from now on; nodes learn of it within seconds.", err=True)
