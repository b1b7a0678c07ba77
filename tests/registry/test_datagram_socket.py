"""Many datagrams by one call, as by the standard library's calls."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any

import pytest

from registry.datagram_socket import AT_ONCE, ROOM, DatagramSocket
from tests.processes import free_port, wait_for


@pytest.fixture(params=["many", "one"])
def ear(request: pytest.FixtureRequest) -> Iterator[DatagramSocket]:
    """Listens on 127.0.0.1, with the calls that the system has for many, and as where it has none."""
    one = DatagramSocket("127.0.0.1", 0, shared=False)
    if request.param == "one":
        one._many = None
    yield one
    one.close()


@pytest.fixture
def senders() -> Iterator[list[socket.socket]]:
    some = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(3)]
    for one in some:
        one.bind(("127.0.0.1", 0))
        one.settimeout(2)
    yield some
    for one in some:
        one.close()


def all_of(ear: DatagramSocket, count: int) -> list[tuple[bytes, Any]]:
    found: list[tuple[bytes, Any]] = []

    def read() -> bool:
        found.extend(ear.receive())
        return len(found) >= count

    wait_for(read, 2, f"{count} datagrams")
    assert ear.receive() == []
    return found


def test_each_answer_finds_its_sender(ear: DatagramSocket, senders: list[socket.socket]) -> None:
    """More than one call takes, of different lengths, from several senders, in order."""
    assert ear.receive() == []
    sent = [(n % 3, b"%d " % n * (n % 7 + 1)) for n in range(2 * AT_ONCE + 5)]
    for which, data in sent:
        senders[which].sendto(data, ("127.0.0.1", ear.port))
    got = all_of(ear, len(sent))
    assert [data for data, _ in got] == [data for _, data in sent]
    ear.send([(b"re: " + data, address) for data, address in got])
    for number, one in enumerate(senders):
        assert [one.recv(2048) for which, _ in sent if which == number] == [
            b"re: " + data for which, data in sent if which == number
        ]


def test_what_cannot_be_sent_holds_up_nothing(ear: DatagramSocket, senders: list[socket.socket]) -> None:
    """Those after an address that takes nothing get theirs."""
    senders[0].sendto(b"hello", ("127.0.0.1", ear.port))
    ((_, address),) = all_of(ear, 1)
    nowhere = address[:2] + bytes(len(address) - 2) if isinstance(address, bytes) else ("127.0.0.1", 0)
    ear.send([(b"1", address), (b"lost", nowhere), (b"2", address)])
    assert [senders[0].recv(99) for _ in range(2)] == [b"1", b"2"]


def test_what_is_too_long_is_cut(ear: DatagramSocket, senders: list[socket.socket]) -> None:
    """The next one is as it was sent."""
    for data in (b"x" * 5000, b"short"):
        senders[0].sendto(data, ("127.0.0.1", ear.port))
    assert [data for data, _ in all_of(ear, 2)] == [b"x" * ROOM, b"short"]


def test_a_taken_port_is_not_fatal() -> None:
    """Another one is used, and told to nodes."""
    port = free_port()
    first = DatagramSocket("127.0.0.1", port, shared=False)
    second = DatagramSocket("127.0.0.1", port, shared=False)
    assert first.port == port
    assert second.port not in (0, port)
    first.close()
    second.close()
