"""Nodes that beat by datagram, at a real registry; the leases of these tests last 1.5 s."""

from __future__ import annotations

import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from mesh import datagram
from mesh.client import RegistryClient
from mesh.datagram import AnswerDatagram, BeatDatagram
from mesh.heartbeat import Membership
from mesh.wire import Beat, BeatReply, Load
from tests.fault_proxy import FaultProxy
from tests.processes import wait_for
from tests.registry.conftest import LEASE
from tests.registry.fakes import FakeNode, Registry


class Sender:
    """A node that registers by HTTP and then does everything else by hand."""

    def __init__(self, registry: Registry, name: str = "sender") -> None:
        self.node = registry.node("camera", name)
        pace = self.node.register().json()["heartbeat"]
        wait_for(lambda: self.node.listed()["state"] == "ready", 5, "dial-back")
        self.address = ("127.0.0.1", pace["datagrams"]["port"])
        self.key = bytes.fromhex(pace["datagrams"]["key"])
        self.boot_id = self.node.manifest["boot_id"]
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.number = 0
        self.stamp = 0

    def sealed(self, **changes: Any) -> bytes:
        self.number += 1
        fields = {
            "node_id": self.node.node_id,
            "boot_id": self.boot_id,
            "number": self.number,
            "orders": 0,
            "load": Load(fps=12.5),
            "stamp": self.stamp,
        }
        return datagram.seal(BeatDatagram(**{**fields, **changes}), self.key)

    def send(self, sealed: bytes) -> None:
        self.socket.sendto(sealed, self.address)

    def answer(self, seconds: float = 5.0) -> AnswerDatagram | None:
        """The next answer that is signed for this node; None when none comes."""
        self.socket.settimeout(seconds)
        try:
            return datagram.open_answer(self.socket.recv(2048), lambda _answer: self.key)
        except TimeoutError:
            return None

    def beat(self) -> AnswerDatagram:
        """Send one beat as a node does, and take its answer."""
        self.send(self.sealed())
        answer = self.answer()
        assert answer is not None
        self.stamp = answer.stamp
        return answer

    @property
    def state(self) -> str:
        return str(self.node.listed()["state"])

    def dies(self, meanwhile: Callable[[], object]) -> None:
        """Go on with `meanwhile` until the registry misses the node."""

        def missed() -> bool:
            meanwhile()
            return self.state in ("suspect", "dead")

        wait_for(missed, 4 * LEASE, "a missed node")


@pytest.fixture
def sender(registry: Registry) -> Iterator[Sender]:
    one = Sender(registry)
    yield one
    one.socket.close()


def test_datagrams_alone_keep_a_node(registry: Registry, sender: Sender) -> None:
    """Its lease is renewed, and its load is shown."""
    assert sender.beat().says == "prove"
    answers = []
    until = time.monotonic() + 1.3 * LEASE
    while time.monotonic() < until:
        answers.append(sender.beat())
        time.sleep(0.3)
        assert sender.state == "ready"
    assert {answer.says for answer in answers} == {"renewed"}
    assert [answer.echo for answer in answers] == list(range(2, 2 + len(answers)))
    # The least of them: both grow for a while where the machine is so busy that a beat waits for its answer.
    assert min((answer.lease_seconds, answer.seconds) for answer in answers) == (LEASE, 0.3)
    assert sender.node.listed()["load"]["fps"] == 12.5


def test_forged_repeated_and_foreign_datagrams_renew_nothing(registry: Registry, sender: Sender) -> None:
    """Nor does any of them get an answer, but for a boot that the registry gave a key and no longer knows."""
    sender.beat()
    recorded = sender.sealed()
    sender.send(recorded)
    answer = sender.answer()
    assert answer is not None
    assert answer.says == "renewed"
    sender.stamp = answer.stamp

    honest = sender.sealed(number=100)
    stolen = sender.key
    sender.key = datagram.node_key(b"guessed", sender.node.node_id, sender.boot_id)
    forged = sender.sealed(number=101)
    sender.key = datagram.node_key(b"guessed", sender.node.node_id, "old")
    foreign = sender.sealed(number=102, boot_id="old")
    sender.key = stolen
    other = sender.sealed(number=103, node_id=str(uuid.uuid4()))  # signed with a key that is not this node's
    for junk in (recorded, forged, foreign, other, honest[:-1], honest + b"x", b"", b"\x01b" + b"\xff" * 40):
        sender.send(junk)
    assert sender.answer(0.3) is None

    def attack() -> None:
        for junk in (recorded, forged, foreign, other):
            sender.send(junk)

    sender.dies(attack)


def test_an_earlier_boot_is_told_to_register(registry: Registry, sender: Sender) -> None:
    """Its datagrams are its own, and still renew nothing of the node's present boot."""
    sender.beat()
    sender.node.manifest["boot_id"] = "new"
    sender.node.register()
    wait_for(lambda: sender.state == "ready", 5, "dial-back")
    sender.beat()
    assert sender.beat().says == "full"


def test_a_deaf_node_is_missed(registry: Registry, sender: Sender) -> None:
    """Its datagrams arrive all the time, but show that it hears no answer, or none any more; nobody counts on it."""
    never = Sender(registry, "never")
    sender.beat()
    assert sender.beat().says == "renewed"

    def talk() -> None:
        never.send(never.sealed())
        sender.send(sender.sealed())

    never.dies(talk)
    sender.dies(talk)
    never.socket.close()


def test_unsigned_traffic_is_counted(registry: Registry, sender: Sender) -> None:
    """Whoever operates the registry sees that somebody tries."""
    before = _refused(registry)
    for _ in range(20):
        sender.send(b"hello")
    wait_for(lambda: _refused(registry) >= before + 20, 3, "count of refused datagrams")


class Member:
    """A real membership of a node that serves nothing."""

    def __init__(self, node: FakeNode, url: str) -> None:
        self.replies: list[BeatReply] = []
        self.told = threading.Event()
        boot_id = node.manifest["boot_id"]
        self.membership = Membership(
            RegistryClient(url, timeout=(0.5, 2)),
            node.node_id,
            lambda: dict(node.manifest),
            lambda: Beat(boot_id=boot_id),
            self._obey,
        )
        self.membership.start()

    def _obey(self, reply: BeatReply) -> None:
        self.replies.append(reply)
        if reply.sessions:
            self.told.set()

    @property
    def by_datagram(self) -> bool:
        return self.membership._transmitter.healthy


@contextmanager
def member(node: FakeNode, url: str) -> Iterator[Member]:
    one = Member(node, url)
    try:
        wait_for(lambda: one.membership.problem is None, 5, "registration")
        wait_for(lambda: node.listed()["state"] == "ready", 5, "dial-back")
        wait_for(lambda: one.by_datagram, 5, "beats by datagram")
        yield one
    finally:
        one.membership.stop()


def test_http_takes_over_before_the_lease_is_in_danger(registry: Registry) -> None:
    """When a network begins to swallow datagrams, the node never loses its lease nor is it missed; when it lets them
    through again, they are used again."""
    node = registry.node("camera", "line-3")
    with FaultProxy(registry.url) as network, member(node, network.url) as one:
        before = len(one.replies)
        network.swallows = True
        until = time.monotonic() + 1.3 * LEASE
        while time.monotonic() < until:
            assert one.membership.holds
            assert node.listed()["state"] == "ready"
            time.sleep(0.02)
        assert not one.by_datagram
        assert len(one.replies) > before
        one.membership._transmitter._due = 0.0  # else it tries again after half a minute
        network.swallows = False
        one.membership._transmitter._wake()
        wait_for(lambda: one.by_datagram, 3, "beats by datagram")


def test_new_orders_are_obeyed_at_once(own_registry: Callable[..., Registry]) -> None:
    """Long before the next beat is due."""
    registry = own_registry("--beat-seconds", "20", "--lease-seconds", "60")
    registry.node("camera", "line-3").join()
    node = registry.node("compute", "press")
    with member(node, registry.url) as one:
        registry.open()
        assert one.told.wait(3)
        wait_for(lambda: one.membership.holds, 1, "lease")


def test_everybody_comes_back_after_a_wipe(registry: Registry, sender: Sender) -> None:
    """Nodes are back with their next beat, also while they sign with the old key."""
    sender.beat()
    node = registry.node("camera", "line-3")
    with member(node, registry.url) as one:
        with registry.store(registry.running.log_file.parent / "data") as store:
            store.flushall()
        wait_for(lambda: registry.names() == ["line-3"], 5, "the node again")
        wait_for(lambda: one.by_datagram, 5, "beats by datagram")
        wait_for(lambda: one.membership.holds, 1, "lease")
        wait_for(lambda: sender.beat().says == "renewed", 5, "renewed lease")
        until = time.monotonic() + 1.3  # the registry takes the new secret after one second at the latest
        while time.monotonic() < until:
            assert sender.beat().says == "renewed"
            time.sleep(0.1)
        assert registry.names() == ["line-3", "sender"]


def _refused(registry: Registry) -> float:
    for line in registry.get("/metrics").text.splitlines():
        if line.startswith('fogline_registry_datagrams_total{outcome="refused"}'):
            return float(line.split()[-1])
    return 0.0
