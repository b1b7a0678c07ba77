"""Dialling back: a node counts as free only once the registry has reached it at the address that others will use."""

from __future__ import annotations

import errno
import os
import queue
import selectors
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from mesh.audience import files_allowed
from mesh.errors import FoglineError
from mesh.logs import logger
from mesh.networks import Networks, Outside
from registry.dial import (
    ANSWER_BYTES,
    HERE,
    REFUSED,
    SECONDS,
    address,
    dial_once,
    is_enough,
    reason_of,
    target_of,
    verdict,
)
from registry.store import Dialled, Store
from registry.trouble import Trouble

AGAIN_SECONDS = 3.0  # until a node that was not reached is dialled again
PLACES = 512  # dials under way at once: as many silent neighbours as Linux remembers without forgetting others for them
FILES_PART = 4  # of the files that the process may open, one in so many may be a dial
LATER_PART = 0.75  # of the places, at most, are for nodes of which there is no news
GLIMPSE_SECONDS = 0.25  # for a connection while others wait: a host that is there takes or refuses it in milliseconds
THREADS = 8  # that dial nodes by a name, which may take long to look up, or by https
QUEUE = 20_000  # nodes that wait to be dialled; those beyond are found by the job that looks for them
COLLECT_SECONDS = 0.02  # between two calls to the store: results that come meanwhile are told together
AT_ONCE = 256  # results in one call to the store, so that Redis is not held for long

log = logger(__name__)


class DialBack:
    """Dials nodes from threads of its own and tells the store. Any thread may call `ask` and `look_for_due`.

    A node waits once, however often it is asked for, and only its newest dial tells: an earlier one found what was
    before the news. While others wait, a silent host gives way to them and has all its time later, so that a node that
    has ended is found at once among thousands that are cut off. One thread dials all nodes whose host is an address; a
    few others dial those with a name or https. Another one tells the store, for Redis may hold it up.

    networks: in which nodes may be; nothing outside is dialled.
    """

    def __init__(self, store: Store, networks: Networks = HERE) -> None:
        self._store = store
        self._networks = networks
        self._lock = threading.Lock()
        self._waiting: dict[str, str] = {}  # URL by node of which there is news, in the order in which they are dialled
        self._later: dict[str, str] = {}  # URL by node that is due again or gave way
        self._open: dict[str, _Dial] = {}  # under way, the oldest first
        self._slow: dict[str, _Dial] = {}  # handed to the threads for names and https
        self._handed: queue.SimpleQueue[_Dial | None] = queue.SimpleQueue()
        self._results: list[Dialled] = []
        self._found = threading.Event()
        self._stopping = threading.Event()
        self._bell: socket.socket | None = None
        self._rung = False
        self._places = PLACES
        self._patient = 0  # of those under way: how many do not give way
        self._crowd = Trouble("too many nodes wait to be dialled; some are dialled later")
        self._no_files = Trouble("no file is left for dialling nodes; they are dialled later: raise ulimit -n")
        self._untold = Trouble("cannot note which nodes were reached; they are dialled again")

    def start(self) -> None:
        self._places = max(1, min(PLACES, files_allowed() // FILES_PART))
        self._selector = selectors.DefaultSelector()
        ear, self._bell = socket.socketpair()
        threading.Thread(target=self._dial_all, args=(ear,), name="dial-back", daemon=True).start()
        threading.Thread(target=self._tell, name="dial-back-results", daemon=True).start()
        for number in range(THREADS):
            threading.Thread(target=self._dial_slowly, name=f"dial-back-{number}", daemon=True).start()
        self._ring()

    def stop(self) -> None:
        """Begin no further dialling. The threads are daemons: one that waits for an answer does not hold the exit."""
        self._stopping.set()
        if self._bell is not None:
            self._bell.close()  # which is heard, too
        self._found.set()
        for _ in range(THREADS):
            self._handed.put(None)

    def ask(self, node_id: str, url: str) -> None:
        """Have the node dialled soon: there is news of it."""
        with self._lock:
            fits = node_id in self._waiting or len(self._waiting) + len(self._slow) < QUEUE
            if fits:
                self._waiting[node_id] = url
                self._later.pop(node_id, None)
        if fits:
            self._ring()
        else:
            self._crowd.begins(waiting=QUEUE)

    def look_for_due(self) -> None:
        """Have the nodes dialled whose time has come, as far as there are places for them. Called by a job."""
        room = int(self._places * LATER_PART) - len(self._waiting) - len(self._later) - len(self._open)
        if room > 0:
            due = self._store.due(room, AGAIN_SECONDS)
            with self._lock:
                self._later |= {node_id: url for node_id, url in due if not self._is_asked_for(node_id)}
            self._ring()

    def _is_asked_for(self, node_id: str) -> bool:
        """Inside the lock."""
        return any(node_id in place for place in (self._waiting, self._later, self._open, self._slow))

    def _ring(self) -> None:
        """Wake the thread that dials."""
        if not self._rung and self._bell is not None:
            self._rung = True
            with suppress(OSError):  # it has ended
                self._bell.send(b"\0")

    # --- the thread that dials

    def _dial_all(self, ear: socket.socket) -> None:
        self._selector.register(ear, selectors.EVENT_READ)
        while not self._stopping.is_set():
            for key, _ in self._selector.select(self._rest()):
                if key.data is None:
                    ear.recv(64)
                    self._rung = False
                else:
                    self._attempt(key.data, self._go_on)
            # After what was heard: when this thread was held up, an answer that came meanwhile is no silence.
            self._give_up()
            if self._waiting and len(self._open) == self._places:
                self._give_way()
            while len(self._open) < self._places and (dial := self._next()) is not None:
                self._attempt(dial, self._connect)
        for dial in list(self._open.values()):
            self._hang_up(dial)
        self._selector.close()
        ear.close()

    def _rest(self) -> float | None:
        """Seconds for which there is nothing to do unless something happens."""
        oldest = next(iter(self._open.values()), None)
        if oldest is None:
            return None
        left = max(0.0, oldest.deadline - time.monotonic())
        return min(left, GLIMPSE_SECONDS / 4) if self._waiting else left

    def _next(self) -> _Dial | None:
        """The first of those that wait, now under way; a dial of the same node that still is ends."""
        with self._lock:
            news = bool(self._waiting)
            line = self._waiting if news else self._later
            if not line or (not news and self._patient >= self._places * LATER_PART):
                return None
            node_id = next(iter(line))
            if (before := self._open.get(node_id)) is not None:
                self._hang_up(before)
            dial = _Dial(node_id, line.pop(node_id), patient=not news, deadline=time.monotonic() + SECONDS)
            self._open[node_id] = dial
            self._patient += dial.patient
            if len(self._waiting) + len(self._slow) < QUEUE // 2:
                self._crowd.ends()
        return dial

    def _attempt(self, dial: _Dial, step: Callable[[_Dial], None]) -> None:
        """Whatever goes wrong in a step concerns this dial alone."""
        try:
            step(dial)
        except BlockingIOError:
            pass  # nothing was there after all
        except (OSError, ValueError, Outside) as error:
            if isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE):
                self._no_files.begins()
                self._hang_up(dial)
            else:
                self._finish(dial, reason_of(error))
        except Exception as error:  # a defect met at one node's address must not leave the others undialled
            log.exception("dialling failed", url=dial.url)
            self._finish(dial, reason_of(error))

    def _connect(self, dial: _Dial) -> None:
        target = target_of(dial.url)
        found = None if target.secure else address(target, self._networks)
        if found is None:
            with self._lock:
                self._slow[dial.node_id] = dial
                self._hang_up(dial)
            self._handed.put(dial)
            return
        dial.request = target.request
        dial.connection = socket.socket(found.family, socket.SOCK_STREAM)
        self._no_files.ends()
        dial.connection.setblocking(False)
        failed = dial.connection.connect_ex(found.address)
        if failed not in (0, errno.EINPROGRESS):
            raise OSError(failed, os.strerror(failed))
        self._selector.register(dial.connection, selectors.EVENT_WRITE, dial)

    def _go_on(self, dial: _Dial) -> None:
        connection = dial.connection
        assert connection is not None
        if dial.request:
            failed = connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if failed:
                raise OSError(failed, os.strerror(failed))
            dial.request = dial.request[connection.send(dial.request) :]
            if not dial.request:
                self._selector.modify(connection, selectors.EVENT_READ, dial)
            return
        chunk = connection.recv(ANSWER_BYTES)
        dial.answer += chunk
        if not chunk or is_enough(dial.answer):
            self._finish(dial, verdict(dial.answer, dial.node_id))

    def _give_up(self) -> None:
        """End the dials that have had their time."""
        now = time.monotonic()
        while (oldest := next(iter(self._open.values()), None)) is not None and oldest.deadline <= now:
            self._finish(oldest, reason_of(TimeoutError()))

    def _give_way(self) -> None:
        """End the dials of those that have been silent for a while: they are dialled again after the others."""
        before = time.monotonic() + SECONDS - GLIMPSE_SECONDS
        for dial in list(self._open.values()):
            if dial.deadline > before:
                return
            if not dial.patient:
                with self._lock:
                    if dial.node_id not in self._waiting:
                        self._later[dial.node_id] = dial.url
                    self._hang_up(dial)

    def _finish(self, dial: _Dial, problem: str | None) -> None:
        self._hang_up(dial)
        self._note(dial, problem)

    def _hang_up(self, dial: _Dial) -> None:
        del self._open[dial.node_id]
        self._patient -= dial.patient
        if dial.connection is not None:
            with suppress(KeyError):  # it failed before it was registered
                self._selector.unregister(dial.connection)
            dial.connection.close()

    # --- the threads for names and https

    def _dial_slowly(self) -> None:
        while (asked := self._handed.get()) is not None and not self._stopping.is_set():
            if self._slow.get(asked.node_id) is not asked:
                continue  # it was asked for anew since
            try:
                problem = dial_once(asked.url, self._networks, asked.node_id)
            except Exception as error:  # as above
                log.exception("dialling failed", url=asked.url)
                problem = reason_of(error)
            with self._lock:
                newest = self._slow.get(asked.node_id) is asked
                if newest:
                    del self._slow[asked.node_id]
            if newest:
                self._note(asked, problem)

    # --- the thread that tells the store

    def _note(self, dial: _Dial, problem: str | None) -> None:
        """Have a result told. Called by the threads that dial."""
        result = Dialled(node_id=dial.node_id, url=dial.url, problem=problem, gone=problem == REFUSED)
        with self._lock:
            self._results.append(result)
        self._found.set()

    def _tell(self) -> None:
        while self._found.wait() and not self._stopping.is_set():
            self._found.clear()
            with self._lock:
                results = [result for result in self._results if not self._is_asked_for(result.node_id)]
                self._results.clear()
            try:
                for start in range(0, len(results), AT_ONCE):
                    self._store.reached(results[start : start + AT_ONCE], AGAIN_SECONDS)
                    self._untold.ends()
            except FoglineError as error:
                self._untold.begins(reason=error.detail)
            except Exception:  # a defect met in one result must not leave all later ones untold
                log.exception("telling which nodes were reached failed")
            self._stopping.wait(COLLECT_SECONDS)


@dataclass(slots=True, eq=False)
class _Dial:
    """One dial of a node. patient: it gives way to no other. deadline: monotonic seconds. request: what is still to be
    sent. Only the thread that dials changes it."""

    node_id: str
    url: str
    patient: bool
    deadline: float
    connection: socket.socket | None = None
    request: bytes = b""
    answer: bytes = b""
