"""What watchers of nodes and sessions are told: each change as a server-sent event, and everything to who is new."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

import msgspec

from mesh import codec
from mesh.audience import Audience
from mesh.journal import Excerpt, Journal, Place, Reading
from registry.documents import Documents
from registry.listing import Snapshots
from registry.store import Snapshot

RETRY = 1000  # milliseconds after which a watcher that lost its connection comes back
SHARED_SECONDS = 2.0  # a snapshot is given to all who come within so long: a crowd that returns costs one
AHEAD_SECONDS = 0.25  # for what another registry process has told already to get here
HELLO = b"retry: %d\n\n" % RETRY
KEEP_ALIVE = b": nothing new\n\n"


class Watch:
    """Follows the mirror (see registry.mirror.Follower) and keeps the log of events. Any thread may call `reader`.

    An event's id is the number of the last change that is told whole by then. Several changes that were read at once
    are told as several events, of which only the last carries the newest number: whoever is cut off between them is
    told some of them again, and misses none.
    """

    def __init__(self, snapshots: Snapshots, documents: Documents, audience: Audience) -> None:
        self._snapshots = snapshots
        self._mirror = snapshots.mirror
        self._documents = documents
        self._audience = audience
        self._journal = Journal((0, 0, 0))
        self._whole: tuple[float, Excerpt] | None = None
        self._lock = threading.Lock()  # one thread builds the snapshot for all
        self._mirror.follow(self)

    def reader(self, environ: dict[str, Any], last_event: str | None) -> Reading:
        """The body of the answer to one watcher. environ: the WSGI environment of the request. last_event: the id of
        the last event that the watcher has heard.

        Raises Unavailable when there are too many watchers, RegistryAway when nothing was ever read.
        """
        self._snapshots.view()  # who has just changed something finds it in what follows
        if not last_event:
            self._mirror.refresh()
        held = ExitStack()
        with held:
            viewer = self._audience.admit(environ, held)
            return Reading(
                self._journal,
                self._place_of(last_event),
                self._everything,
                hello=HELLO,
                keep_alive=KEEP_ALIVE,
                left=held.pop_all().close,
                viewer=viewer,
            )

    def close(self) -> None:
        """End every watch."""
        self._journal.close()

    # --- told by the mirror

    def changed(self, nodes: Sequence[str], sessions: Sequence[str]) -> None:
        mirror, documents = self._mirror, self._documents
        preserving = mirror.preserving is not None
        told: list[tuple[bytes, bytes]] = []
        for node_id in nodes:
            node = mirror.node(node_id)
            if node is None:
                documents.forget(node_id)
            told.append((b"node", bytes(documents.node(node, preserving)) if node else _gone("node_id", node_id)))
        for session_id in sessions:
            session = mirror.session(session_id)
            if session is None:
                documents.forget(session_id)
            text = bytes(documents.session(session)) if session else _gone("session_id", session_id)
            told.append((b"session", text))
        if told:
            revision, before, last = mirror.revision or 0, self._journal.end[1], len(told) - 1
            events = (_event(kind, revision if at == last else before, text) for at, (kind, text) in enumerate(told))
            self._journal.append((mirror.life, revision, 0), b"".join(events))

    def anew(self) -> None:
        self._journal.restart((self._mirror.life, self._mirror.revision or 0, 0))

    def mesh(self) -> None:
        mirror = self._mirror
        state = {"preserving": mirror.preserving is not None, "stale": mirror.stale}
        life, revision = mirror.life, mirror.revision or 0
        end = self._journal.end
        place = (life, revision, end[2] + 1 if end[:2] == (life, revision) else 1)
        self._journal.append(place, _event(b"mesh", revision, codec.dump(state)))

    # --- for readers

    def _place_of(self, last_event: str | None) -> Place | None:
        """Where a watcher stands; None for one who has to begin anew."""
        if not last_event or not last_event.isascii() or not last_event.isdigit():
            return None
        revision, mirror = int(last_event), self._mirror
        # It may come from another registry process that is a moment ahead.
        return (mirror.life, revision, 0) if mirror.wait(revision, AHEAD_SECONDS) else None

    def _everything(self) -> Excerpt:
        """A snapshot, and where its reader goes on."""
        with self._lock:
            known = self._whole
            if known is None or time.monotonic() - known[0] > SHARED_SECONDS or known[1].place < self._journal.floor:
                known = self._whole = time.monotonic(), self._snapshot()
            return known[1]

    def _snapshot(self) -> Excerpt:
        end = self._journal.end
        life, snapshot = self._mirror.snapshot_of_life()
        self._documents.tidy(snapshot)
        place = (life, snapshot.revision, 0)
        return Excerpt(
            _event(b"snapshot", snapshot.revision, codec.dump(self._whole_of(snapshot))),
            end if end[:2] == place[:2] else place,
        )

    def _whole_of(self, snapshot: Snapshot) -> dict[str, Any]:
        preserving = snapshot.preserving is not None
        return {
            "nodes": [self._documents.node(node, preserving) for node in snapshot.nodes],
            "sessions": [self._documents.session(session) for session in snapshot.sessions],
            "revision": snapshot.revision,
            "stale": self._mirror.stale,
            "preserving": preserving,
        }


def _event(kind: bytes, revision: int, data: bytes) -> bytes:
    return b"id: %d\nevent: %b\ndata: %b\n\n" % (revision, kind, data)


def _gone(name: str, ident: str) -> bytes:
    return msgspec.json.encode({name: ident, "state": "gone"})
