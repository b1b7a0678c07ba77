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
RESTS = 5.0  # seconds that new addresses are waited for
TENTATIVE = 0x40  # of linux/if_addr.h


@contextlib.contextmanager
def browsing() -> Iterator[None]:
    """A page is open: many may be."""
    with _held(fcntl.LOCK_SH):
        yield


@contextlib.contextmanager
def changing() -> Iterator[None]:
    """The machine's addresses change: nobody else is here, until they rest again."""
    with _held(fcntl.LOCK_EX):
        try:
            yield
        finally:
            until = time.monotonic() + RESTS
            while _on_trial() and time.monotonic() < until:
                time.sleep(0.05)  # the system has no call that waits for it


def _on_trial() -> bool:
    """Whether an IPv6 address is not valid yet: a new interface gives itself one and tries it for a second or two."""
    known = Path("/proc/net/if_inet6")
    return known.exists() and any(int(line.split()[4], 16) & TENTATIVE for line in known.read_text().splitlines())


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
