"""`./fogline key`: API keys, for programs."""

from __future__ import annotations

import click

from cli import asking, listing
from cli.options import from_settings
from cli.settings import AskSettings
from cli.times import duration, left, moment
from mesh.access import SCOPES, Scope


@click.group()
def key() -> None:
    """API keys: how programs show who they are."""


@key.command()
@click.argument("name")
@click.option(
    "--scope",
    "scopes",
    type=click.Choice(SCOPES),
    multiple=True,
    required=True,
    help="what the key is for: view (lists and streams), detect (send pictures), operate (sessions, cameras, drains),"
    " admin (everything), metrics (figures and the list of what has some, for Prometheus, and nothing else); repeat for"
    " several",
)
@click.option(
    "--expires", callback=duration, default=None, help="good for so long: 30m, 24h, 7d; for ever when missing"
)
@from_settings(AskSettings)
def create(settings: AskSettings, name: str, scopes: tuple[Scope, ...], expires: float | None) -> None:
    """Makes an API key called NAME, and prints it once."""
    made = asking.access(settings).create_key(name, list(dict.fromkeys(scopes)), expires)
    if settings.json:
        listing.document(made)
        return
    listing.secret(
        f"The API key {made.key.name} ({', '.join(made.key.scopes)}; good {_good(made.key.expires_at)})."
        " It is not shown again:",
        made.secret,
    )
    click.echo("\nShow it as Authorization: Bearer KEY, or as the password of HTTP Basic.", err=True)


@key.command("list")
@from_settings(AskSettings)
def list_keys(settings: AskSettings) -> None:
    """Shows the API keys; never the keys themselves."""
    found = asking.access(settings).keys()
    if settings.json:
        listing.document(found)
        return
    listing.table(
        ("Id", "Name", "For", "Good for", "Last used", "From", "Made", "By"),
        (
            (
                one.key_id,
                one.name,
                ", ".join(one.scopes),
                left(one.expires_at),
                moment(one.last_used, "never"),
                one.last_address or "–",
                moment(one.created_at),
                one.created_by,
            )
            for one in found
        ),
        "There is no API key: ./fogline key create NAME --scope view",
    )


@key.command()
@click.argument("key_id", metavar="ID")
@from_settings(AskSettings)
def revoke(settings: AskSettings, key_id: str) -> None:
    """Makes an API key good for nothing; streams that it opened end at once."""
    asking.access(settings).revoke_key(key_id)
    click.echo(f"The API key {key_id} is revoked.", err=True)


def _good(until: float | None) -> str:
    return "for ever" if until is None else f"until {moment(until)}"
