"""A relay with faults: put between two services it delays, swallows, refuses and cuts what they say to each other."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Any, Literal

from tests.processes import free_port

Way = Literal["there", "back"]  # from who connects to the target, and from the target
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER: closing sends a reset instead of a goodbye
_CHUNK = 65536  # bytes read at once
_CALL = 5.0  # seconds that a switch may take


class Relay:
    """Relays the TCP connections that come to `host`:`port` to `target`; datagrams as well, when they are asked for.

    It begins with everything passing. The switches hold for the connections that are open, too. Any thread may call
    any method; the context ends it. port: the one that it listens on.
    """

    def __init__(
        self, target: tuple[str, int], *, host: str = "127.0.0.1", port: int = 0, datagrams: bool = False
    ) -> None:
        self._target = target
        self._host = host
        self.port = port or free_port()
        self._datagrams = datagrams
        self._delay = 0.0
        self._dead: frozenset[Way] = frozenset()
        self._server: asyncio.Server | None = None
        self._ear: asyncio.DatagramTransport | None = None
        self._open: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._peers: dict[Any, asyncio.DatagramTransport] = {}
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="relay", daemon=True)
        self._thread.start()
        self._call(self._listen())

    @property
    def url(self) -> str:
        """As an HTTP address."""
        return f"http://{self._host}:{self.port}"

    def mend(self) -> None:
        """Let everything pass again, at once."""
        self._delay, self._dead = 0.0, frozenset()
        self._call(self._listen())

    def refuse(self) -> None:
        """Nobody listens any more, and what was open is reset."""
        self._call(self._deafen())
        self.cut()

    def swallow(self, *ways: Way) -> None:
        """Take connections and bytes, and pass nothing on; or nothing in one way only."""
        self._dead = frozenset(ways or ("there", "back"))

    def delay(self, seconds: float) -> None:
        """Hold back everything for so long, in each way."""
        self._delay = seconds

    def cut(self) -> None:
        """Reset every open connection, now."""

        async def reset() -> None:
            for writer in tuple(self._open):
                with contextlib.suppress(OSError):  # its other end has just reset it
                    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                writer.transport.abort()

        self._call(reset())

    def __enter__(self) -> Relay:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._call(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_CALL)
        self._loop.close()

    def _call(self, doing: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(doing, self._loop).result(_CALL)

    # --- the relay's own thread

    async def _listen(self) -> None:
        if self._server is None:
            self._server = await asyncio.start_server(self._take, self._host, self.port)
        if self._ear is None and self._datagrams:
            at = (self._host, self.port)
            self._ear, _ = await self._loop.create_datagram_endpoint(lambda: _Ear(self._forward), local_addr=at)

    async def _deafen(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        if self._ear is not None:
            self._ear.close()
            self._ear = None

    async def _end(self) -> None:
        await self._deafen()
        for writer in tuple(self._open):
            writer.transport.abort()
        for peer in self._peers.values():
            peer.close()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._open.add(writer)
        other: asyncio.StreamWriter | None = None
        try:
            their_reader, other = await asyncio.open_connection(*self._target)
            self._open.add(other)
            ways = [
                asyncio.ensure_future(self._pump(reader, other, "there")),
                asyncio.ensure_future(self._pump(their_reader, writer, "back")),
            ]
            try:
                await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for way in ways:
                    way.cancel()
                await asyncio.gather(*ways, return_exceptions=True)
        except (OSError, asyncio.CancelledError):
            pass  # the target is away, as the fault wants it, or the relay ends
        finally:
            for one in (writer, other):
                if one is not None:
                    self._open.discard(one)
                    one.close()
            self._tasks.discard(task)

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, way: Way) -> None:
        """Pass on what comes, each chunk as late as the delay was when it came."""
        waiting: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()

        async def take_in() -> None:
            try:
                while chunk := await reader.read(_CHUNK):
                    if way not in self._dead:
                        waiting.put_nowait((self._loop.time() + self._delay, chunk))
            finally:  # a reset is an end, too
                waiting.put_nowait((self._loop.time() + self._delay, b""))

        taking = asyncio.ensure_future(take_in())
        try:
            while not taking.done() or not waiting.empty():
                due, chunk = await waiting.get()
                await asyncio.sleep(max(0.0, due - self._loop.time()))
                if not chunk:
                    return
                writer.write(chunk)
                await writer.drain()
        finally:
            taking.cancel()
            with contextlib.suppress(OSError, asyncio.CancelledError):
                await taking

    def _forward(self, data: bytes, sender: Any) -> None:
        if "there" not in self._dead:
            task = self._loop.create_task(self._send(data, sender))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _send(self, data: bytes, sender: Any) -> None:
        await asyncio.sleep(self._delay)
        peer = self._peers.get(sender)
        if peer is None:
            peer, _ = await self._loop.create_datagram_endpoint(
                lambda: _Ear(lambda answer, _from: self._answer(answer, sender)), remote_addr=self._target
            )
            self._peers[sender] = peer
        peer.sendto(data)

    def _answer(self, data: bytes, receiver: Any) -> None:
        if "back" not in self._dead:
            self._loop.call_later(self._delay, self._say, data, receiver)

    def _say(self, data: bytes, receiver: Any) -> None:
        if self._ear is not None:
            self._ear.sendto(data, receiver)


class _Ear(asyncio.DatagramProtocol):
    """Hands each datagram on with its sender."""

    def __init__(self, hear: Callable[[bytes, Any], None]) -> None:
        self._hear = hear

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self._hear(data, addr)
