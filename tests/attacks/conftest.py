"""Services that several attacks of one file are made on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from tests.attacks.locked_house import lend_photographs
from tests.processes import Running, free_port

Start = Callable[..., Running]


@pytest.fixture(scope="module")
def start_once(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Start]:
    """Start a service that runs until the file's last test: `start_once("camera", "--source", "demo:")`."""
    with ExitStack() as running:

        def begin(role: str, *arguments: str) -> Running:
            folder = tmp_path_factory.mktemp(role)
            lend_photographs(folder)
            one = Running(role, "--data", str(folder), *arguments, port=free_port(), log=folder / "log")
            return running.enter_context(one).ready()

        yield begin
