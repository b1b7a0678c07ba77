"""A network between a node and its registry that loses what a test wants lost."""

from __future__ import annotations

import contextlib
import select
import socket
import threading
from types import TracebackType
from urllib.parse import urlsplit


class FaultProxy:
    """Passes TCP connections and datagrams on to the registry at `url`, from another address of this machine.

    swallows: it loses datagrams, as a firewall does, and lets the rest through.
    """

    def __init__(self, url: str, address: str = "127.0.0.3") -> None:
        there = urlsplit(url)
        self._there = (there.hostname or "", there.port or 0)
        self.swallows = False
        self._stop = threading.Event()
        self._listener = socket.create_server((address, self._there[1]))
        self._front = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._front.bind((address, self._there[1]))  # the port that the registry tells is the registry's own
        self.url = f"http://{address}:{self._there[1]}"
        self._threads = [threading.Thread(target=work, daemon=True) for work in (self._accept, self._relay)]

    def __enter__(self) -> FaultProxy:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(2)
        self._listener.close()
        self._front.close()

    def _accept(self) -> None:
        while not self._stop.is_set():
            if select.select([self._listener], [], [], 0.1)[0]:
                near, _ = self._listener.accept()
                threading.Thread(target=self._carry, args=(near,), daemon=True).start()

    def _carry(self, near: socket.socket) -> None:
        with near, contextlib.suppress(OSError), socket.create_connection(self._there) as far:
            while not self._stop.is_set():
                for one in select.select([near, far], [], [], 0.1)[0]:
                    carried = one.recv(65536)
                    if not carried:
                        return
                    (far if one is near else near).sendall(carried)

    def _relay(self) -> None:
        """Each node gets a socket of its own towards the registry, which then tells nodes apart by their ports."""
        backs: dict[tuple[str, int], socket.socket] = {}
        while not self._stop.is_set():
            for one in select.select([self._front, *backs.values()], [], [], 0.1)[0]:
                with contextlib.suppress(OSError):
                    carried, origin = one.recvfrom(2048)
                    if self.swallows:
                        continue
                    if one is self._front:
                        if origin not in backs:
                            backs[origin] = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
                        backs[origin].sendto(carried, self._there)
                    else:
                        node = next(node for node, back in backs.items() if back is one)
                        self._front.sendto(carried, node)
        for back in backs.values():
            back.close()
