"""The capture: it reads one source for ever, and when there is no picture it publishes one that says why.

Two threads. The *reader* opens the source, reads, checks and publishes; it may hang in a driver or in FFmpeg. The
*supervisor* never touches the source: it publishes the no-signal picture and replaces a reader that hangs.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from camera_node.intake import Intake, Refused, Taken
from camera_node.metrics import Metrics
from camera_node.sources.base import Captured, Source
from mesh.backoff import Backoff
from mesh.errors import FoglineError
from mesh.frame import Frame
from mesh.logs import logger, redact
from mesh.placard import Placard
from mesh.rate import Rate
from mesh.stream import Broadcast

STALL = 5.0  # seconds without a picture after which the source counts as lost
CONNECTING = 2.0  # seconds after the start before the stand-in picture says that the source is being connected
REPEAT = 1.0  # seconds between two no-signal pictures: a viewer who comes sees one at once, a proxy stays awake
TICK = 0.25  # seconds between two looks of the supervisor
OPEN_LIMIT = 20.0  # seconds in open() after which the reader counts as hung; the slowest source gives up after 12
READ_LIMIT = 15.0  # the same for read(): sources give up after 5 without data, but a picture may need more of it
MOST_HUNG = 3  # hung readers that may exist at once: each holds a thread, and perhaps the device
STEADY = 2.0  # seconds of pictures before their rate is told: a source often begins with a burst
SETTLED = 5.0  # seconds between two changes of the frame rate that the manifest tells
T = TypeVar("T")
log = logger(__name__)


@dataclass(frozen=True, slots=True)
class View:
    """What the camera sees now. width, height: pixels of its frames, None before the first. fps: frames a second,
    about, None while unknown. no_signal: why there is no picture, None while there is one; since: Unix seconds."""

    width: int | None = None
    height: int | None = None
    fps: float | None = None
    no_signal: str | None = None
    since: float = 0.0


@dataclass(slots=True)
class _Reader:
    """One reader thread. busy_since: monotonic seconds when it went into the source, None while it is outside."""

    limit: float = OPEN_LIMIT
    busy_since: float | None = None
    thread: threading.Thread = field(default_factory=threading.Thread)


@dataclass(frozen=True, slots=True)
class _Waiting:
    """The newest picture, which nobody has wanted yet and which therefore is no JPEG yet."""

    taken: Taken
    sequence: int
    captured_at: float


class Capture:
    """Publishes the frames of one source to `broadcast`, from `start` until `stop`.

    A picture that does not come as JPEG is made into one only when somebody watches the broadcast, or asks for the
    `newest` frame; the first one always is.

    make: gives a new unopened source. shown: the source's address without secrets. changed: called from the
    supervisor's thread when the frames' size or rate is another. stall: seconds, longer for a source that is slow
    on purpose. Everything public may be called by any thread.
    """

    def __init__(
        self,
        make: Callable[[], Source],
        broadcast: Broadcast,
        metrics: Metrics,
        *,
        name: str,
        shown: str,
        quality: int,
        changed: Callable[[], None],
        stall: float = STALL,
    ) -> None:
        self._make = make
        self._broadcast = broadcast
        self._metrics = metrics
        self._shown = shown
        self._placard = Placard(name)
        self._intake = Intake(quality, lambda: metrics.encoding("source"))
        self._making = threading.Lock()  # so that one waiting picture is encoded once; taken before `_lock`
        self._changed = changed
        self._stall = stall
        self._stopping = threading.Event()
        self._wake = threading.Event()
        # Guards what follows, and that frames are published in the order of their sequence.
        self._lock = threading.Lock()
        self._reader: _Reader | None = None
        self._hung: list[_Reader] = []
        self._sequence = 0
        self._waiting: _Waiting | None = None
        self._problem: str | None = None
        self._refusal: str | None = None
        self._last_good = time.monotonic()
        self._good_since = 0.0
        self._view = View()
        self._rate = Rate()
        self._supervisor = threading.Thread(target=self._supervise, name="supervisor", daemon=True)

    def start(self) -> None:
        self._last_good = time.monotonic()
        self._supervisor.start()

    def stop(self) -> None:
        """End both threads; waits at most a second for the reader, which may be inside the source."""
        self._stopping.set()
        self._wake.set()
        if self._supervisor.is_alive():
            self._supervisor.join(1.0)
        reader = self._reader
        if reader is not None and reader.thread.is_alive():
            reader.thread.join(1.0)

    def rename(self, name: str) -> None:
        """Let pictures that say why there is none bear another name, from the next one on."""
        self._placard = Placard(name)

    def newest(self) -> Frame | None:
        """The newest frame, None before the first. May have to encode it."""
        with self._making:
            with self._lock:
                waiting, self._waiting = self._waiting, None
            if waiting is not None:
                taken = waiting.taken
                data = self._intake.encode(taken)
                with self._lock:
                    # A picture with a signal or without one may have been published meanwhile: never go back.
                    last = self._broadcast.newest()
                    if last is None or last.sequence < waiting.sequence:
                        frame = Frame(data, waiting.sequence, waiting.captured_at, taken.width, taken.height)
                        self._broadcast.publish(frame)
        return self._broadcast.newest()

    @property
    def view(self) -> View:
        return self._view

    @property
    def fps(self) -> float:
        """Frames a second lately, 0 without a picture."""
        return self._rate.per_second

    # --- the reader's thread

    def _read(self, me: _Reader) -> None:
        backoff = Backoff()
        while self._is_current(me):
            reason = self._read_once(me, backoff)
            if not self._is_current(me):
                return
            self._lost(reason)
            self._stopping.wait(backoff.delay())

    def _read_once(self, me: _Reader, backoff: Backoff) -> str:
        """Open the source and read until it fails; gives the reason."""
        source: Source | None = None
        try:
            source = self._make()
            self._call(me, OPEN_LIMIT, source.open)
            while self._is_current(me):
                captured = self._call(me, max(READ_LIMIT, 2 * self._stall), source.read)
                if self._take(me, captured):
                    backoff.reset()
            return "stopped"
        except FoglineError as error:
            return error.detail
        except Exception as error:  # OpenCV, a driver or a third party's source may raise anything: the camera goes on
            log.exception("the source failed", source=self._shown)
            return f"the source failed: {type(error).__name__}: {redact(str(error))[:200]}"
        finally:
            if source is not None:
                self._close(source)

    @staticmethod
    def _call(me: _Reader, limit: float, call: Callable[[], T]) -> T:
        me.limit = limit
        me.busy_since = time.monotonic()
        try:
            return call()
        finally:
            me.busy_since = None

    def _close(self, source: Source) -> None:
        try:
            source.close()
        except Exception:  # as above; it is given up in any case
            log.exception("the source could not be closed", source=self._shown)

    def _take(self, me: _Reader, captured: Captured) -> bool:
        """Check and publish one picture; whether it was published."""
        try:
            taken = self._intake.take(captured)
        except Refused as refused:
            self._metrics.refused(refused.kind)
            self._refusal = refused.words
            return False
        wanted = self._broadcast.viewers > 0 or self._view.width is None or self._view.no_signal is not None
        jpeg = self._intake.encode(taken) if wanted else taken.jpeg
        with self._lock:
            if me is not self._reader or self._stopping.is_set():
                return False  # this reader was given up while it hung; another one has taken its place
            if self._view.no_signal is not None:
                log.info("the picture is back", source=self._shown)
            if self._view.no_signal is not None or self._view.width is None:
                self._good_since = time.monotonic()
            self._sequence += 1
            self._last_good = time.monotonic()
            self._problem = self._refusal = None
            back = self._view.no_signal is not None
            self._view = View(taken.width, taken.height, self._view.fps)
            self._rate.tick()
            self._metrics.captured.inc()
            self._metrics.no_signal.set(0)
            if jpeg is None and back:
                jpeg = self._intake.encode(taken)  # went away while this one was checked: show that it is back
            if jpeg is None:
                self._waiting = _Waiting(taken, self._sequence, captured.captured_at)
            else:
                self._waiting = None
                self._metrics.stage("capture", time.time() - captured.captured_at)
                self._broadcast.publish(Frame(jpeg, self._sequence, captured.captured_at, taken.width, taken.height))
        return True

    def _lost(self, reason: str) -> None:
        with self._lock:
            if reason != self._problem:
                log.warning("no picture; trying again", source=self._shown, reason=reason)
            self._problem = reason
        self._metrics.lost.inc()
        self._wake.set()

    def _is_current(self, me: _Reader) -> bool:
        return me is self._reader and not self._stopping.is_set()

    # --- the supervisor's thread

    def _supervise(self) -> None:
        repeat_at = 0.0
        told, told_at = self._view, 0.0
        while not self._stopping.is_set():
            try:
                now = time.monotonic()
                self._look_after_reader(now)
                reason = self._reason(now)
                if reason is not None and (now >= repeat_at or reason != self._view.no_signal):
                    repeat_at = now + REPEAT
                    self._publish_no_signal(reason)
                self._measure()
                view = self._view
                size = (view.width, view.height) != (told.width, told.height)
                if size or (view.fps != told.fps and now - told_at > SETTLED):
                    told, told_at = view, now
                    self._changed()
            except Exception:  # without this thread nobody would learn why there is no picture
                log.exception("the supervisor failed")
            self._wake.wait(TICK)
            self._wake.clear()

    def _look_after_reader(self, now: float) -> None:
        """Start the first reader, and another one in place of one that hangs."""
        self._hung = [reader for reader in self._hung if reader.thread.is_alive()]
        reader = self._reader
        if reader is not None:
            since = reader.busy_since
            if since is None or now - since < reader.limit:
                return
            log.warning("the source hangs; a new attempt is made beside it", source=self._shown)
            self._metrics.hung.inc()
            self._hung.append(reader)
            with self._lock:
                self._reader = None
        if len(self._hung) >= MOST_HUNG:
            return
        fresh = _Reader()
        fresh.thread = threading.Thread(target=self._read, args=(fresh,), name="capture", daemon=True)
        with self._lock:
            self._reader = fresh
        fresh.thread.start()

    def _reason(self, now: float) -> str | None:
        """Why there is no picture; None while there is one, or while it is too early to say."""
        with self._lock:
            silent = now - self._last_good
            if silent > self._stall and self._refusal is not None:
                return f"no usable picture comes: {self._refusal}"
            if self._problem is not None:
                return self._problem
            if self._sequence == 0 or self._view.width is None:
                return f"connecting to {self._shown}" if silent > CONNECTING else None
            return f"no picture for more than {self._stall:g} seconds" if silent > self._stall else None

    def _publish_no_signal(self, reason: str) -> None:
        view = self._view
        fresh = view.no_signal is None
        since = time.time() if fresh else view.since
        jpeg, width, height = self._placard.draw(reason, since=since, width=view.width, height=view.height)
        with self._lock:
            if self._problem is None and time.monotonic() - self._last_good < TICK:
                return  # a picture came while this one was drawn
            self._sequence += 1
            self._waiting = None
            self._view = View(view.width, view.height, view.fps, no_signal=reason, since=since)
            self._metrics.no_signal.set(1)
            self._broadcast.publish(Frame(jpeg, self._sequence, time.time(), width, height, no_signal=reason))

    def _measure(self) -> None:
        """Note the frame rate, rounded, and only when it is clearly another: it goes into the manifest."""
        with self._lock:
            view = self._view
            if view.no_signal is not None or view.width is None:
                return
            if time.monotonic() - self._good_since < STEADY:
                return
            fps = self._rate.per_second
            if fps > 0 and (view.fps is None or abs(fps - view.fps) > 0.2 * view.fps):
                self._view = View(view.width, view.height, round(fps, 1))
