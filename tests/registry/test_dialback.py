"""Dialling thousands of nodes back: in order, each once, and the silent ones hold nobody up."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from typing import Any

import pytest
from structlog.testing import capture_logs

from mesh import manifest as manifests
from mesh.errors import RegistryAway
from registry import dial, dialback
from registry.dialback import DialBack
from registry.memory.store import MemoryStore
from registry.settings import RegistrySettings
from registry.store import Dialled, NodeRecord
from tests.processes import free_port, wait_for

BUSY = b"HTTP/1.0 503 Busy\r\n\r\n"
YES = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


class Noting(MemoryStore):
    """A store that keeps what it was told, call by call.

    asked: how often it was told anything. answers: when this is not set, it is held up. away: it cannot be reached.
    hours: how far its clock is ahead.
    """

    def __init__(self) -> None:
        self.hours = 0.0
        super().__init__(RegistrySettings(), clock=lambda: time.time() + self.hours * 3600)
        self.calls: list[list[Dialled]] = []
        self.answers = threading.Event()
        self.answers.set()
        self.away = False
        self.asked = 0

    def reached(self, results: Sequence[Dialled], again_after: float) -> None:
        self.asked += 1
        self.answers.wait(5)
        if self.away:
            raise RegistryAway("Redis is away")
        self.calls.append(list(results))
        super().reached(results, again_after)

    def problems(self) -> list[str | None]:
        """What each dial came to, in the order in which it was told."""
        return [result.problem for call in self.calls for result in call]


class Listener:
    """A node's port. It answers each connection with what `answer` gives for the path asked for; None: not at all.

    paths: what was asked for, in order. kept: the connections that got no answer.
    """

    def __init__(self, answer: Callable[[str], bytes | None]) -> None:
        self._answer = answer
        self.kept: list[socket.socket] = []
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.paths: list[str] = []
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            connection.settimeout(5)
            with contextlib.suppress(OSError):
                path = connection.recv(2048).split(b" ")[1].decode()
                self.paths.append(path)
                answer = self._answer(path)
                if answer is None:
                    self.kept.append(connection)
                    continue
                connection.sendall(answer)
            connection.close()

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join(5)
        for connection in self.kept:
            connection.close()


class Desk:
    """A store and what dials its nodes; `start` it."""

    def __init__(self, ending: ExitStack) -> None:
        self.store = Noting()
        self.dial_back = DialBack(self.store)
        self._ending = ending

    def start(self) -> None:
        self.dial_back.start()
        self._ending.callback(self.dial_back.stop)

    def listen(self, answer: Callable[[str], bytes | None] = lambda _path: YES) -> Listener:
        one = Listener(answer)
        self._ending.callback(one.close)
        return one

    def silent(self) -> str:
        """The address of a host that takes no connection: a port whose queue is full."""
        port = self._ending.enter_context(socket.socket())
        port.bind(("127.0.0.1", 0))
        port.listen(0)
        for _ in range(4):
            filler = self._ending.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(port.getsockname())
        return f"http://127.0.0.1:{port.getsockname()[1]}"

    def join(self, name: str, url: str, boot: str = "first") -> None:
        """Register a node and have it dialled, as the registry does."""
        names = {"node_id": name, "name": name, "host_name": "h", "boot_id": boot}
        manifest = manifests.parse({"schema": "fogline/1", "kind": "camera"} | names)
        if self.store.register(manifest, url, [], 3600.0).dial:
            self.dial_back.ask(name, url)

    def node(self, name: str) -> NodeRecord:
        found = self.store.node(name)
        assert found is not None
        return found

    def told(self, name: str, words: str | None = None) -> str:
        """Wait until the store has heard of the node; what it heard is why it was not reached, '' when it was."""

        def heard() -> bool:
            node = self.node(name)
            return node.reach != "checking" and (words is None or words in node.reach_reason)

        wait_for(heard, 10, f"outcome of dialling {name}")
        return self.node(name).reach_reason


@pytest.fixture
def desk() -> Iterator[Desk]:
    with ExitStack() as ending:
        yield Desk(ending)


def test_a_refusing_host_is_told_while_many_are_silent(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Although all places were taken by the silent ones, which are told after they have had their whole time."""
    monkeypatch.setattr(dialback, "PLACES", 8)
    for module in (dial, dialback):
        monkeypatch.setattr(module, "SECONDS", 1.0)
    monkeypatch.setattr(dialback, "GLIMPSE_SECONDS", 0.05)
    silent, names = desk.silent(), [f"n{number}" for number in range(24)]
    for name in names:
        desk.join(name, silent)
    desk.join("ended", f"http://127.0.0.1:{free_port()}")
    desk.start()
    assert desk.told("ended") == "connection refused"
    assert {desk.node(name).reach for name in names} == {"checking"}
    assert desk.told(names[0]) == "no answer within 1 s"


def test_news_finds_a_place_while_those_that_are_due_are_silent(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are dialled again and again, and never take all places."""
    monkeypatch.setattr(dialback, "PLACES", 4)
    silent, names = desk.listen(lambda _path: None), [f"n{number}" for number in range(4)]
    for name in names:
        desk.join(name, silent.url)
    desk.dial_back = DialBack(desk.store)  # the registry that was to dial them has ended
    desk.store.hours = 0.1
    desk.start()
    desk.dial_back.look_for_due()
    wait_for(lambda: len(silent.paths) >= 3, 5, "dials of those that are due")
    desk.join("new", desk.listen().url)
    assert desk.told("new") == ""
    assert {desk.node(name).reach for name in names} == {"checking"}


def test_nodes_are_dialled_in_order_and_each_once(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """However often one is asked for while it waits."""
    monkeypatch.setattr(dialback, "PLACES", 1)
    listener = desk.listen()
    names = [f"n{number}" for number in range(20)]
    for name in names:
        desk.join(name, f"{listener.url}/{name}")
    for name in names[:10]:
        desk.dial_back.ask(name, f"{listener.url}/{name}")
    desk.start()
    assert [desk.told(name) for name in names] == [""] * 20
    assert listener.paths == [f"/{name}/healthz" for name in names]


def test_only_the_newest_dial_of_a_node_tells(desk: Desk) -> None:
    """A new process at the same address is dialled though the old one's dial is under way, or was answered just now."""

    def answer(_path: str) -> bytes | None:
        if len(listener.paths) == 1:
            return None
        if len(listener.paths) == 2:
            listener.kept[0].sendall(BUSY)  # the old process answers after all
            time.sleep(0.1)
        return YES

    listener = desk.listen(answer)
    desk.start()
    desk.join("a", listener.url)
    wait_for(lambda: bool(listener.kept), 5, "first dial")
    desk.join("a", listener.url, boot="second")
    assert desk.told("a") == ""
    desk.join("a", listener.url, boot="third")
    assert desk.told("a") == ""
    assert len(listener.paths) == 3
    assert desk.store.problems() == [None, None]


def test_what_was_found_just_before_the_news_is_not_told(desk: Desk) -> None:
    """It waited for a store that was held up; the dial that the news asked for tells."""
    passed_over = threading.Event()

    def answer(path: str) -> bytes:
        if listener.paths.count(path) == 1:
            return BUSY
        passed_over.wait(5)
        return YES

    listener = desk.listen(answer)
    desk.start()
    desk.store.answers.clear()
    desk.join("first", f"{listener.url}/first")
    wait_for(lambda: desk.store.asked == 1, 5, "call to the store")
    desk.join("a", f"{listener.url}/a")
    wait_for(lambda: bool(desk.dial_back._results), 5, "outcome of the second dial")
    desk.join("a", f"{listener.url}/a", boot="second")
    wait_for(lambda: len(listener.paths) == 3, 5, "third dial")
    desk.store.answers.set()
    wait_for(lambda: not desk.dial_back._results, 5, "end of what was found before")
    passed_over.set()
    assert desk.told("a") == ""
    assert "/healthz answered 503" in desk.told("first")
    assert sorted(desk.store.problems(), key=str) == ["/healthz answered 503", None]


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (YES, ""),
        (BUSY, "/healthz answered 503"),
        (b"SSH-2.0-OpenSSH_9.6\r\n", "what answers there is no web server"),
        (b"\xff" * 5000, "what answers there is no web server"),
        (b"", "what answers there is no web server"),
    ],
    ids=["yes", "busy", "ssh", "garbage", "nothing"],
)
def test_what_answers_is_told_in_words(desk: Desk, host: str, answer: bytes, words: str) -> None:
    """By an address or by a name."""
    desk.start()
    desk.join("a", desk.listen(lambda _path: answer).url.replace("127.0.0.1", host))
    assert desk.told("a").startswith(words) if words else desk.told("a") == ""


def test_a_redirect_is_not_followed(desk: Desk) -> None:
    """It is no yes, and nobody makes the registry fetch from elsewhere."""
    other = desk.listen()
    answer = f"HTTP/1.1 302 Found\r\nLocation: {other.url}/\r\n\r\n".encode()
    desk.start()
    desk.join("a", desk.listen(lambda _path: answer).url)
    assert desk.told("a") == "/healthz answered 302"
    assert other.paths == []


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://no-such-host.invalid:1", "unknown host name"),
        ("http://[::1", "Invalid IPv6 URL"),
        ("http://0:x", "Port"),
    ],
)
def test_an_address_that_is_none_holds_up_no_other(desk: Desk, url: str, words: str) -> None:
    """The store is told why it was not reached, and the next one is dialled."""
    desk.start()
    desk.join("odd", url)
    desk.join("good", desk.listen().url)
    assert words in desk.told("odd")
    assert desk.told("good") == ""


def test_many_results_are_told_together(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """In few calls, none of them too large."""
    monkeypatch.setattr(dialback, "COLLECT_SECONDS", 0.5)
    monkeypatch.setattr(dialback, "AT_ONCE", 16)
    listener = desk.listen()
    for number in range(40):
        desk.join(f"n{number}", listener.url)
    desk.start()
    assert {desk.told(f"n{number}") for number in range(40)} == {""}
    sizes = [len(call) for call in desk.store.calls]
    assert (sum(sizes), max(sizes)) == (40, 16)


def test_what_could_not_be_told_is_found_again(desk: Desk) -> None:
    """Said once in the log; the nodes are dialled again when the store is back."""
    listener = desk.listen()
    desk.store.away = True
    desk.start()
    with capture_logs() as logged:
        for number in range(3):
            desk.join(f"n{number}", listener.url)
            wait_for(lambda: desk.store.asked > number, 5, "call to the store")  # noqa: B023 - it is called at once
    assert [line["event"] for line in logged if line["log_level"] == "warning"] == [
        "cannot note which nodes were reached; they are dialled again"
    ]
    desk.store.away, desk.store.hours = False, 0.1
    desk.dial_back.look_for_due()
    assert {desk.told(f"n{number}") for number in range(3)} == {""}


def test_too_many_that_wait_are_said_once_until_it_is_over(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those beyond are found by the job that looks for them."""
    monkeypatch.setattr(dialback, "QUEUE", 4)
    listener = desk.listen()

    def warnings(logged: Sequence[Any]) -> int:
        return sum("too many nodes wait" in line["event"] for line in logged)

    with capture_logs() as logged:
        for number in range(9):
            desk.join(f"n{number}", listener.url)
        assert warnings(logged) == 1
        desk.start()
        assert desk.told("n3") == ""
        assert desk.node("n4").reach == "checking"
        desk.store.hours = 0.1
        desk.dial_back.look_for_due()
        assert desk.told("n8") == ""
        assert warnings(logged) == 1
    again = DialBack(desk.store)
    with capture_logs() as logged:
        for number in range(9):
            again.ask(f"n{number}", listener.url)
        assert warnings(logged) == 1
