"""The hand-off from gunicorn to the fan-out: what it leans on, and that a fault costs no more than its own viewer."""

from __future__ import annotations

import inspect
import select
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial

import gunicorn
import pytest
from gunicorn.workers import gthread

from mesh import fanout as module
from mesh.audience import OFFERED, Audience
from mesh.channel import Channel, StreamViewer
from mesh.errors import FoglineError, SourceLost
from mesh.fanout import Fanout
from mesh.frame import Frame
from mesh.multipart import Reader
from mesh.stream import Broadcast, Feed, Manner
from tests.processes import wait_for


def frame(number: int, size: int = 10) -> Frame:
    return Frame(b"\xff\xd8" + bytes(size) + b"\xff\xd9", number, float(number), 1, 1)


def refusal(error: FoglineError) -> bytes:
    return b"HTTP/1.1 503 Unavailable\r\n\r\n" + error.detail.encode()


def connected() -> tuple[socket.socket, socket.socket]:
    """Two ends of one TCP connection; the second waits five seconds at most."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        theirs = socket.create_connection(server.getsockname(), 5)
        return server.accept()[0], theirs


class Hall:
    """A fan-out with viewers on connections of this machine."""

    def __init__(self) -> None:
        self.evicted = 0
        self.fanout = Fanout(self._evict)
        self.audience = Audience(64, self.fanout, lambda: None)
        self.ended = False

    def _evict(self) -> None:
        self.evicted += 1

    def enter(self, feed: Feed[Frame], **how: float) -> socket.socket:
        ours, theirs = connected()
        manner = Manner(ended=lambda: self.ended, lost=lambda: SourceLost("nothing came"), **how)  # type: ignore[arg-type]
        live = self.audience.seat({OFFERED: True}, feed, manner, ExitStack())
        assert self.fanout.add(StreamViewer(ours, live, b"HEAD\r\n\r\n", refusal, chunked=False))
        return theirs


@pytest.fixture(params=["epoll", "poll"])
def hall(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hall]:
    """On the poller that Linux has, and on the one that every Unix has."""
    if request.param == "poll":

        def poller() -> tuple[object, Callable[[float | None], list[tuple[int, int]]]]:
            poll = select.poll()
            return poll, lambda seconds: poll.poll(None if seconds is None else seconds * 1000)

        monkeypatch.setattr(module, "_poller", poller)
    hall = Hall()
    yield hall
    hall.audience.close()
    assert hall.audience.count == 0
    assert hall.fanout.connections == 0


def read_until(viewer: socket.socket, what: bytes) -> bytes:
    data = b""
    while what not in data:
        chunk = viewer.recv(65536)
        if not chunk:
            break
        data += chunk
    return data


def test_gunicorn_is_as_the_hand_off_knows_it() -> None:
    """A change here means: read gthread.py anew, then change `mesh.handoff` and `mesh.closing` or this list."""
    assert gunicorn.version_info[:2] == (27, 0)
    worker = gthread.ThreadWorker
    assert list(inspect.signature(gthread.TConn).parameters) == ["cfg", "sock", "client", "server"]
    assert list(inspect.signature(worker.on_client_socket_readable).parameters) == ["self", "conn", "client"]
    handle = inspect.getsource(worker.handle)
    assert "except StopIteration" in handle, "ends a request without an answer"
    finish = inspect.getsource(worker.finish_request)
    assert finish.count("self.nr_conns -= 1") == 2
    assert "conn.close(graceful=True)" in finish
    for name in ("nr_conns", "keepalived_conns", "method_queue", "poller"):
        assert f"self.{name} = " in inspect.getsource(worker.__init__), name
    assert "self.keepalived_conns.append(conn)" in finish
    assert "on_client_socket_readable" in finish


def test_the_head_waits_for_the_first_part(hall: Hall) -> None:
    """Nothing is said before there is a picture; then head and picture come together, in order, each once."""
    broadcast = Broadcast()
    viewer = hall.enter(broadcast.feed)
    wait_for(lambda: hall.fanout.connections == 1, 5, "viewer")
    assert not select.select([viewer], [], [], 0.2)[0]
    for number in range(1, 30):
        broadcast.publish(frame(number))
        time.sleep(0.005)
    data = read_until(viewer, b"X-Frame: 29")
    assert data.startswith(b"HEAD\r\n\r\n--")
    numbers = [int(part.headers["x-frame"]) for part in Reader().feed(data[8:])]
    assert numbers == sorted(set(numbers))
    # The last one is counted after it was sent.
    wait_for(lambda: broadcast.outflow.sent >= len(numbers), 5, "count of what was sent")
    viewer.close()
    wait_for(lambda: broadcast.viewers == 0, 5, "the viewer let go of")


@pytest.mark.parametrize("how", ["closed", "ended", "silent"])
def test_no_first_picture_becomes_an_error(hall: Hall, how: str) -> None:
    """The source ends, the session ends, or nothing comes: the answer is the error, not an empty stream."""
    broadcast = Broadcast()
    viewer = hall.enter(broadcast.feed, **({"silence": 0.3} if how == "silent" else {}))
    wait_for(lambda: hall.fanout.connections == 1, 5, "viewer")
    if how == "closed":
        broadcast.close()
    hall.ended = how == "ended"
    assert read_until(viewer, b"nothing came").startswith(b"HTTP/1.1 503")
    assert viewer.recv(10) == b""


def test_the_newest_part_comes_after_a_busy_time(hall: Hall) -> None:
    """A viewer that reads late gets the part it was in the middle of, whole, then the newest, none between."""
    broadcast = Broadcast()
    viewer = hall.enter(broadcast.feed)
    wait_for(lambda: bool(hall.fanout.groups), 5, "viewer")
    (channel,) = hall.fanout.groups.values()
    for number in range(1, 40):
        broadcast.publish(frame(number, 200_000))
        time.sleep(0.01)
        # Else a thread that is late passes over some of them, which then count as never published.
        wait_for(partial(_seen, channel, number), 5, "a look at the part")
    data = read_until(viewer, b"X-Frame: 39\r\n")
    numbers = [int(n.split(b"\r\n")[0]) for n in data.split(b"X-Frame: ")[1:]]
    assert numbers[-1] == 39
    assert len(numbers) < 10
    assert numbers == sorted(set(numbers))
    assert broadcast.outflow.skipped > 20
    viewer.close()


def _seen(channel: Channel, number: int) -> bool:
    return channel.version >= number


def test_who_takes_nothing_is_evicted(hall: Hall, monkeypatch: pytest.MonkeyPatch) -> None:
    """One part not taken in time, and the viewer is out; a byte now and then does not help."""
    monkeypatch.setattr(module, "STALLED", 0.5)
    broadcast = Broadcast()
    stuck, trickle, good = (hall.enter(broadcast.feed) for _ in range(3))
    deadline = time.monotonic() + 10
    number = 0
    while hall.evicted < 2 and time.monotonic() < deadline:
        number += 1
        broadcast.publish(frame(number, 300_000))
        read_until(good, b"X-Frame: %d\r\n" % number)
        trickle.recv(1)
    assert hall.evicted == 2
    assert broadcast.viewers == 1
    for one in (stuck, trickle, good):
        one.close()


def test_a_part_that_cannot_be_built_ends_only_its_own_feed(hall: Hall) -> None:
    """The other streams go on, and so does the thread."""

    def broken(_frame: Frame) -> bytes:
        raise ValueError("a defect")

    broadcast = Broadcast()
    bad, good = hall.enter(Feed(broadcast, broken)), hall.enter(broadcast.feed)
    wait_for(lambda: hall.fanout.connections == 2, 5, "both")
    broadcast.publish(frame(1))
    assert read_until(bad, b"nothing came").startswith(b"HTTP/1.1 503")
    assert b"X-Frame: 1\r\n" in read_until(good, b"\xff\xd9")
    broadcast.publish(frame(2))
    assert b"X-Frame: 2\r\n" in read_until(good, b"X-Frame: 2\r\n")
    good.close()


def test_a_flood_from_a_viewer_ends_its_stream(hall: Hall) -> None:
    """What viewers send is forgotten, up to a bound."""
    broadcast = Broadcast()
    viewer = hall.enter(broadcast.feed)
    viewer.sendall(b"x" * 1000)
    broadcast.publish(frame(1))
    assert b"X-Frame: 1" in read_until(viewer, b"X-Frame: 1\r\n")
    viewer.sendall(b"x" * 200_000)
    wait_for(lambda: broadcast.viewers == 0, 5, "the end of the stream")
    viewer.close()


def test_many_viewers_share_one_part(hall: Hall) -> None:
    """Forty viewers cost one building of each part, and nothing stays behind when they leave."""
    broadcast = Broadcast()
    built: list[int] = []

    def build(value: Frame) -> bytes:
        built.append(value.sequence)
        return b"<%d>" % value.sequence

    feed = Feed(broadcast, build)
    many = [hall.enter(feed) for _ in range(40)]
    wait_for(lambda: hall.fanout.connections == 40, 5, "all")
    for number in range(1, 4):
        broadcast.publish(frame(number))
        for one in many:
            assert b"<%d>" % number in read_until(one, b"<%d>" % number)
    assert built == [1, 2, 3]
    for one in many:
        one.close()
    wait_for(lambda: broadcast.viewers == 0, 5, "all gone")
    assert not hall.fanout.groups


def test_without_viewers_the_thread_sleeps(hall: Hall) -> None:
    """No timer runs while nobody watches, whatever is published."""
    broadcast = Broadcast()
    viewer = hall.enter(broadcast.feed)
    broadcast.publish(frame(1))
    read_until(viewer, b"X-Frame: 1\r\n")
    viewer.close()
    wait_for(lambda: hall.fanout.connections == 0, 5, "nobody")
    time.sleep(2 * module.LOOK)
    assert hall.fanout._thread is not None
    # Its own clock: what other tests have left in this process counts for nothing.
    clock = time.pthread_getcpuclockid(hall.fanout._thread.ident or 0)
    began = time.clock_gettime(clock)
    for number in range(100):
        broadcast.publish(frame(number))
    time.sleep(1)
    assert time.clock_gettime(clock) - began < 0.2
