"""Taking a node out of service: which node is meant, and what it still serves."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import psutil

from cli import asking
from cli.settings import AskSettings
from mesh import tls
from mesh.client import RegistryClient
from mesh.credentials import NodeCredentials
from mesh.errors import Conflict, NotFound, RegistryAway, SetupProblem, Unauthorized, Unavailable
from mesh.key_files import KeyFiles

KINDS: Final = ("camera", "compute")
LOOK_SECONDS: Final = 0.2  # between two looks at whether the sessions are gone
SHOWN: Final = 10  # sessions that are named
Json = dict[str, Any]


@dataclass(frozen=True)
class Node:
    """A node, and whom to ask about it, in whose name."""

    node_id: str
    name: str
    registry: RegistryClient


def named(registry: RegistryClient, wanted: str) -> Node:
    """The node with this id, else the one that is called so. Raises NotFound, Conflict, RegistryAway."""
    nodes: list[Json] = registry.nodes()["nodes"]
    found = [one for one in nodes if one["node_id"] == wanted] or [one for one in nodes if one["name"] == wanted]
    if not found:
        raise NotFound.among("node", wanted, (one["name"] for one in nodes))
    if len(found) > 1:
        listed = ", ".join(f"{one['node_id']} ({one['kind']} at {one['url']})" for one in found)
        raise Conflict(f"{len(found)} nodes are called {wanted!r}: name one by its id: {listed}")
    return Node(found[0]["node_id"], found[0]["name"], registry)


def here(settings: AskSettings) -> list[Node]:
    """The nodes with the data folder of `settings` that run on this machine, or in this container, each asking in its
    own name: in containers that share a folder those of the others are left alone. Raises SetupProblem."""
    tls.trust_of(settings.data)
    found = [_own(file, settings) for file in _held(settings.data / "identity")]
    if not found:
        raise SetupProblem(
            f"no node that runs here has its identity in {settings.data}: name its folder with --data (FOGLINE_DATA),"
            " and run this as the node's user"
        )
    return found


def _held(folder: Path) -> list[Path]:
    """The identities in `folder` that processes which can be seen from here hold."""
    held: set[str] = set()
    for process in psutil.process_iter():
        try:
            held.update(file.path for file in process.open_files())
        except psutil.Error:
            continue  # it has ended, or is somebody else's
    files = (file for kind in KINDS for file in sorted(folder.glob(f"{kind}-*.id")))
    return [file for file in files if str(file.resolve()) in held]


def _own(file: Path, settings: AskSettings) -> Node:
    """The node whose identity is in `file`, which signs with its own key where it has joined a locked mesh."""
    node_id = file.read_text().strip()
    if not re.fullmatch(r"[0-9a-f-]{36}", node_id):
        raise SetupProblem(f"{file} holds no node's id: the node that uses it has not begun yet")
    credentials = NodeCredentials(node_id)

    def refused(_error: Unauthorized) -> bool:
        """As the node itself does: its key is shown where the registry wants to see one."""
        joined = KeyFiles(file).load() if not credentials.joined else None
        if joined is not None:
            credentials.hold(*joined)
        return joined is not None

    registry = RegistryClient(asking.address(settings), credentials=credentials, refused=refused)
    return Node(node_id, file.stem.partition("-")[2], registry)


def wait(nodes: Sequence[Node], seconds: float) -> None:
    """Until none of them serves a session. Raises Unavailable, which says what they still serve after `seconds` and
    why; RegistryAway when it does not answer by then."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            left = [(node, serving) for node in nodes if (serving := _serving(node))]
            if not left:
                return
            if time.monotonic() >= deadline:
                raise Unavailable("; ".join(_in_words(*one, seconds) for one in left))
        except RegistryAway:
            if time.monotonic() >= deadline:
                raise
        time.sleep(LOOK_SECONDS)


def _serving(node: Node) -> int:
    """How many sessions it still serves; none when it is gone."""
    try:
        document = node.registry.node(node.node_id)
    except NotFound:
        return 0
    return 0 if document["state"] == "dead" else int(document["sessions"])


def _in_words(node: Node, serving: int, seconds: float) -> str:
    sessions = list(_left(node))
    shown = "".join(f"\n  {one}" for one in sessions[:SHOWN])
    more = f"\n  and {len(sessions) - SHOWN} more" if len(sessions) > SHOWN else ""
    return f"{node.name} still serves {_count(serving)} after {seconds:g} s; it goes on draining:{shown}{more}"


def _left(node: Node) -> Iterator[str]:
    """Each session that the node still holds a slot for, with the reason why it has not moved."""
    free = {one["id"]: one["free_slots"] for one in node.registry.algorithms()["algorithms"]}
    for one in node.registry.sessions()["sessions"]:
        if one["node"] != node.node_id:
            continue
        if one["state"] == "moving":
            reason = one["state_reason"]
        elif free.get(one["algorithm"], 0) == 0:
            reason = f"no other node has a free slot for {one['algorithm']}"
        else:
            reason = "no other node fits what it requires"
        yield f"{one['algorithm']} on {one['camera_name']} ({one['session_id']}): {reason}"


def _count(sessions: int) -> str:
    return "1 session" if sessions == 1 else f"{sessions} sessions"
