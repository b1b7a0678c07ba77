"""How often nodes beat, and how long their leases are: more seldom and longer as the fleet grows."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Final, Protocol

from mesh.wire import Datagrams, Pace
from registry.settings import RegistrySettings

DATAGRAM_NODES: Final = 10_000  # that may beat by datagram at the settings' own pace: half a core's work
HTTP_BEATS: Final = 250  # beats a second by HTTP that one process takes: a quarter of what it could
FULL_SECONDS: Final = 5.0  # between two full beats of a node whose other beats are datagrams …
FULL_NODES: Final = 500  # … for so many nodes: 100 a second
REGISTRATIONS: Final = 1500  # manifests a second when everybody comes back after a wipe
FULL_BEATS: Final = 400  # full beats a second when many nodes have new orders: less than half of what a process takes
SMALL: Final = 300  # nodes that may come all at once
FLEET_SECONDS: Final = 60.0  # for which the fleet's greatest size counts: after a wipe nobody is listed
LAG: Final = 0.3  # seconds that a beat may wait for its answer; n times as long, and all beat n times as seldom, …
MOST_LAGS: Final = 4.0  # … which is the greatest n, …
RECOVERY: Final = 0.5  # … and n falls by so much a second once the answers are quicker
SMOOTH: Final = 0.5  # the part that the newest answers have in the lag: a moment's pause of the machine is none


class Receiver(Protocol):
    """What takes datagrams, as registry.beacon.Beacon does."""

    def hears(self, node_id: str) -> bool: ...
    def datagrams(self, node_id: str, boot_id: str) -> Datagrams | None: ...


class Tempo:
    """The pace of a fleet. Any thread may call any method. nodes: how many there are now."""

    def __init__(self, settings: RegistrySettings, nodes: Callable[[], int]) -> None:
        self._lease = settings.lease_seconds
        self._beat = settings.beat_seconds
        self._nodes = nodes
        self._peak = 0
        self._peak_at = 0.0
        self._lag = 0.0
        self._slower, self._slower_at = 1.0, time.monotonic()

    @property
    def fleet(self) -> int:
        """The greatest number of nodes of the last minute."""
        count, now = self._nodes(), time.monotonic()
        if count >= self._peak or now - self._peak_at > FLEET_SECONDS:
            self._peak, self._peak_at = count, now
        return self._peak

    @property
    def slower(self) -> float:
        """How many times as seldom nodes beat, and as long their leases are, because beats waited for their answers."""
        return max(1.0, self._slower - RECOVERY * (time.monotonic() - self._slower_at))

    def lagged(self, seconds: float) -> None:
        """Beats have waited so long for their answers. Only one thread calls this."""
        self._lag += SMOOTH * (seconds - self._lag)
        self._slower, self._slower_at = max(self.slower, min(MOST_LAGS, self._lag / LAG)), time.monotonic()

    def by_datagram(self) -> tuple[float, float]:
        """Lease and time between two beats, in seconds, of nodes that beat by datagram."""
        return self._stretched(self.fleet / DATAGRAM_NODES)

    def by_http(self, nodes: int) -> tuple[float, float]:
        """The same for nodes that beat by HTTP alone; `nodes` of them do so at this process."""
        return self._stretched(nodes / (HTTP_BEATS * self._beat))

    def full_seconds(self) -> float:
        """Seconds between two full beats of a node that beats by datagram."""
        return FULL_SECONDS * max(1.0, self.fleet / FULL_NODES) * self.slower

    def spread(self, share: float = 1.0) -> float:
        """Seconds over which this `share` of the fleet has to spread when it registers again."""
        return self._spread(self.fleet * share, REGISTRATIONS)

    def full_spread(self, share: float) -> float:
        """Seconds over which this `share` of the fleet has to spread when it sends full beats."""
        return self._spread(self.fleet * share, FULL_BEATS)

    def _spread(self, nodes: float, per_second: float) -> float:
        return nodes / per_second if nodes > SMALL else 0.0

    def _stretched(self, factor: float) -> tuple[float, float]:
        stretch = max(1.0, factor) * self.slower
        return self._lease * stretch, self._beat * stretch


class Pacing:
    """Gives each node its lease and its pace. Any thread may call any method."""

    def __init__(self, settings: RegistrySettings, tempo: Tempo, receiver: Receiver | None) -> None:
        self._settings = settings
        self._tempo = tempo
        self._receiver = receiver
        self._lock = threading.Lock()
        self._by_http: dict[str, float] = {}  # monotonic seconds of the last full beat of nodes that send no others
        self._pruned_at = 0.0

    def registration(self, node_id: str, boot_id: str, original: bool) -> tuple[float, Pace]:
        """Lease in seconds and pace of a node that sent its manifest."""
        if original:
            return self._settings.original_seconds, Pace(seconds=self._settings.beat_seconds)
        return self.beat(node_id, boot_id)

    def beat(self, node_id: str, boot_id: str) -> tuple[float, Pace]:
        """Lease in seconds and pace of a node that sent a full beat."""
        if self._receiver is not None and self._receiver.hears(node_id):
            lease, seconds = self._tempo.by_datagram()
        else:
            lease, seconds = self._tempo.by_http(self._count(node_id))
        datagrams = self._receiver.datagrams(node_id, boot_id) if self._receiver is not None else None
        return lease, Pace(
            seconds=seconds,
            full_seconds=self._tempo.full_seconds() if datagrams is not None else 0.0,
            datagrams=datagrams,
        )

    def spread_seconds(self) -> float:
        """Within how many seconds a node that has to register again shall do so, at a random moment."""
        return self._tempo.spread()

    def _count(self, node_id: str) -> int:
        """How many nodes beat at this process by HTTP alone, with this one."""
        now = time.monotonic()
        with self._lock:
            self._by_http[node_id] = now
            if now - self._pruned_at > 1.0:
                self._pruned_at = now
                lease, _ = self._tempo.by_http(len(self._by_http))
                for other, seen in list(self._by_http.items()):
                    if now - seen > lease or (self._receiver is not None and self._receiver.hears(other)):
                        del self._by_http[other]
            return len(self._by_http)
