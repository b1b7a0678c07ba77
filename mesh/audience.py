"""Those who watch a service's streams, through the fan-out or by a thread each: how many, and until when."""

from __future__ import annotations

import resource
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from mesh.errors import Unavailable
from mesh.fanout import Fanout
from mesh.stream import Feed, Live, Manner
from mesh.viewers import Viewer, Viewers

SPARE_THREADS = 8  # threads that viewers never take, so that health, pictures and new sessions are answered
SPARE_FILES = 512  # descriptors that viewers never take: cameras, requests, log files, memory files
OFFERED = "fogline.handoff"  # in a WSGI environment: the stream that answers it will be handed to the fan-out
MOST = 16_384  # viewers of one process at most: one core is full long before


class Places:
    """How many viewers there may be at once. Any thread may call any method. why: what to do when they are taken."""

    def __init__(self, most: int, why: str) -> None:
        self.most = most
        self.taken = 0
        self._why = why
        self._lock = threading.Lock()

    @contextmanager
    def take(self) -> Iterator[None]:
        """A place for one viewer while the context is open. Raises Unavailable when there is none."""
        with self._lock:
            if self.taken >= self.most:
                raise Unavailable(f"this node already serves {self.most} viewers; {self._why}", retry_after=5)
            self.taken += 1
        try:
            yield
        finally:
            with self._lock:
                self.taken -= 1


class Audience:
    """Any thread may call any method.

    threads: of the service. fanout: None when every viewer is to hold a thread. evicted: called for each viewer that
    held a thread and took nothing.
    """

    def __init__(self, threads: int, fanout: Fanout | None, evicted: Callable[[], None]) -> None:
        self._fanout = fanout
        self._viewers = Viewers(evicted)
        self._by_thread = Places(
            max(1, threads - SPARE_THREADS), "try again later or raise --threads (FOGLINE_THREADS)"
        )
        self._by_fanout = Places(
            max(1, min(MOST, files_allowed() - SPARE_FILES)),
            "try again later, or raise the number of files that it may open (ulimit -n)",
        )

    @property
    def count(self) -> int:
        """Viewers now."""
        return self._by_thread.taken + self._by_fanout.taken

    def seat(self, environ: dict[str, Any], feed: Feed[Any], manner: Manner, held: ExitStack) -> Live:
        """The body of the answer to one viewer's request. held: what the viewer holds until it goes; let go of at once
        when this raises.

        Raises Unavailable without a free place, and without the fan-out what `manner.lost` gives when no first part
        comes: the fan-out says that to the viewer by itself.
        """
        with held:
            viewer = self.admit(environ, held)
            held.enter_context(feed.published.watch())
            live = Live(feed, manner, left=held.pop_all().close, viewer=viewer)
        if viewer is not None:
            live.begin()
        return live

    def admit(self, environ: dict[str, Any], held: ExitStack) -> Viewer | None:
        """A viewer's place until `held` is closed, and what watches over the thread that it holds; None when the
        fan-out serves it. Raises Unavailable without a free place."""
        hand_over = environ.get(OFFERED, False) is True
        held.enter_context((self._by_fanout if hand_over else self._by_thread).take())
        return None if hand_over else held.enter_context(self._viewers.enter(environ.get("gunicorn.socket")))

    def sweep(self) -> None:
        """Cut the viewers who take nothing and hold a thread. Call it every few seconds."""
        self._viewers.sweep()

    def close(self) -> None:
        """See that every stream ends soon: what feeds them should have been closed before."""
        if self._fanout is not None:
            self._fanout.close()
        self._viewers.close()


def files_allowed() -> int:
    """How many files this process may have open."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MOST + SPARE_FILES if soft == resource.RLIM_INFINITY else soft


def allow_more_files() -> None:
    """Raise this process's limit of open files to what it may have: each viewer is one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST + SPARE_FILES if hard == resource.RLIM_INFINITY else hard
    if soft != resource.RLIM_INFINITY and soft < wanted:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        except (OSError, ValueError):
            return  # the system has a lower limit of its own; the cap on viewers follows what is in force
