"""The mesh as the pages show it: followed at the registry once for all browsers, while anybody looks."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, closing
from typing import Any

from mesh import events
from mesh.audience import Audience
from mesh.backoff import Backoff
from mesh.client import RegistryClient
from mesh.errors import FoglineError, NotFound
from mesh.journal import Reading
from mesh.logs import logger
from ui.known import Known, Trouble

PERIOD = 1.0  # seconds between two readings of what moves without events: a node's beat comes once a second
SHARE = 0.1  # of its time that the reading may take: a list of thousands is read less often
LONGEST = 10.0  # seconds between two readings, however long they take: pages count on hearing something
PATIENCE = 1.5  # seconds that a caller waits for a registry that neither answers nor refuses
FIRST_WAIT = 0.4  # seconds that a page waits for the registry, so that its first paint has something to show
IDLE = 30.0  # seconds without a browser after which nothing is asked any more
RETRY = 1000  # milliseconds after which a browser that lost its connection comes back
HELLO = b"retry: %d\n\n" % RETRY
KEEP_ALIVE = b": nothing new\n\n"
REDIS_AWAY = "the registry's Redis does not answer"
log = logger(__name__)


class Overview:
    """Any thread may call any method. Two threads follow the registry while somebody looks: one reads its lists, the
    other hears its events, which are quicker.

    on_read: called after every reading with whether it succeeded, from that thread. idle: seconds without a browser
    after which the threads end.
    """

    def __init__(
        self,
        registry: RegistryClient,
        audience: Audience,
        on_read: Callable[[bool], None] = lambda _ok: None,
        *,
        idle: float = IDLE,
    ) -> None:
        self._registry = registry
        self._audience = audience
        self._on_read = on_read
        self._idle = idle
        self._known = Known(registry.url)
        self._changed = threading.Condition()
        self._watchers = 0
        self._looked_at = float("-inf")
        self._settled = False  # what is known is of this moment, or it was found out that the registry is away
        self._threads: list[threading.Thread] = []
        self._soon = threading.Event()
        self._closed = False

    # --- for routes

    def read(self, patience: float = PATIENCE) -> dict[str, Any]:
        """Everything; the last known, so marked, when the registry takes longer than `patience` seconds."""
        self._look(patience)
        return self._known.document()

    def session(self, session_id: str) -> dict[str, Any] | None:
        """The session as the registry told it last; None when it did not."""
        return self._known.session(session_id)

    def reader(self, environ: dict[str, Any], rights: AbstractContextManager[Callable[[], bool]]) -> Reading:
        """The body of the answer to a browser that follows: everything, then each change.

        environ: the WSGI environment of the request. rights: open as long as it follows; gives what says that they are
        over. Raises Unavailable when there are too many.
        """
        self._look(FIRST_WAIT)
        held = ExitStack()
        with held:
            viewer = self._audience.admit(environ, held)
            self._enter()
            held.callback(self._leave)
            ended = held.enter_context(rights)
            return Reading(
                self._known.journal,
                None,
                self._known.excerpt,
                hello=HELLO,
                keep_alive=KEEP_ALIVE,
                left=held.pop_all().close,
                viewer=viewer,
                ended=ended,
            )

    def outdate(self) -> None:
        """Something was changed by us: read it soon, for not everything has events."""
        self._soon.set()

    def close(self) -> None:
        """End the threads, and the answer to every browser."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._soon.set()
        self._known.close()

    # --- while somebody looks

    def _look(self, patience: float) -> None:
        """See that the threads run, and wait until something is known."""
        with self._changed:
            self._looked_at = time.monotonic()
            if not self._threads and not self._closed:
                self._begin()
            self._changed.wait_for(lambda: self._settled or self._closed, patience)

    def _begin(self) -> None:
        self._settled = False
        self._known.fail(f"waiting for the registry at {self._registry.url}")
        self._threads = [
            threading.Thread(target=work, name=name, daemon=True)
            for name, work in (("lists", self._read_on), ("events", self._hear))
        ]
        for thread in self._threads:
            thread.start()

    def _enter(self) -> None:
        with self._changed:
            self._watchers += 1

    def _leave(self) -> None:
        with self._changed:
            self._watchers -= 1
            self._looked_at = time.monotonic()

    def _goes_on(self) -> bool:
        """Whether the calling thread has more to do; if not, both end."""
        with self._changed:
            if threading.current_thread() not in self._threads:
                return False
            if self._closed or (not self._watchers and time.monotonic() - self._looked_at > self._idle):
                self._threads = []
                return False
            return True

    # --- events

    def _hear(self) -> None:
        backoff = Backoff(first=0.2, ceiling=2.0)
        while self._goes_on():
            try:
                with closing(events.follow(self._registry)) as heard:
                    for event in heard:
                        if not self._goes_on():
                            return
                        backoff.reset()
                        self._take(event)
            except FoglineError as error:
                log.debug("the registry's events broke off", reason=error.detail)
            except Exception:  # the thread must live: an unforeseen answer is in the log
                log.exception("the registry's events could not be read")
            self._soon.set()  # the other thread finds out whether it is away
            time.sleep(backoff.delay())

    def _take(self, event: events.Event) -> None:
        if event.kind == "snapshot":
            self._known.whole(event.data)
        elif event.kind in ("node", "session"):
            self._known.change(f"{event.kind}s", event.data)
        elif event.kind == "mesh":
            self._known.preserving(event.data.get("preserving") is True)
            self._soon.set()  # the words of every node that is not heard of depend on it, and whether Redis is away

    # --- lists

    def _read_on(self) -> None:
        while self._goes_on():
            began = time.monotonic()
            ok = False
            try:
                ok = self._read_lists()
            except FoglineError as error:
                self._known.fail(error.detail)
            except Exception as error:  # the thread must live: an unforeseen answer is shown, and the log has its trace
                log.exception("the registry's answer could not be read")
                self._known.fail(f"the registry's answer could not be read ({type(error).__name__})")
            self._settle()
            self._on_read(ok)
            took = time.monotonic() - began
            self._soon.wait(min(LONGEST, max(PERIOD - took, took / SHARE - took if ok else 0.0)))
            self._soon.clear()

    def _settle(self) -> None:
        with self._changed:
            self._settled = True
            self._changed.notify_all()

    def _read_lists(self) -> bool:
        """Whether what was read is of this moment. Raises FoglineError when nothing can be read."""
        registry = self._registry
        self._known.begin_reading()
        # Those that died lately too: a tile that vanishes tells nobody what happened to its camera.
        nodes, sessions = registry.nodes(state="any"), registry.sessions()
        algorithms = registry.algorithms()
        try:
            cameras = registry.cameras()
        except NotFound:  # a registry of an earlier version
            cameras = {}
        self._known.url = registry.url
        ages = [_age(part) for part in (nodes, sessions, algorithms) if part.get("stale")]
        self._known.read(
            {"nodes": nodes.get("nodes"), "sessions": sessions.get("sessions")},
            {
                "algorithms": _list(algorithms, "algorithms"),
                "cameras": _list(cameras, "cameras"),
                "hosts": _list(cameras, "hosts"),
            },
            Trouble(REDIS_AWAY, time.time() - max(ages)) if ages else None,
        )
        return not ages


def _list(answer: dict[str, Any], name: str) -> list[Any]:
    found = answer.get(name)
    return [item for item in found if isinstance(item, dict)] if isinstance(found, list) else []


def _age(answer: dict[str, Any]) -> float:
    age = answer.get("age_seconds")
    return float(age) if isinstance(age, int | float) else 0.0
