"""At which address a node is listed, and what a dial finds there."""

from __future__ import annotations

import socket
import threading
import time
from typing import Any

import pytest

from mesh import manifest
from registry import dial
from registry.address import url_of

CAMERA = {
    "schema": "fogline/1",
    "kind": "camera",
    "node_id": "n-1",
    "boot_id": "b-1",
    "host_name": "factory",
    "name": "line-3",
}


@pytest.mark.parametrize(
    ("fields", "seen", "url"),
    [
        ({}, "10.0.0.7", "http://10.0.0.7:5000"),
        ({"port": 5003}, "10.0.0.7", "http://10.0.0.7:5003"),
        ({}, "::ffff:10.0.0.7", "http://10.0.0.7:5000"),
        ({}, "fd00::7", "http://[fd00::7]:5000"),
        ({}, "fe80::7%eth0", "http://[fe80::7%25eth0]:5000"),
        ({"advertise_url": "https://cam.example:8443/a/"}, "10.0.0.7", "https://cam.example:8443/a"),
        ({"ip_address": "172.17.0.2"}, "10.0.0.7", "http://10.0.0.7:5000"),
    ],
)
def test_the_address_of_a_node(fields: dict[str, Any], seen: str, url: str) -> None:
    """A node's own idea of its address counts only when it is advertised: containers are often wrong about it."""
    assert url_of(manifest.parse(CAMERA | fields), seen) == url


@pytest.mark.parametrize(
    ("ip_address", "url"),
    [
        ("10.0.0.9", "http://10.0.0.9:8000"),
        ("fd00::9", "http://[fd00::9]:8000"),
        ("pi.local", "http://10.0.0.7:8000"),
        ("0.0.0.0", "http://10.0.0.7:8000"),
        ("", "http://10.0.0.7:8000"),
    ],
)
def test_the_address_of_an_originals_device(ip_address: str, url: str) -> None:
    """Its own field when it is an address, else where it was seen; the original's port."""
    document = {"host_name": "thinkstation", "ip_address": ip_address}
    assert url_of(manifest.parse(document, "compute"), "10.0.0.7") == url


@pytest.mark.parametrize("flood", [b"", b"H", b"x" * 10], ids=["silent", "slow", "babbling"])
def test_a_dial_is_over_in_time_whatever_answers(flood: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """One byte now and then does not hold the thread for ever."""
    monkeypatch.setattr(dial, "SECONDS", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as server:

        def drip() -> None:
            connection, _ = server.accept()
            with connection:
                try:
                    for _ in range(30):
                        connection.sendall(flood)
                        time.sleep(0.1)
                except OSError:
                    return  # the dialler has gone, as it should

        threading.Thread(target=drip, daemon=True).start()
        began = time.monotonic()
        problem = dial.dial_once(f"http://127.0.0.1:{server.getsockname()[1]}")
        assert problem
        assert time.monotonic() - began < 1.5


@pytest.mark.parametrize(
    ("url", "words"),
    [("http://127.0.0.1:9", "refused"), ("http://no-such-host.invalid:1", "unknown host"), ("http://[::1", "")],
)
def test_a_failed_dial_says_why(url: str, words: str) -> None:
    """In words that lead to the remedy."""
    problem = dial.dial_once(url)
    assert problem
    assert words in problem
