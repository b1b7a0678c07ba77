"""`./fogline simulate`: thousands of simulated nodes on real registries, what happens to them, and the figures."""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from cli.settings import SimulateSettings
from cli.simulation.readings import Reading
from cli.simulation.registries import Registries
from cli.simulation.remote import RemoteFleet
from cli.simulation.steps import Simulation
from cli.simulation.watch import Watch


def run(settings: SimulateSettings) -> None:
    """Simulate, print the table, write the JSON. Exits with 1 when something was wrong: overbooked, false alarms, nodes
    or sessions that did not come back."""
    console = Console(stderr=True, highlight=False)
    with (
        tempfile.TemporaryDirectory(prefix="fogline-sim-", ignore_cleanup_errors=True) as folder,
        Registries(settings.registries, Path(folder), address=settings.redis) as registries,
        Watch(registries.urls[-1]) as watch,
        RemoteFleet(registries.ports, settings.nodes) as fleet,
    ):
        begun = time.monotonic()

        def say(text: str) -> None:
            console.print(f"{time.monotonic() - begun:6.1f} s  {text} …")

        simulation = Simulation(registries, fleet, watch, settings.nodes, settings.seconds, say)
        readings = simulation.run()
    wrong = [one for one in readings if one.must and not one.met]
    Console(highlight=False).print(table(readings, settings))
    if settings.json:
        document = {
            "nodes": settings.nodes,
            "registries": settings.registries,
            "readings": [one.as_json() for one in readings],
        }
        Path(settings.json).write_text(json.dumps(document, indent=1) + "\n")
    for one in wrong:
        console.print(f"wrong: {one.step}: {one.what}: {one.shown()} instead of {one.asked}", style="red")
    sys.exit(1 if wrong else 0)


def table(readings: Sequence[Reading], settings: SimulateSettings) -> Table:
    """Every figure beside its target."""
    several = f"{settings.registries} registries" if settings.registries > 1 else "one registry"
    drawn = Table(title=f"{settings.nodes:,} simulated nodes on {several}", title_justify="left", box=box.SIMPLE_HEAD)
    drawn.add_column("")
    drawn.add_column("measured", justify="right", no_wrap=True)
    drawn.add_column("target", justify="right", no_wrap=True)
    drawn.add_column("", no_wrap=True)
    last = ""
    for one in readings:
        if one.step != last:
            drawn.add_row(Text(one.step, "bold"))
            last = one.step
        verdict = {None: Text(""), True: Text("met", "green"), False: Text("WRONG" if one.must else "missed", "red")}
        drawn.add_row(f"  {one.what}", f"{one.shown()} {one.unit}".rstrip(), one.asked, verdict[one.met])
    return drawn
