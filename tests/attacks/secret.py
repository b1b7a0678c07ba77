"""A service that nobody from outside may reach."""

from __future__ import annotations

import contextlib
import socket
import threading


class Secret:
    """What only this machine can reach. visits: how many came; it answers nobody."""

    def __init__(self, host: str = "127.0.0.1", port: int = 0) -> None:
        self.visits = 0
        self._socket = socket.create_server((host, port))
        self.port: int = self._socket.getsockname()[1]
        threading.Thread(target=self._count, daemon=True).start()

    def _count(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                visitor, _ = self._socket.accept()
                self.visits += 1
                visitor.close()

    def __enter__(self) -> Secret:
        return self

    def __exit__(self, *_exc: object) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
