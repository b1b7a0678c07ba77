"""The registry's HTTP calls, as methods. Nodes, the dashboard and the command line use this and nothing else."""

from __future__ import annotations

import copy
import socket
import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar
from urllib.parse import quote, urlencode, urlsplit

import msgspec
import requests

from mesh import answers, codec, tls
from mesh.access_wire import (
    CertificateRequest,
    Introspection,
    IntrospectRequest,
    Joined,
    JoinRequest,
    TicketRequest,
    Tickets,
    Trust,
)
from mesh.backoff import Backoff
from mesh.credentials import Credentials, Nobody
from mesh.errors import (
    FoglineError,
    RegistryAway,
    SetupProblem,
    Unauthorized,
)
from mesh.place import Place
from mesh.proof import Call, target
from mesh.wire import (
    Beat,
    BeatReply,
    CameraChange,
    CameraRequest,
    FailoverRequest,
    Hosting,
    HostingReply,
    Registration,
    SessionRequest,
)

REGISTRY_PORT = 5050  # where a registry listens that was not told otherwise
CONNECT_TIMEOUT = 2.0  # seconds: a host on the LAN answers in milliseconds or not at all
NEXT_TIMEOUT = 0.5  # seconds to connect in when there is another registry to try
HERE_TIMEOUT = 0.3  # seconds to connect in on this machine
SEEK_SECONDS = 3.0  # of looking for a registry on the network
SEEK_AGAIN = 10.0  # seconds without an answer after which it is looked for elsewhere
READ_TIMEOUT = 5.0  # seconds: the registry's own calls to Redis give up after 1.5
RETRIES = 2  # further tries of a call that may be sent twice without harm
T = TypeVar("T")


class RegistryClient:
    """Speaks to a registry, or to the first of its replicas that answers. Any thread may call any method.

    url: one address, or several separated by commas; when empty, the registry on this machine if there is one, else
    one that announces itself on the network, sought with the first call and again when none answers for a while.

    Every method raises RegistryAway when no answer comes, and else the error that the registry's problem document
    describes. A RegistryAway has the member `refused` when nobody listens at any address, and `live` when a registry
    says that its Redis is away (and no other one has it): then nobody is there who could move a session.

    refused: hears that the registry does not know who asks, and says whether to ask once more; it may raise another
    Unauthorized, with words for people. See mesh.enrolment.
    """

    def __init__(
        self,
        url: str,
        *,
        timeout: tuple[float, float] = (CONNECT_TIMEOUT, READ_TIMEOUT),
        credentials: Credentials | None = None,
        refused: Callable[[Unauthorized], bool] | None = None,
    ) -> None:
        self._credentials: Credentials = credentials or Nobody()
        self._refused = refused
        self._addresses = addresses_of(url)
        self._given = bool(self._addresses)
        self._present = 0  # the address that answered last
        self._timeout = timeout
        self._seeking = threading.Lock()
        self._away_since = float("inf")  # monotonic seconds, while none answers
        self._local = threading.local()  # requests does not promise that threads may share a session

    def showing(self, credentials: Credentials, timeout: tuple[float, float] | None = None) -> RegistryClient:
        """The same registries asked in somebody else's name, over the same connections."""
        other = copy.copy(self)
        other._credentials = credentials
        other._refused = None
        other._timeout = timeout or self._timeout
        return other

    def once(self) -> RegistryClient:
        """The same in the same name, for what somebody else tries: a refusal is theirs, not this node's."""
        return self.showing(self._credentials)

    @property
    def url(self) -> str:
        """The address in use, for messages; words while there is none."""
        addresses = self._addresses
        return addresses[self._present % len(addresses)] if addresses else "this machine or network"

    def address(self) -> str:
        """The address in use. Raises RegistryAway when none was given and none is found."""
        addresses = self._known()
        return addresses[self._present % len(addresses)]

    @property
    def host(self) -> str:
        """The host of the address in use; empty while there is none."""
        return (urlsplit(self.url).hostname or "") if self._addresses else ""

    @property
    def several(self) -> bool:
        """Whether there are other registries to ask."""
        return len(self._addresses) > 1

    # --- nodes

    def register(self, document: dict[str, Any]) -> Registration:
        """Send a manifest, for the first time or again."""
        return self._call("POST", "/v1/nodes", Registration, document)

    def beat(self, node_id: str, beat: Beat) -> BeatReply:
        """Say that the node is alive. Raises RegisterAgain when the registry does not know it."""
        return self._call("POST", f"/v1/nodes/{quote(node_id)}/heartbeat", BeatReply, beat, retries=0)

    def leave(self, node_id: str) -> None:
        """Say that the node goes."""
        self._send("DELETE", f"/v1/nodes/{quote(node_id)}", retries=0)

    def nodes(self, **filters: str) -> dict[str, Any]:
        """The list of nodes, `{"nodes": […], "next_cursor", "stale"}`; filters are the query's parameters."""
        return self._get("/v1/nodes", filters)

    def node(self, node_id: str) -> dict[str, Any]:
        return self._get(f"/v1/nodes/{quote(node_id)}")

    def drain(self, node_id: str, *, undo: bool = False) -> dict[str, Any]:
        """Let a node take no new sessions, or again."""
        return self._document("POST", f"/v1/nodes/{quote(node_id)}/{'undrain' if undo else 'drain'}")

    # --- nodes' own keys

    def join(self, request: JoinRequest) -> Joined:
        """Trade a join token for a certificate. Sent once: its proof is good for one request."""
        return self._call("POST", "/v1/join", Joined, request, retries=0)

    def certificate(self, node_id: str, request: CertificateRequest) -> Joined:
        """A new certificate for a node that has joined."""
        return self._call("POST", f"/v1/enrolments/{quote(node_id)}/certificate", Joined, request, retries=0)

    def trust(self) -> Trust:
        """What a node must know to check others."""
        return self._call("GET", "/v1/trust", Trust)

    def introspect(self, request: IntrospectRequest) -> Introspection:
        """Whose this API key or sign-in is."""
        return self._call("POST", "/v1/introspect", Introspection, request, retries=0)

    def say_place(self, place: Place) -> None:
        """Say where a dashboard is, for who collects figures."""
        self._send("POST", "/v1/targets", place, retries=0)

    # --- algorithms and sessions

    def algorithms(self) -> dict[str, Any]:
        return self._get("/v1/algorithms")

    def create_session(self, request: SessionRequest) -> dict[str, Any]:
        return self._document("POST", "/v1/sessions", request)

    def sessions(self) -> dict[str, Any]:
        return self._get("/v1/sessions")

    def session(self, session_id: str) -> dict[str, Any]:
        return self._get(f"/v1/sessions/{quote(session_id)}")

    def failover(self, session_id: str, token: int) -> dict[str, Any]:
        """Say that no frames come from the placement with this token: the session moves, once per token."""
        return self._document("POST", f"/v1/sessions/{quote(session_id)}/failover", FailoverRequest(token=token))

    def end_session(self, session_id: str) -> None:
        self._send("DELETE", f"/v1/sessions/{quote(session_id)}")

    def tickets(self, request: TicketRequest) -> Tickets:
        """Where these sessions' views and these cameras' pictures are now, signed where that is needed."""
        return self._call("POST", "/v1/tickets", Tickets, request)

    # --- cameras that somebody added

    def cameras(self) -> dict[str, Any]:
        """Added cameras and the hosts that run them: `{"cameras": […], "hosts": […], "stale"}`."""
        return self._get("/v1/cameras")

    def camera(self, camera_id: str) -> dict[str, Any]:
        return self._get(f"/v1/cameras/{quote(camera_id)}")

    def add_camera(self, request: CameraRequest) -> dict[str, Any]:
        # Sent once: a camera that was added twice would be two.
        return codec.parse_answer(self._send("POST", "/v1/cameras", request, retries=0))

    def change_camera(self, camera_id: str, change: CameraChange) -> dict[str, Any]:
        return self._document("PATCH", f"/v1/cameras/{quote(camera_id)}", change)

    def remove_camera(self, camera_id: str) -> None:
        self._send("DELETE", f"/v1/cameras/{quote(camera_id)}")

    def host_cameras(self, node_id: str, hosting: Hosting) -> HostingReply:
        """What a camera host shall run now. Raises RegisterAgain when the registry does not know it."""
        return self._call("POST", f"/v1/nodes/{quote(node_id)}/cameras", HostingReply, hosting, retries=0)

    def discovered(self) -> dict[str, Any]:
        """Cameras and registries that answer on the registry's network."""
        return self._get("/v1/discovered")

    # --- transport

    def _get(self, path: str, query: dict[str, str] | None = None) -> dict[str, Any]:
        return codec.parse_answer(self._send("GET", path, query=query))

    def _document(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        return codec.parse_answer(self._send(method, path, body))

    def _call(self, method: str, path: str, kind: type[T], body: Any = None, *, retries: int = RETRIES) -> T:
        content = self._send(method, path, body, retries=retries)
        try:
            return codec.decode(content, kind)
        except msgspec.MsgspecError as error:
            raise RegistryAway(f"{self.url}{path} gave an answer that is not a registry's: {error}") from error

    def _send(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        query: dict[str, str] | None = None,
        retries: int = RETRIES,
    ) -> bytes:
        """Every registry call may be sent twice: a manifest renews, the same session is joined, a leave stays left."""
        backoff = Backoff(first=0.1, ceiling=1.0)
        for attempt in range(retries + 1):
            try:
                return self._once(method, path, body, query)
            except RegistryAway:
                if attempt == retries:
                    raise
                time.sleep(backoff.delay())
            except Unauthorized as error:
                if self._refused is None or not self._refused(error):
                    raise
                return self._once(method, path, body, query)
        raise AssertionError("unreachable")

    def _once(self, method: str, path: str, body: Any, query: dict[str, str] | None) -> bytes:
        """Ask the address that answered last, then the others. One whose Redis is away counts as silent: another
        may have it."""
        addresses = self._known()
        first = self._present
        failures: list[RegistryAway] = []
        for number in range(first, first + len(addresses)):
            try:
                answer = self._ask(addresses[number % len(addresses)], method, path, body, query)
            except RegistryAway as error:
                failures.append(error)
                continue
            except FoglineError:  # an answer all the same
                self._answered(number % len(addresses))
                raise
            self._answered(number % len(addresses))
            return answer
        if self._away_since == float("inf"):
            self._away_since = time.monotonic()
        raise answers.nobody(failures)

    def _answered(self, number: int) -> None:
        self._present = number
        self._away_since = float("inf")

    def _ask(self, url: str, method: str, path: str, body: Any, query: dict[str, str] | None) -> bytes:
        data = codec.dump(body) if body is not None else b""
        asked = f"{path}?{urlencode(query)}" if query else path

        def request() -> requests.Response:
            sent = self._signed(method, url + asked, asked, data)
            problem_now = answers.clock_of(sent)
            if problem_now is not None:
                self._credentials.heard(problem_now)
                sent = self._signed(method, url + asked, asked, data)
            return sent

        try:
            try:
                answer = request()
            except requests.ConnectionError as error:
                if answers.reason(error) != answers.LOST:
                    raise
                answer = request()  # the connection had been kept open since a registry that has ended
        except requests.RequestException as error:
            reason = answers.reason(error)
            raise RegistryAway(
                f"the registry at {url} does not answer ({reason})", refused=reason.startswith(answers.REFUSED) or None
            ) from error
        if answer.status_code < 300:
            return answer.content
        raise answers.problem(answer, url + path)

    def _signed(self, method: str, url: str, asked: str, data: bytes) -> requests.Response:
        """asked: path and query below the registry's address."""
        connect, read = self._timeout
        path, _, query = asked.partition("?")
        shown = self._credentials.headers(Call(method, target(path, query)), data)
        return self._session().request(
            method,
            url,
            data=data or None,
            headers={"Content-Type": "application/json"} | shown if data else shown,
            timeout=(min(connect, NEXT_TIMEOUT) if self.several else connect, read),
            allow_redirects=False,
            verify=tls.verify(),
        )

    def _known(self) -> list[str]:
        """The addresses to try. Raises RegistryAway when none was given and none is found."""
        if self._given:
            return self._addresses
        with self._seeking:
            away = time.monotonic() - self._away_since
            if not self._addresses or away > SEEK_AGAIN:
                self._away_since = time.monotonic()  # not at each call: a search takes seconds
                found = _found()
                if found and found != self._addresses:
                    self._present = 0
                    self._addresses = found
            if not self._addresses:
                raise RegistryAway("no registry found on this machine or network: give --registry")
            return self._addresses

    def _session(self) -> requests.Session:
        session: requests.Session | None = getattr(self._local, "session", None)
        if session is None:
            session = self._local.session = requests.Session()
            session.trust_env = False  # the registry is on the LAN: a proxy for the internet must not see its calls
        return session


def addresses_of(text: str) -> list[str]:
    """The registries' addresses in a setting. Raises SetupProblem naming the setting for what is none."""
    addresses = [one.strip().rstrip("/") for one in text.split(",") if one.strip()]
    for address in addresses:
        if not address.startswith(("http://", "https://")) or not urlsplit(address).hostname:
            raise SetupProblem(f"--registry (FOGLINE_REGISTRY) is {text!r}: write it as http://HOST:5050")
    return addresses


def _found() -> list[str]:
    """Where a registry is, when nobody has said: here, else where the network says."""
    try:
        with socket.create_connection(("127.0.0.1", REGISTRY_PORT), HERE_TIMEOUT):
            return [f"http://127.0.0.1:{REGISTRY_PORT}"]
    except OSError:
        pass
    # Imported late: most programs are told where their registry is, and mDNS is slow to import.
    from mesh.discovery import registries  # noqa: PLC0415

    return registries(SEEK_SECONDS)
