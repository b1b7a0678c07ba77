"""Streams in the fan-out: a channel a feed, and its viewers."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from typing import Any

from mesh.errors import FoglineError
from mesh.fanout import Connection, Fanout
from mesh.logs import logger
from mesh.sending import send
from mesh.stream import KEEP_ALIVE, Feed, Live, Pacer

log = logger(__name__)


class Channel:
    """The viewers of one feed. Its newest part is built once, when it comes, and given to all of them.

    One for each feed, and one more for those who get it in HTTP chunks, while it has viewers; only the fan-out's thread
    uses it.
    """

    def __init__(self, fanout: Fanout, feed: Feed[Any], *, chunked: bool) -> None:
        self._fanout = fanout
        self._chunked = chunked
        self.feed = feed
        self.dirty = False
        self.version = 0
        self.at = 0.0  # monotonic seconds when the newest value was published
        self.part: bytes | None = None
        self._viewers: dict[StreamViewer, None] = {}
        self._news = lambda: fanout.touch(self)
        feed.published.listen(self._news)

    @classmethod
    def of(cls, fanout: Fanout, feed: Feed[Any], *, chunked: bool) -> Channel:
        found = fanout.groups.get((feed, chunked))
        if found is None:
            found = fanout.groups[feed, chunked] = cls(fanout, feed, chunked=chunked)
        channel: Channel = found
        return channel

    def framed(self, data: bytes) -> bytes:
        """`data` as it goes over the wire; nothing is the end."""
        return b"%x\r\n%b\r\n" % (len(data), data) if self._chunked else data

    def enter(self, viewer: StreamViewer) -> None:
        self._viewers[viewer] = None

    def leave(self, viewer: StreamViewer) -> None:
        self._viewers.pop(viewer, None)
        if not self._viewers and self._fanout.groups.pop((self.feed, self._chunked), None) is not None:
            self.feed.published.unlisten(self._news)
            self.part = None

    def round(self) -> None:
        """Give what is new to every viewer who is free and due."""
        published = self.feed.published
        if published.closed:
            self._end()
            return
        item = published.latest()
        if item is None or item.version == self.version:
            return
        self.version, self.at = item.version, item.at
        try:
            part = self.part = self.framed(self.feed.part(item.value))
        except Exception:  # whatever is wrong with this feed is its own viewers' trouble only
            log.exception("a stream's part could not be built; its viewers are sent away")
            self.part = None
            self._end()
            return
        given, busy = self._give(part)
        if self._viewers:
            published.outflow.round(given, busy, time.monotonic() - item.at if given else None)

    def _give(self, part: bytes) -> tuple[int, int]:
        """To how many viewers `part` was given, and how many were busy. The innermost loop of every stream: plain
        statements, for each call costs as much as a tenth of a send."""
        fanout, now, given, busy = self._fanout, time.monotonic(), 0, 0
        length = len(part)
        for viewer in tuple(self._viewers):
            if viewer.part is not None:
                viewer.missed = True
                busy += 1
                continue
            if viewer.pacer is not None and not viewer.pacer.admits(now):
                viewer.missed = True
                continue
            if viewer.ended():  # asked for every part: this process may just have been woken from a long stop
                fanout.attempt(viewer, viewer.end)
                continue
            try:
                viewer.missed = False
                if viewer.head:
                    fanout.push(viewer, viewer.with_head(part))
                else:
                    gone = send(viewer.fd, part)
                    if gone < length:
                        fanout.stuck(viewer, part, gone)
                given += 1
            except BlockingIOError:
                fanout.stuck(viewer, part, 0)
                given += 1
            except OSError:  # it left
                fanout.drop(viewer)
            except Exception:  # one viewer's fault must not cost the others their frame
                log.exception("a viewer's connection failed; it is closed")
                fanout.drop(viewer)
        return given, busy

    def _end(self) -> None:
        for viewer in tuple(self._viewers):
            self._fanout.attempt(viewer, viewer.end)


class StreamViewer(Connection):
    """One viewer of a stream.

    ended: whether it may be sent nothing more, see `Manner`. head: the answer's status line and headers, held back
    until the first part is there. refusal: the whole answer that says an error instead. chunked: whether that head
    announces HTTP chunks. missed: there is a part that it has not been given.
    """

    __slots__ = (
        "_channel",
        "_chunked",
        "_comforted",
        "_joined",
        "_live",
        "_refusal",
        "ended",
        "head",
        "missed",
        "pacer",
    )

    def __init__(
        self, sock: socket.socket, live: Live, head: bytes, refusal: Callable[[FoglineError], bytes], *, chunked: bool
    ) -> None:
        super().__init__(sock)
        self.head = head
        self.ended = live.manner.ended
        self.missed = False
        self.pacer = Pacer(live.manner.fps) if live.manner.fps else None
        self._live = live
        self._refusal = refusal
        self._chunked = chunked
        self._channel: Channel | None = None
        self._joined = self._comforted = 0.0

    def begin(self) -> None:
        manner, published = self._live.manner, self._live.feed.published
        self._joined = self._comforted = time.monotonic()
        channel = self._channel = Channel.of(self.fanout, self._live.feed, chunked=self._chunked)
        first = manner.begins_after(published)
        channel.round()  # so that those who are here already do not miss what this viewer begins with
        channel.enter(self)
        if manner.hello:
            self.fanout.push(self, self.with_head(channel.framed(manner.hello)))
        if published.closed or self.ended():
            self.end()
        elif channel.version > first:
            self.missed = True
            self._catch_up()

    def with_head(self, data: bytes) -> bytes:
        """`data` behind the answer's head, which is thereby gone."""
        head, self.head = self.head, b""
        return head + data

    def resume(self) -> None:
        if self.ended() and not self.finishing:
            self.fanout.drop(self)  # half a picture is none: the rest of it would show what must not be shown
        else:
            super().resume()

    def sent(self) -> None:
        if self.finishing:
            self._last_words()
        else:
            self._catch_up()

    def look(self, now: float) -> None:
        manner, channel = self._live.manner, self._channel
        assert channel is not None
        quiet_since = max(channel.at, self._joined)
        if self.ended() or (manner.silence is not None and now - quiet_since > manner.silence):
            self.end()
        elif self.missed:
            self._catch_up()
        elif manner.keep_alive and now - max(quiet_since, self._comforted) > KEEP_ALIVE:
            self._comforted = now
            self.fanout.push(self, channel.framed(manner.keep_alive))

    def end(self) -> None:
        if not self.finishing:
            self.finishing = True
            if self.part is None:
                self._last_words()

    def _last_words(self) -> None:
        """Say an error, if nothing else has been said, or the end; then close."""
        if self.head:
            self.head, self._chunked = b"", False
            self.fanout.push(self, self._refusal(self._live.manner.lost()))
        elif self._chunked:
            self._chunked = False
            self.fanout.push(self, b"0\r\n\r\n")
        if self.part is None:
            self.fanout.finish(self)

    def left(self) -> None:
        if self._channel is not None:
            self._channel.leave(self)
        self._live.close()

    def _catch_up(self) -> None:
        """Give it the newest part, if it has missed that, is free, and it is due."""
        channel = self._channel
        if channel is None or channel.part is None or not self.missed or self.part is not None:
            return
        if self.pacer is not None and not self.pacer.admits(time.monotonic()):
            return
        if self.ended():
            self.end()
            return
        self.missed = False
        self.fanout.push(self, self.with_head(channel.part) if self.head else channel.part)
        channel.feed.published.outflow.round(1, 0, None)
