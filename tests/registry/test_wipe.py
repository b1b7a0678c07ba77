"""Redis loses everything: nodes that beat by datagram are back as they were, from what the registry remembers."""

from __future__ import annotations

import socket
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import requests

from mesh import datagram
from mesh.datagram import AnswerDatagram, BeatDatagram
from mesh.wire import Load
from tests.processes import wait_for
from tests.registry.fakes import Registry

NODES = 300


class Crowd:
    """Nodes that registered by HTTP once and do nothing but beat by datagram since."""

    def __init__(self) -> None:
        self.keys: dict[str, bytes] = {}
        self.boots: dict[str, str] = {}
        self.numbers: Counter[str] = Counter()
        self.answers: dict[str, AnswerDatagram] = {}
        self.says: Counter[str] = Counter()
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        self.socket.settimeout(0.1)
        self.address = ("", 0)

    def join(self, manifest: Mapping[str, Any], registered: requests.Response) -> None:
        """One more, with what the registry answered to its manifest."""
        datagrams = registered.json()["heartbeat"]["datagrams"]
        self.keys[manifest["node_id"]] = bytes.fromhex(datagrams["key"])
        self.boots[manifest["node_id"]] = manifest["boot_id"]
        self.address = ("127.0.0.1", datagrams["port"])

    def round(self) -> None:
        """Each beats once, and hears what is said within a quarter of a second. says: what was said to these beats."""
        self.says.clear()
        for node_id in self.keys:
            self.numbers[node_id] += 1
            last = self.answers.get(node_id)
            beat = BeatDatagram(
                node_id=node_id, boot_id=self.boots[node_id], number=self.numbers[node_id], load=Load(fps=25.0),
                orders=last.orders if last else 0, stamp=last.stamp if last else 0,
            )  # fmt: skip
            self.socket.sendto(datagram.seal(beat, self.keys[node_id]), self.address)
        self._listen(0.25)

    def answered_round(self) -> None:
        """Each beats once; go on until all have been answered, which a busy registry may take a while for."""

        def answered() -> bool:
            self._listen(0.05)
            return self.says.total() >= len(self.keys)

        self.round()
        wait_for(answered, 5, "an answer to each")

    def _listen(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            try:
                answer = datagram.open_answer(self.socket.recv(2048), lambda answer: self.keys.get(answer.node_id))
            except TimeoutError:
                continue
            if answer is not None:
                self.answers[answer.node_id] = answer
                if answer.echo == self.numbers[answer.node_id]:  # else it comes late, to a beat of an earlier round
                    self.says[answer.says] += 1

    def hears(self, node_id: str, says: str) -> None:
        """Go on until this node is told so."""

        def heard() -> bool:
            self.round()
            last = self.answers.get(node_id)  # none yet, where the first answer takes longer than a round
            return last is not None and last.says == says

        wait_for(heard, 5, says)


@pytest.fixture
def registry(own_registry: Callable[..., Registry]) -> Registry:
    return own_registry("--lease-seconds", "3", "--beat-seconds", "1")


@pytest.fixture
def nodes() -> Iterator[Crowd]:
    one = Crowd()
    yield one
    one.socket.close()


def wipe(registry: Registry, tmp_path: Path) -> None:
    with registry.store(tmp_path / "data") as store:
        store.flushall()


def test_who_beats_by_datagram_is_back_without_registering(registry: Registry, nodes: Crowd, tmp_path: Path) -> None:
    """All within seconds, reachable as before, though not one sends its manifest; but for one that had left and one
    that was started anew, whose beats show nothing that was known."""
    common = {"schema": "fogline/1", "kind": "camera", "host_name": "h", "boot_id": "first"}
    common["advertise_url"] = registry.node("camera", "address").url  # it answers for all of them
    with requests.Session() as session:
        heard_at = time.monotonic()
        for number in range(NODES):
            manifest = common | {"node_id": str(uuid.uuid4()), "name": f"cam-{number:03}"}
            nodes.join(manifest, session.post(f"{registry.url}/v1/nodes", json=manifest, timeout=10))
            if time.monotonic() - heard_at > 0.5:
                nodes.round()  # on a busy machine the first ones' leases would end before the last one is there
                heard_at = time.monotonic()

    def all_ready() -> bool:
        nodes.round()
        return len(registry.names("?state=ready")) == NODES

    wait_for(all_ready, 10, "dial-back")
    left, anew = list(nodes.keys)[:2]
    assert registry.delete(f"/v1/nodes/{left}").ok
    wait_for(lambda: len(registry.names()) == NODES - 1, 5, "the watch of it")
    with registry.store(tmp_path / "data") as store:
        secret = bytes.fromhex(store.get("{fogline}:secret").decode())
    nodes.boots[anew] = "another"
    nodes.keys[anew] = datagram.node_key(secret, anew, "another")
    nodes.answers.pop(anew, None)
    nodes.round()
    wipe(registry, tmp_path)
    began = time.monotonic()
    others = NODES - 2

    def all_back() -> bool:
        nodes.round()
        return len(registry.names("?state=ready")) == others

    wait_for(all_back, 10, "all nodes")
    assert time.monotonic() - began < 3
    nodes.answered_round()
    assert nodes.says == {"renewed": others, "full": 2}
    listed = {node["node_id"] for node in registry.json("/v1/nodes")["nodes"]}
    assert listed == nodes.keys.keys() - {left, anew}
    for node_id in (left, anew):
        assert nodes.answers[node_id].says == "full"


def test_sessions_are_known_again_from_their_nodes(registry: Registry, nodes: Crowd, tmp_path: Path) -> None:
    """A node that served some is asked for a full beat until it has told of them, and counts as free only then."""
    registry.camera()
    compute = registry.node("compute", "press").join()
    session = registry.open(pinned=True)
    compute.beat()
    ticket = compute.assigned[0]["ticket"]
    compute.serves(session)
    compute.beat()
    nodes.join(compute.manifest, compute.register())
    nodes.hears(compute.node_id, "renewed")
    wipe(registry, tmp_path)
    nodes.hears(compute.node_id, "full")
    nodes.answered_round()
    assert nodes.says == {"full": 1}
    assert compute.listed()["state"] == "unreachable"
    assert compute.beat().json()["unknown"] == [session["session_id"]]
    compute.serves(session, ticket=ticket)
    assert [one["token"] for one in compute.beat().json()["sessions"]] == [session["token"]]
    assert registry.session(session["session_id"])["state"] == "running"
    assert compute.listed()["state"] == "ready"
    nodes.hears(compute.node_id, "renewed")
