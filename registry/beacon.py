"""The registry's side of beats by datagram: it takes them, tells the store of many at once, and answers."""

from __future__ import annotations

import contextlib
import secrets
import select
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Protocol

from mesh import datagram
from mesh.datagram import AnswerDatagram, BeatDatagram, Says
from mesh.errors import RegistryAway
from mesh.logs import logger
from mesh.wire import Datagrams
from registry.pacing import Tempo
from registry.settings import RegistrySettings
from registry.store import Pulse

COLLECT_SECONDS: Final = 0.05  # beats that come within one such time go to the store together
AT_ONCE: Final = 1000  # beats in one call to the store, so that Redis is not held for long
STUCK_SECONDS: Final = 0.5  # a call to the store that takes longer: those who wait are told that Redis is away
PROOF: Final = 0.5  # of a lease: a node that has heard nothing for longer has to prove that it hears …
PROOF_BEATS: Final = 1.6  # … but it need not beat oftener than it is told to
LOOK_SECONDS: Final = 0.2  # for how long the threads wait at most before they look around
SECRET_SECONDS: Final = 1.0  # between two looks whether Redis has another secret, when something points to it
OLD_SECRETS: Final = 2  # that are still understood: who signs with one is told to register again
RECEIVE_BYTES: Final = 8 * 2**20  # of the system's buffer, if it gives so much: a burst of a whole fleet
DRAINED: Final = 256  # datagrams read in a row
log = logger(__name__)


class Orders(Protocol):
    """What is known of nodes without asking the store, as registry.mirror.Mirror has it."""

    def orders(self, node_id: str) -> int | None: ...
    def listen(self, callback: Callable[[tuple[str, ...], tuple[str, ...]], None]) -> Any: ...


class Pulses(Protocol):
    """The part of registry.store.Store that is used here."""

    def pulse(self, pulses: list[Pulse], lease: float) -> list[str]: ...
    def secret(self) -> bytes: ...


@dataclass(frozen=True, slots=True)
class _Peer:
    """A node that has shown that it hears. address: where its last such beat came from, at monotonic second `seen`."""

    beat: BeatDatagram
    address: Any
    key: bytes
    seen: float


class Beacon:
    """Takes beats by datagram. `start` and `stop` are called once, by the serving process; any thread may call the
    other methods. Until `start` no node is told to send any.

    A node's lease is renewed only by a beat whose stamp this process gave out a moment ago, see mesh.datagram; and the
    answer says so only when the store has it. A beat that cannot be read or is not signed gets no answer.
    """

    def __init__(self, settings: RegistrySettings, store: Pulses, mirror: Orders, tempo: Tempo) -> None:
        self._settings = settings
        self._store = store
        self._mirror = mirror
        self._tempo = tempo
        self._socket: socket.socket | None = None
        self._port = 0
        self._stopping = threading.Event()
        self._threads: list[threading.Thread] = []
        self._secrets: tuple[bytes, ...] = ()
        self._secret_doubted = True
        self._secret_at = float("-inf")
        # Nobody else knows where this process began to count, so nobody else's stamp looks like one of its own.
        self._stamps = secrets.randbelow(2**52)
        self._peers: dict[str, _Peer] = {}  # only the receiving thread writes it
        self._pruned_at = 0.0
        self._lock = threading.Lock()
        self._waiting: dict[str, _Peer] = {}
        self._calling_since: float | None = None
        self.counts: Counter[str] = Counter()  # datagrams by what became of them; exact to a few
        mirror.listen(self._changed)

    # --- for the service

    def start(self) -> None:
        """Open the socket and begin. Without one nodes beat by HTTP alone, and the log says why."""
        try:
            self._socket = _bind(self._settings.host, self._settings.port, shared=self._settings.workers > 1)
        except OSError as error:
            log.warning("beats by datagram are not taken; nodes beat by HTTP", reason=str(error))
            return
        self._port = self._socket.getsockname()[1]
        for name, work in (("datagrams", self._receive), ("pulses", self._tell)):
            thread = threading.Thread(target=work, args=(self._socket,), name=name, daemon=True)
            self._threads.append(thread)
            thread.start()
        log.info("takes beats by datagram", port=self._port)

    def stop(self) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join(2 * LOOK_SECONDS)
        if self._socket is not None:
            self._socket.close()

    # --- for the pace

    def hears(self, node_id: str) -> bool:
        """Whether this node's datagrams get through, both ways."""
        peer = self._peers.get(node_id)
        return peer is not None and time.monotonic() - peer.seen < self._tempo.by_datagram()[0]

    def datagrams(self, node_id: str, boot_id: str) -> Datagrams | None:
        """Where this node may send datagrams, and its key. None while none are taken."""
        if self._socket is None:
            return None
        if not self._secrets:
            self._renew_secret()
        if not self._secrets:
            return None
        return Datagrams(port=self._port, key=datagram.node_key(self._secrets[0], node_id, boot_id).hex())

    # --- the receiving thread

    def _receive(self, ear: socket.socket) -> None:
        while not self._stopping.is_set():
            try:
                if select.select([ear], [], [], LOOK_SECONDS)[0]:
                    self._drain(ear)
                since = self._calling_since
                if since is not None and time.monotonic() - since > STUCK_SECONDS:
                    self._answer_all(self._take_waiting(), "away")
                self._prune()
            except Exception:  # a defect that one datagram meets must not end the beats of all the others
                log.exception("a datagram could not be taken")
                self._stopping.wait(COLLECT_SECONDS)

    def _drain(self, ear: socket.socket) -> None:
        lease, seconds = self._tempo.by_datagram()
        proof = max(PROOF * lease, PROOF_BEATS * seconds)
        for _ in range(DRAINED):
            try:
                received, address = ear.recvfrom(datagram.MAX_BYTES + 1)
            except OSError:  # nothing more has come
                return
            self._take(received, address, proof)

    def _take(self, received: bytes, address: Any, proof: float) -> None:
        key = b""
        beat = None
        for secret in self._secrets:

            def key_of(claimed: BeatDatagram, secret: bytes = secret) -> bytes:
                nonlocal key
                key = datagram.node_key(secret, claimed.node_id, claimed.boot_id)
                return key

            if (beat := datagram.open_beat(received, key_of)) is not None:
                break
        if beat is None:
            self.counts["refused"] += 1
            self._secret_doubted = True  # another registry may have met an empty Redis and made a new one
            return
        now = time.monotonic()
        peer = _Peer(beat, address, key, now)
        if not 0 <= self._stamp(now) - beat.stamp <= proof * 1000:
            self._answer(peer, "prove")
            return
        before = self._peers.get(beat.node_id)
        if before is not None and before.beat.boot_id == beat.boot_id and beat.number <= before.beat.number:
            self.counts["repeated"] += 1
            return
        self._peers[beat.node_id] = peer
        with self._lock:
            self._waiting[beat.node_id] = peer

    def _prune(self) -> None:
        """Forget who was not heard for long. Their old beats prove nothing by then."""
        now = time.monotonic()
        lease, _ = self._tempo.by_datagram()
        if now - self._pruned_at > lease:
            self._pruned_at = now
            for node_id in [node_id for node_id, peer in self._peers.items() if now - peer.seen > 2 * lease]:
                del self._peers[node_id]

    # --- the telling thread

    def _tell(self, _socket: socket.socket) -> None:
        while not self._stopping.wait(COLLECT_SECONDS):
            try:
                if self._secret_doubted and time.monotonic() - self._secret_at > SECRET_SECONDS:
                    self._renew_secret()
                waiting = list(self._take_waiting().values())
                for start in range(0, len(waiting), AT_ONCE):
                    self._pulse(waiting[start : start + AT_ONCE])
            except Exception:  # as above: the beats of all nodes hang on this thread
                log.exception("beats by datagram could not be told")

    def _pulse(self, peers: list[_Peer]) -> None:
        lease, _ = self._tempo.by_datagram()
        pulses = [Pulse(node_id=p.beat.node_id, boot_id=p.beat.boot_id, load=p.beat.load) for p in peers]
        self._calling_since = time.monotonic()
        try:
            unknown = set(self._store.pulse(pulses, lease))
        except RegistryAway:
            self._answer_all({p.beat.node_id: p for p in peers}, "away")
            return
        finally:
            self._calling_since = None
        # The more of those who were heard are unknown, the more it looks like a wipe, after which all come back.
        spread = self._tempo.spread(len(unknown) / len(peers))
        self._secret_doubted = self._secret_doubted or bool(unknown)
        for peer in peers:
            if peer.beat.node_id in unknown:
                self._answer(peer, "full", spread=spread)
            else:
                self._answer(peer, "renewed")

    def _renew_secret(self) -> None:
        self._secret_at = time.monotonic()
        try:
            secret = self._store.secret()
        except RegistryAway:
            return
        self._secret_doubted = False
        if secret not in self._secrets[:1]:
            self._secrets = (secret, *(old for old in self._secrets if old != secret))[: 1 + OLD_SECRETS]

    def _take_waiting(self) -> dict[str, _Peer]:
        with self._lock:
            waiting, self._waiting = self._waiting, {}
        return waiting

    # --- any thread

    def _changed(self, nodes: tuple[str, ...], _sessions: tuple[str, ...]) -> None:
        """Tell nodes of new orders at once. One that does not hear it is told with its next answer."""
        now = time.monotonic()
        lease, _ = self._tempo.by_datagram()
        for node_id in nodes:
            peer = self._peers.get(node_id)
            if peer is None or now - peer.seen > lease:
                continue
            orders = self._mirror.orders(node_id)
            if orders is not None and orders != peer.beat.orders:
                self._answer(peer, "news", echo=0)

    def _stamp(self, now: float) -> int:
        """Milliseconds, from a moment that only this process knows."""
        return int(now * 1000) + self._stamps

    def _answer_all(self, peers: dict[str, _Peer], says: Says) -> None:
        for peer in peers.values():
            self._answer(peer, says)

    def _answer(self, peer: _Peer, says: Says, *, echo: int | None = None, spread: float = 0.0) -> None:
        lease, seconds = self._tempo.by_datagram()
        orders = self._mirror.orders(peer.beat.node_id)
        answer = AnswerDatagram(
            node_id=peer.beat.node_id,
            echo=peer.beat.number if echo is None else echo,
            stamp=self._stamp(time.monotonic()),
            orders=peer.beat.orders if orders is None else orders,  # it joined a moment ago
            lease_seconds=lease,
            seconds=seconds,
            says=says,
            spread=spread,
        )
        self.counts[says] += 1
        if self._socket is not None:
            with contextlib.suppress(OSError):  # a full buffer, no route: as good as lost on the way
                self._socket.sendto(datagram.seal(answer, peer.key), peer.address)


def _bind(host: str, port: int, *, shared: bool) -> socket.socket:
    """A socket on the same port as the HTTP server, which nodes' firewalls let through sooner; any when it is taken.

    shared: several processes listen there; the system gives each node to one of them. Raises OSError.
    """
    family, kind, protocol, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_DGRAM, flags=socket.AI_PASSIVE
    )[0]
    for place in (address, (address[0], 0, *address[2:])):
        one = socket.socket(family, kind, protocol)
        try:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BYTES)
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
