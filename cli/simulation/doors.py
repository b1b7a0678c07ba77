"""The address under which the registry dials simulated nodes: one tiny web server for nearly all of them."""

from __future__ import annotations

import contextlib
import re
import socket
from collections.abc import Callable

from cli.simulation.loop import READ, Loop

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
_PATH = re.compile(rb"^GET /n/(\d+)/healthz ")


class Doors:
    """Answers `/n/INDEX/healthz`. silent: whether the node with this index gives no answer, as one that was cut off."""

    def __init__(self, loop: Loop, silent: Callable[[int], bool]) -> None:
        self._loop = loop
        self._silent = silent
        self._shared = self._listen()
        self._own: dict[int, socket.socket] = {}
        self.dialled = 0

    def shared(self) -> str:
        """The address that nodes share: it always answers."""
        return _url(self._shared)

    def own(self, index: int) -> str:
        """An address for this node alone, which `close` makes refuse connections."""
        self._own[index] = self._listen()
        return _url(self._own[index])

    def close(self, index: int) -> None:
        door = self._own.pop(index)
        self._loop.forget(door)
        door.close()

    def _listen(self) -> socket.socket:
        listening = socket.create_server(("127.0.0.1", 0), backlog=4096)
        listening.setblocking(False)
        self._loop.watch(listening, READ, lambda _events: self._accept(listening))
        return listening

    def _accept(self, listening: socket.socket) -> None:
        with contextlib.suppress(BlockingIOError):
            while True:
                caller, _ = listening.accept()
                caller.setblocking(False)
                if not self._answer(caller):
                    self._loop.watch(caller, READ, lambda _events, caller=caller: self._answer(caller))  # type: ignore[misc]

    def _answer(self, caller: socket.socket) -> bool:
        """Whether this caller is done with; else it has said nothing yet, or gets no answer until it gives up."""
        try:
            asked = caller.recv(4096)
        except BlockingIOError:
            return False
        except OSError:
            asked = b""
        found = _PATH.match(asked)
        if found and self._silent(int(found[1])):
            return False
        if found:
            self.dialled += 1
            with contextlib.suppress(OSError):
                caller.send(ANSWER)
        self._loop.forget(caller)
        caller.close()
        return True


def _url(listening: socket.socket) -> str:
    return f"http://127.0.0.1:{listening.getsockname()[1]}"
