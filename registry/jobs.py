"""Periodic work. Several registry processes may do it at once: each run finds only what is left to do."""

from __future__ import annotations

import datetime
import logging
from collections.abc import Callable

from apscheduler.schedulers.background import BackgroundScheduler
from flask import Flask
from flask_apscheduler import APScheduler

from mesh.errors import RegistryAway
from mesh.logs import logger
from registry.dialback import DialBack
from registry.listing import Snapshots
from registry.store import Store

SWEEP_SECONDS = 0.5  # a node's death is noticed within its lease and this
DUE_SECONDS = 1.0  # between two looks for nodes that have to be dialled again
WARM_SECONDS = 2.0  # the age of the lists when Redis goes away while nobody reads

log = logger(__name__)


class Jobs:
    """The registry's scheduler. `start` and `stop` are called once, by the serving process."""

    def __init__(self, app: Flask, store: Store, snapshots: Snapshots, dial_back: DialBack) -> None:
        self._store = store
        self._away = False
        self._scheduler = APScheduler(
            BackgroundScheduler(
                timezone=datetime.UTC,
                # A run that Redis holds up must not pile others behind it.
                job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": 10},
            )
        )
        self._scheduler.init_app(app)
        for name, work, seconds in (
            ("sweep", self._sweep, SWEEP_SECONDS),
            ("dial-back", dial_back.look_for_due, DUE_SECONDS),
            ("snapshot", snapshots.keep_warm, WARM_SECONDS),
        ):
            self._scheduler.add_job(id=name, func=self._quietly(work), trigger="interval", seconds=seconds)

    def start(self) -> None:
        # A skipped run is no news: while Redis is away every job waits for it.
        logging.getLogger("apscheduler").setLevel(logging.ERROR)
        self._scheduler.start()

    def stop(self) -> None:
        self._scheduler.shutdown(wait=False)

    def _sweep(self) -> None:
        swept = self._store.sweep()
        if swept.died or swept.ended:
            log.info("swept", nodes_died=swept.died, sessions_ended=swept.ended)
        if self._away:
            self._away = False
            log.info("Redis is back")

    def _quietly(self, work: Callable[[], None]) -> Callable[[], None]:
        def run() -> None:
            try:
                work()
            except RegistryAway as error:
                if not self._away:
                    self._away = True
                    log.warning("Redis is away; lists are served from the last snapshot", reason=str(error.__cause__))

        return run
