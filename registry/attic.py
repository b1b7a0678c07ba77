"""What a wipe of the store took away: kept for a while, for nodes whose beats show that they are still there."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from typing import Final

from registry.store import NodeRecord

KEPT_SECONDS: Final = 60.0  # nodes that are there beat within a few; one that comes later registers by itself


class Attic:
    """Records of nodes that vanished from the store though nobody declared them dead nor did they leave. Any thread may
    call any method."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: dict[str, tuple[float, NodeRecord]] = {}  # by id, with the monotonic second of its end

    def keep(self, records: Iterable[NodeRecord]) -> None:
        """Put these in; what has lain here for too long goes."""
        now = time.monotonic()
        with self._lock:
            self._kept = {node_id: kept for node_id, kept in self._kept.items() if kept[0] > now}
            self._kept.update((record.node_id, (now + KEPT_SECONDS, record)) for record in records)

    def find(self, node_id: str, boot_id: str) -> NodeRecord | None:
        """The record of this very boot of the node."""
        until, record = self._kept.get(node_id, (0.0, None))
        if record is None or record.boot_id != boot_id or time.monotonic() > until:
            return None
        return record

    def forget(self, node_ids: Iterable[str]) -> None:
        """The store has something newer to say of these."""
        if self._kept:
            with self._lock:
                for node_id in node_ids:
                    self._kept.pop(node_id, None)
