"""The mesh as the pages show it: read from the registry once for all browsers, and remembered when it is away."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from mesh.errors import FoglineError
from mesh.logs import logger

FRESH = 0.5  # seconds for which one answer serves every browser: they ask once a second
PATIENCE = 1.5  # seconds that a browser waits for a registry that neither answers nor refuses
IDLE = 30.0  # seconds without a browser after which the reading thread ends
log = logger(__name__)


class Registry(Protocol):
    """The part of mesh.client.RegistryClient that is read here."""

    @property
    def url(self) -> str: ...

    def nodes(self, **filters: str) -> dict[str, Any]: ...
    def algorithms(self) -> dict[str, Any]: ...
    def sessions(self) -> dict[str, Any]: ...


@dataclass(frozen=True, slots=True)
class Lists:
    """What the registry said last. true_at: Unix seconds of this host's clock."""

    nodes: list[Any] = field(default_factory=list)
    algorithms: list[Any] = field(default_factory=list)
    sessions: list[Any] = field(default_factory=list)
    true_at: float | None = None


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why the lists are not of this moment. since: Unix seconds."""

    reason: str
    since: float


class Overview:
    """Any thread may call any method. A thread reads the registry while somebody looks, and ends when nobody does.

    on_read: called after every reading with whether it succeeded, from that thread.
    """

    def __init__(self, registry: Registry, on_read: Callable[[bool], None] = lambda _ok: None) -> None:
        self._registry = registry
        self._on_read = on_read
        self._changed = threading.Condition()
        self._lists = Lists()
        self._trouble: Trouble | None = None
        self._version = 0
        self._read_at = float("-inf")
        self._began_at: float | None = None  # when the reading under way began, on the monotonic clock
        self._wanted = False
        self._reader: threading.Thread | None = None
        self._closed = False

    def read(self, patience: float = PATIENCE) -> dict[str, Any]:
        """The overview's document, at most FRESH seconds old; the last known one, so marked, when that takes longer
        than `patience` seconds."""
        with self._changed:
            if not self._closed and time.monotonic() - self._read_at > FRESH:
                seen = self._version
                self._ask()
                self._changed.wait_for(lambda: self._version > seen or self._closed, patience)
            return self._document()

    def session(self, session_id: str) -> dict[str, Any] | None:
        """The session as the registry listed it last; None when it did not."""
        with self._changed:
            found = (s for s in self._lists.sessions if isinstance(s, dict) and s.get("session_id") == session_id)
            return next(found, None)

    def outdate(self) -> None:
        """Something was changed by us: the next browser gets a new reading."""
        with self._changed:
            self._read_at = float("-inf")

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _ask(self) -> None:
        self._wanted = True
        if self._reader is None:
            self._reader = threading.Thread(target=self._read_on, name="overview", daemon=True)
            self._reader.start()
        self._changed.notify_all()

    def _read_on(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._wanted or self._closed, IDLE)
                if self._closed or not self._wanted:
                    self._reader = None
                    return
                self._wanted = False
                self._began_at = time.monotonic()
            lists, reason, age = self._ask_registry()
            now = time.time()
            with self._changed:
                if lists is not None:
                    self._lists = lists
                if reason is None:
                    self._trouble = None
                elif self._trouble is None or age is not None:
                    self._trouble = Trouble(reason, now - (age or 0.0))
                else:
                    self._trouble = Trouble(reason, self._trouble.since)
                self._version += 1
                self._read_at = time.monotonic()
                self._began_at = None
                self._changed.notify_all()
            self._on_read(reason is None)

    def _ask_registry(self) -> tuple[Lists | None, str | None, float | None]:
        """The lists if there are any, what is wrong if something is, and for how long where the registry knows it."""
        try:
            # Those that died lately too: a tile that vanishes tells nobody what happened to its camera.
            nodes = self._registry.nodes(state="any")
            algorithms = self._registry.algorithms()
            sessions = self._registry.sessions()
        except FoglineError as error:
            return None, error.detail, None
        except Exception as error:  # the thread must live: an unforeseen answer is shown, and the log has its trace
            log.exception("the registry's answer could not be read")
            return None, f"the registry's answer could not be read ({type(error).__name__})", None
        age = max((_age(part) for part in (nodes, algorithms, sessions) if part.get("stale")), default=None)
        lists = Lists(
            nodes=_list(nodes, "nodes"),
            algorithms=_list(algorithms, "algorithms"),
            sessions=_list(sessions, "sessions"),
            true_at=time.time() - (age or 0.0),
        )
        return lists, None if age is None else "the registry's Redis does not answer", age

    def _document(self) -> dict[str, Any]:
        now = time.time()
        trouble = self._trouble
        waited = time.monotonic() - self._began_at if self._began_at is not None else 0.0
        if trouble is None and waited > PATIENCE / 2:
            trouble = Trouble(f"the registry at {self._registry.url} has not answered for {waited:.0f} s", now - waited)
        if trouble is None and self._lists.true_at is None:
            trouble = Trouble(f"waiting for the registry at {self._registry.url}", now)
        true_at = self._lists.true_at
        return {
            "registry": {
                "ok": trouble is None,
                "url": self._registry.url,
                "reason": trouble.reason if trouble else None,
                "since": trouble.since if trouble else None,
            },
            "now": now,
            "stale": trouble is not None,
            "known": true_at is not None,
            "age_seconds": None if true_at is None else round(max(0.0, now - true_at), 3),
            "nodes": self._lists.nodes,
            "algorithms": self._lists.algorithms,
            "sessions": self._lists.sessions,
        }


def _list(answer: dict[str, Any], name: str) -> list[Any]:
    found = answer.get(name)
    return [item for item in found if isinstance(item, dict)] if isinstance(found, list) else []


def _age(answer: dict[str, Any]) -> float:
    age = answer.get("age_seconds")
    return float(age) if isinstance(age, int | float) else 0.0
