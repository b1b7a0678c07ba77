"""Settings: declared once as a frozen record, given as an option or as a variable `FOGLINE_…`, checked at the start.

A settings class is a frozen dataclass whose fields are made by `setting()`. The command line builds its options from
those fields, the documentation's table is checked against them, and `load()` turns texts into values.
"""

from __future__ import annotations

import dataclasses
import math
import os
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from mesh.errors import SetupProblem

PREFIX = "FOGLINE_"
# The launcher says where the checkout is; an installed package keeps its data where it is started.
DATA = Path(os.environ.get("FOGLINE_ROOT") or ".").resolve() / "data"
S = TypeVar("S")


def setting(
    default: Any,
    help: str,
    *,
    least: float | None = None,
    most: float | None = None,
    choices: tuple[str, ...] = (),
    metavar: str | None = None,
) -> Any:
    """A field of a settings class. `least` and `most` bound a number, both included."""
    return dataclasses.field(
        default=default,
        metadata={"help": help, "least": least, "most": most, "choices": choices, "metavar": metavar},
    )


def option_of(field: dataclasses.Field[Any]) -> str:
    """The command line's name of a setting: `registry_port` → `--registry-port`."""
    return "--" + field.name.replace("_", "-")


def variable_of(field: dataclasses.Field[Any]) -> str:
    """The environment's name of a setting: `registry_port` → `FOGLINE_REGISTRY_PORT`."""
    return PREFIX + field.name.upper()


def fields_of(cls: type[Any]) -> list[dataclasses.Field[Any]]:
    """The settings of `cls` that options and variables may give."""
    return [f for f in dataclasses.fields(cls) if "help" in f.metadata]


def kind_of(cls: type[Any], field: dataclasses.Field[Any]) -> tuple[type[Any], bool]:
    """The plain type of a setting (str, int, float, bool, Path) and whether it may be given several times."""
    hint = typing.get_type_hints(cls)[field.name]
    if typing.get_origin(hint) is tuple:
        return typing.get_args(hint)[0], True
    if isinstance(hint, types.UnionType):
        hint = next(a for a in typing.get_args(hint) if a is not type(None))
    return hint, False


def load(cls: type[S], options: Mapping[str, Any], environ: Mapping[str, str] | None = None) -> S:
    """Make a `cls` of the options given, then of the variables, then of the defaults.

    options: texts (or a tuple of texts for a setting that may repeat) by field name; None and () mean not given.
    Raises SetupProblem naming the option and the variable of the value that is wrong.
    """
    environ = os.environ if environ is None else environ
    values: dict[str, Any] = {}
    for field in fields_of(cls):
        kind, many = kind_of(cls, field)
        given = options.get(field.name)
        if given in (None, ()):
            text = environ.get(variable_of(field), "")
            if text == "":
                continue
            given = tuple(t.strip() for t in text.split(",") if t.strip()) if many else text
        values[field.name] = tuple(_value(field, kind, one) for one in given) if many else _value(field, kind, given)
    return cls(**values)


def _value(field: dataclasses.Field[Any], kind: type[Any], given: Any) -> Any:
    def wrong(expected: str) -> SetupProblem:
        return SetupProblem(f"{option_of(field)} ({variable_of(field)}) is {given!r}: {expected}")

    value: Any
    if kind is bool:
        if isinstance(given, bool):
            return given
        if str(given).lower() in ("1", "true", "yes", "on"):
            return True
        if str(given).lower() in ("0", "false", "no", "off"):
            return False
        raise wrong("say yes or no")
    if kind is int or kind is float:
        try:
            value = kind(given)
        except ValueError:
            raise wrong("a whole number is needed" if kind is int else "a number is needed") from None
        least, most = field.metadata["least"], field.metadata["most"]
        if (least is not None and value < least) or (most is not None and value > most) or math.isnan(value):
            bounds = " and ".join(
                words for words, bound in ((f"at least {least}", least), (f"at most {most}", most)) if bound is not None
            )
            raise wrong(f"it must be {bounds}")
        return value
    if kind is Path:
        return Path(str(given)).expanduser().resolve()
    if field.metadata["choices"] and given not in field.metadata["choices"]:
        raise wrong(f"choose one of {', '.join(field.metadata['choices'])}")
    return str(given)


@dataclasses.dataclass(frozen=True)
class ServiceSettings:
    """What every service has."""

    host: str = setting(
        "127.0.0.1", "address to listen on; 0.0.0.0 for every network of this machine", metavar="ADDRESS"
    )
    access: str = setting(
        "auto",
        "who is let in: auto (everybody on this machine where --host is 127.0.0.1; on every other address who has"
        " signed in or has a key) or locked (who has signed in or has a key, always: needed behind a proxy)",
        choices=("auto", "locked"),
    )
    trusted_proxies: int = setting(
        0,
        "how many proxies stand in front and are believed when they say who asks, by which address and below which path"
        " (X-Forwarded-For, -Proto, -Host, -Prefix); whoever can reach the service past them could lie",
        least=0,
        most=10,
    )
    tls: bool = setting(
        False,
        "serve by https, with a certificate of the mesh's own authority (the registry makes one) or of --ca",
    )
    data: Path = setting(
        DATA,
        "folder for what must outlive a restart: identities, models, the registry's data",
        metavar="DIR",
    )
    log: str = setting("auto", "log lines: json, text, or auto (text on a terminal)", choices=("auto", "json", "text"))
    site: str = setting(
        "",
        "name of the place where this runs, such as plant-2: it is in every log line and with every figure, and"
        " sessions may ask for it as the label site",
        metavar="NAME",
    )
    threads: int = setting(64, "threads that answer requests", least=4, most=1024)


@dataclasses.dataclass(frozen=True)
class NodeSettings(ServiceSettings):
    """What every node has besides."""

    registry: str = setting(
        "",
        "address of the registry, or several of its replicas separated by commas; when empty, the one on this machine,"
        " else the one that answers on this network",
        metavar="URL",
    )
    name: str = setting("", "name that people see; chosen from the host's name or the source when empty")
    advertise: str = setting(
        "",
        "address at which other machines reach this node; the registry uses the one that it sees when empty; with a"
        " range of ports (http://10.20.0.14:8000-8003) the node finds the one that leads to it, and without a host"
        " (http://:8000-8003) the registry says which address it sees",
        metavar="URL",
    )
    join_token: str = setting(
        "",
        "token with which this service joins a mesh that is locked, once; made with `fogline token create`; when empty,"
        " the one of a registry with the same --data",
        metavar="TOKEN",
    )
    label: tuple[str, ...] = setting(
        (), "something that sessions may ask for, such as zone=hall-1; may be repeated", metavar="KEY=VALUE"
    )
    cut_off: str = setting(
        "stop",
        "what a node does with its sessions when no registry can be reached: stop (they run elsewhere by then)"
        " or serve (there is only one registry, and its host may go down)",
        choices=("stop", "serve"),
    )
    fanout: str = setting(
        "auto",
        "who sends streams: auto (one thread for all viewers) or threads (each viewer holds one of --threads)",
        choices=("auto", "threads"),
    )
