"""Whose the bearers are that browsers and programs show to the dashboard: the registry knows, and is asked."""

from __future__ import annotations

import hashlib
import re
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from mesh.access_wire import Introspection, IntrospectRequest
from mesh.client import RegistryClient
from mesh.errors import FoglineError, Forbidden, RegistryAway, Unauthorized, Unavailable
from mesh.logs import logger

FRESH = 5.0  # seconds for which an answer is good
STALE = 300.0  # seconds for which an answer that was good still counts while the registry is away
PAUSE = 2.0  # seconds for which a registry that did not answer is not asked again: pages must not wait for each file
LOOK = 3.0  # seconds between two looks at the sign-ins of those who watch: a revoked one ends within FRESH more
MOST = 4096  # bearers remembered
SHAPE = re.compile(r"fg[sk]_[A-Za-z0-9_-]{1,200}")  # of sign-ins and API keys; nothing else is worth asking about
NOBODY = Introspection(active=False)
log = logger(__name__)


@dataclass(slots=True)
class _Answer:
    """What the registry said. at: monotonic seconds."""

    found: Introspection
    at: float


class Held:
    """The sign-in of somebody who watches. over: it has ended or was revoked; cheap to ask."""

    __slots__ = ("address", "over", "secret")

    def __init__(self, secret: str, address: str) -> None:
        self.secret = secret
        self.address = address
        self.over = False


class SignIns:
    """Any thread may call any method. Bearers are remembered by their hash, but for those of whoever watches now.

    registry: asked in the dashboard's own name. clock: monotonic seconds.
    """

    def __init__(self, registry: RegistryClient, clock: Callable[[], float] = time.monotonic) -> None:
        self._registry = registry
        self._clock = clock
        self._lock = threading.Lock()
        self._answers: OrderedDict[str, _Answer] = OrderedDict()
        self._away_at = float("-inf")
        self._held: set[Held] = set()
        self._watching: threading.Thread | None = None
        self._closed = threading.Event()

    def find(self, secret: str, address: str) -> tuple[Introspection, bool]:
        """Whose `secret` is, and whether that is of this moment: while the registry is away a good answer counts for
        five minutes more. address: of who shows it.

        Raises RegistryAway when nobody can tell, Unavailable while the dashboard itself is no member of the mesh.
        """
        if SHAPE.fullmatch(secret) is None:
            return NOBODY, True
        name, now = _hash(secret), self._clock()
        with self._lock:
            known = self._answers.get(name)
            away = now - self._away_at < PAUSE
        if known is not None and now - known.at <= FRESH:
            return known.found, True
        try:
            if away:
                raise RegistryAway("the registry does not answer, so that nobody's sign-in can be checked")
            found = self._ask(secret, address)
        except RegistryAway:
            if not away:
                self._away_at = now
            if known is not None and known.found.active and now - known.at <= STALE and not _expired(known.found):
                return known.found, False
            raise
        with self._lock:
            self._away_at = float("-inf")
            self._answers[name] = _Answer(found, now)
            self._answers.move_to_end(name)
            while len(self._answers) > MOST:
                self._answers.popitem(last=False)
        return found, True

    def forget(self, secret: str) -> None:
        """It was signed out here: whatever it opened ends."""
        name = _hash(secret)
        with self._lock:
            self._answers.pop(name, None)
            for held in self._held:
                if _hash(held.secret) == name:
                    held.over = True

    def outdate(self) -> None:
        """Somebody's rights were changed here: ask again."""
        with self._lock:
            for answer in self._answers.values():
                answer.at = min(answer.at, self._clock() - FRESH - 1)

    @contextmanager
    def hold(self, secret: str, address: str) -> Iterator[Held]:
        """Look after the sign-in as long as the context is open."""
        held = Held(secret, address)
        with self._lock:
            self._held.add(held)
            if self._watching is None and not self._closed.is_set():
                self._watching = threading.Thread(target=self._watch, name="sign-ins", daemon=True)
                self._watching.start()
        try:
            yield held
        finally:
            with self._lock:
                self._held.discard(held)

    def close(self) -> None:
        """End the thread."""
        self._closed.set()

    def _watch(self) -> None:
        while not self._closed.wait(LOOK):
            with self._lock:
                held = tuple(self._held)
                if not held:
                    self._watching = None
                    return
            for one in held:
                try:
                    found, _fresh = self.find(one.secret, one.address)
                    one.over = one.over or not found.active
                except FoglineError:
                    pass  # nobody can tell now: what is watched goes on
                except Exception:  # the thread must live: what went wrong is in the log
                    log.exception("a sign-in could not be looked at")

    def _ask(self, secret: str, address: str) -> Introspection:
        try:
            return self._registry.introspect(IntrospectRequest(credential=secret, address=address))
        except (Unauthorized, Forbidden) as error:
            raise Unavailable(
                f"the dashboard is no member of this mesh yet, so that nobody can sign in at it: {error.detail}",
                retry_after=5,
            ) from None


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def _expired(found: Introspection) -> bool:
    return found.expires_at is not None and found.expires_at < time.time()
