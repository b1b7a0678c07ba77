"""A node's membership: it joins, beats, joins again when it was forgotten, and leaves."""

from __future__ import annotations

import math
import random
import threading
import time
from collections.abc import Callable
from typing import Any, Protocol

import msgspec

from mesh import datagram, lease, vitals
from mesh.backoff import Backoff
from mesh.client import RegistryClient
from mesh.errors import FoglineError, RegisterAgain, RegistryAway
from mesh.lease import Lease
from mesh.logs import logger
from mesh.skew import Skew
from mesh.transmitter import Transmitter
from mesh.wire import Beat, BeatReply, Pace

MANIFEST_SECONDS = 600  # between two manifests; the registry keeps one for 15 minutes
MANIFEST_JITTER = 60  # seconds, ±10 %: a fleet that was switched on at once does not register at once for ever
FIRST_BEAT_SECONDS = 1.0  # until the registry says otherwise
FIRST_LEASE_SECONDS = 3.0  # until the registry says otherwise
LOOK_SECONDS = 1.0  # between two looks at whether something has changed that the registry should hear of
RETRY_CEILING = 5.0  # seconds between two tries while the registry is away; more where beats are farther apart

log = logger(__name__)
_Told = list[tuple[str, int, int, str, bool]]


class Joining(Protocol):
    """How a node joins a mesh that is locked, as mesh.enrolment.Enrolment does."""

    def require(self) -> None:
        """Raises why the node may not register yet."""
        ...

    def heard(self, trust: int, now: float | None) -> None:
        """An answer of the registry came with the version of its trust document and its time."""
        ...


class NeedNot:
    """Of a mesh that is open."""

    def require(self) -> None:
        pass

    def heard(self, trust: int, now: float | None) -> None:
        pass


class Membership:
    """Keeps one node in the mesh.

    manifest: gives the manifest's document as it is now. beat: gives what the node does now; it is called from two
    threads. What is known of the machine and of its clock is added here, for every kind of node. obey: takes what the
    registry wants the node to serve; it is called from the beat's thread after every full beat, and before the lease is
    renewed. cut_off: `stop` or `serve`, see mesh.settings.NodeSettings. joining: how it gets into a locked mesh.
    settle: hears around each manifest at which URL the node is listed (empty before the first one), and says whether
    the manifest has changed by that: see mesh.reach.

    `start` begins a thread; `renew` (from any thread) sends the manifest at once; `stop` leaves. When the registry is
    away, the node goes on with what it does while it `holds` its lease, and joins when the registry returns.
    """

    def __init__(
        self,
        client: RegistryClient,
        node_id: str,
        manifest: Callable[[], dict[str, Any]],
        beat: Callable[[], Beat],
        obey: Callable[[BeatReply], None] = lambda _reply: None,
        *,
        cut_off: str = "stop",
        joining: Joining | None = None,
        settle: Callable[[str], bool] = lambda _url: False,
    ) -> None:
        self._client = client
        self._joining: Joining = joining or NeedNot()
        self._settle_address = settle
        self._node_id = node_id
        self._manifest = manifest
        self._beat = beat
        self._obey = obey
        self._serve_always = cut_off == "serve"
        self._pace = Pace(seconds=FIRST_BEAT_SECONDS)
        self._lease = Lease()
        self._lease_seconds = FIRST_LEASE_SECONDS
        self._skew = Skew()
        self._transmitter = Transmitter(node_id, self._look, self._lease, self._full_beat_within, self.nudge)
        self._backoff = Backoff(ceiling=RETRY_CEILING)
        self._registered = False
        self._told: _Told = []
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._renew_asked = threading.Event()
        self._full_at = math.inf  # monotonic seconds at which a full beat was promised
        self._thread: threading.Thread | None = None
        self._problem: str | None = "not registered yet"
        self.address = ""

    @property
    def problem(self) -> str | None:
        """Why the node is not in the mesh now, in words; None while it is."""
        return self._problem

    @property
    def holds(self) -> bool:
        """Whether the node may serve its sessions at this very moment: nobody else was told to. Cheap to ask."""
        return self._serve_always or self._lease.held

    def start(self) -> None:
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)
        self._thread.start()

    def renew(self) -> None:
        """Send the manifest with the next full beat, which comes at once."""
        self._renew_asked.set()
        self._wake.set()

    def nudge(self) -> None:
        """Send a full beat at once: the registry may have something new for this node."""
        self._wake.set()

    def stop(self, timeout: float = 2.0) -> None:
        """Leave the mesh: viewers are moved at once instead of when the lease ends. Waits at most about `timeout` s."""
        self._stopping.set()
        self._wake.set()
        self._transmitter.stop()
        if self._thread is not None:
            self._thread.join(timeout)
            if self._problem is None:
                try:
                    self._client.leave(self._node_id)
                    log.info("left the mesh")
                except FoglineError as error:
                    log.warning("could not say goodbye", reason=error.detail)

    # --- the beat's thread

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._rest(self._turn())

    def _turn(self) -> float:
        """Say to the registry what it has to hear. Gives the seconds until the next time."""
        sent_at = lease.now()
        promised = self._full_at < math.inf
        self._full_at = math.inf
        try:
            if not self._registered:
                self._register()
                self._registered = True
                if self._pace.datagrams is not None and not self._beat().sessions:
                    return self._settle()
            elif self._renew_asked.is_set():
                self._renew()
            doing = self._doing()
            self._told = _told(doing)
            sent_at = lease.now()
            reply = self._client.beat(self._node_id, doing)
            self._skew.heard(reply.now, sent_at, lease.now())
            self._joining.heard(reply.trust, reply.now)
            self._take(reply, sent_at)
        except RegisterAgain as error:
            self._registered = False
            spread = 0.0 if promised else random.uniform(0, float(error.members.get("spread_seconds") or 0.0))
            # It knows nothing of this node, so it has given its work to nobody while the lease was held.
            self._lease.keep(sent_at, spread + self._lease_seconds)
            log.info("the registry has forgotten this node; registering again", seconds=round(spread, 1))
            self._stopping.wait(spread)
            return 0.0
        except FoglineError as error:
            if error.detail != self._problem:
                log.warning("not in the mesh; trying again", reason=error.detail, registry=self._client.url)
            self._problem = error.detail
            return self._retry(error, sent_at)
        except Exception as error:  # the loop must outlive a defect in what it calls: without it the node is lost
            log.exception("the beat failed")
            self._problem = f"internal error: {error}"
            return self._backoff.delay()
        self._backoff.reset()
        return self._pause()

    def _settle(self) -> float:
        """After joining with nothing to tell: no full beat if datagrams get through, which is half the work for a
        registry whose nodes all come at once."""
        until = time.monotonic() + LOOK_SECONDS
        while time.monotonic() < until and not self._wake.wait(0.05):
            if self._transmitter.healthy:
                return self._pause()
        return 0.0

    def _rest(self, seconds: float) -> None:
        """Wait until the next full beat is due, or somebody asks for one."""
        due = time.monotonic() + seconds
        while (left := min(due, self._full_at) - time.monotonic()) > 0:
            if self._wake.wait(min(left, LOOK_SECONDS)):
                break
            if self._registered and not self._transmitter.healthy:  # which looks at each of its own beats
                try:
                    self._look()
                except Exception:  # as in a turn: the loop must outlive it
                    log.exception("looking for changes failed")
                    break
        self._wake.clear()

    def _pause(self) -> float:
        if self._transmitter.healthy and self._pace.full_seconds:
            return self._pace.full_seconds * random.uniform(0.9, 1.0)
        return self._pace.seconds

    def _retry(self, error: FoglineError, sent_at: float) -> float:
        """How long to wait after `error`."""
        delay = self._backoff.delay()
        if isinstance(error, RegistryAway) and (error.members.get("live") or error.members.get("refused")):
            # Nobody is there who could move anything. That has to be seen again before the lease ends.
            self._lease.keep(sent_at, self._lease_seconds)
            delay = min(delay, self._lease_seconds / 3)
        elif error.members.get("reason") == "missing":
            delay = min(delay, LOOK_SECONDS)  # it is this node that has to join first, and that costs nobody anything
        return max(delay, self._pause()) if self._transmitter.healthy else delay

    def _renew(self) -> None:
        """Send the manifest again. One that is refused is no reason to stop beating: the registry keeps the last."""
        self._renew_asked.clear()
        try:
            self._register()
        except (RegistryAway, RegisterAgain):
            self._renew_asked.set()
            raise
        except FoglineError as error:
            log.warning("the registry refuses this node's manifest and keeps the last one", reason=error.detail)

    def _register(self) -> None:
        self._renew_asked.clear()
        self._joining.require()
        self._settle_address(self.address)
        manifest = self._manifest()
        sent_at = lease.now()
        answer = self._client.register(manifest)
        self._skew.heard(answer.now, sent_at, lease.now())
        self._joining.heard(answer.trust, answer.now)
        if not self.address and self._settle_address(answer.url):
            answer = self._client.register(self._manifest())
        self.address = answer.url
        if not self._registered or self._problem is not None:
            log.info("joined the mesh", registry=self._client.url, address=answer.url)
        self._problem = None
        self._adopt(answer.heartbeat, answer.lease_seconds)
        if not self._registered:
            self._transmitter.follow(0)

    def _take(self, reply: BeatReply, sent_at: float) -> None:
        if self._problem is not None:
            log.info("the registry is back", registry=self._client.url)
        self._problem = None
        self._obey(reply)
        self._transmitter.follow(reply.orders)
        # Only now: a node that slept must not go on with what it was told before.
        self._lease.renew(sent_at, reply.lease_seconds)
        if reply.heartbeat is not None:
            self._adopt(reply.heartbeat, reply.lease_seconds)

    def _adopt(self, pace: Pace, lease_seconds: float) -> None:
        self._pace = pace
        self._lease_seconds = lease_seconds
        self._transmitter.aim(self._client.host, pace.datagrams, several=self._client.several)

    # --- any thread

    def _doing(self) -> Beat:
        """What the node does now. The load is the same in every beat, so that its change is told once."""
        doing = self._beat()
        ahead = self._skew.ahead(time.time(), lease.now())
        load = msgspec.structs.replace(vitals.measured(doing.load), clock_skew=ahead)
        return msgspec.structs.replace(doing, load=datagram.trimmed(load))

    def _look(self) -> Beat:
        """What the node does now; what has changed of its sessions is told to the registry at once."""
        doing = self._doing()
        if _told(doing) != self._told:
            self._wake.set()
        return doing

    def _full_beat_within(self, seconds: float) -> None:
        if seconds <= 0:
            self._wake.set()
        elif time.monotonic() + seconds < self._full_at:  # else one is promised by then
            self._full_at = time.monotonic() + random.uniform(0, seconds)


def _told(beat: Beat) -> _Told:
    """What of the sessions is worth a beat of its own when it changes: not the rate, which always does."""
    return sorted((r.session_id, r.token, r.viewers, r.problem or "", r.ready) for r in beat.sessions)
