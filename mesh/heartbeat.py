"""A node's membership: it joins, beats, joins again when it was forgotten, and leaves."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from mesh.backoff import Backoff
from mesh.client import RegistryClient
from mesh.errors import FoglineError, RegisterAgain, RegistryAway
from mesh.logs import logger
from mesh.wire import Beat, BeatReply

MANIFEST_SECONDS = 600  # between two manifests; the registry keeps one for 15 minutes
MANIFEST_JITTER = 60  # seconds, ±10 %: a fleet that was switched on at once does not register at once for ever
FIRST_BEAT_SECONDS = 1.0  # until the registry says otherwise

log = logger(__name__)


class Membership:
    """Keeps one node in the mesh.

    manifest: gives the manifest's document as it is now. beat: gives what the node does now. obey: takes what the
    registry wants the node to serve; it is called from the beat's thread after every beat.

    `start` begins a thread; `renew` (from any thread) sends the manifest at once; `stop` leaves. When the registry is
    away, the node goes on with what it does and joins when it returns.
    """

    def __init__(
        self,
        client: RegistryClient,
        node_id: str,
        manifest: Callable[[], dict[str, Any]],
        beat: Callable[[], Beat],
        obey: Callable[[BeatReply], None] = lambda _reply: None,
    ) -> None:
        self._client = client
        self._node_id = node_id
        self._manifest = manifest
        self._beat = beat
        self._obey = obey
        self._pace = FIRST_BEAT_SECONDS
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._renew_asked = threading.Event()
        self._thread: threading.Thread | None = None
        self._problem: str | None = "not registered yet"
        self.address = ""

    @property
    def problem(self) -> str | None:
        """Why the node is not in the mesh now, in words; None while it is."""
        return self._problem

    def start(self) -> None:
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)
        self._thread.start()

    def renew(self) -> None:
        """Send the manifest with the next beat, which comes at once."""
        self._renew_asked.set()
        self._wake.set()

    def nudge(self) -> None:
        """Beat at once: the registry may have something new for this node."""
        self._wake.set()

    def stop(self, timeout: float = 2.0) -> None:
        """Leave the mesh: viewers are moved at once instead of when the lease ends. Waits at most about `timeout` s."""
        self._stopping.set()
        self._wake.set()
        if self._thread is not None:
            self._thread.join(timeout)
            if self._problem is None:
                try:
                    self._client.leave(self._node_id)
                    log.info("left the mesh")
                except FoglineError as error:
                    log.warning("could not say goodbye", reason=error.detail)

    def _run(self) -> None:
        backoff = Backoff()
        registered = False
        while not self._stopping.is_set():
            try:
                if not registered:
                    self._renew_asked.clear()
                    self._register(first=True)
                    registered = True
                elif self._renew_asked.is_set():
                    self._renew()
                self._take(self._client.beat(self._node_id, self._beat()))
                backoff.reset()
                wait = self._pace
            except RegisterAgain:
                registered = False
                log.info("the registry has forgotten this node; registering again")
                wait = 0.0
            except FoglineError as error:
                if error.detail != self._problem:
                    log.warning("not in the mesh; trying again", reason=error.detail, registry=self._client.url)
                self._problem = error.detail
                wait = backoff.delay()
            except Exception as error:  # the loop must outlive a defect in what it calls: without it the node is lost
                log.exception("the beat failed")
                self._problem = f"internal error: {error}"
                wait = backoff.delay()
            self._wake.wait(wait)
            self._wake.clear()

    def _renew(self) -> None:
        """Send the manifest again. One that is refused is no reason to stop beating: the registry keeps the last."""
        self._renew_asked.clear()
        try:
            self._register(first=False)
        except (RegistryAway, RegisterAgain):
            self._renew_asked.set()
            raise
        except FoglineError as error:
            log.warning("the registry refuses this node's manifest and keeps the last one", reason=error.detail)

    def _register(self, *, first: bool) -> None:
        answer = self._client.register(self._manifest())
        self._pace = answer.heartbeat.seconds
        self.address = answer.url
        if first or self._problem is not None:
            log.info("joined the mesh", registry=self._client.url, address=answer.url)
        self._problem = None

    def _take(self, reply: BeatReply) -> None:
        if self._problem is not None:
            log.info("the registry is back", registry=self._client.url)
        self._problem = None
        if reply.heartbeat is not None:
            self._pace = reply.heartbeat.seconds
        self._obey(reply)
