"""The socket on which a registry hears thousands of nodes: many datagrams are read or written by one call.

The standard library's calls let go of the interpreter's lock for each datagram, and beside threads that compute in
Python each gets it back only a switch interval later: a thousand datagrams then take seconds, however little work they
are. Where the system can take many at once (Linux), these calls hold the lock for a fraction of a millisecond.
"""

from __future__ import annotations

import ctypes
import errno
import select
import socket
import sys
import threading
from collections.abc import Iterator, Sequence
from typing import Any, Final

AT_ONCE: Final = 128  # datagrams in one call of the system: others wait for the interpreter's lock meanwhile
ROOM: Final = 1280  # bytes for each, in steps of a cache line; what is longer is cut, and so is no right datagram
BUFFER_BYTES: Final = 8 * 2**20  # of the system's buffers, if it gives so much: a burst of a whole fleet
FULL_SECONDS: Final = 0.01  # to wait for room in them; what finds none even then is as good as lost on the way
_NAME: Final = 28  # bytes of the longest address, IPv6's


class _Piece(ctypes.Structure):
    _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))


class _Header(ctypes.Structure):
    """The system's `struct msghdr`."""

    _fields_ = (
        ("name", ctypes.c_void_p),
        ("name_length", ctypes.c_uint32),
        ("pieces", ctypes.POINTER(_Piece)),
        ("piece_count", ctypes.c_size_t),
        ("control", ctypes.c_void_p),
        ("control_length", ctypes.c_size_t),
        ("flags", ctypes.c_int),
    )


class _Message(ctypes.Structure):
    """The system's `struct mmsghdr`. length: bytes of the datagram, once it has come or gone."""

    _fields_ = (("header", _Header), ("length", ctypes.c_uint32))


class _Batch:
    """Room for AT_ONCE datagrams with their addresses, as the system's calls take it."""

    def __init__(self) -> None:
        self.bytes = bytearray(AT_ONCE * ROOM)
        self.names = bytearray(AT_ONCE * _NAME)
        bytes_at = ctypes.addressof(ctypes.c_char.from_buffer(self.bytes))
        names_at = ctypes.addressof(ctypes.c_char.from_buffer(self.names))
        self.pieces = (_Piece * AT_ONCE)(*(_Piece(bytes_at + n * ROOM, ROOM) for n in range(AT_ONCE)))
        self.messages = (_Message * AT_ONCE)()
        self.headers = [message.header for message in self.messages]
        for n, header in enumerate(self.headers):
            header.name, header.name_length = names_at + n * _NAME, _NAME
            header.pieces, header.piece_count = ctypes.pointer(self.pieces[n]), 1


class DatagramSocket:
    """A bound UDP socket that never blocks. One thread receives; any thread may send. An address is what `receive`
    gave: nobody else looks into it."""

    def __init__(self, host: str, port: int, *, shared: bool) -> None:
        """Listens on `port`, which is the HTTP server's, too, and so is let through by nodes' firewalls sooner; on any
        when that is taken. shared: several processes listen there; the system gives each node to one of them.

        Raises OSError.
        """
        self._socket = _bind(host, port, shared=shared)
        self.port: int = self._socket.getsockname()[1]
        self._many = _Many(self._socket.fileno()) if sys.platform == "linux" else None

    def wait(self, seconds: float) -> bool:
        """Whether there is something to read, `seconds` from now at the latest."""
        return bool(select.select([self._socket], [], [], seconds)[0])

    def receive(self) -> list[tuple[bytes, Any]]:
        """Datagrams that have come, with the addresses that they came from, AT_ONCE at most; none when all are read."""
        if self._many is not None:
            return list(self._many.receive())
        found: list[tuple[bytes, Any]] = []
        try:
            while len(found) < AT_ONCE:
                found.append(self._socket.recvfrom(ROOM))
        except OSError:  # nothing more has come
            pass
        return found

    def send(self, datagrams: Sequence[tuple[bytes, Any]]) -> None:
        """Send each to its address. What cannot be sent (a full buffer, no route) is as good as lost on the way."""
        for start in range(0, len(datagrams), AT_ONCE):
            some = datagrams[start : start + AT_ONCE]
            while some:
                gone, reason = self._many.send(some) if self._many is not None else self._send(some)
                full = reason in (errno.EAGAIN, errno.ENOBUFS)
                if full and not select.select([], [self._socket], [], FULL_SECONDS)[1]:
                    return
                some = some[gone if full else gone + 1 :]

    def close(self) -> None:
        self._socket.close()

    def _send(self, datagrams: Sequence[tuple[bytes, Any]]) -> tuple[int, int]:
        for number, (data, address) in enumerate(datagrams):
            try:
                self._socket.sendto(data, address)
            except OSError as error:
                return number, error.errno or 0
        return len(datagrams), 0


class _Many:
    """recvmmsg and sendmmsg. They do not exist in the standard library. PyDLL: the interpreter's lock is held."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        system = ctypes.PyDLL(None, use_errno=True)
        self._receive_call, self._send_call = system.recvmmsg, system.sendmmsg
        self._in, self._out = _Batch(), _Batch()
        self._sending = threading.Lock()

    def receive(self) -> Iterator[tuple[bytes, bytes]]:
        batch = self._in
        count = self._receive_call(self._fd, batch.messages, AT_ONCE, socket.MSG_DONTWAIT, None)
        for n in range(count):  # -1 when nothing has come
            here, name = n * ROOM, n * _NAME
            yield (
                bytes(batch.bytes[here : here + batch.messages[n].length]),
                bytes(batch.names[name : name + batch.headers[n].name_length]),
            )

    def send(self, datagrams: Sequence[tuple[bytes, bytes]]) -> tuple[int, int]:
        """How many have gone, and the error that the next one met; 0 for none."""
        batch = self._out
        with self._sending:
            for n, (data, address) in enumerate(datagrams):
                batch.bytes[n * ROOM : n * ROOM + len(data)] = data
                batch.names[n * _NAME : n * _NAME + len(address)] = address
                batch.pieces[n].length = len(data)
                batch.headers[n].name_length = len(address)
            ctypes.set_errno(0)
            gone = self._send_call(self._fd, batch.messages, len(datagrams), socket.MSG_DONTWAIT)
            if gone == len(datagrams):
                return gone, 0
            # When some have gone, the call does not say why the next one did not: it is tried again, and then it does.
            return (0, ctypes.get_errno()) if gone < 0 else (gone, errno.EAGAIN)


def _bind(host: str, port: int, *, shared: bool) -> socket.socket:
    family, kind, protocol, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_DGRAM, flags=socket.AI_PASSIVE
    )[0]
    for place in (address, (address[0], 0, *address[2:])):
        one = socket.socket(family, kind, protocol)
        try:
            for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
                one.setsockopt(socket.SOL_SOCKET, option, BUFFER_BYTES)
            if shared:
                one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            one.setblocking(False)
            one.bind(place)
        except OSError:
            one.close()
            if place is not address:
                raise
            continue
        return one
    raise AssertionError("unreachable")
