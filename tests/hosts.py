"""Several hosts on one machine: network namespaces on a bridge, each with its own address. Needs root and `ip`; what
lets a host go deaf or lose packets needs `iptables`, too."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

from tests.calm import changing

MACHINE = 254  # the machine's own number in each network
MOST = 16  # networks of hosts on one machine at once: test runs beside one another


def why_not(*programs: str) -> str | None:
    """Why this machine cannot have hosts of its own; None when it can. programs: what is needed besides `ip`."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    for program in ("ip", *programs):
        if shutil.which(program) is None:
            return f"the command `{program}` is missing (Debian's packages iproute2 and iptables)"
    space = f"fogprobe{os.getpid()}"
    probe = subprocess.run(["ip", "netns", "add", space], capture_output=True, text=True, check=False)
    if probe.returncode:
        return f"this kernel gives no network namespaces: {probe.stderr.strip()}"
    _ip("netns", "del", space)
    return None


class Host:
    """One host. address: its IPv4 address. machine: that of the machine itself, as the host sees it. command: what to
    put before a program so that it runs there."""

    def __init__(self, network: int, number: int) -> None:
        self.space = f"foghost{network}-{number}"
        self.link = f"fogv{network}-{number}"
        self.address = f"10.91.{network}.{number}"
        self.machine = f"10.91.{network}.{MACHINE}"
        self.command = ["ip", "netns", "exec", self.space]

    def cut(self, seconds: float | None = None) -> None:
        """Pull its cable; plug it in again after `seconds`."""
        _ip("link", "set", self.link, "down")
        if seconds is not None:
            later = threading.Timer(seconds, self.heal)
            later.daemon = True
            later.start()

    def heal(self) -> None:
        """Plug its cable in again."""
        _ip("link", "set", self.link, "up")

    def ignore(self, other: Host) -> None:
        """Go deaf to `other`: what it sends does not arrive, while it gets everything."""
        self._filter("-A", "-s", other.address)

    def hear(self, other: Host) -> None:
        """Undo `ignore`."""
        self._filter("-D", "-s", other.address)

    @contextlib.contextmanager
    def losing(self, share: float) -> Iterator[None]:
        """Lose that share, 0 to 1, of all packets that arrive, until the context ends."""
        rule = ("-i", "eth0", "-m", "statistic", "--mode", "random", "--probability", f"{share:g}")
        self._filter("-A", *rule)
        try:
            yield
        finally:
            self._filter("-D", *rule)

    def _filter(self, change: str, *rule: str) -> None:
        command = [*self.command, "iptables", "-w", change, "INPUT", *rule, "-j", "DROP"]
        subprocess.run(command, check=True, capture_output=True)


@contextlib.contextmanager
def hosts(count: int) -> Iterator[list[Host]]:
    """`count` hosts that reach one another, until the context ends. What still runs in them is killed.

    They are numbered from 1; the machine itself has the number MACHINE in their network.
    """
    with _network() as network:
        made = [Host(network, number) for number in range(1, count + 1)]
        bridge, machine = f"fogbr{network}", f"10.91.{network}.{MACHINE}"
        try:
            with changing():
                _remove(bridge)
                _make(bridge, machine, made)
            yield made
        finally:
            with changing():
                _remove(bridge)


def _make(bridge: str, machine: str, made: list[Host]) -> None:
    _ip("link", "add", bridge, "type", "bridge")
    _ip("addr", "add", f"{machine}/24", "dev", bridge)
    # No addresses that come by themselves seconds later.
    _ip("link", "set", bridge, "addrgenmode", "none")
    _ip("link", "set", bridge, "up")
    for host in made:
        _ip("netns", "add", host.space)
        _ip("link", "add", host.link, "type", "veth", "peer", "name", "eth0", "netns", host.space)
        _ip("link", "set", host.link, "addrgenmode", "none")
        _ip("link", "set", host.link, "master", bridge, "up")
        _ip("-n", host.space, "addr", "add", f"{host.address}/24", "dev", "eth0")
        _ip("-n", host.space, "link", "set", "lo", "up")
        _ip("-n", host.space, "link", "set", "eth0", "up")
        _ip("-n", host.space, "route", "add", "default", "via", machine)
        _ip("-n", host.space, "route", "add", "224.0.0.0/4", "dev", "eth0")
    # Some machines filter what crosses a bridge.
    for setting in Path("/proc/sys/net/bridge").glob("bridge-nf-call-*tables"):
        with contextlib.suppress(OSError):
            setting.write_text("0")


@contextlib.contextmanager
def _network() -> Iterator[int]:
    """The number of a network that nobody else uses. The lock goes with the process, however that ends."""
    for number in range(7, 7 + MOST):
        with (Path(tempfile.gettempdir()) / f"fogline-hosts-{number}.lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            yield number
            return
    raise RuntimeError(f"{MOST} networks of hosts are in use on this machine")


def _remove(bridge: str) -> None:
    """Remove a network with its hosts, also what a killed run has left."""
    network = bridge.removeprefix("fogbr")
    listed = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True, check=False)
    for space in (line.split()[0] for line in listed.stdout.splitlines() if line):
        if not space.startswith(f"foghost{network}-"):
            continue
        inside = subprocess.run(["ip", "netns", "pids", space], capture_output=True, text=True, check=False)
        for pid in inside.stdout.split():
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(pid), 9)
        subprocess.run(["ip", "netns", "del", space], capture_output=True, check=False)
        # A namespace ends only with its last process: its cable must not stay until then.
        link = space.replace("foghost", "fogv")
        subprocess.run(["ip", "link", "del", link], capture_output=True, check=False)
    subprocess.run(["ip", "link", "del", bridge], capture_output=True, check=False)


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)
