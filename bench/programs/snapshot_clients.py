"""Asks for one address over and over: `python -m bench.programs.snapshot_clients URL CLIENTS SECONDS` prints JSON.

One thread reads for all clients; the figure that counts is the requests per CPU-second of the server.
"""

from __future__ import annotations

import json
import selectors
import socket
import sys
import time
from urllib.parse import urlsplit

HEAD = 4096


class Client:
    def __init__(self, host: str, port: int, path: str) -> None:
        self.socket = socket.create_connection((host, port), 5)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._request = f"GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n".encode()
        self._left = -1
        self.ask()

    def ask(self) -> None:
        self._left = -1
        self.socket.sendall(self._request)

    def read(self) -> bool:
        """Take what is there; True when the answer is whole."""
        if self._left < 0:
            head = self.socket.recv(HEAD, socket.MSG_PEEK)
            if not head:
                raise SystemExit("the server closed a connection that it should keep open")
            end = head.find(b"\r\n\r\n")
            if end < 0:
                return False
            if b" 200" not in head[:16]:
                raise SystemExit(f"the server answered {head[:60]!r}")
            self.socket.recv(end + 4)
            lengths = [line for line in head[:end].lower().split(b"\r\n") if line.startswith(b"content-length:")]
            self._left = int(lengths[0].split(b":")[1])
        if self._left:
            self._left -= len(self.socket.recv(self._left))
        return self._left == 0


def main() -> None:
    url, clients, seconds = urlsplit(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
    waiting = selectors.EpollSelector()
    for _ in range(clients):
        client = Client(url.hostname or "", url.port or 80, url.path)
        waiting.register(client.socket, selectors.EVENT_READ, client)
    print("measuring", flush=True)
    begun, requests = time.monotonic(), 0
    while time.monotonic() - begun < seconds:
        for key, _ in waiting.select(1):
            if key.data.read():
                requests += 1
                key.data.ask()
    print(json.dumps({"requests": requests, "seconds": time.monotonic() - begun}), flush=True)


if __name__ == "__main__":
    main()
