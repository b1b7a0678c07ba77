"""Several hosts on one machine: network namespaces on a bridge, each with its own address. Needs root and `ip`."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

NETWORK = "10.91.7"  # .1, .2 …: the hosts; .254: this machine


def why_not() -> str | None:
    """Why this machine cannot have hosts of its own; None when it can."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    if shutil.which("ip") is None:
        return "the command `ip` (package iproute2) is missing"
    probe = subprocess.run(["ip", "netns", "add", "fogprobe"], capture_output=True, text=True, check=False)
    if probe.returncode:
        return f"this kernel gives no network namespaces: {probe.stderr.strip()}"
    _ip("netns", "del", "fogprobe")
    return None


class Host:
    """One host. address: its IPv4 address. command: what to put before a program so that it runs there."""

    def __init__(self, number: int) -> None:
        self.space = f"foghost{number}"
        self.link = f"fogv{number}"
        self.address = f"{NETWORK}.{number}"
        self.command = ["ip", "netns", "exec", self.space]

    def cut(self) -> None:
        """Pull its cable."""
        _ip("link", "set", self.link, "down")

    def heal(self) -> None:
        """Plug it in again."""
        _ip("link", "set", self.link, "up")


@contextlib.contextmanager
def hosts(count: int) -> Iterator[list[Host]]:
    """`count` hosts that reach one another, until the context ends. What still runs in them is killed."""
    made = [Host(number) for number in range(1, count + 1)]
    _remove(made)
    try:
        _ip("link", "add", "fogbr", "type", "bridge")
        _ip("addr", "add", f"{NETWORK}.254/24", "dev", "fogbr")
        _ip("link", "set", "fogbr", "up")
        for host in made:
            _ip("netns", "add", host.space)
            _ip("link", "add", host.link, "type", "veth", "peer", "name", "eth0", "netns", host.space)
            _ip("link", "set", host.link, "master", "fogbr", "up")
            _ip("-n", host.space, "addr", "add", f"{host.address}/24", "dev", "eth0")
            _ip("-n", host.space, "link", "set", "lo", "up")
            _ip("-n", host.space, "link", "set", "eth0", "up")
            _ip("-n", host.space, "route", "add", "default", "via", f"{NETWORK}.254")
        # Some machines filter what crosses a bridge.
        for setting in Path("/proc/sys/net/bridge").glob("bridge-nf-call-*tables"):
            with contextlib.suppress(OSError):
                setting.write_text("0")
        yield made
    finally:
        _remove(made)


def _remove(made: list[Host]) -> None:
    for host in made:
        listed = subprocess.run(["ip", "netns", "pids", host.space], capture_output=True, text=True, check=False)
        for pid in listed.stdout.split():
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(pid), 9)
        subprocess.run(["ip", "netns", "del", host.space], capture_output=True, check=False)
        subprocess.run(["ip", "link", "del", host.link], capture_output=True, check=False)
    subprocess.run(["ip", "link", "del", "fogbr"], capture_output=True, check=False)


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)
