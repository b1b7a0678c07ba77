"""What stands on the broker about nodes, cameras and sessions, as the registry tells of them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from typing import Any

from cli.bridge.topics import Names, Topics, level
from mesh import codec

Document = dict[str, Any]
_NODE = ("state", "state_reason", "kind", "url", "node_id", "name")
_SESSION = (
    *("session_id", "state", "state_reason", "problem", "camera", "camera_name", "algorithm", "node", "node_name"),
    *("pinned", "viewers"),
)
_USABLE = ("ready", "draining")  # states of a camera that is reached


class States:
    """Turns the registry's documents into retained messages. Any thread may call any method.

    retain: takes a topic and what stands there from now on, nothing to empty it; called with every message of a
    document that was told, the same or not.
    """

    def __init__(self, topics: Topics, retain: Callable[[str, bytes], None]) -> None:
        self._topics = topics
        self._retain = retain
        self._lock = threading.Lock()
        self._begin()
        self._told: dict[str, dict[str, bytes]] = {}  # by the id of a node or session

    def _begin(self) -> None:
        self._nodes: dict[str, Document] = {}
        self._sessions: dict[str, Document] = {}
        self._node_names = Names()
        self._camera_names = Names()

    def whole(self, nodes: Iterable[Document], sessions: Iterable[Document]) -> None:
        """Everything anew: what is not among these is no more."""
        with self._lock:
            before = set(self._told)
            self._begin()
            for node in nodes:
                self._take_node(node)
            for session in sessions:
                self._take_session(session)
            self._tell(before | set(self._nodes) | set(self._sessions))

    def node(self, document: Document) -> None:
        """One node as it is now, or its id with the state `gone`."""
        with self._lock:
            self._tell(self._take_node(document))

    def session(self, document: Document) -> None:
        """One session as it is now; one that has ended is no more."""
        with self._lock:
            self._tell(self._take_session(document))

    def sessions(self) -> list[tuple[Document, str]]:
        """The sessions that go on, each with the topic of its detections."""
        with self._lock:
            return [(session, self._detections(session)) for session in self._sessions.values()]

    # --- with the lock held

    def _take_node(self, document: Document) -> set[str]:
        """The ids of all whose messages may be others now."""
        ident = str(document["node_id"])
        if document.get("state") == "gone":
            self._nodes.pop(ident, None)
            changed = self._node_names.remove(ident)
            renamed = self._camera_names.remove(ident)
        else:
            self._nodes[ident] = document
            name, alive = str(document.get("name") or ""), document.get("state") != "dead"
            changed = self._node_names.put(ident, name, alive=alive)
            renamed = self._camera_names.put(ident, name, alive=alive) if document.get("kind") == "camera" else set()
        sessions = {one for one, session in self._sessions.items() if session.get("camera") in renamed}
        return {ident} | changed | renamed | sessions

    def _take_session(self, document: Document) -> set[str]:
        ident = str(document["session_id"])
        if document.get("state") in ("ended", "gone"):
            self._sessions.pop(ident, None)
        else:
            self._sessions[ident] = document
        return {ident}

    def _tell(self, idents: set[str]) -> None:
        made = {ident: self._messages(ident) for ident in idents}
        taken = {topic for messages in made.values() for topic in messages}
        for ident, messages in made.items():
            for topic in self._told.pop(ident, {}):
                if topic not in taken:  # else another one stands there now
                    self._retain(topic, b"")
            if messages:
                self._told[ident] = messages
        for messages in made.values():
            for topic, text in messages.items():
                self._retain(topic, text)

    def _messages(self, ident: str) -> dict[str, bytes]:
        """What stands where about this node or session."""
        messages: dict[str, bytes] = {}
        if node := self._nodes.get(ident):
            name = self._node_names.of(ident) or level(ident)
            messages[self._topics.node(name)] = codec.dump({field: node.get(field) for field in _NODE})
            if camera := self._camera_names.of(ident):
                messages[self._topics.camera(camera)] = codec.dump(_signal(node))
        if session := self._sessions.get(ident):
            fields = {field: session.get(field) for field in _SESSION}
            text = codec.dump({**fields, "detections": self._detections(session)})
            messages[self._topics.session(ident)] = text
        return messages

    def _detections(self, session: Document) -> str:
        camera = str(session.get("camera") or "")
        name = self._camera_names.of(camera) or level(str(session.get("camera_name") or camera))
        return self._topics.detections(name, str(session.get("algorithm")))


def _signal(node: Document) -> Document:
    """Whether a camera has a picture, or why not."""
    dark = (node.get("load") or {}).get("no_signal") or ""
    usable = node.get("state") in _USABLE
    reason = dark or ("" if usable else node.get("state_reason") or node.get("state"))
    fields = {field: node.get(field) for field in ("state", "node_id", "name")}
    return {"signal": usable and not dark, "reason": reason, **fields}
