"""The pipelines of this node: started when somebody wants one, shared, and stopped when nobody does."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager

from compute_node.ingest import Ingests
from compute_node.metrics import Metrics
from compute_node.offer import Offer
from compute_node.pipeline import Pipeline, PipelineKey
from compute_node.turns import Turns
from mesh.errors import NoCapacity
from mesh.logs import logger

AHEAD = 1  # frames beyond the cores: one is decoded while the others are searched, so that no core waits
ELSEWHERE = 2  # frames at work a core when a GPU or the like does the inference
LINGER = 5.0  # seconds that a pipeline outlives its last viewer: a page that reloads finds it warm
log = logger(__name__)


class Pipelines:
    """Any thread may call any method. `sweep` must be called about once a second."""

    def __init__(
        self,
        offer: Offer,
        ingests: Ingests,
        metrics: Metrics,
        *,
        slots: int,
        quality: int,
        on_change: Callable[[], None],
    ) -> None:
        """on_change: called when work starts or stops that the registry has not placed, so that it hears of it."""
        self._offer = offer
        self._ingests = ingests
        self._metrics = metrics
        cores = os.cpu_count() or 1
        self._turns = Turns(cores + AHEAD)
        # A frame on another device leaves the CPU free meanwhile, for decoding the next ones.
        self._turns_elsewhere = Turns(ELSEWHERE * cores)
        self._quality = quality
        self._lock = threading.Lock()
        self._running: dict[PipelineKey, Pipeline] = {}
        self._users: dict[PipelineKey, int] = {}
        self._closed = False
        self._on_change = on_change
        self.slots = slots

    @contextmanager
    def use(self, key: PipelineKey, *, beside: Collection[PipelineKey] | None = None) -> Iterator[Pipeline]:
        """The pipeline for `key`, which runs at least while the context is open.

        beside: the work that sessions hold slots for, when this wish comes from no session: it then needs a slot that
        they leave free. None for a session's own work: the registry has counted it.
        Raises NoCapacity without a free slot, NotFound for an unknown algorithm.
        """
        pipeline = self._take(key, beside)
        if beside is not None:
            self._on_change()
        try:
            yield pipeline
        finally:
            with self._lock:
                self._users[key] -= 1

    def _take(self, key: PipelineKey, beside: Collection[PipelineKey] | None) -> Pipeline:
        algorithm = self._offer.get(key.algorithm)
        with self._lock:
            if self._closed:
                raise NoCapacity("this node is stopping", retry_after=1)
            pipeline = self._running.get(key)
            if pipeline is None:
                if beside is not None and len(self._running.keys() | set(beside)) >= self.slots:
                    raise NoCapacity(
                        f"all {self.slots} slots of this node are taken; try another node or raise --slots",
                        retry_after=5,
                    )
                ingest = self._ingests.take(key.camera, self._metrics.passed_over)
                here = algorithm.info.engine.partition(":")[2].startswith("cpu")
                turns = self._turns if here else self._turns_elsewhere
                pipeline = Pipeline(key, algorithm, ingest, turns, self._metrics, quality=self._quality)
                self._running[key] = pipeline
                log.info("pipeline started", camera=key.camera.name, algorithm=key.algorithm)
            self._users[key] = self._users.get(key, 0) + 1
            return pipeline

    def find(self, key: PipelineKey) -> Pipeline | None:
        """The running pipeline for `key`, if there is one."""
        return self._running.get(key)

    def running(self) -> list[Pipeline]:
        with self._lock:
            return list(self._running.values())

    def sweep(self) -> None:
        """Stop what nobody has wanted for a while."""
        with self._lock:
            idle = [k for k, p in self._running.items() if not self._users.get(k) and p.idle_seconds > LINGER]
            gone = [self._running.pop(key) for key in idle]
            for key in idle:
                self._users.pop(key, None)
        for pipeline in gone:
            self._end(pipeline)
        if gone:
            self._on_change()

    def close(self) -> None:
        """Stop everything; nothing starts afterwards."""
        with self._lock:
            self._closed = True
            gone = list(self._running.values())
            self._running.clear()
        for pipeline in gone:
            self._end(pipeline)

    def _end(self, pipeline: Pipeline) -> None:
        pipeline.stop()
        self._ingests.leave(pipeline.key.camera)
        log.info("pipeline stopped", camera=pipeline.key.camera.name, algorithm=pipeline.key.algorithm)
