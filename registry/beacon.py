"""The registry's side of beats by datagram: it takes them, tells the store of many at once, and answers."""

from __future__ import annotations

import secrets
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final, Protocol

from mesh import datagram
from mesh.datagram import AnswerDatagram, BeatDatagram, Says
from mesh.errors import RegistryAway
from mesh.logs import logger
from mesh.wire import Datagrams
from registry.datagram_socket import DatagramSocket
from registry.pacing import Tempo
from registry.restoring import Known, Registry, Restorer
from registry.settings import RegistrySettings
from registry.store import Pulse

# Beats that come within one such time are read in a row and go to the store together: each time that the threads wake
# they wait for the interpreter's lock, which others may hold.
COLLECT_SECONDS: Final = 0.05
AT_ONCE: Final = 1000  # beats in one call to the store, so that Redis is not held for long
STUCK_SECONDS: Final = 0.5  # a call to the store that takes longer: those who wait are told that Redis is away
LOOK_SECONDS: Final = 0.2  # for how long the threads wait at most before they look around
SECRET_SECONDS: Final = 1.0  # between two looks whether Redis has another secret, when something points to it
OLD_SECRETS: Final = 2  # that are still understood: nodes go on with one until they hear of the new one by HTTP
NEWS: Final = 200  # nodes a second that are told of new orders at once: each sends a full beat then
DRAINED: Final = 64  # times that datagrams are read in a row, some hundred each time, before it is looked around
log = logger(__name__)


class Followed(Known, Protocol):
    """What is known of nodes without asking the store, as registry.mirror.Mirror has it."""

    def listen(self, callback: Callable[[tuple[str, ...], tuple[str, ...]], None]) -> Any: ...


class Pulses(Registry, Protocol):
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

    A node's lease is renewed only by a beat whose stamp this process gave out within the last lease, see mesh.datagram:
    one that hears nothing any more has its last renewal a lease after the last answer, and is missed a lease later. The
    answer says that a lease is renewed only when the store has it. A beat that cannot be read or is not signed gets no
    answer.
    """

    def __init__(self, settings: RegistrySettings, store: Pulses, mirror: Followed, tempo: Tempo) -> None:
        self._settings = settings
        self._store = store
        self._mirror = mirror
        self._tempo = tempo
        self._socket: DatagramSocket | None = None
        self._stopping = threading.Event()
        self._threads: list[threading.Thread] = []
        self._secrets: tuple[bytes, ...] = ()
        self._secret_doubted = True
        self._secret_at = float("-inf")
        # Nobody else knows where this process began to count, so nobody else's stamp looks like one of its own.
        self._stamps = secrets.randbelow(2**52)
        # Only the receiving thread writes these. _read_at: when everything that had come was read.
        self._peers: dict[str, _Peer] = {}
        self._pruned_at = self._read_at = time.monotonic()
        self._lock = threading.Lock()
        self._waiting: dict[str, _Peer] = {}
        self._waiting_since: float | None = None
        self._some_wait = threading.Event()
        # Only the telling thread uses these.
        self._calling_since: float | None = None
        self._restorer = Restorer(store, mirror)
        # How many nodes were told of new orders since then; only who tells of changes in the mirror uses these.
        self._news, self._news_at = 0, 0.0
        self.counts: Counter[str] = Counter()  # datagrams by what became of them; exact to a few
        mirror.listen(self._changed)

    # --- for the service

    def start(self) -> None:
        """Open the socket and begin. Without one nodes beat by HTTP alone, and the log says why."""
        try:
            settings = self._settings
            self._socket = DatagramSocket(settings.host, settings.port, shared=settings.workers > 1)
        except OSError as error:
            log.warning("beats by datagram are not taken; nodes beat by HTTP", reason=str(error))
            return
        for name, work in (("datagrams", self._receive), ("pulses", self._tell)):
            thread = threading.Thread(target=work, args=(self._socket,), name=name, daemon=True)
            self._threads.append(thread)
            thread.start()
        log.info("takes beats by datagram", port=self._socket.port)

    def stop(self) -> None:
        self._stopping.set()
        self._some_wait.set()
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
        return Datagrams(port=self._socket.port, key=datagram.node_key(self._secrets[0], node_id, boot_id).hex())

    # --- the receiving thread

    def _receive(self, ear: DatagramSocket) -> None:
        while not self._stopping.wait(COLLECT_SECONDS):
            try:
                self._drain(ear)
                since = self._calling_since
                if since is not None and time.monotonic() - since > STUCK_SECONDS:
                    self._send(
                        self._answer(peer, "away", self._tempo.by_datagram()) for peer in self._take_waiting()[0]
                    )
                self._prune()
            except Exception:  # a defect that one datagram meets must not end the beats of all the others
                log.exception("a datagram could not be taken")

    def _drain(self, ear: DatagramSocket) -> None:
        pace = self._tempo.by_datagram()
        taken: dict[str, _Peer] = {}
        unproven: list[_Peer] = []
        for _ in range(DRAINED):
            found = ear.receive()
            if not found:
                break
            for received, address in found:
                self._take(received, address, pace[0], taken, unproven)
        if taken:
            with self._lock:
                self._waiting.update(taken)
                if self._waiting_since is None:
                    self._waiting_since = self._read_at
            self._some_wait.set()
        if not found:
            self._read_at = time.monotonic()
        self._send(self._answer(peer, "prove", pace) for peer in unproven)

    def _take(
        self, received: bytes, address: Any, proof: float, taken: dict[str, _Peer], unproven: list[_Peer]
    ) -> None:
        opened = self._open(received)
        if opened is None:
            self.counts["refused"] += 1
            self._secret_doubted = True  # another registry may have met an empty Redis and made a new one
            return
        beat, key = opened
        now = time.monotonic()
        peer = _Peer(beat, address, key, now)
        if not 0 <= self._stamp(now) - beat.stamp <= proof * 1000:
            unproven.append(peer)
            return
        before = self._peers.get(beat.node_id)
        if before is not None and before.beat.boot_id == beat.boot_id and beat.number <= before.beat.number:
            self.counts["repeated"] += 1
            return
        self._peers[beat.node_id] = taken[beat.node_id] = peer

    def _open(self, received: bytes) -> tuple[BeatDatagram, bytes] | None:
        """The beat with the key that it is signed with; None when it is none of a node's that was given a key here."""
        key: bytes | None = None

        def its_last(claimed: BeatDatagram) -> bytes | None:
            nonlocal key
            peer = self._peers.get(claimed.node_id)
            key = peer.key if peer is not None and peer.beat.boot_id == claimed.boot_id else None
            return key

        beat = datagram.open_beat(received, its_last)
        for secret in self._secrets if beat is None else ():

            def derived(claimed: BeatDatagram, secret: bytes = secret) -> bytes:
                nonlocal key
                key = datagram.node_key(secret, claimed.node_id, claimed.boot_id)
                return key

            if (beat := datagram.open_beat(received, derived)) is not None:
                break
        return (beat, key) if beat is not None and key is not None else None

    def _prune(self) -> None:
        """Forget who was not heard for long. Their old beats prove nothing by then."""
        now = time.monotonic()
        lease, _ = self._tempo.by_datagram()
        if now - self._pruned_at > lease:
            self._pruned_at = now
            for node_id in [node_id for node_id, peer in self._peers.items() if now - peer.seen > 2 * lease]:
                del self._peers[node_id]

    # --- the telling thread

    def _tell(self, _socket: DatagramSocket) -> None:
        while not self._stopping.is_set():
            self._some_wait.wait(LOOK_SECONDS)
            self._some_wait.clear()
            try:
                if self._secret_doubted and time.monotonic() - self._secret_at > SECRET_SECONDS:
                    self._renew_secret()
                waiting, since = self._take_waiting()
                done = [self._pulse(waiting[start : start + AT_ONCE]) for start in range(0, len(waiting), AT_ONCE)]
                if done and all(done):
                    self._tempo.lagged(time.monotonic() - since)
                if self._restorer.lost and self._restorer.restore(self._tempo.by_datagram()[0]):
                    self._some_wait.set()
            except RegistryAway:
                self._stopping.wait(COLLECT_SECONDS)  # those that are to be put back wait for it, too
            except Exception:  # as above: the beats of all nodes hang on this thread
                log.exception("beats by datagram could not be told")

    def _pulse(self, peers: list[_Peer]) -> bool:
        """Tell the store of these beats and answer them; whether it took them."""
        pace = lease, _ = self._tempo.by_datagram()
        pulses = [Pulse(node_id=p.beat.node_id, boot_id=p.beat.boot_id, load=p.beat.load) for p in peers]
        self._calling_since = time.monotonic()
        try:
            unknown = set(self._store.pulse(pulses, lease))
            if unknown:
                self._restorer.look_for(peer.beat for peer in peers if peer.beat.node_id in unknown)
        except RegistryAway:
            self._send(self._answer(peer, "away", pace) for peer in peers)
            return False
        finally:
            self._calling_since = None
        self._secret_doubted = self._secret_doubted or bool(unknown)
        # The more of those who were heard are asked, the more of the whole fleet are.
        lost, asked = self._restorer.lost, len(unknown - self._restorer.lost.keys()) + len(self._restorer.awaited)
        spread = self._tempo.full_spread(min(1.0, asked / len(peers)))
        in_turn = self._tempo.full_seconds()
        crowd = self._tempo.full_spread(sum(map(self._is_behind, peers)) / len(peers))

        def answer(peer: _Peer) -> tuple[bytes, Any]:
            node_id = peer.beat.node_id
            if node_id in lost and not lost[node_id].used:
                return self._answer(peer, "full", pace, spread=in_turn)  # it is put back soon: it need not hurry
            if node_id in unknown or self._restorer.owes(node_id):
                return self._answer(peer, "full", pace, spread=spread)
            if crowd and self._is_behind(peer):
                # All of them at once would be served too late for their leases, and hold up everybody's beats.
                return self._answer(peer, "full", pace, spread=crowd)
            return self._answer(peer, "renewed", pace)

        self._send(map(answer, peers))
        return True

    def _renew_secret(self) -> None:
        self._secret_at = time.monotonic()
        try:
            secret = self._store.secret()
        except RegistryAway:
            return
        self._secret_doubted = False
        if secret not in self._secrets[:1]:
            self._secrets = (secret, *(old for old in self._secrets if old != secret))[: 1 + OLD_SECRETS]

    def _take_waiting(self) -> tuple[list[_Peer], float]:
        """Who waits to be told of, and since when the first of them may wait (monotonic seconds)."""
        with self._lock:
            waiting, self._waiting = self._waiting, {}
            since, self._waiting_since = self._waiting_since, None
        return list(waiting.values()), since if since is not None else time.monotonic()

    # --- any thread

    def _changed(self, nodes: tuple[str, ...], _sessions: tuple[str, ...]) -> None:
        """Tell nodes of new orders at once. One that does not hear it is told with its next answer."""
        now = time.monotonic()
        pace = lease, _ = self._tempo.by_datagram()
        if now - self._news_at > 1.0:
            self._news_at, self._news = now, 0
        known = (self._peers.get(node_id) for node_id in nodes)
        late = [peer for peer in known if peer is not None and now - peer.seen <= lease and self._is_behind(peer)]
        told = late[: max(0, NEWS - self._news)]
        self._news += len(told)
        self._send(self._answer(peer, "news", pace, echo=0) for peer in told)

    def _is_behind(self, peer: _Peer) -> bool:
        """Whether the node follows other orders than its newest."""
        return self._mirror.orders(peer.beat.node_id) not in (None, peer.beat.orders)

    def _stamp(self, now: float) -> int:
        """Milliseconds, from a moment that only this process knows."""
        return int(now * 1000) + self._stamps

    def _answer(
        self, peer: _Peer, says: Says, pace: tuple[float, float], *, echo: int | None = None, spread: float = 0.0
    ) -> tuple[bytes, Any]:
        """A sealed answer and where it goes. pace: the lease that the store has given, and the time between beats."""
        beat = peer.beat
        orders = self._mirror.orders(beat.node_id)
        answer = AnswerDatagram(
            node_id=beat.node_id,
            echo=beat.number if echo is None else echo,
            stamp=self._stamp(time.monotonic()),
            orders=beat.orders if orders is None else orders,  # it joined a moment ago
            lease_seconds=pace[0],
            seconds=pace[1],
            says=says,
            spread=spread,
        )
        self.counts[says] += 1
        return datagram.seal(answer, peer.key), peer.address

    def _send(self, answers: Iterable[tuple[bytes, Any]]) -> None:
        if self._socket is not None:
            self._socket.send(list(answers))
