"""What is on the network and not in the mesh yet: cameras to add, and registries."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar
from urllib.parse import urlsplit

import msgspec

from mesh.discovery import Announced, browse
from mesh.errors import RegistryAway, Unavailable
from registry.listing import Snapshots
from registry.onvif import SECONDS, Candidate, probe

KEPT_SECONDS = 10.0  # a result is shown again for so long: nobody can make the registry flood its network
MOST_WAITING = 4  # callers who wait for a search; each holds a thread that nodes may need for their beats
T = TypeVar("T")


class Discovered(msgspec.Struct, frozen=True, kw_only=True):
    """What answered on the registry's own network within `seconds`. problems: what could not be looked for, and why."""

    cameras: list[Candidate]
    registries: list[Announced]
    seconds: float
    problems: list[str] = []


class Discovery:
    """Searches the network when somebody asks: one search at a time. Any thread may call it."""

    def __init__(self, snapshots: Snapshots) -> None:
        self._snapshots = snapshots
        self._one = threading.Lock()
        self._waiting = threading.BoundedSemaphore(MOST_WAITING)
        self._last: tuple[float, Discovered] | None = None

    def look(self) -> Discovered:
        """What is there, at most KEPT_SECONDS old. Raises Unavailable when nothing can be looked for, or when so many
        wait for the result already that the next one shall come back."""
        if not self._waiting.acquire(blocking=False):
            raise Unavailable("the network is being searched; ask again in a moment", retry_after=int(SECONDS))
        try:
            with self._one:
                if self._last is None or time.monotonic() - self._last[0] > KEPT_SECONDS:
                    found = search()
                    self._last = (time.monotonic(), found)
                found = self._last[1]
        finally:
            self._waiting.release()
        return msgspec.structs.replace(found, cameras=marked(found.cameras, self._readers()))

    def _readers(self) -> dict[str, str]:
        """The registered cameras' names by the addresses where their pictures come from."""
        try:
            nodes = self._snapshots.view().snapshot.nodes
        except RegistryAway:
            return {}  # nobody is known; what is on the network is still worth showing
        cameras = [node for node in nodes if node.kind == "camera" and node.alive]
        return readers([(node.name, node.url, str(node.document.get("source_host", ""))) for node in cameras])


def readers(cameras: list[tuple[str, str, str]]) -> dict[str, str]:
    """Names by address, from (name, url, source_host) of each camera node: a node may be the camera itself, or read
    one that is elsewhere."""
    by_address = {urlsplit(url).hostname or "": name for name, url, _ in cameras}
    by_address |= {source: name for name, _, source in cameras if source}
    return by_address


def marked(cameras: list[Candidate], by_address: dict[str, str]) -> list[Candidate]:
    """The same cameras with `already` filled in."""
    return [msgspec.structs.replace(one, already=by_address.get(one.address)) for one in cameras]


def search(seconds: float = SECONDS) -> Discovered:
    """Search this machine's networks for cameras and registries at once. Raises Unavailable when neither can be."""
    problems: list[str] = []

    def words(look: Callable[[], list[T]]) -> list[T]:
        try:
            return look()
        except Unavailable as problem:
            problems.append(problem.detail)
            return []

    with ThreadPoolExecutor(2, thread_name_prefix="discover") as both:
        cameras = both.submit(words, lambda: probe(seconds))
        registries = both.submit(words, lambda: browse(seconds))
    found = Discovered(cameras=cameras.result(), registries=registries.result(), seconds=seconds, problems=problems)
    if len(problems) == 2:
        raise Unavailable("; ".join(problems))
    return found
