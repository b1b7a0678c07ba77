"""`./fogline up` chooses the ports of its nodes by itself: two that begin at once would both find the same ones."""

from __future__ import annotations

import fcntl
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def beginning() -> Iterator[None]:
    """None but this one begins on this machine, until its nodes listen."""
    with (Path(tempfile.gettempdir()) / "fogline-up.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
