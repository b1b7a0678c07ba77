"""A Dockerfile's stages, and on which files of the checkout each depends."""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from posixpath import join, normpath, relpath

from tests.processes import ROOT


@dataclass(frozen=True)
class Stage:
    """parent: what FROM names. steps: its instructions, continuation lines joined. others: the Dockerfile's stages."""

    parent: str
    steps: tuple[str, ...]
    others: dict[str, Stage]

    @property
    def copies(self) -> list[tuple[list[str], str]]:
        """What is copied from the checkout, and where to (absolute; with a slash at the end into that folder)."""
        found, folder = [], "/opt/fogline/"
        for step in self.steps:
            word, *words = step.split()
            if word == "WORKDIR":
                folder = f"{words[0]}/"
            elif word == "COPY" and not words[0].startswith("--from"):
                target = words[-1]
                slash = "/" if target.endswith("/") else ""
                found.append((words[:-1], normpath(join(folder, target)) + slash))
        return found

    @property
    def own(self) -> set[str]:
        return {source for sources, _ in self.copies for source in sources}

    def needs(self, file: str) -> bool:
        """Whether a change of this file builds the stage anew, because it or what it is made of has the file."""
        if any(file == source or file.startswith(f"{source}/") for source in self.own):
            return True
        if any(_fits(source, file) for source in self.own):
            return True
        before = {match[1] for step in self.steps if (match := re.match(r"COPY --from=(\S+)", step))} | {self.parent}
        return any(self.others[name].needs(file) for name in before if name in self.others)

    def fill(self, folder: Path) -> None:
        """Copy into `folder` what the stage itself copies from the checkout, below the code's folder."""
        for sources, target in self.copies:
            for source in sources:
                there = folder / relpath(target, "/opt/fogline")
                if (ROOT / source).is_dir():
                    shutil.copytree(ROOT / source, there, ignore=shutil.ignore_patterns("__pycache__", "node_modules"))
                    continue
                there = there / Path(source).name if target.endswith("/") else there
                there.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(ROOT / source, there)


def _fits(source: str, file: str) -> bool:
    """A source with a variable in it, such as requirements-compute${…}.txt, stands for what it is without one."""
    return re.sub(r"\$\{.*?\}(?=\.)", "", source) == file


def stages(text: str) -> dict[str, Stage]:
    """The stages of a Dockerfile by name."""
    joined = re.sub(r"\\\n\s*", "", re.sub(r"^\s*#.*\n", "", text, flags=re.MULTILINE))
    found: dict[str, Stage] = {}
    for part in re.split(r"^(?=FROM )", joined, flags=re.MULTILINE)[1:]:
        head, *steps = [line.strip() for line in part.splitlines() if line.strip()]
        _, parent, _, name = head.split()
        found[name] = Stage(parent, tuple(steps), found)
    return found
