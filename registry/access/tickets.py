"""Signed addresses: each opens one view of one session, or one picture of one camera, at the node that serves it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from mesh.access import Principal
from mesh.access_wire import CameraAddresses, SessionAddresses, TicketRequest, Tickets
from mesh.proof import Ticket, issue, with_ticket
from registry.access.enrolments import Enrolments
from registry.access.trust import Trust
from registry.sessions import VIEWS, address_of
from registry.settings import KEY_STREAM_SECONDS
from registry.store import NodeRecord, SessionRecord

LOCAL: Final = "local"  # the subject of whoever asks on the registry's own machine
PICTURES: Final = {"image_url": "/image.jpg", "stream_url": "/stream.jpg"}


@dataclass(frozen=True, slots=True)
class Lasting:
    """Seconds: within which a signed address is opened; after which what it opened ends, for people."""

    opens: float
    streams: float

    def of(self, principal: Principal) -> float:
        """After how many seconds a stream of this principal ends."""
        return self.streams if principal.kind == "person" else KEY_STREAM_SECONDS


@dataclass(frozen=True, slots=True)
class _Opens:
    """What a signed address opens, as mesh.proof.Ticket has it."""

    node_id: str
    path: str
    session: str = ""
    token: int | None = None


class Addresses:
    """Signs addresses for whoever may see what they open. Any thread may call any method.

    Only addresses of nodes that have joined are signed: others would not know what to make of it.
    """

    def __init__(self, trust: Trust, enrolments: Enrolments, lasting: Lasting) -> None:
        self._trust = trust
        self._enrolments = enrolments
        self._lasting = lasting

    def view(self, principal: Principal | None, session: SessionRecord, view: str) -> str | None:
        """Where `view` of the session is opened; None while no node serves it."""
        plain = address_of(session, view)
        if plain is None or session.node is None or not self._enrolments.signs(session.node):
            return plain
        return self._sign(principal, plain, _view(session.node, session.session_id, session.token, view))

    def signed(self, principal: Principal | None, document: dict[str, Any]) -> dict[str, Any]:
        """A session's `document` with signed addresses."""
        node = document["node"]
        if node is None or document["stream_url"] is None or not self._enrolments.signs(node):
            return document
        session_id, token = document["session_id"], document["token"]
        return document | {
            f"{view}_url": self._sign(principal, document[f"{view}_url"], _view(node, session_id, token, view))
            for view in VIEWS
        }

    def many(
        self,
        principal: Principal | None,
        wanted: TicketRequest,
        session: Callable[[str], SessionRecord | None],
        node: Callable[[str], NodeRecord | None],
    ) -> Tickets:
        """The addresses of those that there are now. session, node: give what has this id."""
        served: dict[str, SessionAddresses] = {}
        for ident in wanted.sessions:
            record = session(ident)
            addresses = self._session(principal, record) if record is not None else None
            if addresses is not None:
                served[ident] = addresses
        pictures: dict[str, CameraAddresses] = {}
        for ident in wanted.cameras:
            camera = node(ident)
            if camera is not None and camera.kind == "camera" and camera.alive:
                pictures[ident] = self._camera(principal, camera)
        urls = [one.stream_url for one in served.values()] + [one.stream_url for one in pictures.values()]
        signed = any("ticket=" in url for url in urls)
        return Tickets(
            sessions=served,
            cameras=pictures,
            seconds=self._lasting.opens if signed else None,
            stream_seconds=self._lasting.of(principal) if signed and principal is not None else None,
        )

    def _session(self, principal: Principal | None, record: SessionRecord) -> SessionAddresses | None:
        if record.state == "ended" or record.node is None or record.node_url is None:
            return None
        urls = {f"{view}_url": self.view(principal, record, view) or "" for view in VIEWS}
        return SessionAddresses(token=record.token, node=record.node, **urls)

    def _camera(self, principal: Principal | None, camera: NodeRecord) -> CameraAddresses:
        signs = not camera.original and self._enrolments.signs(camera.node_id)
        return CameraAddresses(
            **{
                name: self._sign(principal, f"{camera.url}{path}", _Opens(camera.node_id, path))
                if signs
                else f"{camera.url}{path}"
                for name, path in PICTURES.items()
            }
        )

    def _sign(self, principal: Principal | None, address: str, opens: _Opens) -> str:
        if principal is None:
            return address  # nobody in particular asks: what the address opens is not theirs to see
        now = self._trust.clock()
        ticket = Ticket(
            node_id=opens.node_id,
            path=opens.path,
            subject=principal.id or LOCAL,
            name=principal.name,
            session=opens.session,
            token=opens.token,
            opens_until=now + self._lasting.opens,
            ends=now + self._lasting.of(principal),
        )
        return with_ticket(address, issue(self._trust.signer, ticket))


def _view(node_id: str, session_id: str, token: int, view: str) -> _Opens:
    return _Opens(node_id, f"/v1/sessions/{session_id}/{view}", session_id, token)
