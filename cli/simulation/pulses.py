"""Beats by signed datagram: one socket for all simulated nodes, because answers name the node."""

from __future__ import annotations

import contextlib
import socket
from collections import Counter
from collections.abc import Callable

from cli.simulation.loop import READ, Loop
from cli.simulation.node import LOAD, Node
from mesh.datagram import MAX_BYTES, AnswerDatagram, BeatDatagram, open_answer, seal

BUFFER_BYTES = 8 << 20  # of answers that wait to be read: a registry answers thousands in one go
READ_AT_ONCE = 512  # answers, then timers get their turn


class Pulses:
    """Sends beats and reads answers. heard: called with the node and each answer that is rightly signed."""

    def __init__(self, loop: Loop, host: str, heard: Callable[[Node, AnswerDatagram], None]) -> None:
        self.counts: Counter[str] = Counter()
        self._host = host
        self._heard = heard
        self._nodes: dict[str, Node] = {}
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER_BYTES)
        self._socket.bind((host, 0))
        loop.watch(self._socket, READ, self._read)

    def know(self, node: Node) -> None:
        """Answers to this node are its."""
        self._nodes[node.node_id] = node

    def send(self, node: Node) -> None:
        node.number += 1
        beat = BeatDatagram(
            node_id=node.node_id, boot_id=node.boot_id, number=node.number, orders=node.followed, load=LOAD,
            stamp=node.stamp,
        )  # fmt: skip
        try:
            self._socket.sendto(seal(beat, node.key), (self._host, node.port))
            self.counts["datagrams"] += 1
        except OSError:  # a full buffer loses it, as a network does
            self.counts["datagrams_unsent"] += 1

    def _read(self, _events: int) -> None:
        with contextlib.suppress(BlockingIOError):
            for _ in range(READ_AT_ONCE):
                answer = open_answer(self._socket.recv(MAX_BYTES), self._key)
                if answer is None:
                    self.counts["answers_refused"] += 1
                    continue
                node = self._nodes[answer.node_id]
                if not node.silent:
                    self.counts["answers"] += 1
                    self._heard(node, answer)

    def _key(self, answer: AnswerDatagram) -> bytes | None:
        node = self._nodes.get(answer.node_id)
        return node.key if node is not None and node.key else None
