"""What is known of the mesh, and the log of its changes that browsers follow."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mesh import codec
from mesh.journal import Excerpt, Journal

Document = dict[str, Any]
IDS = {"nodes": "node_id", "sessions": "session_id"}
OVER = ("gone", "ended")  # states in which a document is told once more and then forgotten
HELD = 4 * 1024 * 1024  # bytes of changes that are kept: a browser that lags by more gets everything anew
SHARED_SECONDS = 2.0  # everything is encoded once for all browsers that come within so long
_ABSENT = object()


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why what is known is not of this moment. since: Unix seconds."""

    reason: str
    since: float


class Known:
    """Any thread may call any method; only one reads lists. url: the registry's address, for people.

    Lists are the truth, and events the quick way to it: whatever an event did not tell, the next reading does.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.journal = Journal((0,), HELD)
        self._lock = threading.Lock()
        self._place = 0
        self._lists: dict[str, dict[str, Document]] = {name: {} for name in IDS}
        self._others: Document = {"algorithms": [], "cameras": [], "hosts": []}
        self._heard: set[str] = set()  # ids of which an event came since the reading that is under way began
        self._true_at: float | None = None
        self._trouble: Trouble | None = None
        self._preserving = False
        self._whole: tuple[float, Excerpt] | None = None

    # --- what is learned by events

    def whole(self, snapshot: Document) -> None:
        """Everything anew, from the registry's `snapshot` event."""
        with self._lock:
            self._heard.update(*self._lists.values())
            for name in IDS:
                self._lists[name] = _by_id(name, snapshot.get(name))
            self._heard.update(*self._lists.values())
            self._preserving = snapshot.get("preserving") is True
            self._true_at = self._true_at or time.time()
            self._begin_anew()

    def change(self, name: str, document: Document) -> None:
        """One document of `nodes` or `sessions` as it is now."""
        ident = document.get(IDS[name])
        if isinstance(ident, str):
            with self._lock:
                self._heard.add(ident)
                self._change(name, ident, document)

    def preserving(self, on: bool) -> None:
        """Whether so many nodes vanished at once that the network is suspected."""
        with self._lock:
            if on != self._preserving:
                self._preserving = on
                self._tell("mesh", {"preserving": on})

    # --- what is learned by reading

    def begin_reading(self) -> None:
        """The lists are being asked for."""
        with self._lock:
            self._heard.clear()

    def read(self, lists: Mapping[str, Any], others: Document, trouble: Trouble | None = None) -> None:
        """What the registry lists. lists: `nodes` and `sessions`. others: the lists that have no events. trouble: why
        it is not of this moment."""
        with self._lock:
            told: Document = {}
            first = self._true_at is None
            for name in IDS:
                listed = _by_id(name, lists.get(name))
                if first:
                    self._lists[name] = listed
                elif news := self._compare(name, listed):
                    told[name] = news
            for name, value in others.items():
                if self._others.get(name) != value:
                    self._others[name] = told[name] = value
            self._true_at = trouble.since if trouble else time.time()
            if first:
                self._begin_anew()
            else:
                self._tell("vitals", told)
            if trouble or self._trouble:
                self._trouble = trouble
                self._tell("registry", self._standing())

    def fail(self, reason: str) -> None:
        """No reading is possible."""
        with self._lock:
            since = self._trouble.since if self._trouble else self._true_at or time.time()
            self._trouble = Trouble(reason, since)
            self._tell("registry", self._standing())

    # --- what is told

    def session(self, session_id: str) -> Document | None:
        """The session as it was told last; None when it was not, or has ended."""
        with self._lock:
            return self._lists["sessions"].get(session_id)

    def document(self) -> Document:
        """Everything in one document."""
        with self._lock:
            return self._document()

    def excerpt(self) -> Excerpt:
        """Everything as an event, and where its reader goes on in the journal."""
        with self._lock:
            shared = self._whole
            if shared is None or time.monotonic() - shared[0] > SHARED_SECONDS or shared[1].place < self.journal.floor:
                made = Excerpt(_event("snapshot", self._document()), (self._place,))
                shared = self._whole = time.monotonic(), made
            return shared[1]

    def close(self) -> None:
        """End it for every browser."""
        self.journal.close()

    # --- with the lock held

    def _change(self, name: str, ident: str, document: Document) -> None:
        known = self._lists[name]
        if document.get("state") in OVER:
            if known.pop(ident, None) is None:
                return
        elif known.get(ident) == document:
            return
        else:
            known[ident] = document
        self._tell(name.removesuffix("s"), document)

    def _compare(self, name: str, listed: dict[str, Document]) -> dict[str, Document]:
        """Take over what is listed. The fields that changed, by id; what is more than that is told at once."""
        known = self._lists[name]
        news: dict[str, Document] = {}
        for ident, document in listed.items():
            if ident in self._heard:
                continue  # the event may be newer
            before = known.get(ident)
            if before is None or before.keys() - document.keys():
                self._change(name, ident, document)
                continue
            changed = {field: value for field, value in document.items() if before.get(field, _ABSENT) != value}
            if changed:
                known[ident] = document
                news[ident] = changed
        for ident in known.keys() - listed.keys() - self._heard:
            self._change(name, ident, {IDS[name]: ident, "state": "gone"})
        return news

    def _begin_anew(self) -> None:
        self._place += 1
        self.journal.restart((self._place,))

    def _tell(self, kind: str, document: Document) -> None:
        self._place += 1
        self.journal.append((self._place,), _event(kind, {**document, "now": time.time()}))

    def _standing(self) -> Document:
        trouble = self._trouble
        return {
            "registry": {
                "ok": trouble is None,
                "url": self.url,
                "reason": trouble.reason if trouble else None,
                "since": trouble.since if trouble else None,
            },
            "stale": trouble is not None,
            "known": self._true_at is not None,
        }

    def _document(self) -> Document:
        now = time.time()
        return {
            **self._standing(),
            "now": now,
            "age_seconds": None if self._true_at is None else round(max(0.0, now - self._true_at), 3),
            "preserving": self._preserving,
            **{name: list(known.values()) for name, known in self._lists.items()},
            **self._others,
        }


def _event(kind: str, document: Document) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (kind.encode("ascii"), codec.dump(document))


def _by_id(name: str, found: Any) -> dict[str, Document]:
    """The documents of a list that are not over."""
    documents = found if isinstance(found, list) else []
    return {
        one[IDS[name]]: one
        for one in documents
        if isinstance(one, dict) and isinstance(one.get(IDS[name]), str) and one.get("state") not in OVER
    }
