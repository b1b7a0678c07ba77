"""How an added camera stands, in one word and a reason, and the documents under which it and its hosts are listed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from mesh.logs import redact
from mesh.source import shown
from mesh.wire import AddedCamera, CameraHost, CameraList
from registry import standing
from registry.camera_store import Added, CameraRecord, HostRecord
from registry.store import NodeRecord

CameraState = Literal["waiting", "starting", "running", "failing"]
NO_HOST = "no camera host is there: start a camera node with --host-cameras 8"
ALL_FULL = "every camera host is full: start another camera node with --host-cameras 8, or remove a camera"
Lookup = Callable[[str], NodeRecord | None]


def listed(added: Added, node: Lookup, *, stale: bool = False) -> CameraList:
    """node: gives the node with an id, None for one that nobody knows."""
    return CameraList(
        cameras=[document_of(record, added, node) for record in added.cameras],
        hosts=[
            CameraHost(node_id=host.node_id, name=found.name, capacity=host.capacity, running=host.running)
            for host, found in _there(added, node)
        ],
        stale=stale,
    )


def document_of(record: CameraRecord, added: Added, node: Lookup) -> AddedCamera:
    camera = record.camera
    host = node(record.host) if record.host is not None else None
    state, reason, url = _state_of(record, added, node)
    return AddedCamera(
        camera_id=camera.camera_id,
        revision=camera.revision,
        name=camera.name,
        source=shown(camera.source).text,
        width=camera.width,
        height=camera.height,
        fps=camera.fps,
        verify=camera.verify,
        draft=camera.draft,
        host=record.host,
        host_name=host.name if host else None,
        host_wanted=record.wanted,
        state=state,
        state_reason=reason,
        url=url,
        created_at=record.created_at,
        changed_at=record.changed_at,
    )


def _state_of(record: CameraRecord, added: Added, node: Lookup) -> tuple[CameraState, str, str | None]:
    """The state, its reason, and where the camera's pictures are."""
    if record.host is None:
        return "waiting", _waits_for(record, added, node), None
    own = node(record.camera.camera_id)
    if own is not None and not own.alive:
        own = None
    url = own.url if own is not None else None
    if record.problem:
        # Its host should not repeat what it was told in confidence; that it never shows does not hang on that.
        said = record.problem.replace(record.camera.source, shown(record.camera.source).text)
        return "failing", redact(said), url
    if own is not None:
        return *_state_of_node(own), url
    host = node(record.host)
    if host is None or not host.alive:
        return "waiting", f"its host {host.name if host else record.host} is away", None
    return "starting", f"{host.name} starts it", None


def _state_of_node(own: NodeRecord) -> tuple[CameraState, str]:
    """The state of a camera by that of the node as which it runs."""
    state, reason = standing.state_of(own)
    if state == "unreachable" and own.reach == "checking":
        return "starting", reason
    if state in ("unreachable", "suspect") or own.load.no_signal:
        return "failing", own.load.no_signal or reason
    return "running", ""


def _waits_for(record: CameraRecord, added: Added, node: Lookup) -> str:
    hosts = _there(added, node)
    if record.wanted is not None:
        its = next(((host, found) for host, found in hosts if host.node_id == record.wanted), None)
        return _why_not(*its) if its else f"its host {_name(record, node(record.wanted))} is away"
    if not hosts:
        return NO_HOST
    full = all(found.draining or host.running >= host.capacity for host, found in hosts)
    return ALL_FULL if full else "a camera host is about to take it"


def _why_not(host: HostRecord, node: NodeRecord) -> str:
    """Why a camera that is bound to this host is not there."""
    if node.draining:
        return f"its host {node.name} is draining"
    if host.running >= host.capacity:
        return f"its host {node.name} is full: it runs {host.running} of {host.capacity} cameras"
    return f"{node.name} is about to take it"


def _name(record: CameraRecord, wanted: NodeRecord | None) -> str:
    """What the wanted host is called, or was when it was chosen."""
    return wanted.name if wanted else record.wanted_name or record.wanted or ""


def _there(added: Added, node: Lookup) -> list[tuple[HostRecord, NodeRecord]]:
    """The hosts that live and run cameras, by name."""
    found = [(host, node(host.node_id)) for host in added.hosts if host.capacity > 0]
    alive = [(host, known) for host, known in found if known is not None and known.alive]
    return sorted(alive, key=lambda pair: (pair[1].name.casefold(), pair[0].node_id))
