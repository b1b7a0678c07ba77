"""How many connections one client, and all together, may have to one process."""

from __future__ import annotations

import socket
import threading
from typing import Final
from weakref import WeakSet

from mesh.audience import SPARE_FILES, files_allowed
from mesh.limits import MAX_CONNECTIONS, MAX_CONNECTIONS_PER_CLIENT

# Who comes from this machine may be a proxy or a dashboard, which speaks for many.
OURS: Final = frozenset({"127.0.0.1", "::1", "::ffff:127.0.0.1"})


class Connections:
    """The sockets of all clients, wherever in the process they are. Any thread may call any method.

    A socket counts until it is closed or forgotten; nobody has to say so. in_all, per_client: at most.
    """

    def __init__(self, in_all: int = MAX_CONNECTIONS, per_client: int = MAX_CONNECTIONS_PER_CLIENT) -> None:
        self.in_all = max(1, min(in_all, files_allowed() - SPARE_FILES))
        self.per_client = per_client
        self._lock = threading.Lock()
        self._all: WeakSet[socket.socket] = WeakSet()
        self._by_client: dict[str, WeakSet[socket.socket]] = {}

    @property
    def full(self) -> bool:
        """Whether there is room for none more."""
        with self._lock:
            return _count(self._all, self.in_all) >= self.in_all

    def has_too_many(self, client: str) -> bool:
        """Whether `client`, an address, has as many as it may."""
        with self._lock:
            its = self._by_client.get(client)
            return its is not None and client not in OURS and _count(its, self.per_client) >= self.per_client

    def add(self, sock: socket.socket, client: str = "") -> None:
        """Count `sock` from now on. client: its address, found out when empty."""
        if not client:
            try:
                peer = sock.getpeername()
                client = str(peer[0]) if peer else "127.0.0.1"  # a Unix socket: of this machine's front
            except OSError:
                return  # it has gone
        with self._lock:
            self._all.add(sock)
            self._by_client.setdefault(client, WeakSet()).add(sock)

    def tidy(self) -> None:
        """Forget clients that have left."""
        with self._lock:
            for client in [one for one, its in self._by_client.items() if not its]:
                del self._by_client[client]


def _count(sockets: WeakSet[socket.socket], most: int) -> int:
    """How many of them are open; looked at closely only when there seem to be `most`."""
    if len(sockets) < most:
        return len(sockets)
    for one in [one for one in sockets if one.fileno() < 0]:
        sockets.discard(one)
    return len(sockets)
