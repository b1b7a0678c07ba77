"""The registry's HTTP calls, as methods. Nodes, the dashboard and the command line use this and nothing else."""

from __future__ import annotations

import threading
import time
from typing import Any, TypeVar
from urllib.parse import quote

import msgspec
import requests

from mesh import codec
from mesh.backoff import Backoff
from mesh.errors import (
    Conflict,
    FoglineError,
    InvalidInput,
    MalformedBody,
    NoCapacity,
    NotFound,
    RegisterAgain,
    RegistryAway,
    SetupProblem,
    SourceLost,
    TooLarge,
    Unavailable,
)
from mesh.wire import Beat, BeatReply, Registration, SessionRequest

CONNECT_TIMEOUT = 2.0  # seconds: a host on the LAN answers in milliseconds or not at all
READ_TIMEOUT = 5.0  # seconds: the registry's own calls to Redis give up after 1.5
RETRIES = 2  # further tries of a call that may be sent twice without harm
_BY_TITLE: dict[str, type[FoglineError]] = {
    kind.title: kind
    for kind in (
        InvalidInput,
        MalformedBody,
        NotFound,
        RegisterAgain,
        Conflict,
        TooLarge,
        NoCapacity,
        RegistryAway,
        SourceLost,
    )
}
_BY_STATUS: dict[int, type[FoglineError]] = {
    400: MalformedBody,
    404: NotFound,
    409: Conflict,
    413: TooLarge,
    422: InvalidInput,
    503: Unavailable,
}
T = TypeVar("T")


class RegistryClient:
    """Speaks to one registry. Any thread may call any method.

    Every method raises RegistryAway when no answer comes, and else the error that the registry's problem document
    describes.
    """

    def __init__(self, url: str, *, timeout: tuple[float, float] = (CONNECT_TIMEOUT, READ_TIMEOUT)) -> None:
        if not url.startswith(("http://", "https://")):
            raise SetupProblem(f"--registry (FOGLINE_REGISTRY) is {url!r}: write it as http://HOST:5050")
        self.url = url.rstrip("/")
        self._timeout = timeout
        self._local = threading.local()  # requests does not promise that threads may share a session

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

    # --- algorithms and sessions

    def algorithms(self) -> dict[str, Any]:
        return self._get("/v1/algorithms")

    def create_session(self, request: SessionRequest) -> dict[str, Any]:
        return self._document("POST", "/v1/sessions", request)

    def sessions(self) -> dict[str, Any]:
        return self._get("/v1/sessions")

    def session(self, session_id: str) -> dict[str, Any]:
        return self._get(f"/v1/sessions/{quote(session_id)}")

    def end_session(self, session_id: str) -> None:
        self._send("DELETE", f"/v1/sessions/{quote(session_id)}")

    # --- transport

    def _get(self, path: str, query: dict[str, str] | None = None) -> dict[str, Any]:
        return codec.parse_answer(self._send("GET", path, query=query))

    def _document(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        return codec.parse_answer(self._send(method, path, body))

    def _call(self, method: str, path: str, kind: type[T], body: Any = None, *, retries: int = RETRIES) -> T:
        content = self._send(method, path, body, retries=retries)
        try:
            return msgspec.json.decode(content, type=kind)
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
        raise AssertionError("unreachable")

    def _once(self, method: str, path: str, body: Any, query: dict[str, str] | None) -> bytes:
        try:
            answer = self._session().request(
                method,
                self.url + path,
                params=query,
                data=codec.dump(body) if body is not None else None,
                headers={"Content-Type": "application/json"} if body is not None else None,
                timeout=self._timeout,
                allow_redirects=False,
            )
        except requests.RequestException as error:
            raise RegistryAway(f"the registry at {self.url} does not answer ({_reason(error)})") from error
        if answer.status_code < 300:
            return answer.content
        raise self._problem(answer, path)

    def _session(self) -> requests.Session:
        session: requests.Session | None = getattr(self._local, "session", None)
        if session is None:
            session = self._local.session = requests.Session()
            session.trust_env = False  # the registry is on the LAN: a proxy for the internet must not see its calls
        return session

    def _problem(self, answer: requests.Response, path: str) -> FoglineError:
        try:
            document = codec.parse_object(answer.content)
        except FoglineError:
            document = {}
        kind = _BY_TITLE.get(str(document.get("title"))) or _BY_STATUS.get(answer.status_code)
        detail = str(document.get("detail") or f"{self.url}{path} answered {answer.status_code}")
        if kind is None:
            kind = RegistryAway if answer.status_code >= 500 else FoglineError
        known = document.get("known")
        return kind(
            detail,
            field=document.get("field"),
            known=known if isinstance(known, list) else None,
            retry_after=answer.headers.get("Retry-After") if str(answer.headers.get("Retry-After")).isdigit() else None,
        )


def _reason(error: requests.RequestException) -> str:
    if isinstance(error, requests.ConnectTimeout):
        return "no answer to the connection: is the address right, is a firewall between?"
    if isinstance(error, requests.Timeout):
        return "timed out"
    if isinstance(error, requests.ConnectionError):
        text = str(error).lower()
        for sign, words in (
            ("refused", "connection refused: is it running?"),
            ("name or service", "unknown host name"),
            ("name resolution", "unknown host name"),
            ("unreachable", "network unreachable"),
        ):
            if sign in text:
                return words
        return "connection lost"
    return type(error).__name__
