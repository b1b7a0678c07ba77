"""Who is given a session in memory, and why, in words."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import islice

from registry.memory.mesh import Mesh
from registry.memory.ranking import Ranking
from registry.memory.rows import Node, Ticket, labels_of

PAGE = 16  # candidates looked at together: the least loaded of them is taken when none keeps up
PAGES = 16  # if all of them lapsed a moment ago, as when a network is cut: look so much further
OTHERS = 6  # nodes that the words mention besides the chosen one …
MANY, OF_MANY = 16, 2  # … and how many of more than MANY
UNMEASURED = float("-inf")  # the class of nodes that did not measure: after all others
FULL = "is full"


@dataclass(frozen=True, slots=True)
class Wish:
    """What a session needs. facts: of these the algorithm and the demand count. only: the one node that is wanted.
    require, prefer: labels as `name=value`."""

    facts: Ticket
    only: str
    require: frozenset[str]
    prefer: frozenset[str]
    fastest: bool

    @classmethod
    def of(cls, facts: Ticket) -> Wish:
        return cls(
            facts=facts,
            only=facts.only,
            require=_terms(facts.require),
            prefer=_terms(facts.prefer),
            fastest=facts.speed == "fastest",
        )


def choose(mesh: Mesh, wish: Wish, without: str | None) -> tuple[Node | None, str]:
    """The node for one more session, other than `without`, and why; None, and why none can take it."""
    if wish.only:
        return _the_one(mesh, wish, without)
    chosen, note = None, []
    if wish.prefer:
        chosen = _search(mesh, wish, wish.require | wish.prefer, without)
        note = [("preferred: " if chosen else "none is free with ") + ", ".join(sorted(wish.prefer))]
    chosen = chosen or _search(mesh, wish, wish.require, without)
    others = _refusals(mesh, wish, chosen, without)
    if chosen is None:
        return None, "; ".join(others) or f"no node has {wish.facts.algorithm} now"
    return chosen, "; ".join([_in_words(chosen, wish), *note, *others])


def seek(mesh: Mesh, wish: Wish, without: str | None) -> tuple[Node | None, str]:
    """As `choose`, but when the wanted node cannot, the picture matters more than the wish."""
    chosen, why = choose(mesh, wish, without)
    if chosen is not None or not wish.only:
        return chosen, why
    chosen, instead = choose(mesh, replace(wish, only=""), without)
    return chosen, f"{instead} (asked for: {why})"


def _the_one(mesh: Mesh, wish: Wish, without: str | None) -> tuple[Node | None, str]:
    node = mesh.nodes.get(wish.only)
    if node is None:
        return None, f"{wish.only} is gone"
    against = _against(mesh, node, wish) or _lacks(node, wish.require)
    if against is None and wish.only == without:
        against = "is left out: it gave no frames"
    if against is not None:
        return None, f"{node.name} {against}"
    return node, _in_words(node, wish) + " (asked for)"


def _search(mesh: Mesh, wish: Wish, terms: frozenset[str], without: str | None) -> Node | None:
    algorithm = wish.facts.algorithm
    free = (mesh.nodes[node_id] for node_id in mesh.free.get(algorithm, ()))
    fitting = (node for node in free if _lacks(node, terms) is None)
    if not wish.fastest:
        return _pick(mesh, wish, fitting, without)
    classes: dict[float, list[Node]] = {}
    for node in fitting:
        speed = node.speed(algorithm)
        classes.setdefault(UNMEASURED if speed is None else speed, []).append(node)
    picks = (_pick(mesh, wish, classes[speed], without) for speed in sorted(classes, reverse=True))
    return next((node for node in picks if node is not None), None)


def _pick(mesh: Mesh, wish: Wish, candidates: Iterable[Node], without: str | None) -> Node | None:
    """The first candidate that keeps up with what the session may need; without any, the least loaded one."""
    needed = max(wish.facts.demand, 1.0)
    for page in islice(_pages(candidates), PAGES):
        least = None
        for node in page:
            if node.node_id == without:
                continue
            against = _against(mesh, node, wish)
            if against == FULL:
                return least  # the rest is at least as loaded
            if against is None:
                spare = node.spare(wish.facts.algorithm)
                if spare is None or spare >= needed:
                    return node
                least = least or node
        if least is not None:
            return least
    return None


def _pages(candidates: Iterable[Node]) -> Iterator[list[Node]]:
    rest = iter(candidates)
    while page := list(islice(rest, PAGE)):
        yield page


def _against(mesh: Mesh, node: Node, wish: Wish) -> str | None:  # noqa: PLR0911  # a list, the weightiest first
    """What keeps a node from being given the session, in words."""
    if node.state == "suspect":
        return f"has not been heard of since {_clock(node.suspect_at)}"
    if node.state == "dead":
        return "is gone"
    if wish.facts.algorithm not in node.manifest.algorithms:
        return f"has no {wish.facts.algorithm}"
    if node.manifest.original:
        return "speaks the original's calls only"
    if (mesh.alive.get(node.node_id) or 0) <= mesh.now:
        return "has not been heard of for a while"
    if node.out_until > mesh.now:
        return f"is left out until {_clock(node.out_until)}: {node.out_reason}"
    if node.reach == "checking" or node.awaited:
        return "is being checked"
    if node.reach != "ok":
        return f"is unreachable since {_clock(node.reach_since)}"
    if node.draining:
        return "is draining"
    return FULL if node.free <= 0 else None


def _lacks(node: Node, terms: frozenset[str]) -> str | None:
    if terms <= node.labels:
        return None
    return f"lacks {min(terms - node.labels)}"


def _refusals(mesh: Mesh, wish: Wish, chosen: Node | None, without: str | None) -> list[str]:
    """Words on some of the nodes that have the algorithm and could not take the session."""
    ids = mesh.has.get(wish.facts.algorithm, Ranking[int]())
    most = OF_MANY if chosen is not None and len(ids) > MANY else OTHERS
    told = []
    for place in random.sample(range(len(ids)), min(most + 1, len(ids))):
        node_id = ids[place]
        node = mesh.nodes[node_id]
        if node is chosen:
            continue
        left_out = "is left out: it gave no frames" if node_id == without else None
        against = _against(mesh, node, wish) or _lacks(node, wish.require) or left_out
        if against is not None:
            told.append(f"{node.name} {against}")
    return sorted(told[:most])


def _in_words(node: Node, wish: Wish) -> str:
    text = f"{node.name}: {node.free} of {node.manifest.slots} slots free"
    spare = node.spare(wish.facts.algorithm)
    return text if spare is None else f"{text}, {spare} fps to spare"


def _terms(text: str) -> frozenset[str]:
    return frozenset(f"{name}={value}" for name, value in labels_of(text).items())


def _clock(milliseconds: int) -> str:
    seconds = milliseconds // 1000 % 86400
    return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d} UTC"
