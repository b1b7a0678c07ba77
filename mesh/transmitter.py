"""A node's side of beats by datagram: it sends them, and hears answers and news."""

from __future__ import annotations

import contextlib
import random
import select
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from mesh import datagram, lease
from mesh.datagram import AnswerDatagram, BeatDatagram
from mesh.lease import Lease
from mesh.logs import logger
from mesh.wire import Beat, Datagrams

FIRST_SECONDS: Final = 1.0  # between two beats at most, until an answer says how many
# Pauses after beats without an answer, in times between two beats. The first is made up for within that time, as a
# datagram may be lost on the way; the more follow, the likelier is it that the registry has too much to do already.
PAUSES: Final = (0.5, 1.0, 1.4, 1.8, 2.2)
LATE: Final = 0.3  # of the time between two beats: where answers take longer than this, nothing is sent again early
SLOWNESS: Final = 0.8  # that is left of a long wait for an answer after a short one
PATIENCE: Final = 1.75  # times between two beats without an answer, after which HTTP takes over: longer than one lost …
MOST_PATIENCE: Final = 2.0  # … or, where answers are slow, so much later, but not more than this: two thirds of a lease
MIN_PATIENCE: Final = 0.3  # seconds: answers wait up to 0.1 s for others at the registry
TRIES: Final = 6  # beats without an answer, after which a network counts as one that lets no datagrams through …
RETRY_SECONDS: Final = 30.0  # … and is tried again only so often
REMEMBERED: Final = 16  # beats whose answers may still come
AT_ONCE: Final = 64  # datagrams read in a row: whoever floods this port keeps the node from beating no longer
log = logger(__name__)


@dataclass(frozen=True, slots=True)
class _Target:
    """Where beats go. address: as the system's socket calls take it."""

    family: socket.AddressFamily
    address: Any
    key: bytes


class Transmitter:
    """Beats by datagram, from a thread of its own that begins with the first `aim`. Any thread may call any method.

    beat: gives what the node does now. held: the node's lease, which answers renew. ask: called when the registry needs
    a full beat, with the seconds within which one is to come at a random moment. lost: called when answers stop coming.
    Both are called from the thread.
    """

    def __init__(
        self,
        node_id: str,
        beat: Callable[[], Beat],
        held: Lease,
        ask: Callable[[float], None],
        lost: Callable[[], None],
    ) -> None:
        self._node_id = node_id
        self._beat = beat
        self._lease = held
        self._ask = ask
        self._lost = lost
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._stopping = False
        self._ear: socket.socket | None = None
        self._mouth: socket.socket | None = None  # what is written here wakes the thread
        self._wanted: tuple[str, Datagrams] | None = None
        self._next: _Target | None = None
        self._orders = 0
        self._asked_for = 0
        self._several = False
        # Only the thread writes these.
        self._target: _Target | None = None
        self._socket: socket.socket | None = None
        self._seconds = FIRST_SECONDS
        self._number = 0
        self._sent: dict[int, float] = {}
        self._stamp = 0
        self._tries = 0
        self._proving = False
        self._wait = 0.0  # seconds that answers took lately
        self._heard_at = float("-inf")
        self._told_lost = True
        self._due = 0.0

    @property
    def healthy(self) -> bool:
        """Whether datagrams keep the registry informed now: beats were answered lately."""
        return self._target is not None and lease.now() < self._heard_at + self._patience

    def aim(self, host: str, to: Datagrams | None, *, several: bool) -> None:
        """Beat to that port of `host` from now on; not at all when `to` is None.

        several: there are other registries, which may know what the one that says `away` cannot.
        """
        self._several = several
        wanted = (host, to) if to is not None else None
        if wanted == self._wanted or (self._alike(wanted) and self.healthy):
            return
        target = _resolve(host, to) if to is not None else None
        with self._lock:
            self._wanted, self._next = wanted, target
            if self._thread is None and target is not None and not self._stopping:
                self._ear, self._mouth = socket.socketpair()
                self._mouth.setblocking(False)
                self._thread = threading.Thread(target=self._run, args=(self._ear,), name="datagrams", daemon=True)
                self._thread.start()
            self._wake()

    def follow(self, orders: int) -> None:
        """The node has obeyed the orders with this number."""
        self._orders = orders

    def stop(self) -> None:
        """Send no more."""
        with self._lock:
            self._stopping = True
            self._wake()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(1.0)

    # --- the thread

    def _run(self, ear: socket.socket) -> None:
        while not self._stopping:
            try:
                self._turn(ear)
            except Exception:  # a defect in what is called here must not end the beats: HTTP takes over meanwhile
                log.exception("a beat by datagram failed")
                self._due = lease.now() + self._seconds
        with self._lock:
            assert self._mouth is not None
            ear.close()
            self._mouth.close()
        self._close()

    def _turn(self, ear: socket.socket) -> None:
        now = lease.now()
        if (target := self._next) is not self._target:
            self._target = target
            self._seconds = min(self._seconds, FIRST_SECONDS)  # what it knows of the pace holds
            self._tries, self._stamp, self._wait, self._due = 0, 0, 0.0, now
            self._sent.clear()
        if target is not None and now >= self._due:
            self._send(target, now)
        if not self._told_lost and not self.healthy:
            self._told_lost = True
            self._lost()
        until = self._due if self._told_lost else min(self._due, self._heard_at + self._patience)
        open_ones = [ear] if self._socket is None else [ear, self._socket]
        wait = max(0.0, until - lease.now()) if target is not None else None
        ready, _, _ = select.select(open_ones, [], [], wait)
        if ear in ready:
            ear.recv(4096)
        if self._socket is not None and self._socket in ready:
            self._hear(self._socket)

    def _send(self, target: _Target, now: float) -> None:
        """Beat once. The lease runs from before anything is gathered, let alone sent."""
        self._tries += 1
        if self._tries > TRIES and self._lease.held:
            self._due = now + RETRY_SECONDS
        else:
            self._due = now + self._seconds * self._pause
        doing = self._beat()
        self._number += 1
        self._sent[self._number] = now
        if len(self._sent) > REMEMBERED:
            del self._sent[min(self._sent)]
        sealed = datagram.seal(
            BeatDatagram(
                node_id=self._node_id,
                boot_id=doing.boot_id,
                number=self._number,
                orders=self._orders,
                load=datagram.trimmed(doing.load),
                stamp=self._stamp,
            ),
            target.key,
        )
        if self._socket is None or self._socket.family != target.family:
            self._close()
            self._socket = socket.socket(target.family, socket.SOCK_DGRAM)
            self._socket.setblocking(False)
        with contextlib.suppress(OSError):  # no route, a full buffer: as good as lost on the way
            self._socket.sendto(sealed, target.address)

    def _hear(self, ear: socket.socket) -> None:
        """Take what has come. Where it came from does not matter: the signature says who sent it."""
        for _ in range(AT_ONCE):
            try:
                received = ear.recv(datagram.MAX_BYTES + 1)
            except OSError:
                return
            answer = datagram.open_answer(received, self._key)
            if answer is None:
                continue
            if answer.echo:
                sent_at = self._sent.pop(answer.echo, None)
                if sent_at is not None:  # else somebody repeats an old one
                    self._answered(answer, sent_at)
            elif answer.says == "news" and answer.orders > max(self._orders, self._asked_for):
                self._asked_for = answer.orders
                self._ask(0.0)

    def _key(self, answer: AnswerDatagram) -> bytes | None:
        return self._target.key if self._target is not None and answer.node_id == self._node_id else None

    def _answered(self, answer: AnswerDatagram, sent_at: float) -> None:
        now = lease.now()
        self._stamp = answer.stamp
        self._seconds = answer.seconds or self._seconds
        if answer.says == "prove":
            self._lease.shorten(now + answer.lease_seconds)  # from the next beat on that is what it gives
            if not self._proving:
                self._proving = True
                self._tries = 0
                self._due = now
            return
        self._proving = False
        self._tries = 0
        self._wait = max(now - sent_at, SLOWNESS * self._wait)
        self._heard_at = now
        self._told_lost = False
        # In no step with the other nodes, which may all have joined at once.
        self._due = sent_at + self._seconds * random.uniform(0.9, 1.0)
        if answer.says == "away":
            self._lease.keep(sent_at, answer.lease_seconds)
            if self._several:
                self._ask(0.0)
        elif answer.says == "full":
            self._lease.keep(sent_at, answer.lease_seconds)
            self._ask(answer.spread)
        elif answer.orders != self._orders:
            self._ask(0.0)  # and no lease before they are obeyed: a node that slept must not go on with its old ones
        else:
            self._lease.renew(sent_at, answer.lease_seconds)

    @property
    def _pause(self) -> float:
        """Until the next beat if this one is not answered, in times between two beats."""
        if self._tries == 1 and self._wait > LATE * self._seconds:
            return 1.0
        return PAUSES[min(self._tries, len(PAUSES)) - 1]

    @property
    def _patience(self) -> float:
        patience = min(PATIENCE * self._seconds + self._wait, MOST_PATIENCE * self._seconds)
        return max(MIN_PATIENCE, patience)

    def _alike(self, wanted: tuple[str, Datagrams] | None) -> bool:
        """The same registry by another of its processes: as good as the one that answers already."""
        if wanted is None or self._wanted is None:
            return False
        return wanted[0] == self._wanted[0] and wanted[1].key == self._wanted[1].key

    def _wake(self) -> None:
        if self._mouth is not None:
            with contextlib.suppress(OSError):  # full: it wakes anyway; closed: it has ended
                self._mouth.send(b".")

    def _close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None


def _resolve(host: str, to: Datagrams) -> _Target | None:
    try:
        family, _, _, _, address = socket.getaddrinfo(host, to.port, type=socket.SOCK_DGRAM)[0]
        return _Target(socket.AddressFamily(family), address, bytes.fromhex(to.key))
    except (OSError, ValueError) as error:
        log.warning("no beats by datagram", reason=str(error))
        return None
