"""`./fogline discover`: which registries and which ONVIF cameras answer on the network, and the next step for each."""

from __future__ import annotations

import click
import msgspec
from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from cli import asking
from cli.settings import DiscoverSettings
from mesh.client import CONNECT_TIMEOUT, RegistryClient
from mesh.discovery import Announced
from mesh.errors import FoglineError, RegistryAway
from registry.discovery import Discovered, marked, readers, search
from registry.onvif import Candidate

ANSWER_SECONDS = 10.0  # the registry searches for two seconds before it answers
ELSEWHERE = "http://HOST:5050"  # in a command, where no registry is known


def run(settings: DiscoverSettings) -> None:
    """Search from this machine, or from the registry that is named; print what answers.

    Raises Unavailable when multicast is not possible, RegistryAway when the named registry does not answer.
    """
    console = Console(highlight=False)
    with Console(stderr=True).status("searching the network …"):
        found = _asked(settings) if settings.registry else _searched(settings)
    if settings.json:
        click.echo(msgspec.json.format(msgspec.json.encode(found)).decode())
        return
    registry = settings.registry or next((url for one in found.registries for url in one.urls), "")
    for problem in found.problems:
        console.print(Text(f"▲ {problem}", style="yellow"))
    _print_registries(console, found.registries)
    console.print()
    _print_cameras(console, found.cameras, registry or ELSEWHERE)
    console.print(
        "\nAdding by hand always works: SOURCE may be a camera's number or device, rtsp://…, http://…, a video file,"
        " a folder of pictures or demo:; a registry anywhere is named with --registry."
    )


def _searched(settings: DiscoverSettings) -> Discovered:
    """From this machine; which cameras are in the mesh already is asked of the registry, if one was found."""
    found = search(settings.seconds)
    for url in (*(url for one in found.registries for url in one.urls), asking.here(settings.data)):
        try:
            client = RegistryClient(url, timeout=(1.0, 3.0), credentials=asking.credentials(settings, url))
            nodes = client.nodes(kind="camera")["nodes"]
        except FoglineError:
            continue  # whatever is wrong with it, `status` says so; the cameras are shown all the same
        names = readers([(node["name"], node["url"], str(node.get("source_host", ""))) for node in nodes])
        return msgspec.structs.replace(found, cameras=marked(found.cameras, names))
    return found


def _asked(settings: DiscoverSettings) -> Discovered:
    """What the registry finds on its own network."""
    client = asking.registry(settings, (CONNECT_TIMEOUT, ANSWER_SECONDS))
    try:
        return msgspec.convert(client.discovered(), Discovered)
    except RegistryAway as error:
        raise RegistryAway(f"{error.detail}; is the address right?") from None
    except msgspec.ValidationError as error:
        raise RegistryAway(f"{client.url} gives no registry's answer ({error}): is the address right?") from None


def _print_registries(console: Console, registries: list[Announced]) -> None:
    if not registries:
        console.print(
            "No registry announces itself on this network. One that listens on it does: ./fogline up --host 0.0.0.0"
        )
        return
    table = _table("Registries", "Name", "Address", "Version")
    for one in registries:
        table.add_row(Text(one.name), Text("\n".join(one.urls)), Text(one.version))
    console.print(table)
    console.print("Nodes on this network join it by themselves:")
    _print_command(console, "./fogline compute --host 0.0.0.0")
    _print_command(console, "./fogline camera --host 0.0.0.0 --source SOURCE")
    if not all(one.together(registries[0]) for one in registries):
        console.print("They are of several meshes: name the one that is meant with --registry, on every node.")


def _print_cameras(console: Console, cameras: list[Candidate], registry: str) -> None:
    if not cameras:
        console.print("No ONVIF camera answers on this network.")
        return
    table = _table("ONVIF cameras", "Name", "Address", "Model", "Place", "In the mesh as")
    for one in cameras:
        table.add_row(*map(Text, (one.name, one.address, one.hardware, one.location, one.already or "–")))
    console.print(table)
    missing = [one for one in cameras if one.already is None]
    if missing:
        console.print("To add one, with its user, password and path (its manual or web page tells them):")
    for one in missing:
        source = f"rtsp://USER:PASSWORD@{one.address}/…"
        _print_command(console, f"./fogline camera --host 0.0.0.0 --source '{source}' --registry {registry}")


def _table(title: str, *columns: str) -> Table:
    return Table(
        *(Column(name, overflow="fold") for name in columns),
        title=title,
        title_justify="left",
        title_style="bold",
        box=None,
        pad_edge=False,
        padding=(0, 2, 0, 0),
        header_style="dim",
    )


def _print_command(console: Console, command: str) -> None:
    """One command on one line, so that it can be copied whole."""
    console.print(Text(f"  → {command}"), soft_wrap=True)
