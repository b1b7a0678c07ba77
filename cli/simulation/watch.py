"""What a reader of the registry's watch sees, with the moment at which it was seen."""

from __future__ import annotations

import http.client
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import TypeVar
from urllib.parse import urlsplit

import msgspec

CONNECT_SECONDS = 5.0
SILENCE_SECONDS = 30.0  # keep-alives come every ten
AGAIN_SECONDS = 0.1
T = TypeVar("T")


class _Seen(msgspec.Struct):
    """The members of an event's data that matter here, of whichever kind it is."""

    node_id: str = ""
    session_id: str = ""
    state: str = ""
    node: str | None = None
    following: str | None = None
    preserving: bool | None = None


class _All(msgspec.Struct):
    nodes: list[_Seen] = []
    sessions: list[_Seen] = []
    preserving: bool | float | None = None


class Watch:
    """Follows `GET /v1/events` of one registry from a thread; leaving the context ends it. Any thread may read.

    nodes: state by id. served: the node of each session by id, None while it has none. alarms: (moment, node's id, its
    state) of each node that was marked suspect or dead or was forgotten. snapshots: moments at which everything was
    told anew. Moments are time.monotonic().
    """

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._host, self._port = parts.hostname or "", parts.port or 80
        self._changed = threading.Condition()
        self._stopping = False
        self._connection: http.client.HTTPConnection | None = None
        self._last = ""
        self.nodes: dict[str, str] = {}
        self.served: dict[str, str | None] = {}
        self.preserving = False
        self.alarms: list[tuple[float, str, str]] = []
        self.snapshots: list[float] = []
        self.events = 0
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)
        self._thread.start()

    def __enter__(self) -> Watch:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._stopping = True
        if self._connection is not None and self._connection.sock is not None:
            self._connection.sock.shutdown(2)
        self._thread.join(5)

    def until(self, look: Callable[[], T | None], seconds: float) -> tuple[float, T] | None:
        """The moment at which `look` gave something, and what it gave; None when it gave nothing for `seconds`."""
        deadline = time.monotonic() + seconds
        with self._changed:
            while True:
                found = look()
                now = time.monotonic()
                if found is not None and found is not False:
                    return now, found
                if now >= deadline:
                    return None
                self._changed.wait(deadline - now)

    def alarms_since(self, moment: float, but: set[str]) -> list[tuple[float, str, str]]:
        with self._changed:
            return [alarm for alarm in self.alarms if alarm[0] >= moment and alarm[1] not in but]

    def ready(self) -> int:
        """How many nodes are listed and well."""
        return sum(state in ("ready", "full") for state in self.nodes.values())

    def _run(self) -> None:
        while not self._stopping:
            try:
                self._follow()
            except (OSError, http.client.HTTPException):
                time.sleep(AGAIN_SECONDS)

    def _follow(self) -> None:
        self._connection = http.client.HTTPConnection(self._host, self._port, timeout=CONNECT_SECONDS)
        self._connection.request("GET", "/v1/events", headers={"Last-Event-ID": self._last} if self._last else {})
        answer = self._connection.getresponse()
        if answer.status != 200:
            raise http.client.HTTPException(f"the watch answered {answer.status}")
        if self._connection.sock is not None:
            self._connection.sock.settimeout(SILENCE_SECONDS)
        kind, number, data = "", "", b""
        while not self._stopping:
            line = answer.readline()
            if not line:
                return
            name, _, value = line.rstrip(b"\r\n").partition(b": ")
            if name == b"event":
                kind = value.decode()
            elif name == b"id":
                number = value.decode()
            elif name == b"data":
                data = value
            elif not name and data:
                self._take(kind, data)
                self._last = number
                kind, data = "", b""

    def _take(self, kind: str, data: bytes) -> None:
        now = time.monotonic()
        with self._changed:
            self.events += 1
            if kind == "snapshot":
                everything = msgspec.json.decode(data, type=_All)
                self.nodes = {one.node_id: one.state for one in everything.nodes if one.state != "dead"}
                self.served = {one.session_id: one.node for one in everything.sessions if one.state != "ended"}
                self.preserving = bool(everything.preserving)
                self.snapshots.append(now)
            elif kind == "node":
                self._node(now, msgspec.json.decode(data, type=_Seen))
            elif kind == "session":
                one = msgspec.json.decode(data, type=_Seen)
                if one.state in ("ended", "gone"):
                    self.served.pop(one.session_id, None)
                else:
                    self.served[one.session_id] = one.node
            elif kind == "mesh":
                self.preserving = bool(msgspec.json.decode(data, type=_Seen).preserving)
            self._changed.notify_all()

    def _node(self, now: float, one: _Seen) -> None:
        if one.state in ("suspect", "dead", "gone") and self.nodes.get(one.node_id) != one.state:
            self.alarms.append((now, one.node_id, one.state))
        if one.state in ("dead", "gone"):
            self.nodes.pop(one.node_id, None)
        else:
            self.nodes[one.node_id] = one.state
