"""Nodes and sessions as JSON, each encoded once for all the lists and events that show it."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any, Generic, TypeVar

import msgspec

from mesh import codec
from registry import standing
from registry.sessions import document_of
from registry.store import NodeRecord, SessionRecord, Snapshot

T = TypeVar("T")


class Documents:
    """Any thread may call any method."""

    def __init__(self) -> None:
        # Most of a node's document is its manifest, which stays the same while its load and its state move.
        self._sent: _Encoded[dict[str, Any]] = _Encoded()
        self._calm: _Encoded[NodeRecord] = _Encoded()
        self._preserving: _Encoded[NodeRecord] = _Encoded()
        self._sessions: _Encoded[SessionRecord] = _Encoded()

    def node(self, node: NodeRecord, preserving: bool) -> msgspec.Raw:
        """preserving: see `registry.standing.state_of`."""

        def encode() -> bytes:
            sent = self._sent.of(node.node_id, node.document, lambda: codec.dump(standing.sent(node)))
            return standing.written(node, bytes(sent), preserving=preserving)

        return (self._preserving if preserving else self._calm).of(node.node_id, node, encode)

    def session(self, session: SessionRecord) -> msgspec.Raw:
        return self._sessions.of(session.session_id, session, lambda: codec.dump(document_of(session)))

    def forget(self, ident: str) -> None:
        """The node or session that was called so is gone."""
        for known in (self._sent, self._calm, self._preserving, self._sessions):
            known.forget(ident)

    def tidy(self, snapshot: Snapshot) -> None:
        """Forget what is no longer in `snapshot`. Cheap when that is little."""
        for nodes in (self._sent, self._calm, self._preserving):
            if nodes.count > 2 * len(snapshot.nodes):
                nodes.keep({node.node_id for node in snapshot.nodes})
        if self._sessions.count > 2 * len(snapshot.sessions):
            self._sessions.keep({session.session_id for session in snapshot.sessions})


class _Encoded(Generic[T]):
    """The JSON of values, each for as long as it is the same object."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[T, msgspec.Raw]] = {}

    @property
    def count(self) -> int:
        return len(self._known)

    def of(self, ident: str, value: T, encode: Callable[[], bytes]) -> msgspec.Raw:
        known = self._known.get(ident)
        if known is None or known[0] is not value:
            known = self._known[ident] = value, msgspec.Raw(encode())
        return known[1]

    def forget(self, ident: str) -> None:
        self._known.pop(ident, None)

    def keep(self, idents: Collection[str]) -> None:
        self._known = {ident: known for ident, known in self._known.copy().items() if ident in idents}
