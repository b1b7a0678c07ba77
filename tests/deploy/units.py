"""systemd's units as a service manager reads them, as far as Fogline's use them, to run them where none runs."""

from __future__ import annotations

import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

PLACES = ("/opt/fogline", "/var/lib/fogline", "/etc/fogline")  # that units name


@dataclass(frozen=True)
class Unit:
    """A unit with its drop-ins: (key, value) in order, of one installed below `root`."""

    root: Path
    entries: tuple[tuple[str, str], ...]

    def all(self, key: str) -> list[str]:
        """The values of `key`, with the places that they name below `root`."""
        found = (value for name, value in self.entries if name == key)
        return [re.sub("|".join(PLACES), lambda place: f"{self.root}{place[0]}", value) for value in found]

    def environment(self) -> dict[str, str]:
        """What the unit sets, then what its files set."""
        pairs = [pair for line in self.all("Environment") for pair in line.split()]
        for file in self.all("EnvironmentFile"):
            path = Path(file.removeprefix("-"))
            if path.exists():
                pairs += [re.sub(r"^(\w+)='(.*)'$", r"\1=\2", line) for line in path.read_text().splitlines()]
        return dict(pair.split("=", 1) for pair in pairs if pair and not pair.startswith("#"))

    def start(self, log: Path) -> subprocess.Popen[bytes]:
        """Run its ExecStart. Folders that it binds into its own are linked there instead."""
        for bind in [*self.all("BindPaths"), *self.all("BindReadOnlyPaths")]:
            source, _, target = bind.removeprefix("-").partition(":")
            if target and not Path(target).exists():
                Path(target).symlink_to(source)
        kept = {key: value for key, value in os.environ.items() if not key.startswith("FOGLINE_")}
        with log.open("ab") as output:
            return subprocess.Popen(
                self.all("ExecStart")[0].split(),
                cwd=self.all("WorkingDirectory")[0],
                env={**kept, **self.environment(), "FOGLINE_PARENT": str(os.getpid())},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )


def read(root: Path, name: str) -> Unit:
    """The unit `name` that is installed below `root`; `fogline-camera@line-3.service` comes of its template."""
    folder = root / "etc" / "systemd" / "system"
    template = re.sub(r"@.*\.", "@.", name)
    instance = name.partition("@")[2].removesuffix(".service")
    entries = []
    for file in (folder / template, *sorted((folder / "fogline-.service.d").glob("*.conf"))):
        for line in file.read_text().splitlines():
            if "=" in line and not line.startswith("#"):
                key, _, value = line.partition("=")
                entries.append((key, value.replace("%i", instance)))
    return Unit(root, tuple(entries))
