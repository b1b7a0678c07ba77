"""How many requests one client may make: tokens in a bucket, which fills up again with time.

Nodes are not held back, and neither is this machine in open mode: what a mesh costs itself grows with its size. People,
API keys and who has a signed address are told apart by whom they are, wherever they come from; strangers by address.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Final

from mesh.access import Guard, Principal
from mesh.connections import OURS
from mesh.errors import FoglineError, TooMany
from mesh.limits import (
    MAX_REQUESTS_A_SECOND,
    MAX_REQUESTS_AT_ONCE,
    MAX_STRANGER_REQUESTS_A_SECOND,
    MAX_STRANGER_REQUESTS_AT_ONCE,
)

MOST_CLIENTS: Final = 10_000  # that are remembered


class Buckets:
    """One bucket for each client. Any thread may call. rate: tokens a second; most: that a bucket holds."""

    def __init__(self, rate: float, most: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate = rate
        self._most = most
        self._clock = clock
        self._lock = threading.Lock()
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()  # tokens, and when that was, by client

    def take(self, client: str) -> float:
        """Take a token. Gives 0, or the seconds until there is one."""
        now = self._clock()
        with self._lock:
            tokens, at = self._left.pop(client, (self._most, now))
            tokens = min(self._most, tokens + (now - at) * self._rate)
            granted = tokens >= 1
            self._left[client] = (tokens - 1 if granted else tokens, now)  # the last one seen is the last one in line
            if len(self._left) > MOST_CLIENTS:
                self._left.popitem(last=False)  # who has been quiet for longest: its bucket is the fullest
            return 0.0 if granted else (1 - tokens) / self._rate


class Throttle:
    """Before every request of a service, around its guard. Any thread may call."""

    def __init__(self) -> None:
        self._known = Buckets(MAX_REQUESTS_A_SECOND, MAX_REQUESTS_AT_ONCE)
        self._strangers = Buckets(MAX_STRANGER_REQUESTS_A_SECOND, MAX_STRANGER_REQUESTS_AT_ONCE)

    def check(self, guard: Guard, request: Any) -> None:
        """Let the request through the guard, if there are not too many. Raises TooMany, and what the guard raises."""
        address = str(request.remote_addr or "")
        try:
            principal = guard.check(request)
        except FoglineError:
            self._stranger(address)
            raise
        if principal is None:
            if not guard.open:
                self._stranger(address)
        elif principal.kind not in ("node", "local"):
            self._admit(principal, address)

    def _admit(self, principal: Principal, address: str) -> None:
        if principal.kind == "original":
            self._stranger(address)
        elif wait := self._known.take(principal.id or principal.name):
            raise TooMany(
                f"{principal.name or 'this client'} asks more than {MAX_REQUESTS_A_SECOND:g} times a second"
                " (MAX_REQUESTS_A_SECOND): ask less often",
                limit="MAX_REQUESTS_A_SECOND",
                retry_after=int(wait) + 1,
            )

    def _stranger(self, address: str) -> None:
        if address not in OURS and (wait := self._strangers.take(address)):
            raise TooMany(
                f"{address} asks more than {MAX_STRANGER_REQUESTS_A_SECOND:g} times a second without a credential"
                " (MAX_STRANGER_REQUESTS_A_SECOND): ask less often",
                limit="MAX_STRANGER_REQUESTS_A_SECOND",
                retry_after=int(wait) + 1,
            )
