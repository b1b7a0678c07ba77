"""Services that several attacks of one file are made on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack

import pytest

from tests.attacks.locked_house import lend_photographs
from tests.processes import Running, free_port

Start = Callable[..., Running]


@pytest.fixture(scope="module")
def start_once(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Start]:
    """Start a service that runs until the file's last test: `start_once("camera", "--source", "demo:")`."""
    with ExitStack() as running:

        def begin(role: str, *arguments: str, environment: Mapping[str, str] | None = None) -> Running:
            folder = tmp_path_factory.mktemp(role)
            lend_photographs(folder)
            words = ("--data", str(folder), *arguments)
            one = Running(role, *words, port=free_port(), log=folder / "log", environment=environment)
            return running.enter_context(one).ready()

        yield begin
