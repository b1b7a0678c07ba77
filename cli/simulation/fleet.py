"""Simulated nodes that speak the real protocol, from one thread: they register, beat, obey, die and come back."""

from __future__ import annotations

import math
import random
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any

import msgspec

from cli.simulation.doors import Doors
from cli.simulation.exchange import Exchange, request
from cli.simulation.loop import Loop
from cli.simulation.node import Node
from cli.simulation.pulses import Pulses
from mesh.datagram import AnswerDatagram
from mesh.transmitter import (
    LATE,
    MOST_PATIENCE,
    PATIENCE,
    PAUSES,
    REMEMBERED,
    RETRY_SECONDS,
    SLOWNESS,
    TRIES,
)
from mesh.wire import BeatReply, Pace, Registration

HOST = "127.0.0.1"
CONNECTIONS = 16  # to each registry, for registrations and for beats: so many are under way at once
OWN_DOORS = 16  # compute nodes whose address can be made to refuse, so that they can be killed
RETRY = (0.5, 1.5)  # seconds until a registry that gave no proper answer is asked again
Json = dict[str, Any]


class _Problem(msgspec.Struct):
    title: str = ""
    spread_seconds: float = 0.0


class Fleet:
    """`count` nodes on registries on this machine. Only the loop's thread may call its methods; those without an
    underscore are what another process may ask for, and answer what JSON can hold."""

    def __init__(self, loop: Loop, ports: Sequence[int], count: int) -> None:
        self._loop = loop
        self._hosts = [f"{HOST}:{port}" for port in ports]
        self._joining = [Exchange(loop, HOST, port, CONNECTIONS) for port in ports]
        self._beating = [Exchange(loop, HOST, port, CONNECTIONS) for port in ports]
        self._nodes: list[Node] = []
        self._doors = Doors(loop, lambda index: self._nodes[index].silent)
        self._counts: Counter[str] = Counter()
        self._pulses = Pulses(loop, HOST, self._heard)
        self._registered_at = 0.0
        self.grow(count)

    # --- what can be asked for

    def grow(self, count: int) -> Json:
        """So many more nodes; they do not register yet."""
        own = sum(node.url.partition("/n/")[0] != self._doors.shared() for node in self._nodes)
        for index in range(len(self._nodes), len(self._nodes) + count):
            node = Node(index, self._doors.shared())
            if node.slots and own < OWN_DOORS:
                node.url = f"{self._doors.own(index)}/n/{index}"
                own += 1
            self._nodes.append(node)
            self._pulses.know(node)
        return {"nodes": len(self._nodes)}

    def join(self) -> Json:
        """Register all that are not registered."""
        begun_at = time.monotonic()
        for node in self._nodes:
            if not node.registered and not node.silent:
                self._register(node)
        return {"at": begun_at}

    def state(self) -> Json:
        """Counts since the start, and how the nodes stand now. registered_at: the last registration. holding: nodes
        whose lease, as they see it, runs."""
        now = time.monotonic()
        alive = [node for node in self._nodes if not node.silent]
        return {
            "at": now,
            "registered_at": self._registered_at,
            "alive": len(alive),
            "registered": sum(node.registered for node in alive),
            "holding": sum(now < node.held_from + node.lease for node in alive),
            "by_datagram": sum(_gets_through(node, now) for node in alive),
            "sessions": sum(not one.warm for node in alive for one in node.sessions.values()),
            "overloaded": sum(len(node.sessions) > node.slots for node in alive),
            "dialled": self._doors.dialled,
            **self._counts,
            **self._pulses.counts,
        }

    def killable(self) -> Json:
        """The ids of nodes that can be killed one by one."""
        shared = self._doors.shared()
        return {"nodes": [n.node_id for n in self._nodes if not n.silent and not n.url.startswith(f"{shared}/")]}

    def kill(self, node_id: str) -> Json:
        """End this node as kill -9 does: no beat more, and its address refuses."""
        node = self._node(node_id)
        self._doors.close(node.index)
        node.gone = True
        return {"at": time.monotonic()}

    def vanish(self, node_id: str) -> Json:
        """Let this node's host lose its power: no beat more, and nothing answers at its address."""
        self._node(node_id).cut = True
        return {"at": time.monotonic()}

    def cut(self, share: float) -> Json:
        """Cut this share of the nodes off the network, the last ones; those that can be killed are left."""
        chosen = [node for node in self._nodes if not node.silent][-round(len(self._nodes) * share) :]
        for node in chosen:
            node.cut = True
        return {"at": time.monotonic(), "nodes": [node.node_id for node in chosen]}

    def heal(self) -> Json:
        """Mend the network: those that were cut off beat again, each in its own time."""
        for node in self._nodes:
            if node.cut:
                node.cut = False
                self._start(node, random.uniform(0, node.pace))
        return {"at": time.monotonic()}

    # --- registering

    def _register(self, node: Node) -> None:
        sent_at = time.monotonic()
        where = node.index % len(self._hosts)
        sent = request("POST", self._hosts[where], "/v1/nodes", msgspec.json.encode(node.manifest()))
        self._joining[where].ask(sent, lambda status, body: self._registered(node, sent_at, status, body))

    def _registered(self, node: Node, sent_at: float, status: int, body: bytes) -> None:
        if node.silent:
            return
        if status not in (200, 201):
            self._counts[f"registrations_failed_{status}"] += 1
            self._loop.after(random.uniform(*RETRY), lambda: self._register(node))
            return
        answer = msgspec.json.decode(body, type=Registration)
        self._counts["registrations"] += 1
        node.registered = True
        node.lease = answer.lease_seconds
        node.held_from = sent_at
        self._take(node, answer.heartbeat)
        self._registered_at = time.monotonic()
        # Where datagrams get through and there is nothing to tell, the first full beat can wait.
        now = time.monotonic()
        wait = node.full_seconds if node.key and not node.sessions else 0.0
        node.full_at = now + wait * random.uniform(0.9, 1.0)
        node.heard_at = node.asked_at = now
        node.followed = 0
        self._start(node, 0.0)

    def _forgotten(self, node: Node, sent_at: float, spread: float) -> None:
        if node.registered:
            node.registered = False
            node.held_from = sent_at + spread  # who knows nothing of this node has given its work to nobody
            self._counts["forgotten"] += 1
            self._loop.after(random.uniform(0, spread), lambda: self._register(node))

    # --- beating

    def _start(self, node: Node, wait: float) -> None:
        node.turn += 1
        turn = node.turn
        self._loop.after(wait, lambda: self._tick(node, turn))

    def _tick(self, node: Node, turn: int) -> None:
        if node.turn != turn or node.silent:
            return
        now = time.monotonic()
        wait = node.pace
        if node.registered:
            if node.key and now >= node.due:
                self._pulse(node, now)
            if now >= node.full_at or (not _gets_through(node, now) and now >= node.asked_at + node.pace):
                self._full(node)
            if node.key:
                wait = min(wait, node.due - now)
        self._loop.at(now + wait, lambda: self._tick(node, turn))

    def _pulse(self, node: Node, now: float) -> None:
        node.tries += 1
        node.due = now + (RETRY_SECONDS if node.tries > TRIES else node.seconds * _pause(node))
        self._pulses.send(node)
        node.sent[node.number] = now
        if len(node.sent) > REMEMBERED:
            del node.sent[min(node.sent)]

    def _full(self, node: Node) -> None:
        waited, node.promised = node.promised < math.inf, math.inf
        if node.asked_full or not node.registered:
            return
        node.asked_full = True
        node.asked_at = sent_at = time.monotonic()
        node.full_at = sent_at + node.full_seconds * random.uniform(0.9, 1.0)
        where = node.index % len(self._hosts)
        sent = request("POST", self._hosts[where], f"/v1/nodes/{node.node_id}/heartbeat", node.full_beat())
        self._beating[where].ask(sent, lambda status, body: self._replied(node, sent_at, waited, status, body), tries=1)

    def _full_within(self, node: Node, spread: float) -> None:
        """Send a full beat at a random moment within the next `spread` seconds, unless one is promised by then."""
        now = time.monotonic()
        if spread <= 0:
            self._full(node)
        elif now + spread < node.promised:
            node.promised = when = now + random.uniform(0, spread)
            self._loop.at(when, lambda: self._full(node) if node.promised == when else None)

    def _replied(self, node: Node, sent_at: float, waited: bool, status: int, body: bytes) -> None:
        node.asked_full = False
        if node.silent:
            return
        if status == 404:
            # Who has waited already, because an answer by datagram said so, does not wait again.
            spread = 0.0 if waited else msgspec.json.decode(body, type=_Problem).spread_seconds
            self._forgotten(node, sent_at, spread)
            return
        if status != 200:
            self._counts[f"beats_failed_{status}"] += 1
            if status == 503:
                node.held_from = sent_at  # Redis is away: nobody could move anything
            node.full_at = 0.0
            return
        reply = msgspec.json.decode(body, type=BeatReply)
        self._counts["full_beats"] += 1
        node.held_from = sent_at
        node.lease = reply.lease_seconds
        if reply.heartbeat is not None:
            self._take(node, reply.heartbeat)
        before = node.sessions
        kept = {ident: before[ident] for ident in reply.unknown if ident in before}
        node.sessions = kept | {one.session_id: one for one in reply.sessions}
        node.tickets = set(reply.unknown)
        node.followed = reply.orders
        if node.tickets:
            self._full(node)
        elif {(s.session_id, s.token) for s in before.values()} != {
            (s.session_id, s.token) for s in node.sessions.values()
        }:
            node.full_at = 0.0  # the reports have changed: the next beat is a full one

    def _take(self, node: Node, pace: Pace) -> None:
        node.pace = pace.seconds
        node.full_seconds = pace.full_seconds or pace.seconds
        if pace.datagrams is None:
            node.key = b""
        elif node.key != bytes.fromhex(pace.datagrams.key) or node.port != pace.datagrams.port:
            node.key, node.port = bytes.fromhex(pace.datagrams.key), pace.datagrams.port
            node.tries, node.stamp, node.wait, node.due = 0, 0, 0.0, 0.0
            node.sent.clear()

    def _heard(self, node: Node, answer: AnswerDatagram) -> None:
        if not answer.echo:
            if node.registered and answer.orders > node.followed:
                self._full(node)
            return
        sent_at = node.sent.pop(answer.echo, None)
        if sent_at is None or not node.registered:
            return
        now = time.monotonic()
        node.stamp, node.seconds = answer.stamp, answer.seconds
        if answer.says == "prove":
            self._counts["proofs"] += 1
            if not node.proving:
                node.proving, node.tries, node.due = True, 0, now
                self._start(node, 0.0)
            return
        node.proving, node.tries, node.heard_at = False, 0, now
        node.wait = max(now - sent_at, SLOWNESS * node.wait)
        node.due = sent_at + node.seconds * random.uniform(0.9, 1.0)
        self._start(node, max(0.0, node.due - now))
        if answer.says in ("full", "away") and now < node.held_from + node.lease:
            node.held_from = sent_at  # nobody could give its work to another
        if answer.says == "full":
            self._full_within(node, answer.spread)
        elif answer.says == "renewed" and answer.orders != node.followed:
            self._full(node)  # and no lease before they are obeyed
        elif answer.says == "renewed":
            node.held_from, node.lease = sent_at, answer.lease_seconds

    def _node(self, node_id: str) -> Node:
        return next(node for node in self._nodes if node.node_id == node_id)


def _gets_through(node: Node, now: float) -> bool:
    """Whether datagrams keep the registry informed now."""
    return bool(node.key) and now < node.heard_at + min(
        PATIENCE * node.seconds + node.wait, MOST_PATIENCE * node.seconds
    )


def _pause(node: Node) -> float:
    """Until the next datagram if this one is not answered, in times between two."""
    if node.tries == 1 and node.wait > LATE * node.seconds:
        return 1.0
    return PAUSES[min(node.tries, len(PAUSES)) - 1]
