"""Watching a session whatever happens to the nodes that serve it: the reference client of a stream.

The rule, for whoever writes one (examples/viewer.py is its shortest form):

1. Open the registry's `/v1/sessions/{id}/stream`, with an API key where the mesh is locked: it leads to the node that
   serves the session now. Keep that address, never the node's own, which is signed for a short while.
2. When the stream ends or breaks, open the registry's address again, at once.
3. When no picture came for a second, drop the connection (a cut cable says no goodbye) and tell the registry, with the
   `token` of the address to which it led: `POST /v1/sessions/{id}/failover {"token": …}`. It moves the session once for
   each token, so that any number of viewers may say so.
"""

from __future__ import annotations

import http.client
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from urllib.parse import parse_qs, quote, urlsplit

from mesh import codec, tls
from mesh.backoff import Backoff
from mesh.credentials import Credentials, Nobody
from mesh.errors import FoglineError, Forbidden, NotFound, RegistryAway, SourceLost, Unauthorized
from mesh.multipart import Part, Reader, boundary_of
from mesh.proof import Call, target
from mesh.wire import FailoverRequest

PATIENCE = 1.0  # seconds without a picture after which the node counts as gone
START = 3.0  # seconds, the same until the second picture: a camera may be slow to begin, or slow by nature
INTERVALS = 3.0  # of the stream's own from one picture to the next: who watches a slow one waits longer
NO_SIGNAL = 3.0  # seconds: while the camera gives nothing, its node says so about once a second and is not at fault
LONGEST = 8.0  # seconds: patience doubles with each move that brought no picture, so that nothing is tossed about
CONNECT = 0.5  # seconds for a connection: a host on the LAN answers in milliseconds or not at all
ANSWER = 1.5  # seconds for the registry's answer: it gives up on its Redis before that
PAUSES = (0.2, 1.0)  # seconds before the next try when one brought nothing: the first, the longest
FORGOTTEN = 10.0  # seconds within which a registry that has lost its memory knows the session again
_CHUNK = 256 * 1024  # bytes read at once at most


@dataclass(frozen=True, slots=True)
class Sight:
    """One picture as a viewer got it. jpeg: the whole file. headers: of its part, names in lower case (`x-frame`,
    `x-timestamp`, …). node: the address of the node that sent it; token: of the placement, None when the registry gave
    none. at: monotonic seconds of its arrival."""

    jpeg: bytes
    headers: dict[str, str]
    node: str
    token: int | None
    at: float


class Follower:
    """The pictures of one session, for ever: `for sight in Follower("http://registry:5050", session_id): …`.

    registries: one or several of the same mesh, tried in turn. ask: whether to ask for another node when no picture
    comes; without, it only connects again. credentials: shown to the registry, never to a node: the registry's address
    leads to one that is signed. moves: how often it asked. One thread iterates; `close` may be called by any.

    Iterating raises NotFound when the session has ended, Unauthorized or Forbidden when the registry does not let this
    viewer in.
    """

    def __init__(
        self,
        registries: str | Sequence[str],
        session_id: str,
        *,
        ask: bool = True,
        credentials: Credentials | None = None,
    ) -> None:
        addresses = registries.split(",") if isinstance(registries, str) else registries
        self._registries = [address.strip().rstrip("/") for address in addresses]
        self._path = f"/v1/sessions/{quote(session_id)}"
        self._asks = ask
        self._credentials: Credentials = credentials or Nobody()
        self._closed = False
        self._socket: socket.socket | None = None
        self._address = ""  # on the node, where the registry led last
        self._token: int | None = None
        self._quiet_since = 0.0  # monotonic seconds of the newest picture, or of the newest placement
        self._seen = 0  # pictures
        self._usual = 0.0  # seconds from one picture to the next
        self._no_signal = False
        self._in_vain = 0  # moves since the newest picture
        self._known_at = time.monotonic()
        self.moves = 0

    @property
    def patience(self) -> float:
        """Seconds without a picture after which the node counts as gone."""
        usual = START if self._seen < 2 else NO_SIGNAL if self._no_signal else max(PATIENCE, INTERVALS * self._usual)
        return max(usual, min(LONGEST, PATIENCE * 2.0**self._in_vain))

    def __iter__(self) -> Iterator[Sight]:
        pauses = Backoff(*PAUSES)
        self._quiet_since = self._known_at = time.monotonic()
        while not self._closed:
            came = False
            try:
                for sight in self._watch():
                    came = True
                    yield sight
            except (NotFound, Unauthorized, Forbidden):
                raise
            except (OSError, http.client.HTTPException, FoglineError):
                pass  # whatever it was: the registry knows where to go on
            if self._asks and time.monotonic() >= self._due and self._move():
                continue
            if came:
                pauses.reset()
            elif not self._closed:
                until_due = self._due - time.monotonic() if self._asks else PAUSES[1]
                pause = pauses.delay()
                time.sleep(min(pause, until_due) if until_due > 0 else pause)

    def close(self) -> None:
        """End the iteration, a read that is under way included."""
        self._closed = True
        if self._socket is not None:
            with suppress(OSError):  # it went by itself
                self._socket.shutdown(socket.SHUT_RDWR)

    @property
    def _due(self) -> float:
        """When the node counts as gone unless a picture comes."""
        return self._quiet_since + self.patience

    def _watch(self) -> Iterator[Sight]:
        """The pictures of one connection, until it ends or there is nothing for too long.

        Raises what `http.client` raises, TimeoutError when no picture comes, NotFound when the session is no more.
        """
        self._find()
        if not self._asks:
            self._quiet_since = time.monotonic()
        url = urlsplit(self._address)
        node = f"{url.scheme}://{url.netloc}"
        with closing(_connection(self._address)) as connection:
            connection.connect()
            self._socket = connection.sock
            self._wait_no_longer()
            connection.request("GET", url._replace(scheme="", netloc="").geturl())
            with connection.getresponse() as answer:
                if answer.status in (401, 403):  # the address is too old: moving the session would not help
                    self._quiet_since = time.monotonic()
                if answer.status != 200:
                    raise SourceLost(f"{node} answered {answer.status}")
                reader = Reader(boundary_of(answer.getheader("Content-Type", "")))
                previous: float | None = None
                while data := answer.read1(_CHUNK):
                    for part in reader.feed(data):
                        now = time.monotonic()
                        self._note(part, now, previous)
                        previous = now
                        yield Sight(part.body, part.headers, node, self._token, now)
                    self._wait_no_longer()

    def _wait_no_longer(self) -> None:
        """Bound the next wait for data. Raises TimeoutError when the time is over, however the bytes trickle."""
        left = self._due - time.monotonic()
        if left <= 0 or self._closed or self._socket is None:
            raise TimeoutError("no picture came")
        self._socket.settimeout(left)

    def _note(self, part: Part, now: float, previous: float | None) -> None:
        if previous is not None:
            gap = now - previous
            self._usual += (gap - self._usual) / 8 if self._usual else gap
        self._seen += 1
        self._quiet_since = now
        self._in_vain = 0
        self._no_signal = "x-no-signal" in part.headers

    def _find(self) -> None:
        """Ask where the session is served now. Without any registry the last place is tried again: what runs, runs on.

        Raises SourceLost while no node serves it, NotFound when it is no more, Unauthorized or Forbidden for a viewer
        who may not see it.
        """
        try:
            status, headers, body = self._call("GET", f"{self._path}/stream")
        except RegistryAway:
            if not self._address:
                raise
            return
        if status not in (401, 403, 404):
            self._known_at = time.monotonic()
        elif status != 404 and (not self._address or time.monotonic() - self._known_at > FORGOTTEN):
            words = codec.parse_answer(body).get("detail")
            raise (Unauthorized if status == 401 else Forbidden)(f"the registry refuses this viewer: {words}")
        elif time.monotonic() - self._known_at > FORGOTTEN:
            raise NotFound("the registry knows no such session: it has ended")
        address = headers.get("Location", "")
        if status != 307 or not address.startswith("http"):
            raise SourceLost(f"no node serves the session now: the registry answered {status}")
        token = parse_qs(urlsplit(address).query).get("token", [""])[0]
        self._address = address
        self._placed(int(token) if token.isdigit() else None)

    def _placed(self, token: int | None) -> None:
        if token != self._token and self._token is not None:
            self._quiet_since = time.monotonic()  # a new node is not to blame for the old one's silence
        self._token = token

    def _move(self) -> bool:
        """Say that this placement gives no pictures; whether the registry has heard it."""
        if self._token is None:
            return False
        try:
            status, _, body = self._call(
                "POST", f"{self._path}/failover", codec.dump(FailoverRequest(token=self._token))
            )
            token = codec.parse_answer(body).get("token")
        except FoglineError:
            return False
        if status != 200 or not isinstance(token, int):
            return False
        self.moves += 1
        self._in_vain += 1
        self._token = token
        self._quiet_since = time.monotonic()
        return True

    def _call(self, method: str, path: str, body: bytes | None = None) -> tuple[int, http.client.HTTPMessage, bytes]:
        """The answer of the first registry that gives one; it is asked first from then on. Raises RegistryAway."""
        for registry in tuple(self._registries):
            try:
                with closing(_connection(registry)) as connection:
                    connection.connect()
                    connection.sock.settimeout(ANSWER)
                    kind = {"Content-Type": "application/json"} if body is not None else {}
                    shown = self._credentials.headers(Call(method, target(path)), body or b"")
                    connection.request(method, urlsplit(registry).path + path, body, kind | shown)
                    with connection.getresponse() as answer:
                        found = answer.status, answer.headers, answer.read()
            except (OSError, http.client.HTTPException):
                continue
            if found[0] != 503 or registry == self._registries[-1]:
                self._registries.remove(registry)
                self._registries.insert(0, registry)
                return found
        raise RegistryAway(f"no registry answers at {', '.join(self._registries)}")


def _connection(address: str) -> http.client.HTTPConnection:
    return tls.connection(address, CONNECT)
