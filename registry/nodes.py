"""What nodes do: register, beat, leave, drain; and what is read of them."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from mesh import manifest as manifests
from mesh.errors import FoglineError, NotFound, RegisterAgain, RegistryAway
from mesh.heartbeat import MANIFEST_SECONDS
from mesh.logs import logger
from mesh.manifest import Kind, Manifest
from mesh.wire import Beat, BeatReply, Registration
from registry import address, standing
from registry.dialback import DialBack
from registry.listing import Snapshots, View, page
from registry.pacing import Pacing
from registry.store import NodeRecord, Store

log = logger(__name__)


class Nodes:
    """The registry's nodes. Any thread may call any method. trust: the version of what nodes must know to check
    others."""

    def __init__(
        self, store: Store, snapshots: Snapshots, dial_back: DialBack, pacing: Pacing, *, trust: Callable[[], int]
    ) -> None:
        self._store = store
        self._snapshots = snapshots
        self._dial_back = dial_back
        self._pacing = pacing
        self._trust = trust

    def register(self, document: dict[str, Any], seen: str, kind: Kind | None = None) -> tuple[Registration, bool]:
        """Take the manifest `document` that came from the address `seen`; whether the node is new."""
        manifest = manifests.parse(document, kind)
        url = address.url_of(manifest, seen)
        lease, pace = self._pacing.registration(manifest.node_id, manifest.boot_id, manifest.original)
        done = self._store.register(manifest, url, names_of(manifest), lease)
        if done.dial:
            self._dial_back.ask(manifest.node_id, url)
        if done.new:
            log.info("a node joins", kind=manifest.kind, name=manifest.name, url=url, node_id=manifest.node_id)
        answer = Registration(
            node_id=manifest.node_id,
            lease_seconds=lease,
            manifest_seconds=MANIFEST_SECONDS,
            heartbeat=pace,
            url=url,
            now=_now(),
            trust=self._trust(),
        )
        return answer, done.new

    def beat(self, node_id: str, beat: Beat) -> BeatReply:
        lease, pace = self._pacing.beat(node_id, beat.boot_id)
        result = self._store.beat(node_id, beat, lease)
        if result is None:
            raise RegisterAgain(
                f"the registry does not know node {node_id} with this boot_id: send the manifest again",
                spread_seconds=self._pacing.spread_seconds() or None,
            )
        if result.dial:
            self._dial_back.ask(node_id, result.url)
        return BeatReply(
            lease_seconds=lease,
            draining=result.draining,
            sessions=result.assignments,
            heartbeat=pace,
            orders=result.orders,
            unknown=result.unknown,
            now=_now(),
            trust=self._trust(),
        )

    def leave(self, node_id: str) -> None:
        if not self._store.leave(node_id, "left the mesh"):
            raise self._unknown(node_id)
        log.info("a node leaves", node_id=node_id)

    def drain(self, node_id: str, on: bool) -> dict[str, Any]:
        if not self._store.drain(node_id, on):
            raise self._unknown(node_id)
        log.info("a node drains" if on else "a node takes sessions again", node_id=node_id)
        return self.one(node_id)

    def one(self, node_id: str) -> dict[str, Any]:
        """The node as it is listed; from the last snapshot when the store is away."""
        stale: dict[str, Any] = {}
        record: NodeRecord | None = None
        try:
            record = self._store.node(node_id)
        except RegistryAway:
            remembered = self._snapshots.view().snapshot.nodes
            record = next((n for n in remembered if n.node_id == node_id), None)
            stale = {"stale": True}
        if record is None:
            raise self._unknown(node_id)
        return standing.document_of(record, preserving=self._snapshots.mirror.preserving is not None) | stale

    def choose(
        self,
        view: View,
        *,
        kind: str | None = None,
        algorithm: str | None = None,
        state: str | None = None,
        limit: int | None = None,
        cursor: str | None = None,
    ) -> tuple[list[NodeRecord], str | None]:
        """The nodes of `view` that fit, and the next page's cursor. Without `state` the dead are left out; `any` is
        every state."""
        fitting = [
            node
            for node in view.snapshot.nodes
            if (kind is None or node.kind == kind)
            and (algorithm is None or algorithm in node.algorithms)
            and _fits(node, state)
        ]
        return page(fitting, lambda n: (n.name.casefold(), n.node_id), limit=limit, cursor=cursor)

    def listed(self, view: View) -> tuple[list[dict[str, Any]], str | None]:
        """The live nodes of `view` as documents."""
        chosen, following = self.choose(view)
        preserving = view.snapshot.preserving is not None
        return [standing.document_of(node, preserving=preserving) for node in chosen], following

    def _unknown(self, node_id: str) -> FoglineError:
        known = (n.node_id for n in self._snapshots.view().snapshot.nodes if n.alive)
        return NotFound.among("node", node_id, known)


def _now() -> float:
    """Unix seconds of this host's clock, to which nodes compare theirs."""
    return round(time.time(), 3)


def _fits(node: NodeRecord, state: str | None) -> bool:
    if state == "any":
        return True
    if state is None:
        return node.alive
    return standing.state_of(node)[0] == state


def names_of(manifest: Manifest) -> list[str]:
    """What people may call the node by. The original knows its nodes by their host's name."""
    names = {manifest.name, manifest.document.get("name"), manifest.document.get("FriendlyName")}
    if manifest.original:
        names.add(manifest.host_name)
    return sorted(name for name in names if isinstance(name, str) and name)
