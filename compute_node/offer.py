"""The algorithms that this node truly offers: loaded one after another at the start, and what became of each."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable

from compute_node.algorithms import LoadContext, load, measure_fps
from compute_node.algorithms.base import Algorithm
from mesh.errors import FoglineError, NotFound, Unavailable
from mesh.logs import logger
from mesh.manifest import AlgorithmEntry

FASTEST = 10_000.0  # frames a second: what needs no time at all says so, and stays within the manifest's bounds
log = logger(__name__)


class Offer:
    """Loads `names` in order. One that fails is left out with its reason; the others go on. Any thread may read."""

    def __init__(self, names: Iterable[str], context: LoadContext) -> None:
        self._names = list(names)
        self._context = context
        self._loaded: dict[str, Algorithm] = {}
        self._entries: dict[str, AlgorithmEntry] = {}
        self.failed: dict[str, str] = {}
        self.complete = threading.Event()

    def load_all(self, on_change: Callable[[], None]) -> None:
        """Load and measure each; `on_change` is called after each one that can now be used. Takes seconds."""
        for name in self._names:
            try:
                algorithm = load(name, self._context)
                fps = measure_fps(algorithm)
            except FoglineError as error:
                self.failed[name] = error.detail
                log.warning("algorithm left out", algorithm=name, reason=error.detail)
                continue
            except Exception as error:  # a plug-in may be anybody's code: the node lives without it, and says so
                self.failed[name] = f"{type(error).__name__}: {error}"
                log.exception("algorithm left out", algorithm=name)
                continue
            info = algorithm.info
            self._entries[name] = AlgorithmEntry(
                id=info.id,
                name=info.name,
                category=info.category,
                family=info.family,
                path=f"{info.id}/image.jpg",
                model=info.model,
                labels=len(info.labels) or None,
                input=list(info.input) if info.input else None,
                fps=round(min(fps, FASTEST), 1),
                engine=info.engine,
            )
            self._loaded[name] = algorithm
            log.info("algorithm ready", algorithm=name, model=info.model, engine=info.engine, fps=round(fps, 1))
            on_change()
        self.complete.set()

    def entries(self) -> list[AlgorithmEntry]:
        """The manifest's list."""
        return [self._entries[name] for name in self._names if name in self._entries]

    def get(self, name: str) -> Algorithm:
        """The loaded algorithm called `name`. Raises NotFound that lists those there are, or says why it failed."""
        algorithm = self._loaded.get(name)
        if algorithm is not None:
            return algorithm
        if name in self.failed:
            raise Unavailable(f"{name} could not be loaded on this node: {self.failed[name]}")
        if name in self._names and not self.complete.is_set():
            raise Unavailable(f"{name} is still being loaded", retry_after=2)
        raise NotFound.among("algorithm", name, self._loaded)

    def close(self) -> None:
        for algorithm in self._loaded.values():
            algorithm.close()
