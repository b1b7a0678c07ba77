"""`./fogline status`: who is in the mesh, and what runs where; once, or live with --watch."""

from __future__ import annotations

import json
import time
from collections.abc import Callable

import click
from rich.console import Console
from rich.live import Live

from cli import asking, status_view
from cli.settings import StatusSettings
from cli.status_view import Reading
from mesh.client import RegistryClient
from mesh.errors import FoglineError, SetupProblem

REFRESH_SECONDS = 1.0
READ_SHARE = 5  # a reading that takes long is followed by a pause so many times as long: 10,000 nodes are 6 MB
TIMEOUT = (1.0, 5.0)  # seconds to connect, and for the answer


def run(settings: StatusSettings) -> None:
    """Print the tables once, or keep them up to date until Ctrl-C."""
    client = asking.registry(settings, TIMEOUT)
    if settings.json:
        reading = read(client)
        click.echo(json.dumps({"nodes": reading.nodes, "sessions": reading.sessions}, indent=2))
        return
    console = Console(highlight=False)
    if not settings.watch:
        console.print(status_view.page(read(client), console.width))
        return
    if not console.is_terminal:
        raise SetupProblem("--watch needs a terminal; without it the tables are printed once, with --json as JSON")
    try:
        watch(lambda: read(client), console)
    except KeyboardInterrupt:
        return  # that is how it is ended


def read(client: RegistryClient) -> Reading:
    """Everything as the registry lists it now. Raises RegistryAway when it does not answer."""
    nodes = client.nodes(state="any")
    sessions = client.sessions()
    return Reading(
        registry=client.url,
        nodes=nodes["nodes"],
        sessions=sessions["sessions"],
        stale_seconds=nodes.get("age_seconds", 0.0) if nodes.get("stale") else None,
        preserving=bool(nodes.get("preserving")),
    )


def watch(look: Callable[[], Reading], console: Console) -> None:
    """Show what `look` gives, each second in place, until KeyboardInterrupt. A registry that is away is said, with the
    last state below, and asked again."""
    last: Reading | None = None
    away_since = 0.0
    away = ""
    with Live(console=console, screen=True, auto_refresh=False) as live:
        while True:
            began = time.monotonic()
            try:
                last, away = look(), ""
            except FoglineError as error:  # whatever it says: it is shown, and asked again
                away_since = away_since if away else time.time()
                away = error.detail
            took = time.monotonic() - began
            problem = status_view.away(away, away_since) if away else None
            live.update(status_view.screen(last, problem, console.size), refresh=True)
            time.sleep(max(REFRESH_SECONDS, took * READ_SHARE) if not away else REFRESH_SECONDS)
