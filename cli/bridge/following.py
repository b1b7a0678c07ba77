"""Which sessions' detections are read, and reading them from the nodes that serve the sessions."""

from __future__ import annotations

import http.client
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, suppress
from typing import Any
from urllib.parse import urlsplit

import msgspec

from mesh import codec, tls
from mesh.access_wire import TicketRequest
from mesh.backoff import Backoff
from mesh.client import RegistryClient
from mesh.errors import FoglineError, SourceLost
from mesh.logs import logger
from mesh.wire import Detections

MOST = 256  # sessions that are read at once: each has a thread
ALONE = 3.0  # seconds as the only viewer after which we go: viewers are told about once a second
GHOST = 60.0  # seconds after which a viewer that is seen where we have left is none of us
CONNECT = 1.5  # seconds: a host on the LAN answers in milliseconds or not at all
STALL = 25.0  # seconds without a byte after which a connection counts as lost: something comes every ten
PAUSES = (0.2, 3.0)  # seconds before the next try: the first, the longest
MOST_EVENT = 1024 * 1024  # bytes of one event
_CHUNK = 256 * 1024
Document = dict[str, Any]
log = logger(__name__)


class Reader:
    """Reads one session's detections in a thread of its own, wherever it is served, until `stop`.

    publish: gets the topic and each document as JSON. topic: may be another one any time.
    """

    def __init__(self, session_id: str, topic: str, client: RegistryClient, publish: Callable[[str, bytes], None]):
        self.topic = topic
        self._session_id = session_id
        self._client = client
        self._publish = publish
        self._token = 0
        self._socket: socket.socket | None = None
        self._stopping = threading.Event()
        threading.Thread(target=self._run, name=f"detections {session_id[:8]}", daemon=True).start()

    def placed(self, token: int) -> None:
        """The session's placement has this token: a node that was cut off says no goodbye."""
        if self._token and token > self._token:
            self._hang_up()

    def stop(self) -> None:
        """End; does not wait."""
        self._stopping.set()
        self._hang_up()

    def _hang_up(self) -> None:
        sock = self._socket
        if sock is not None:
            with suppress(OSError):  # it went by itself
                sock.shutdown(socket.SHUT_RDWR)

    def _run(self) -> None:
        pauses = Backoff(*PAUSES)
        while not self._stopping.is_set():
            try:
                for document in self._watch():
                    pauses.reset()
                    self._publish(self.topic, document)
            except (FoglineError, OSError, http.client.HTTPException, ValueError, msgspec.MsgspecError) as error:
                log.debug("no detections", session=self._session_id, reason=str(error))
            except Exception:  # the thread must live: whatever a node sends is in the log, and the next try comes
                log.exception("a node's detections could not be read", session=self._session_id)
            self._stopping.wait(pauses.delay())

    def _watch(self) -> Iterator[bytes]:
        """The documents of one connection. Raises what the registry and `http.client` raise, and SourceLost."""
        found = self._client.tickets(TicketRequest(sessions=[self._session_id])).sessions.get(self._session_id)
        if found is None:
            raise SourceLost("no node serves this session now")
        url = urlsplit(found.detections_url)
        self._token = found.token
        with closing(tls.connection(found.detections_url, CONNECT)) as connection:
            connection.connect()
            self._socket = connection.sock
            connection.sock.settimeout(STALL)
            if self._stopping.is_set():
                return
            connection.request("GET", url._replace(scheme="", netloc="").geturl())
            with connection.getresponse() as answer:
                if answer.status != 200:
                    raise SourceLost(f"the node answered {answer.status}")
                yield from self._documents(answer)

    def _documents(self, answer: http.client.HTTPResponse) -> Iterator[bytes]:
        rest = bytearray()
        while not self._stopping.is_set() and (data := answer.read1(_CHUNK)):
            rest += data
            while (end := rest.find(b"\n\n")) >= 0:
                event = bytes(rest[:end])
                del rest[: end + 2]
                if event.startswith(b"data: "):
                    codec.decode(event[6:], Detections)  # what is none goes no further
                    yield event[6:]
            if len(rest) > MOST_EVENT:
                raise SourceLost("the node sends an event without an end")


class Following:
    """Reads the sessions that run anyway, and keeps none of them alive: those that are pinned, and those that somebody
    else views. One thread calls.

    A session counts its viewers, us among them, about a second late. So we go when we were the only one for a while;
    and where we have left, one viewer may still be us.
    """

    def __init__(self, client: RegistryClient, publish: Callable[[str, bytes], None]) -> None:
        self._client = client
        self._publish = publish
        self._readers: dict[str, Reader] = {}
        self._alone_since: dict[str, float] = {}  # monotonic seconds, of those that we read
        self._left_at: dict[str, float] = {}  # the same, of those that we have left because we were alone
        self._full = False

    def look(self, sessions: Iterable[tuple[Document, str]]) -> None:
        """Begin and end what is to be read. sessions: those that go on, each with the topic of its detections. Call it
        about once a second."""
        going = {str(session["session_id"]): (session, topic) for session, topic in sessions}
        for ident in self._readers.keys() - going.keys():
            self._end(ident)
        for times in (self._alone_since, self._left_at):
            for ident in times.keys() - going.keys():
                del times[ident]
        for ident, (session, topic) in going.items():
            reader = self._readers.get(ident)
            if not self._wanted(ident, session):
                self._end(ident)
            elif reader is not None:
                reader.topic = topic
                reader.placed(int(session.get("token") or 0))
            elif len(self._readers) < MOST:
                self._readers[ident] = Reader(ident, topic, self._client, self._publish)
            elif not self._full:
                self._full = True
                log.warning("more sessions run than are read", most=MOST)

    def _wanted(self, ident: str, session: Document) -> bool:
        viewers = int(session.get("viewers") or 0)
        now = time.monotonic()
        if session.get("pinned"):
            return True
        if ident in self._readers:
            if viewers > 1:
                self._alone_since.pop(ident, None)
            elif now - self._alone_since.setdefault(ident, now) > ALONE:
                self._left_at[ident] = now
                return False
            return True
        if viewers == 0 or viewers > 1 or now - self._left_at.get(ident, now) > GHOST:
            self._left_at.pop(ident, None)
        return viewers > 0 and ident not in self._left_at

    def _end(self, ident: str) -> None:
        self._alone_since.pop(ident, None)
        reader = self._readers.pop(ident, None)
        if reader is not None:
            reader.stop()
