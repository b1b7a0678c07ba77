"""Registries announce themselves on the network, and are found there."""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from zeroconf import EventLoopBlocked, IPVersion, ServiceInfo, Zeroconf

from mesh.discovery import SERVICE, Announced, browse, ranked
from mesh.errors import Unavailable
from tests.hosts import Host, hosts, why_not
from tests.processes import ROOT, free_port, wait_for

pytestmark = pytest.mark.xdist_group("hosts")
LOOPBACK = "127.0.0.1"
PORT = 5050
# A registry's announcer with something that accepts connections; it does what it is told, a line at a time.
REGISTRY = """
import socket, sys
from mesh import logs
from registry import announce
from registry.settings import RegistrySettings
logs.configure("json", service="registry")
announce.LOOK_SECONDS = 0.2
listening = socket.create_server(("0.0.0.0", int(sys.argv[2])))
settings = RegistrySettings(host=sys.argv[1], port=int(sys.argv[2]), announce=sys.argv[3])
announcer = announce.Announcer(settings, lambda: b"of their Redis")
announcer.start()
sys.stdin.readline()
announcer.stop()
print("stopped", flush=True)
sys.stdin.readline()
"""
SEARCH = """
import json, sys
from mesh import discovery
discovery.SETTLE_SECONDS = 0.4
print(json.dumps(discovery.registries(float(sys.argv[1]))))
"""


@pytest.fixture
def two() -> Iterator[list[Host]]:
    reason = why_not()
    if reason is not None:
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    with hosts(2) as made:
        yield made


@contextlib.contextmanager
def registry(
    at: Host, host: str = "0.0.0.0", port: int = PORT, announce: str = "auto"
) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [*at.command, sys.executable, "-c", REGISTRY, host, str(port), announce],
        cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def seen(at: Host, seconds: float = 1.0) -> list[str]:
    """What a node on the host would find."""
    done = subprocess.run(
        [*at.command, sys.executable, "-c", SEARCH, str(seconds)],
        cwd=ROOT, capture_output=True, text=True, timeout=20, check=True,
    )  # fmt: skip
    return list(json.loads(done.stdout))


def test_a_node_finds_the_registry_of_another_host_until_it_leaves(two: list[Host]) -> None:
    """With no setting; and under its new address when that changes."""
    there, here = two
    with registry(there) as process:
        wait_for(lambda: seen(here) == [f"http://{there.address}:{PORT}"], 30, "registry")
        renumbered = there.address.rpartition(".")[0] + ".77"
        for change in (["del", f"{there.address}/24"], ["add", f"{renumbered}/24"]):
            subprocess.run(["ip", "-n", there.space, "addr", *change, "dev", "eth0"], check=True)
        wait_for(lambda: seen(here) == [f"http://{renumbered}:{PORT}"], 30, "registry at its new address")
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write("\n")
        process.stdin.flush()
        assert process.stdout.readline() == "stopped\n"
        assert seen(here) == []


def test_who_serves_this_machine_only_or_is_told_not_to_announces_nothing(two: list[Host]) -> None:
    """Nobody could reach the one; the other wants to be named. Two more are replicas of one mesh: both are found."""
    there, here = two
    with (
        registry(there, host="127.0.0.1"),
        registry(there, port=5051, announce="off"),
        registry(there, host=there.address, port=5052),
        registry(there, port=5053),
    ):
        found = wait_for(lambda: len(urls := seen(here)) > 1 and urls, 30, "registries")
        assert found == [f"http://{there.address}:5052", f"http://{there.address}:5053"]


CLONE_NEWNET = 0x40000000  # of linux/sched.h


def _own_network() -> None:
    """Give this thread, and those that it starts, a network where nobody else asks; without the right to, all share."""
    if ctypes.CDLL(None).unshare(CLONE_NEWNET) == 0:
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)


def test_announcements_that_make_no_sense_are_left_out() -> None:
    """Another role, a path that is none, an address that is this machine's own; what is left has a plain name."""
    mark = str(free_port())  # who else tests on this machine announces other names

    def announcement(name: str, address: str = "192.0.2.9", **texts: str) -> ServiceInfo:
        return ServiceInfo(
            SERVICE,
            f"{name} {mark}.{SERVICE}",
            port=PORT,
            properties={"role": "registry", "version": "1", "path": "/", **texts},
            server=f"{name.split(maxsplit=1)[0]}-{mark}.local.",
            parsed_addresses=[address],
        )

    def heard() -> list[Announced]:
        """What comes of them."""
        with (
            contextlib.closing(Zeroconf(interfaces=[LOOPBACK], ip_version=IPVersion.V4Only)) as zeroconf,
            ThreadPoolExecutor(6) as at_once,  # each is sent three times, which takes its time
        ):
            announcements = (
                announcement("camera", role="camera"),
                announcement("path", path="/../<script>"),
                announcement("host", path="@evil.example/"),
                announcement("loop", address=LOOPBACK),
                announcement("good", path="/fog/"),
                announcement("<b>bold", version="2\x1b[31m" + "x" * 150),
            )

            def announce(one: ServiceInfo) -> None:
                with contextlib.suppress(EventLoopBlocked):  # a busy machine: it goes on being told, and is waited for
                    zeroconf.register_service(one, cooperating_responders=True)

            list(at_once.map(announce, announcements))

            def ours() -> list[Announced]:
                return [one for one in browse(3.0, settle=1.0, interfaces=[LOOPBACK]) if mark in one.name]

            # What was announced within the last second is not told again at once, and not of each at the same moment.
            return wait_for(lambda: found if len(found := ours()) > 1 else None, 12, "announcements")

    with ThreadPoolExecutor(1, initializer=_own_network) as alone:
        found = alone.submit(heard).result()
    assert found == [
        Announced(name=f"bbold {mark}", urls=[f"http://192.0.2.9:{PORT}"], version="2[31m" + "x" * 150),
        Announced(name=f"good {mark}", urls=[f"http://192.0.2.9:{PORT}/fog"], version="1"),
    ]


def test_the_best_registry_is_the_same_for_all_nodes() -> None:
    """Who accepts a connection comes before who does not, then the name decides; another mesh is never a substitute."""
    with contextlib.ExitStack() as opened:
        first, second, third = (opened.enter_context(socket.create_server((LOOPBACK, 0))) for _ in range(3))
        one, two, three = (f"http://{LOOPBACK}:{each.getsockname()[1]}" for each in (first, second, third))
        dead = f"http://{LOOPBACK}:{free_port()}"
        found = [
            Announced(name="a", urls=[dead], version="", mesh="ours"),
            Announced(name="b", urls=[dead, two], version="", mesh="ours"),
            Announced(name="c", urls=[one], version="", mesh="theirs"),
            Announced(name="d", urls=[three], version="", mesh="ours"),
        ]
        best = ranked(found)
        assert [(each.name, each.urls) for each in best] == [("b", [two, dead]), ("d", [three]), ("a", [dead])]
        alone = [Announced(name="f", urls=[one], version=""), Announced(name="e", urls=[two], version="")]
        assert ranked(alone) == [alone[1]], "who does not say to which mesh it belongs stands for itself"
    assert ranked([]) == []


def test_a_machine_without_a_network_says_so() -> None:
    """In words that name the remedy."""
    with pytest.raises(Unavailable, match=r"no network.*--registry"):
        browse(0.1, interfaces=[])
