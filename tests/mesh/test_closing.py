"""A client that does not hurry to close costs nobody else anything."""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Callable

import pytest
import requests

from tests.processes import Running

DAWDLERS = 30


@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_clients_that_leave_their_side_open_stop_nobody(start: Callable[..., Running], version: str) -> None:
    """Thirty of them get whole answers, the next client is answered at once, and the service stops in time."""
    registry = start("registry").ready()
    dawdlers = []
    for _ in range(DAWDLERS):
        one = socket.create_connection(("127.0.0.1", registry.port), 5)
        one.sendall(f"GET /openapi.json HTTP/{version}\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
        dawdlers.append(one)
    began = time.monotonic()
    for _ in range(5):
        assert requests.get(f"{registry.url}/healthz", timeout=10).ok
    assert time.monotonic() - began < 4
    for one in dawdlers:
        one.settimeout(5)
        answer = b""
        head, body, length = b"", b"", -1
        while len(body) != length:
            chunk = one.recv(65536)
            assert chunk, f"the answer ends after {len(body)} of {length} bytes"
            answer += chunk
            head, _, body = answer.partition(b"\r\n\r\n")
            if found := re.search(rb"\r\ncontent-length: (\d+)", head, re.IGNORECASE):
                length = int(found[1])
        assert head.split()[1] == b"200"
        assert body.endswith(b"}")
    assert registry.stop() < 5
    for one in dawdlers:
        one.close()
