"""Periodic work. One registry process leads and does it; should two do so at once, each finds only what is left."""

from __future__ import annotations

import datetime
import logging
import uuid
from collections.abc import Callable

from apscheduler.schedulers.background import BackgroundScheduler
from flask import Flask
from flask_apscheduler import APScheduler

from mesh.errors import RegistryAway
from mesh.logs import logger
from mesh.place import SAY_SECONDS
from registry.cameras import Cameras
from registry.dialback import DialBack
from registry.listing import Snapshots
from registry.store import Store

SWEEP_SECONDS = 0.1  # a node's death is noticed within its lease and this
LEAD_SECONDS = 1.0  # a leader that says nothing for so long has ended
MOST_RUNS = 10  # sweeps in one go while there is more to do
DUE_SECONDS = 0.5  # between two looks for nodes that have to be dialled again
WARM_SECONDS = 2.0  # the age of the lists when Redis goes away while nobody reads

log = logger(__name__)


class Jobs:
    """The registry's scheduler. `start` and `stop` are called once, by the serving process."""

    def __init__(
        self,
        app: Flask,
        store: Store,
        snapshots: Snapshots,
        cameras: Cameras,
        dial_back: DialBack,
        *,
        say_place: Callable[[], None],
    ) -> None:
        """say_place: tells the other registries where this one is."""
        self._store = store
        self._dial_back = dial_back
        self._me = uuid.uuid4().hex
        self._led = False
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
            ("cameras", cameras.keep_warm, WARM_SECONDS),
            ("place", say_place, SAY_SECONDS),
        ):
            self._scheduler.add_job(id=name, func=self._quietly(work), trigger="interval", seconds=seconds)

    def start(self) -> None:
        # A skipped run is no news: while Redis is away every job waits for it.
        logging.getLogger("apscheduler").setLevel(logging.ERROR)
        self._scheduler.start()

    def stop(self) -> None:
        self._scheduler.shutdown(wait=False)

    def _sweep(self) -> None:
        leads = self._store.lead(self._me, LEAD_SECONDS)
        if leads != self._led:
            self._led = leads
            log.info("this registry does the periodic work" if leads else "another registry does the periodic work")
        for _ in range(MOST_RUNS if leads else 0):
            swept = self._store.sweep()
            for node_id, url in swept.suspects:
                self._dial_back.ask(node_id, url)
            if swept.died or swept.ended or swept.suspects:
                log.info("swept", silent=len(swept.suspects), died=swept.died, sessions_ended=swept.ended)
            if not swept.more:
                break
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
