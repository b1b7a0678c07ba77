"""Single answers of nodes, pictures above all, that are asked for once for all browsers that want them at a time."""

from __future__ import annotations

import http.client
import threading
import time
from dataclasses import dataclass

from mesh.client import RegistryClient
from mesh.errors import FoglineError, Unavailable
from mesh.picture import MAX_BYTES
from ui.addresses import Addresses
from ui.node_answer import NodeAway, NotAccepted, Place, What, ask, connect, find, stamps

FRESH = 0.25  # seconds for which an answer serves others who want the same: a wall asks about twice a second
WAIT = 3.0  # seconds that a browser waits for another's request of the same: a camera's first picture takes longer
READ = 9.0  # seconds: a compute node waits up to 8 s for a camera's first picture
MOST = 256  # different pictures at once
KEPT = 10.0  # seconds without a request after which a picture's connection is closed
RENEW = 0.6  # of an address's time after which another is asked for
SURE = 1.0  # seconds for which a place that was found is not doubted
KEPT_ALIVE = 30.0  # seconds after which a connection is not used again: nodes close theirs after 75


@dataclass(frozen=True, slots=True)
class Answer:
    """body, kind: as the node gave them. stamps: of a picture. at: monotonic seconds when it came."""

    body: bytes
    kind: str
    stamps: dict[str, str]
    at: float


class SharedStill:
    """One picture, at one size. Any thread may call `get`."""

    def __init__(self, what: What, addresses: Addresses) -> None:
        self.what = what
        self.asked_at = time.monotonic()
        self._addresses = addresses
        self._lock = threading.Lock()
        self._answer: Answer | None = None
        self._place: Place | None = None
        self._placed_at = 0.0
        self._connection: http.client.HTTPConnection | None = None
        self._used_at = 0.0

    def get(self, client: RegistryClient) -> Answer:
        """The picture of now. client: speaks for whoever asks. Raises what the registry answers, NodeAway, Unavailable
        with the node's words."""
        self.asked_at = time.monotonic()
        if not self._lock.acquire(timeout=WAIT):
            raise Unavailable("the node that serves this is slow to answer", retry_after=1)
        try:
            known = self._answer
            if known is None or time.monotonic() - known.at > FRESH:
                known = self._answer = self._ask(client)
            return known
        finally:
            self._lock.release()

    def close(self) -> None:
        """Give the connection back, unless it is in use."""
        if self._lock.acquire(blocking=False):
            self._drop()
            self._lock.release()

    # --- with the lock held

    def _ask(self, client: RegistryClient) -> Answer:
        place = self._where(client)
        try:
            return self._read(place)
        except FoglineError as error:
            self._drop()
            if time.monotonic() - self._placed_at < SURE:
                raise
            # An old address, a node that has gone, a session that has moved unheard: where is it now?
            self._place = None
            other = self._where(client)
            if _spot(other) == _spot(place) and not isinstance(error, NotAccepted):
                raise
            return self._read(other)

    def _where(self, client: RegistryClient) -> Place:
        place, now = self._place, time.monotonic()
        old = place is not None and place.seconds is not None and now - self._placed_at > RENEW * place.seconds
        if place is None or old or self._has_moved(place):
            self._drop()
            place = self._place = find(self.what, client, self._addresses)
            self._placed_at = now
        return place

    def _has_moved(self, place: Place) -> bool:
        return place.token is not None and (self._addresses.token(self.what.ident) or 0) > place.token

    def _read(self, place: Place) -> Answer:
        connection = self._connection
        again = connection is not None and time.monotonic() - self._used_at < KEPT_ALIVE
        if connection is None or not again:
            self._drop()
            connection = self._connection = connect(place.address)
        try:
            answer = self._once(connection, place)
        except NodeAway:
            self._drop()
            if not again:
                raise
            # A kept connection may be closed just as it is used again.
            connection = self._connection = connect(place.address)
            answer = self._once(connection, place)
        self._used_at = time.monotonic()
        return answer

    def _once(self, connection: http.client.HTTPConnection, place: Place) -> Answer:
        try:
            connection.sock.settimeout(READ)
            answer = ask(connection, place.address)
            body = answer.read(MAX_BYTES + 1)
        except (OSError, http.client.HTTPException, AttributeError) as error:  # the last: it was closed
            raise NodeAway(f"the node that serves this gave no answer ({type(error).__name__})") from error
        if len(body) > MAX_BYTES:
            self._drop()
            raise Unavailable(f"the node's answer has more than {MAX_BYTES:,} bytes")
        headers = {name.lower(): value for name, value in answer.getheaders()}
        return Answer(body, headers.get("content-type", ""), stamps(headers), time.monotonic())

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


class SharedStills:
    """The pictures that are wanted now. Any thread may call any method."""

    def __init__(self, addresses: Addresses) -> None:
        self._addresses = addresses
        self._lock = threading.Lock()
        self._known: dict[What, SharedStill] = {}
        self._swept_at = 0.0

    def get(self, what: What, client: RegistryClient) -> Answer:
        """See `SharedStill.get`. Raises Unavailable when too many are wanted at once."""
        with self._lock:
            self._sweep()
            still = self._known.get(what)
            if still is None:
                if len(self._known) >= MOST:
                    raise Unavailable(f"the dashboard already passes on {MOST} different pictures", retry_after=5)
                still = self._known[what] = SharedStill(what, self._addresses)
        return still.get(client)

    def _sweep(self) -> None:
        now = time.monotonic()
        if now - self._swept_at < 1.0:
            return
        self._swept_at = now
        for what, still in list(self._known.items()):
            if now - still.asked_at > KEPT:
                still.close()
                del self._known[what]

    def close(self) -> None:
        with self._lock:
            for still in self._known.values():
                still.close()
            self._known.clear()


def _spot(place: Place) -> tuple[str, int | None]:
    """What of a place does not change with each signature."""
    return place.address.partition("?")[0], place.token
