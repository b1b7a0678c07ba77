"""A node's membership and its lease, at a registry that says what each test wants it to say."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import msgspec
import pytest

from mesh import datagram
from mesh.client import RegistryClient
from mesh.datagram import AnswerDatagram, Says
from mesh.heartbeat import Membership
from mesh.wire import Beat, BeatReply, Datagrams, Load, Pace, Registration, SessionReport
from tests.processes import free_port, wait_for

KEY = b"k" * 32
LEASE = 0.7  # seconds; beats come every 0.1
LONGER = 1.3 * LEASE
Answer = tuple[int, bytes]


class Scripted:
    """A registry that answers beats with `reply`, and datagrams with `says`. What it is sent is kept."""

    def __init__(self, port: int = 0) -> None:
        self.pace = Pace(seconds=0.1)
        self.now: Callable[[], float | None] = lambda: None
        self.reply: Callable[[], BeatReply | Answer | None] = lambda: BeatReply(lease_seconds=LEASE, now=self.now())
        self.says: Callable[[], Says | None] = lambda: "renewed"
        self.orders = 0
        self.manifests: list[float] = []
        self.beats: list[Beat] = []
        self.datagrams: list[datagram.BeatDatagram] = []
        self._stop = threading.Event()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if outer._stop.is_set():  # a connection that was kept open ends with the registry
                    self.close_connection = True
                    return
                answer: Any
                if self.path == "/v1/nodes":
                    outer.manifests.append(time.monotonic())
                    answer = Registration(
                        node_id="n",
                        lease_seconds=LEASE,
                        manifest_seconds=600,
                        heartbeat=outer.pace,
                        now=outer.now(),
                    )
                else:
                    outer.beats.append(msgspec.json.decode(body, type=Beat))
                    answer = outer.reply()
                if answer is None:
                    outer._stop.wait(5)  # hangs
                    return
                status, sent = answer if isinstance(answer, tuple) else (200, msgspec.json.encode(answer))
                self.send_response(status)
                self.send_header("Content-Length", str(len(sent)))
                self.end_headers()
                self.wfile.write(sent)

            def do_DELETE(self) -> None:
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_arguments: object) -> None:
                """Nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_port
        self.url = f"http://127.0.0.1:{self.port}"
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self._node: Any = None
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def take_datagrams(self) -> None:
        port = self._socket.getsockname()[1]
        self.pace = Pace(seconds=0.1, full_seconds=60, datagrams=Datagrams(port=port, key=KEY.hex()))

    def _listen(self) -> None:
        self._socket.settimeout(0.05)
        while not self._stop.is_set():
            try:
                received, self._node = self._socket.recvfrom(2048)
            except TimeoutError:
                continue
            beat = datagram.open_beat(received, lambda _beat: KEY)
            assert beat is not None
            self.datagrams.append(beat)
            if (says := self.says()) is not None:
                self.tell(says, beat.number)

    def tell(self, says: Says, echo: int = 0, *, orders: int | None = None, key: bytes = KEY) -> None:
        newest = self.orders if orders is None else orders
        answer = AnswerDatagram(
            node_id="n", echo=echo, stamp=echo, orders=newest, lease_seconds=LEASE, seconds=0.1, says=says
        )
        self._socket.sendto(datagram.seal(answer, key), self._node)

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._stop.set()
        self._listener.join(2)
        self._socket.close()


class Node:
    """A membership whose sessions a test sets. timeout: seconds that an answer may take."""

    def __init__(self, url: str, *, timeout: float = 0.5, **options: Any) -> None:
        self.reports: list[SessionReport] = []
        self.obeyed: list[BeatReply] = []
        self.held_when_told: list[bool] = []
        client = RegistryClient(url, timeout=(0.5, timeout))
        self.membership = Membership(client, "n", dict, self._beat, self._obey, **options)
        self.membership.start()

    def _beat(self) -> Beat:
        return Beat(boot_id="b", sessions=list(self.reports))

    def _obey(self, reply: BeatReply) -> None:
        self.held_when_told.append(self.membership.holds)
        self.obeyed.append(reply)

    @property
    def holds(self) -> bool:
        return self.membership.holds

    def still_holds(self, seconds: float) -> bool:
        """Whether the lease is held all the time from now on, for so long."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            if not self.holds:
                return False
            time.sleep(0.005)
        return self.holds


@pytest.fixture
def registry() -> Iterator[Scripted]:
    one = Scripted()
    yield one
    one.close()


@pytest.fixture
def join(registry: Scripted) -> Iterator[Callable[..., Node]]:
    nodes: list[Node] = []

    def begin(url: str = "", **options: Any) -> Node:
        nodes.append(Node(url or registry.url, **options))
        wait_for(lambda: nodes[-1].holds, 3, "lease")
        return nodes[-1]

    yield begin
    for one in nodes:
        one.membership.stop()


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer may be late on a busy machine: that is no reason to beat by HTTP, too."""
    monkeypatch.setattr("mesh.transmitter.MIN_PATIENCE", 3.0)


def problem(title: str, **members: Any) -> bytes:
    return msgspec.json.encode({"title": title, "detail": "words", **members})


def test_orders_are_obeyed_before_the_lease_is_renewed(join: Callable[..., Node]) -> None:
    """A node that has no lease gets none before it has taken what it is told."""
    node = join()
    assert node.held_when_told[0] is False


def test_the_lease_runs_from_the_sending_of_the_beat(registry: Scripted, join: Callable[..., Node]) -> None:
    """However long the answer was on its way: here nearly as long as the lease."""
    node = join(timeout=2.0)

    def late() -> BeatReply:
        registry.reply = lambda: (500, b"nobody knows")
        time.sleep(0.35)
        return BeatReply(lease_seconds=LEASE, orders=5)

    registry.reply = late
    # By its orders: the quick answer to a beat from before may be on its way still.
    wait_for(lambda: node.obeyed[-1].orders == 5, 4, "a late answer")
    assert not node.still_holds(LEASE - 0.2)


def test_silence_ends_the_lease(registry: Scripted, join: Callable[..., Node]) -> None:
    """A registry that hangs may have given the sessions to another node; when it answers, the lease is back. A node
    that was told `--cut-off serve` holds it all the time."""
    node, stubborn = join(), join(cut_off="serve")
    registry.reply = lambda: None
    wait_for(lambda: not node.holds, 3 * LEASE, "end of the lease")
    assert stubborn.still_holds(0.2)
    registry.reply = lambda: BeatReply(lease_seconds=LEASE)
    wait_for(lambda: node.holds, 5, "lease")


def test_nobody_can_move_anything_while_redis_is_away(registry: Scripted, join: Callable[..., Node]) -> None:
    """A registry that says so keeps the lease alive, for as long as it says so."""
    node = join()
    registry.reply = lambda: (503, problem("Registry unreachable"))
    assert node.still_holds(LONGER)
    assert node.membership.problem == "words"


def test_nobody_can_move_anything_where_nobody_listens(join: Callable[..., Node]) -> None:
    """The registry is stopped: connections are refused, the lease goes on, and so does the node when it returns."""
    registry = Scripted(free_port())  # which nobody else is given while it is stopped
    node = join(f"{registry.url},http://127.0.0.1:{free_port()}")
    registry.close()
    assert node.still_holds(LONGER)
    again = Scripted(registry.port)
    wait_for(lambda: bool(again.beats), 8, "beat")
    assert node.holds
    again.close()


def test_a_lease_that_ended_is_not_revived_by_an_absent_registry(registry: Scripted, join: Callable[..., Node]) -> None:
    """Somebody may have moved the sessions before Redis went away."""
    node = join()
    registry.reply = lambda: None
    wait_for(lambda: not node.holds, 3 * LEASE, "end of the lease")
    registry.reply = lambda: (503, problem("Registry unreachable"))
    heard = len(registry.beats)
    wait_for(lambda: len(registry.beats) > heard + 1, 10, "beats")
    assert not node.holds


def test_a_node_that_was_forgotten_comes_back_in_its_turn(registry: Scripted, join: Callable[..., Node]) -> None:
    """At a random moment within the time that the registry names, and it keeps its lease meanwhile."""
    node = join()
    forgotten = threading.Event()

    def once() -> BeatReply | Answer:
        if forgotten.is_set():
            return BeatReply(lease_seconds=LEASE)
        forgotten.set()
        return 404, problem("Register again", spread_seconds=0.5)

    registry.reply = once
    assert forgotten.wait(2)
    began = time.monotonic()
    held = node.still_holds(LONGER)
    wait_for(lambda: len(registry.manifests) == 2, 2, "manifest")
    assert held
    assert registry.manifests[1] - began < 0.8


def test_asking_from_within_obeying_leads_to_a_beat_at_once(registry: Scripted, join: Callable[..., Node]) -> None:
    """As a node does that has something to add to what it has just said."""
    registry.pace = Pace(seconds=30)
    node = join()
    assert len(registry.beats) == 1
    node.membership._obey = lambda reply: node.membership.nudge() if len(registry.beats) < 4 else None
    node.membership.nudge()
    wait_for(lambda: len(registry.beats) == 4, 2, "beats")


@pytest.mark.usefixtures("patient")
@pytest.mark.parametrize("by_datagram", [False, True])
def test_a_change_is_told_within_a_second(registry: Scripted, join: Callable[..., Node], by_datagram: bool) -> None:
    """Though the next full beat is far away; the rate alone is no news."""
    registry.pace = Pace(seconds=30)
    if by_datagram:
        registry.take_datagrams()
    node = join()
    before = len(registry.beats)
    node.reports = [SessionReport(session_id="s", token=1, ready=True)]
    wait_for(lambda: len(registry.beats) > before, 1.5, "full beat")
    assert registry.beats[-1].sessions == node.reports
    if by_datagram:
        told, sent = len(registry.beats), len(registry.datagrams)
        node.reports = [SessionReport(session_id="s", token=1, ready=True, fps=7)]
        wait_for(lambda: len(registry.datagrams) > sent + 2, 2, "further beats")
        assert len(registry.beats) == told


def test_datagrams_replace_full_beats(registry: Scripted, join: Callable[..., Node], patient: None) -> None:
    """While they are answered the lease is renewed by them alone; each carries the stamp of the last answer."""
    registry.take_datagrams()
    node = join()
    wait_for(lambda: len(registry.datagrams) > 3, 2, "datagrams")
    before = len(registry.beats)
    assert node.still_holds(LONGER)
    assert len(registry.beats) == before
    numbers = [beat.number for beat in registry.datagrams]
    assert numbers == sorted(set(numbers))
    # Of a beat that was sent again, for its answer was late, the stamp is an older one.
    wait_for(lambda: (two := registry.datagrams[-2:])[1].stamp == two[0].number, 2, "the last answer's stamp")


@pytest.mark.parametrize("says", [None, "prove"])
def test_without_good_answers_http_takes_over(registry: Scripted, join: Callable[..., Node], says: Says | None) -> None:
    """Before the lease ends: no answers, or none that count."""
    registry.take_datagrams()
    node = join()
    wait_for(lambda: len(registry.datagrams) > 3, 2, "datagrams")
    before = len(registry.beats)
    registry.says = lambda: says
    assert node.still_holds(LONGER)
    assert len(registry.beats) > before + 2


def test_a_new_key_makes_nobody_wait_for_answers(registry: Scripted, join: Callable[..., Node]) -> None:
    """After a wipe the registry has another secret: where no datagrams get through, HTTP goes on as before."""
    registry.take_datagrams()
    node = join()
    wait_for(lambda: len(registry.datagrams) > 3, 2, "datagrams")
    registry.says = lambda: None
    elsewhere = msgspec.structs.replace(registry.pace, datagrams=Datagrams(port=free_port(), key="00" * 32))
    registry.reply = lambda: BeatReply(lease_seconds=LEASE, heartbeat=elsewhere)
    assert node.still_holds(2 * LONGER)


def test_answers_that_redis_is_away_keep_a_lease(registry: Scripted, join: Callable[..., Node], patient: None) -> None:
    """By datagram as by HTTP, and without a word by HTTP."""
    registry.take_datagrams()
    node = join()
    wait_for(lambda: len(registry.datagrams) > 3, 2, "datagrams")
    before = len(registry.beats)
    registry.says = lambda: "away"
    assert node.still_holds(LONGER)
    assert len(registry.beats) == before


def test_newer_orders_are_fetched_before_the_lease_goes_on(registry: Scripted, join: Callable[..., Node]) -> None:
    """An answer that names orders which the node has not obeyed renews nothing."""
    registry.take_datagrams()
    node = join()
    wait_for(lambda: len(registry.datagrams) > 3, 2, "datagrams")
    registry.reply = lambda: None  # the orders cannot be fetched
    registry.orders = 8
    wait_for(lambda: not node.holds, 3 * LEASE, "end of the lease")
    registry.reply = lambda: BeatReply(lease_seconds=LEASE, orders=8)
    wait_for(lambda: node.holds, 5, "lease")
    assert node.obeyed[-1].orders == 8
    wait_for(lambda: registry.datagrams[-1].orders == 8, 2, "their number in a beat")


@pytest.mark.usefixtures("patient")
def test_news_are_followed_once_and_only_from_the_registry(registry: Scripted, join: Callable[..., Node]) -> None:
    """A poke leads to a full beat; a forged or repeated one to nothing."""
    registry.take_datagrams()
    node = join()
    wait_for(lambda: len(registry.datagrams) > 3, 2, "datagrams")
    registry.reply = lambda: BeatReply(lease_seconds=LEASE, orders=9)
    before = len(registry.beats)
    registry.tell("news", orders=9, key=b"guessed")
    sent = registry.datagrams[-1].number
    wait_for(lambda: registry.datagrams[-1].stamp > sent, 2, "a beat after a later answer")
    assert len(registry.beats) == before
    registry.tell("news", orders=9)  # which no answer to a beat says
    wait_for(lambda: any(reply.orders == 9 for reply in node.obeyed), 2, "obeyed orders")


def test_a_registry_without_a_lease_is_not_served(registry: Scripted) -> None:
    """Before the first answer there is none."""
    registry.reply = lambda: None
    node = Node(registry.url)
    wait_for(lambda: bool(registry.beats), 3, "beat")
    assert not node.holds
    node.membership.stop()


@pytest.mark.parametrize("by_datagram", [False, True])
def test_the_machines_load_and_its_clock_are_told(
    registry: Scripted, join: Callable[..., Node], by_datagram: bool
) -> None:
    """In beats of both kinds, as soon as known: memory in use, how far the clock is ahead of the registry's."""
    registry.now = lambda: time.time() - 3.25
    if by_datagram:
        registry.take_datagrams()
    join()

    def told() -> Load | None:
        load = (registry.datagrams if by_datagram else registry.beats)[-1].load
        return load if load.ram_percent and load.clock_skew else None

    assert wait_for(told, 5, "load").clock_skew == pytest.approx(3.25, abs=0.1)
