"""`./fogline token`: join tokens, with which other machines join a mesh that is locked."""

from __future__ import annotations

import click

from cli import asking, listing
from cli.options import from_settings
from cli.settings import AskSettings, TokenSettings
from cli.times import duration, left, moment
from mesh.access_client import AccessClient
from mesh.access_wire import JoinTokenRequest


@click.group()
def token() -> None:
    """Join tokens: what another machine needs once to join this mesh."""


@token.command()
@click.option("--uses", type=click.IntRange(1, 10_000), default=1, show_default=True, help="machines that may join")
@click.option("--expires", callback=duration, default="24h", show_default=True, help="good for so long: 30m, 24h, 7d")
@click.option("--name", default="join token", show_default=True, help="what the token is called in lists")
@from_settings(TokenSettings)
def create(settings: TokenSettings, uses: int, expires: float, name: str) -> None:
    """Makes a join token, and prints it once with the command for the other machine."""
    client = asking.registry(settings)
    made = AccessClient(client).create_join_token(JoinTokenRequest(uses=uses, expires_in=expires, name=name))
    if settings.json:
        listing.document(made)
        return
    machines = "one machine" if uses == 1 else f"{uses} machines"
    listing.secret(
        f"A join token for {machines}, good until {moment(made.token.expires_at)}. It is not shown again:", made.secret
    )
    address = settings.registry_address or asking.as_others_reach_it(client.address())
    if address is None:
        click.echo(
            "\nOther machines cannot reach this registry yet: it listens on this machine alone."
            " Start it with --host 0.0.0.0 (./fogline up --host 0.0.0.0).",
            err=True,
        )
        address = "http://HOST:5050"
    click.echo("\nOn the other machine, in its checkout of Fogline:", err=True)
    for role in ("compute", "camera"):
        more = " --source 0" if role == "camera" else ""
        click.echo(
            f"  FOGLINE_JOIN_TOKEN={made.secret} ./fogline {role} --host 0.0.0.0 --registry {address}{more}", err=True
        )
    click.echo("Or in containers, with deploy/join.yml alone:", err=True)
    variables = f"FOGLINE_REGISTRY={address} FOGLINE_JOIN_TOKEN={made.secret}"
    click.echo(f"  {variables} docker compose -f join.yml up -d --wait", err=True)


@token.command("list")
@from_settings(AskSettings)
def list_tokens(settings: AskSettings) -> None:
    """Shows the join tokens that are still good; never the tokens themselves."""
    found = asking.access(settings).join_tokens()
    if settings.json:
        listing.document(found)
        return
    listing.table(
        ("Id", "Name", "Uses left", "Good for", "Made", "By"),
        (
            (
                one.token_id,
                one.name,
                f"{one.uses_left} of {one.uses}",
                left(one.expires_at),
                moment(one.created_at),
                one.created_by,
            )
            for one in found
        ),
        "There is no join token: ./fogline token create",
    )


@token.command()
@click.argument("token_id", metavar="ID")
@from_settings(AskSettings)
def revoke(settings: AskSettings, token_id: str) -> None:
    """Makes a join token good for nothing; nodes that joined with it stay."""
    asking.access(settings).revoke_join_token(token_id)
    click.echo(f"The join token {token_id} is revoked.", err=True)
