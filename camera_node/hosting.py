"""The camera host: it asks the registry which added cameras it is to run, and runs those and no others."""

from __future__ import annotations

import threading
from collections.abc import Callable

from camera_node.hosted import Hosted
from camera_node.mounts import Mounts
from mesh import lease
from mesh.backoff import Backoff
from mesh.client import RegistryClient
from mesh.errors import FoglineError, RegisterAgain
from mesh.heartbeat import Membership
from mesh.identity import Identity
from mesh.lease import Lease
from mesh.logs import logger, redact
from mesh.wire import HostedCamera, Hosting

LOOK_SECONDS = 0.2  # between two looks whether the node itself is in the mesh
AT_ONCE = 0.1  # seconds until what has changed is told: a registry that wavers must not be flooded
PAUSES = (0.2, 10.0)  # seconds between two questions, whatever the registry says
# Of the time between two questions or until an answer: how long one is a permit to register. It is shorter than the
# registry's patience, because a host that counts as dead loses its cameras earlier than one that only does not ask; too
# short a permit costs a moment's wait.
PERMIT = 2.0
RETRY_CEILING = 2.0  # seconds between two tries: the registry gives the cameras to others when it hears nothing
STOP_SECONDS = 3.0  # for cameras that end, all at once
MAX_WORDS = 2000  # characters of a problem
log = logger(__name__)
Make = Callable[[HostedCamera, Callable[[], bool]], Hosted]


class CameraHost:
    """Runs added cameras in this process.

    own: the node's own membership. mounts: where the cameras answer. make: makes a camera that is not started yet, from
    what the registry says of it and whether it may register now; raises FoglineError when that cannot be.

    `start` begins a thread. Without the registry what runs goes on. A camera registers only while its permit is held,
    a lease that every answer renews: a host that slept hears first what others run by now.
    """

    def __init__(
        self,
        client: RegistryClient,
        own: Membership,
        identity: Identity,
        *,
        capacity: int,
        mounts: Mounts,
        make: Make,
    ) -> None:
        self._client = client
        self._own = own
        self._identity = identity
        self._capacity = capacity
        self._mounts = mounts
        self._make = make
        self._permit = Lease()
        self._stopping = threading.Event()
        self._lock = threading.Lock()  # so that no camera begins behind the back of `stop`
        self._running: dict[str, Hosted] = {}
        self._problems: dict[str, str] = {}
        self._trouble: str | None = None
        self._address = ""
        self.networks: tuple[str, ...] = ()  # in which cameras may be, as the registry said last
        self._backoff = Backoff(ceiling=RETRY_CEILING)
        self._thread = threading.Thread(target=self._run, name="hosting", daemon=True)

    @property
    def count(self) -> int:
        """Cameras that run now. Any thread may ask."""
        return len(self._running)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> list[Hosted]:
        """Take no more orders; gives the cameras that run, for the caller to stop. Any thread may call it."""
        self._stopping.set()
        with self._lock:
            return list(self._running.values())

    # --- the host's thread

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                pause = self._turn()
            except Exception:  # without this thread what people add or remove would never happen here
                log.exception("hosting failed; it goes on")
                pause = self._backoff.delay()
            self._stopping.wait(pause)

    def _turn(self) -> float:
        """Ask once and do what is said. Gives the seconds until the next time."""
        if self._own.problem is not None or not self._own.address:
            return LOOK_SECONDS
        told = self._report()
        sent_at = lease.now()
        try:
            reply = self._client.host_cameras(self._identity.node_id, told)
        except FoglineError as error:
            if isinstance(error, RegisterAgain):
                self._own.nudge()
            elif error.detail != self._trouble:
                log.warning("cannot hear which added cameras to run; what runs goes on", reason=error.detail)
                self._trouble = error.detail
            return self._backoff.delay()
        self._trouble = None
        self._backoff.reset()
        self.networks = tuple(reply.networks)
        named = {one.camera_id: one for one in reply.cameras}
        self._end(named)
        # Only now: what is not to run here any more must not get a permit.
        slept, moved = not self._permit.held, self._own.address != self._address
        usual = max(reply.seconds, lease.now() - sent_at)
        self._permit.renew(sent_at, min(reply.lease_seconds, PERMIT * usual))
        self._address = self._own.address
        for hosted in self._running.values():
            if moved:
                hosted.camera.membership.renew()
            elif slept and hosted.camera.membership.problem is not None:
                hosted.camera.membership.nudge()  # it was kept waiting for this
        self._run_all(named)
        if self._report() != told:
            return AT_ONCE
        return min(max(reply.seconds, PAUSES[0]), PAUSES[1])

    def _report(self) -> Hosting:
        return Hosting(
            boot_id=self._identity.boot_id,
            capacity=self._capacity,
            cameras=[hosted.told for hosted in self._running.values()],
            problems=dict(self._problems),
        )

    def _end(self, named: dict[str, HostedCamera]) -> None:
        """Stop what is not `named`, or not as it runs."""
        changed = []
        for camera_id, hosted in list(self._running.items()):
            told = named.get(camera_id)
            if told is not None and hosted.can_become(told):
                continue
            with self._lock:
                del self._running[camera_id]
            if told is not None:
                changed.append(hosted.retire)
                continue
            self._mounts.remove(camera_id)
            log.info("an added camera ends here", camera=hosted.told.name, node_id=camera_id)
            # Without a wait: nothing takes its place.
            threading.Thread(target=hosted.camera.stop, name="end of a camera", daemon=True).start()
        _all_at_once(changed)

    def _run_all(self, named: dict[str, HostedCamera]) -> None:
        """Run what is `named`, and note what cannot be."""
        before, self._problems = self._problems, {}
        for camera_id, told in named.items():
            if (hosted := self._running.get(camera_id)) is not None:
                hosted.become(told)
                continue
            problem = self._begin(told)
            if problem is not None:
                self._mounts.remove(camera_id)
                self._problems[camera_id] = problem
                if before.get(camera_id) != problem:
                    log.warning("an added camera cannot be run", camera=told.name, reason=problem)

    def _begin(self, told: HostedCamera) -> str | None:
        """Run one more camera; why not, in words, if that cannot be."""
        try:
            hosted = self._make(told, lambda: self._permit.held)
        except FoglineError as error:
            return redact(error.detail)[:MAX_WORDS]
        except Exception as error:  # one camera's trouble must not stop the others
            log.exception("an added camera failed", node_id=told.camera_id)
            return f"this is a defect of Fogline ({type(error).__name__}); the log of the node has the trace"
        if len(self._running) >= self._capacity:
            return f"this node already runs {self._capacity} added cameras: raise its --host-cameras"
        application = hosted.camera.application()
        with self._lock:
            if self._stopping.is_set():
                return "stopping"
            self._running[told.camera_id] = hosted
            self._mounts.put(told.camera_id, application)  # first, for the registry dials as soon as it has joined
            hosted.camera.start()
        log.info("an added camera begins here", camera=told.name, node_id=told.camera_id, source=hosted.shown)
        return None


def _all_at_once(calls: list[Callable[[], None]]) -> None:
    """Run all calls, each in a thread of its own, and wait for them, within bounds."""
    threads = [threading.Thread(target=call, daemon=True) for call in calls]
    for thread in threads:
        thread.start()
    until = lease.now() + STOP_SECONDS
    for thread in threads:
        thread.join(max(0.0, until - lease.now()))
