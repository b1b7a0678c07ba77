"""Printing what was asked for: a table for people, JSON for programs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import click
import msgspec
from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

WIDTH = 200  # characters of a table that goes into a file or another program


def table(columns: Sequence[str], rows: Iterable[Sequence[str]], nothing: str) -> None:
    """Print `rows`, or the sentence `nothing` when there are none. Texts are shown as they are: no markup in them."""
    found = list(rows)
    if not found:
        click.echo(nothing)
        return
    drawn = Table(
        # What a command is given is never broken, so that it can be copied.
        *(Column(name, overflow="fold", no_wrap=number == 0) for number, name in enumerate(columns)),
        box=None,
        pad_edge=False,
        padding=(0, 2, 0, 0),
        header_style="dim",
    )
    for row in found:
        drawn.add_row(*map(Text, row))
    console = Console(highlight=False)
    console.print(drawn, width=None if console.is_terminal else WIDTH, crop=False)


def document(value: Any) -> None:
    """Print records as JSON to read."""
    click.echo(msgspec.json.format(msgspec.json.encode(value)).decode())


def secret(words: str, value: str) -> None:
    """Print a secret on a line of its own, so that it can be copied whole; `words` goes beside it, to the terminal."""
    click.echo(words, err=True)
    click.echo(value)
