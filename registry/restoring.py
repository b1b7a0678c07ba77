"""Putting nodes back that a wipe took from the store, when their beats show that they are still there.

Those beats are signed and proven, and what the registry knew of the nodes lies in the mirror's attic: registering
everybody by HTTP would say nothing new, and cost many times as much.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Final, Protocol

from mesh import manifest as manifests
from mesh.datagram import BeatDatagram
from mesh.logs import logger
from registry.attic import Attic
from registry.nodes import names_of
from registry.store import NodeRecord, Registering, Remembered

AT_ONCE: Final = 400  # nodes that are put back together: a tenth of a second, while others' beats wait
LEASE_SECONDS: Final = 10.0  # of the first lease, at least: there is much to do for all others as well
AWAITED_SECONDS: Final = 30.0  # for which one that was put back is asked to tell of its sessions
log = logger(__name__)


class Known(Protocol):
    """What is known of nodes without asking the store, as registry.mirror.Mirror has it."""

    attic: Attic

    def orders(self, node_id: str) -> int | None: ...
    def catch_up(self) -> None: ...


class Registry(Protocol):
    """The part of registry.store.Store that is used here."""

    def register_many(self, nodes: list[Registering], lease: float) -> None: ...
    def drain(self, node_id: str, on: bool) -> bool: ...


class Restorer:
    """One thread calls all methods.

    lost: nodes that are to be put back, by id. awaited: those that were put back and serve sessions, of which a full
    beat has to tell, with the orders that they had then, and until when they are asked for it.
    """

    def __init__(self, store: Registry, mirror: Known) -> None:
        self._store = store
        self._mirror = mirror
        self.lost: dict[str, NodeRecord] = {}
        self.awaited: dict[str, tuple[int, float]] = {}

    def look_for(self, beats: Iterable[BeatDatagram]) -> None:
        """The store does not know these nodes: find out whether it was a wipe that took them. Raises RegistryAway."""
        beats = tuple(beats)
        if any(self._mirror.orders(beat.node_id) is not None for beat in beats):
            self._mirror.catch_up()  # the store has lost them, or given them up, and the mirror has not heard it yet
        for beat in beats:
            record = self._mirror.attic.find(beat.node_id, beat.boot_id)
            if record is not None:
                self.lost[beat.node_id] = record

    def restore(self, lease: float) -> bool:
        """Put some of the lost back; whether there are more. lease: seconds, as others have it now. Raises
        RegistryAway."""
        attic = self._mirror.attic
        # Viewers wait for those with sessions. Who is in the attic no longer has registered by itself, or has left.
        first = sorted(self.lost.values(), key=lambda record: -record.used)[:AT_ONCE]
        some = [record for record in first if attic.find(record.node_id, record.boot_id) is not None]
        if some:
            self._store.register_many([_registering(record) for record in some], max(LEASE_SECONDS, lease))
            log.info("nodes that the store had lost are put back", nodes=len(some), left=len(self.lost) - len(first))
        until = time.monotonic() + AWAITED_SECONDS
        for record in some:
            if record.draining:
                self._store.drain(record.node_id, True)
            if record.used:
                self.awaited[record.node_id] = record.orders, until
        attic.forget(record.node_id for record in some)
        for record in first:
            del self.lost[record.node_id]
        return bool(self.lost)

    def owes(self, node_id: str) -> bool:
        """Whether a node that was put back has still to tell of its sessions: that gives it new orders."""
        if node_id not in self.awaited:
            return False
        orders, until = self.awaited[node_id]
        if self._mirror.orders(node_id) in (None, orders) and time.monotonic() < until:
            return True
        del self.awaited[node_id]
        return False


def _registering(record: NodeRecord) -> Registering:
    manifest = manifests.parse(record.document, record.kind)
    well = record.reach == "ok" and record.suspect_at is None
    return Registering(
        manifest=manifest,
        url=record.url,
        names=names_of(manifest),
        remembered=Remembered(reached=well, orders=record.orders, serving=record.used),
    )
