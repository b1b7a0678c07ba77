"""`./fogline audit`: who did what from where, oldest first; as it happens with --follow."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator

import click
import msgspec

from cli import asking
from cli.options import from_settings
from cli.settings import AskSettings
from mesh.access_client import PAGE, AccessClient
from mesh.access_wire import AuditEntry
from mesh.errors import RegistryAway

FOLLOW_SECONDS = 1.0  # between two looks


@click.command()
@click.option("--limit", type=click.IntRange(1), default=PAGE, show_default=True, help="the newest so many entries")
@click.option("--all", "everything", is_flag=True, help="all that is kept")
@click.option("--follow", is_flag=True, help="go on with what happens from now on, until Ctrl-C")
@from_settings(AskSettings)
def audit(settings: AskSettings, limit: int, everything: bool, follow: bool) -> None:
    """Shows who did what from where: sign-ins, keys, nodes, cameras, sessions. With --json as JSON lines."""
    client = asking.access(settings)
    newest = list(itertools.islice(client.audit(), None if everything else limit))
    for entry in reversed(newest):
        _print(entry, json=settings.json)
    if follow:
        for entry in following(client, newest[0].entry_id if newest else None):
            _print(entry, json=settings.json)


def following(client: AccessClient, last: str | None) -> Iterator[AuditEntry]:
    """What comes after the entry with the id `last`, each once, for ever. A registry that is away is waited for."""
    while True:
        try:
            fresh = _after(last, client)
        except RegistryAway as error:
            click.echo(f"fogline: {error.detail}; waiting for it", err=True)
            fresh = []
        if fresh:
            last = fresh[0].entry_id
        yield from reversed(fresh)
        time.sleep(FOLLOW_SECONDS)


def _after(last: str | None, client: AccessClient) -> list[AuditEntry]:
    """Newest first."""
    return list(itertools.takewhile(lambda entry: entry.entry_id != last, client.audit()))


def line(entry: AuditEntry) -> str:
    """An entry on one line, with nothing in it that a terminal would obey."""
    at = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(entry.at))
    outcome = "" if entry.outcome == "ok" else f"  ✘ {entry.outcome}"
    text = f"{at}  {entry.who} ({entry.address or '–'})  {entry.action}  {entry.subject}".rstrip() + outcome
    return "".join(letter if letter.isprintable() else "�" for letter in text)


def _print(entry: AuditEntry, *, json: bool) -> None:
    click.echo(msgspec.json.encode(entry).decode() if json else line(entry))
