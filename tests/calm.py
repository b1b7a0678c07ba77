"""Browsers break off what they load when this machine's addresses change, as tests with hosts of their own make them.

So neither happens while the other does, in all processes of this machine. Waits are bounded: whoever has waited too
long goes on.
"""

from __future__ import annotations

import contextlib
import fcntl
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

LONGEST = 60.0  # seconds to wait for the others: half a minute is what a compose project takes on a busy machine


@contextlib.contextmanager
def browsing() -> Iterator[None]:
    """A page is open: many may be."""
    with _held(fcntl.LOCK_SH):
        yield


@contextlib.contextmanager
def changing() -> Iterator[None]:
    """The machine's addresses change: nobody else is here."""
    with _held(fcntl.LOCK_EX):
        yield


@contextlib.contextmanager
def _held(how: int) -> Iterator[None]:
    until = time.monotonic() + LONGEST
    folder = Path(tempfile.gettempdir())
    with (folder / "fogline-calm-gate.lock").open("w") as gate, (folder / "fogline-calm.lock").open("w") as calm:
        # Who waits holds the gate, so that those who come later do not go before.
        _wait(gate, fcntl.LOCK_EX, until)
        _wait(calm, how, until)
        fcntl.flock(gate, fcntl.LOCK_UN)
        yield


def _wait(file: IO[Any], how: int, until: float) -> None:
    while time.monotonic() < until:
        try:
            fcntl.flock(file, how | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            time.sleep(0.02)
