"""What the topics are called."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from mesh.errors import SetupProblem

_SPECIAL = "+#/"  # of MQTT: two wildcards, and what parts a topic's levels


def level(text: str) -> str:
    """`text` as one level of a topic. Brokers end the connection of who sends a topic with a control character or one
    that Unicode does not know."""
    return "".join("_" if char in _SPECIAL or not char.isprintable() else char for char in text) or "_"


def prefix_of(text: str) -> str:
    """The setting, checked. Raises SetupProblem."""
    levels = text.split("/")
    if text.startswith("$") or any(not one or level(one) != one for one in levels):
        raise SetupProblem(f"--topic (FOGLINE_TOPIC) is {text!r}: write it as fogline or site/fogline, without + and #")
    return text


@dataclass(frozen=True, slots=True)
class Topics:
    """The topics below `prefix`. node, camera: a level that `Names` gives."""

    prefix: str

    @property
    def bridge(self) -> str:
        return f"{self.prefix}/bridge/state"

    @property
    def registry(self) -> str:
        return f"{self.prefix}/bridge/registry"

    def node(self, node: str) -> str:
        return f"{self.prefix}/nodes/{node}/state"

    def camera(self, camera: str) -> str:
        return f"{self.prefix}/cameras/{camera}/state"

    def session(self, session_id: str) -> str:
        return f"{self.prefix}/sessions/{level(session_id)}/state"

    def detections(self, camera: str, algorithm: str) -> str:
        return f"{self.prefix}/cameras/{camera}/{level(algorithm)}/detections"

    @property
    def states(self) -> tuple[str, ...]:
        """Filters for what `node`, `camera` and `session` give."""
        return self.node("+"), self.camera("+"), f"{self.prefix}/sessions/+/state"


@dataclass(frozen=True, slots=True)
class _Bearer:
    name: str
    alive: bool


class Names:
    """A level for each of many nodes: its name, and where several have the same one, its name and id.

    A name belongs to the one living node that has it: who was installed anew under an old name gets the old topic,
    though the dead one is still listed. Which level a node has depends on who is there now and on nothing before, so
    that a bridge that starts again gives the same. One thread at a time.
    """

    def __init__(self) -> None:
        self._bearers: dict[str, _Bearer] = {}
        self._sharing: dict[str, set[str]] = {}
        self._alive: Counter[str] = Counter()

    def of(self, ident: str) -> str | None:
        """The node's level; None for one that is not known."""
        bearer = self._bearers.get(ident)
        if bearer is None:
            return None
        living = self._alive[bearer.name]
        alone = living == 1 if bearer.alive else not living and len(self._sharing[bearer.name]) == 1
        return bearer.name if alone else f"{bearer.name}.{level(ident)}"

    def put(self, ident: str, name: str, *, alive: bool) -> set[str]:
        """Learn of a node. The ids of those that have another level now, this one's perhaps among them."""
        return self._change(ident, _Bearer(level(name or ident), alive))

    def remove(self, ident: str) -> set[str]:
        """Forget a node. As `put`."""
        return self._change(ident, None)

    def _change(self, ident: str, new: _Bearer | None) -> set[str]:
        old = self._bearers.get(ident)
        if old == new:
            return set()
        touched = {ident}.union(*(self._sharing.get(one.name, ()) for one in (old, new) if one))
        before = {one: self.of(one) for one in touched}
        if old:
            self._sharing[old.name].discard(ident)
            self._alive[old.name] -= old.alive
            if not self._sharing[old.name]:
                del self._sharing[old.name], self._alive[old.name]
            del self._bearers[ident]
        if new:
            self._bearers[ident] = new
            self._sharing.setdefault(new.name, set()).add(ident)
            self._alive[new.name] += new.alive
        return {one for one in touched if self.of(one) != before[one]}
