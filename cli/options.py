"""Command-line options made of settings classes, so that every setting is declared once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from mesh.settings import fields_of, kind_of, load, option_of, variable_of

S = TypeVar("S")


def from_settings(cls: type[S]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command the options of `cls`; the command gets the loaded settings as its first argument, and by name
    what other decorators above this one add.

    The texts are checked by mesh.settings, in one place for options and variables.
    """

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        def run(**given: Any) -> None:
            options = {field.name: given.pop(field.name) for field in fields_of(cls)}
            command(load(cls, options), **given)

        run.__doc__ = command.__doc__
        run.__name__ = command.__name__
        for field in reversed(fields_of(cls)):
            kind, many = kind_of(cls, field)
            default = ", ".join(field.default) if many else field.default
            shown = (
                f"{field.metadata['help']}  [{variable_of(field)}{f'; {default}' if default not in ('', 0) else ''}]"
            )
            name = option_of(field)
            if kind is bool:
                run = click.option(f"{name}/--no-{name[2:]}", field.name, default=None, help=shown)(run)
            else:
                metavar = field.metadata["metavar"] or {int: "N", float: "X"}.get(kind, "TEXT")
                run = click.option(name, field.name, default=None, multiple=many, metavar=metavar, help=shown)(run)
        return run

    return decorate
