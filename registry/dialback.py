"""Dialling back: a node counts as free only once the registry has reached it at the address that others will use."""

from __future__ import annotations

import queue
import socket
import ssl
import threading
import time
from urllib.parse import unquote, urlsplit

from mesh.errors import FoglineError
from mesh.logs import logger
from registry.store import Store

THREADS = 8  # nodes dialled at once: one that does not answer holds a thread for SECONDS
QUEUE = 20_000  # nodes that wait to be dialled; those beyond are found by the job that looks for them
SECONDS = 2.0  # for connection and answer together: a LAN needs milliseconds
ANSWER_BYTES = 1024  # the status line is all that is read
AGAIN_SECONDS = 3.0  # until a node that was not reached is dialled again
REFUSED = "connection refused"  # its host is there, and nothing listens: the node has ended

log = logger(__name__)


class DialBack:
    """Dials nodes from threads of its own and tells the store. `ask` may be called from any thread."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._asked: queue.Queue[tuple[str, str] | None] = queue.Queue(QUEUE)
        self._heard_at: dict[str, float] = {}  # monotonic seconds, by node, of an `ask` that no dial has followed yet
        self._threads = [
            threading.Thread(target=self._work, name=f"dial-back-{n}", daemon=True) for n in range(THREADS)
        ]
        self._stopping = threading.Event()

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Begin no further dialling. The threads are daemons: one that waits for an answer does not hold the exit."""
        self._stopping.set()
        for _ in self._threads:
            try:
                self._asked.put_nowait(None)
            except queue.Full:
                return

    def ask(self, node_id: str, url: str) -> None:
        """Have the node dialled soon: there is news of it. A dial that is under way fails for what was before."""
        self._heard_at[node_id] = time.monotonic()
        self._put(node_id, url)

    def _put(self, node_id: str, url: str) -> None:
        try:
            self._asked.put_nowait((node_id, url))
        except queue.Full:
            log.warning("too many nodes wait to be dialled; this one is dialled later", url=url)

    def look_for_due(self) -> None:
        """Ask for the nodes whose time has come. Called by a job."""
        for node_id, url in self._store.due(THREADS * 4, AGAIN_SECONDS):
            self._put(node_id, url)

    def _work(self) -> None:
        while (asked := self._asked.get()) is not None and not self._stopping.is_set():
            node_id, url = asked
            began = time.monotonic()
            try:
                problem = dial(url)
                if self._heard_at.get(node_id, began) <= began:
                    self._heard_at.pop(node_id, None)
                elif problem is not None:
                    continue  # a cable was plugged in meanwhile: the dial that was asked for since then tells
                self._store.reached(node_id, url, problem, AGAIN_SECONDS, gone=problem == REFUSED)
            except FoglineError as error:
                log.warning("cannot note whether a node was reached; it is dialled again", reason=error.detail)
            except Exception:  # a defect met at one node's address must not leave the others undialled
                log.exception("dialling failed", url=url)


def dial(url: str) -> str | None:
    """None when `{url}/healthz` answers 200 within SECONDS, else why not, in words. Follows no redirect."""
    deadline = time.monotonic() + SECONDS
    try:
        parts = urlsplit(url)
        host = unquote(parts.hostname or "")
        port = parts.port or (443 if parts.scheme == "https" else 80)
        # Looking a name up is the one thing here that the deadline does not bound: the system's resolver has its own.
        with socket.create_connection((host, port), timeout=SECONDS) as plain:
            plain.settimeout(_left(deadline))
            if parts.scheme == "https":
                with ssl.create_default_context().wrap_socket(plain, server_hostname=host) as secured:
                    return _ask(secured, parts.netloc, parts.path, deadline)
            return _ask(plain, parts.netloc, parts.path, deadline)
    except TimeoutError:
        return f"no answer within {SECONDS:g} s"
    except ConnectionRefusedError:
        return REFUSED
    except socket.gaierror:
        return "unknown host name"
    except (OSError, ValueError) as error:
        return str(error)[:200] or type(error).__name__


def _ask(connection: socket.socket, authority: str, path: str, deadline: float) -> str | None:
    request = f"GET {path}/healthz HTTP/1.1\r\nHost: {authority}\r\nUser-Agent: fogline\r\nConnection: close\r\n\r\n"
    connection.sendall(request.encode("utf-8"))
    got = b""
    while b"\r\n" not in got and len(got) < ANSWER_BYTES:
        connection.settimeout(_left(deadline))
        chunk = connection.recv(ANSWER_BYTES)
        if not chunk:
            break
        got += chunk
    words = got.split(b"\r\n", 1)[0].split()
    if len(words) < 2 or not words[0].startswith(b"HTTP/"):
        return "what answers there is no web server"
    return None if words[1] == b"200" else f"/healthz answered {words[1].decode('latin-1')[:3]}"


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left
