"""The computer that a node runs on, as its manifest describes it."""

from __future__ import annotations

import os
import platform
import re
import socket
from dataclasses import dataclass
from pathlib import Path

import psutil


@dataclass(frozen=True, slots=True)
class Machine:
    """What a manifest says of the computer. ram: in whole gigabytes, as the original writes it (`16gb`)."""

    host_name: str
    cpu: str
    cores: int
    ram: str


def this_machine() -> Machine:
    """The computer that this process runs on."""
    return Machine(
        host_name=socket.gethostname() or "localhost",
        cpu=_cpu_name(),
        cores=os.cpu_count() or 1,
        ram=f"{max(1, round(psutil.virtual_memory().total / 2**30))}gb",
    )


def _cpu_name() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return platform.processor() or platform.machine()
    found = re.search(r"^(?:model name|Model|Hardware)\s*:\s*(.+)$", text, re.MULTILINE)
    return " ".join(found.group(1).split()) if found else platform.machine()
