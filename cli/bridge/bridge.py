"""The bridge: follows the mesh at the registry, and says on the broker what it hears."""

from __future__ import annotations

import threading
import time
from contextlib import closing

from cli.bridge.broker import Broker
from cli.bridge.following import Following
from cli.bridge.states import States
from cli.bridge.topics import Topics
from mesh import codec, events
from mesh.backoff import Backoff
from mesh.client import RegistryClient
from mesh.errors import FoglineError
from mesh.logs import logger, redact

LOOK = 1.0  # seconds between two looks at what is to be read
TELL = 60.0  # seconds between two words about messages that were dropped
PAUSES = (0.2, 5.0)  # seconds before the registry's events are asked for again: the first, the longest
REDIS_AWAY = "the registry's Redis does not answer"
log = logger(__name__)


class Bridge:
    """`run` in one thread, until an exception such as KeyboardInterrupt; then `stop`."""

    def __init__(self, client: RegistryClient, broker: Broker, topics: Topics) -> None:
        self._client = client
        self._broker = broker
        self._topics = topics
        self._states = States(topics, broker.retain)
        self._following = Following(client, broker.send)
        self._stopping = threading.Event()
        self._said = ""
        self._events = threading.Thread(target=self._hear, name="events", daemon=True)

    def run(self) -> None:
        """Raises what the registry says when it refuses us at the start; one that is away is waited for."""
        self._broker.start()
        self._events.start()
        told_at, told = time.monotonic(), 0
        while not self._stopping.wait(LOOK):
            # What nobody can hear is not read either.
            self._following.look(self._states.sessions() if self._broker.connected else ())
            if (lost := self._broker.dropped - told) and time.monotonic() - told_at > TELL:
                told_at, told = time.monotonic(), self._broker.dropped
                log.warning("the broker takes less than there is: of each topic the newest was sent", dropped=lost)

    def stop(self) -> None:
        """Say goodbye to the broker, and end."""
        self._stopping.set()
        self._following.look(())
        self._broker.stop()

    # --- the thread of the registry's events

    def _hear(self) -> None:
        pauses = Backoff(*PAUSES)
        failures = 0
        while not self._stopping.is_set():
            problem = ""
            try:
                with closing(events.follow(self._client)) as heard:
                    for event in heard:
                        if self._stopping.is_set():
                            return
                        pauses.reset()
                        failures = 0
                        self._take(event)
            except FoglineError as error:
                problem = error.detail
            except Exception as error:  # the thread must live: an unforeseen answer is in the log
                log.exception("the registry's events could not be read")
                problem = f"the registry's events could not be read ({type(error).__name__})"
            failures += 1
            self._say_why(problem, failures)
            self._stopping.wait(pauses.delay())

    def _say_why(self, problem: str, failures: int) -> None:
        """Find out whether the registry is away, and go on with a replica that is not."""
        try:
            self._client.sessions()
        except FoglineError as error:
            self._registry("away", error.detail)
            return
        if failures > 1:  # one that is started anew ends the connection, and is there
            self._registry("away", problem)

    def _take(self, event: events.Event) -> None:
        if event.kind == "snapshot":
            self._states.whole(event.data.get("nodes") or (), event.data.get("sessions") or ())
            self._broker.settle()
        elif event.kind == "node":
            self._states.node(event.data)
        elif event.kind == "session":
            self._states.session(event.data)
        if event.kind in ("snapshot", "mesh"):
            stale = event.data.get("stale") is True
            self._registry("stale" if stale else "online", REDIS_AWAY if stale else "")

    def _registry(self, state: str, reason: str) -> None:
        if state != self._said:
            self._said = state
            (log.info if state == "online" else log.warning)("the registry is " + state, reason=reason)
        words = {"state": state, "reason": redact(reason), "url": redact(self._client.url)}
        self._broker.retain(self._topics.registry, codec.dump(words))
