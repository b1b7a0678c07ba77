"""Telling the registry where this dashboard is, so that who collects figures finds it."""

from __future__ import annotations

import socket
import threading

from mesh.backoff import Backoff
from mesh.client import RegistryClient
from mesh.errors import FoglineError
from mesh.logs import logger
from mesh.place import SAY_SECONDS, Place
from ui.settings import UiSettings

log = logger(__name__)


class Presence:
    """Says it once a minute, from a thread of its own, which `start` begins and `stop` ends."""

    def __init__(self, registry: RegistryClient, node_id: str, settings: UiSettings) -> None:
        self._registry = registry
        self._place = Place(
            node_id=node_id,
            port=settings.port,
            name=socket.gethostname(),
            secure=settings.tls,
            site=settings.site,
        )
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="presence", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()

    def _run(self) -> None:
        backoff = Backoff(1.0, SAY_SECONDS)
        while not self._stopping.is_set():
            try:
                self._registry.say_place(self._place)
                backoff.reset()
                delay = SAY_SECONDS
            except FoglineError as error:
                # No more than this hangs on it: pages say by themselves when the registry is away.
                log.debug("the registry was not told where the dashboard is", reason=error.detail)
                delay = backoff.delay()
            self._stopping.wait(delay)
