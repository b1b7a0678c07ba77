"""Nodes that register and beat, in memory; and sessions that are known again from the nodes that serve them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import msgspec

from mesh import codec
from mesh.manifest import Manifest
from mesh.wire import Assignment, Beat, CameraAddress, Load, SessionReport
from registry.memory.mesh import Mesh
from registry.memory.moving import displace_all, promote, revive
from registry.memory.placing import Wish
from registry.memory.rows import Node, Session, Ticket
from registry.store import BeatResult, Pulse, Registered, Remembered

DIAL_LATER = 3_000  # ms after which a node is dialled by whoever looks for it: the process that should may have died


def register(
    mesh: Mesh, manifest: Manifest, url: str, names: list[str], lease: int, *, remembered: Remembered | None = None
) -> Registered:
    serving = remembered.serving if remembered else manifest.serving
    past = mesh.nodes.get(manifest.node_id)
    old = past if past is not None and past.there else None
    if old is not None:
        mesh.unlist(old)
    if old is not None and old.manifest.boot_id == manifest.boot_id:
        unchanged = old.state == "live" and old.url == url
        node = replace(old, manifest=manifest, url=url, names=names, seen=mesh.now, state="live")
        node.reach = old.reach if unchanged else "checking"
        unchanged = unchanged and old.manifest.document == manifest.document
    else:
        unchanged = False
        node = Node(manifest=manifest, url=url, names=names, seen=mesh.now, awaited=serving > 0)
        mesh.ejected.drop(node.node_id)
        if old is not None:
            _inherit(node, old)
        elif remembered is not None:
            node.reach = "ok" if remembered.reached else "checking"
            node.orders = remembered.orders
    if manifest.original:
        node.reach = "ok"
    _list(mesh, node, lease)
    if old is None or old.manifest.boot_id != manifest.boot_id:
        displace_all(mesh, node, f"{node.name} was started anew")
    if not unchanged:
        mesh.changed("node", node.node_id)
    if manifest.kind == "camera" and (past is None or (past.url, past.name) != (url, manifest.name)):
        _tell_readers(mesh, node)
    mesh.counts["registrations"] += 1
    return Registered(new=old is None, dial=node.reach != "ok")


def _inherit(node: Node, old: Node) -> None:
    """What a node keeps when its process is started anew: not what was said against the old one."""
    node.held, node.draining = old.held, old.draining
    node.ejections, node.ejected_at = old.ejections, old.ejected_at


def _list(mesh: Mesh, node: Node, lease: int) -> None:
    mesh.nodes[node.node_id] = node
    (mesh.originals if node.manifest.original else mesh.alive).put(node.node_id, mesh.now + lease)
    for index in (mesh.dead, mesh.suspects, mesh.stranded, mesh.lost):
        index.drop(node.node_id)
    mesh.enlist(node)
    if node.reach == "ok":
        mesh.unreached.drop(node.node_id)
    else:
        mesh.unreached.put(node.node_id, mesh.now + DIAL_LATER)
    mesh.reindex(node)


def _tell_readers(mesh: Mesh, camera: Node) -> None:
    """Whoever fetches from a camera has to hear where it is now."""
    for session in mesh.sessions.values():
        if session.facts.camera == camera.node_id and session.state != "ended":
            mesh.bump(session.node)
            mesh.bump(session.following)
            mesh.changed("session", session.session_id)


def beat(mesh: Mesh, node_id: str, said: Beat, lease: int) -> BeatResult | None:
    node = mesh.nodes.get(node_id)
    if node is None or not node.there or node.manifest.boot_id != said.boot_id:
        return None
    mesh.alive.put(node_id, mesh.now + lease)
    was_suspect = node.state == "suspect"
    if was_suspect:
        revive(mesh, node)
    _hear(mesh, node, said.load)
    mesh.counts["beats"] += 1
    unknown = [report.session_id for report in said.sessions if not _take_report(mesh, node, report)]
    if node.awaited and not unknown:
        node.awaited = False
        mesh.reindex(node)
        mesh.changed("node", node_id)
    return BeatResult(
        draining=node.draining,
        assignments=[_assignment(mesh, node, mesh.sessions[session_id]) for session_id in node.held],
        orders=node.orders,
        unknown=unknown,
        url=node.url if was_suspect else "",
        dial=was_suspect,
    )


def pulse(mesh: Mesh, pulses: Sequence[Pulse], lease: int) -> list[str]:
    again = []
    for one in pulses:
        node = mesh.nodes.get(one.node_id)
        if node is None or node.state != "live" or node.manifest.boot_id != one.boot_id:
            again.append(one.node_id)
            continue
        if one.node_id in mesh.alive:
            mesh.alive.put(one.node_id, mesh.now + lease)
        _hear(mesh, node, one.load)
    mesh.counts["beats"] += len(pulses) - len(again)
    return again


def _hear(mesh: Mesh, node: Node, load: Load) -> None:
    before, node.load, node.seen = node.load, load, mesh.now
    if (before.direct, before.no_signal or "") != (load.direct, load.no_signal or ""):
        mesh.reindex(node)
        mesh.changed("node", node.node_id)


def _take_report(mesh: Mesh, node: Node, report: SessionReport) -> bool:
    """What a node says of a session that it runs; False when nobody knows that session."""
    session = mesh.sessions.get(report.session_id)
    if session is None:
        if report.ticket is None:
            return False
        session = _remembered(mesh, report.session_id, report.ticket)
        if session is None:
            return True  # nobody will ever know it: the node gives it up
        _adopt(mesh, session, node, report.token)
    elif session.state != "ended" and report.token > max(session.token, session.next_token):
        _adopt(mesh, session, node, report.token)
    if session.node == node.node_id and session.token == report.token:
        _serving(mesh, session, report)
    elif session.following == node.node_id and session.next_token == report.token and report.ready:
        promote(mesh, session, f"moved: {mesh.name_of(session.node or '')} is draining")
    return True


def _serving(mesh: Mesh, session: Session, report: SessionReport) -> None:
    same = (session.viewers, session.problem) == (report.viewers, report.problem or "")
    session.viewers, session.problem, session.fps = report.viewers, report.problem or "", report.fps
    if session.state == "placed":
        mesh.set_state(session, "running", session.state_reason)
    elif not same:
        mesh.changed("session", session.session_id)
    if session.viewers > 0 or session.facts.pinned:
        mesh.idle.drop(session.session_id)
    elif session.session_id not in mesh.idle:
        mesh.idle.put(session.session_id, mesh.now)


def remember(mesh: Mesh, session_id: str, facts: Ticket) -> Session:
    """Write down a session that no node serves yet."""
    session = Session(
        session_id=session_id,
        facts=facts,
        camera_name=facts.camera_name,
        camera_url=facts.camera_url,
        camera_original=facts.camera_original == "1",
    )
    mesh.sessions[session_id] = session
    mesh.joins.setdefault(facts.join, session_id)
    if facts.expires is not None:
        mesh.expiring.put(session_id, facts.expires)
    if not facts.pinned:
        mesh.idle.put(session_id, mesh.now)
    return session


def _remembered(mesh: Mesh, session_id: str, ticket: str) -> Session | None:
    """The session whose ticket a node sends; None when it cannot be read."""
    try:
        facts = codec.decode(ticket, Ticket)
        Wish.of(facts)
    except msgspec.DecodeError:
        return None
    return remember(mesh, session_id, facts)


def _adopt(mesh: Mesh, session: Session, node: Node, token: int) -> None:
    """The store lost its memory of a session, or of its last placement: the node that serves it knows better."""
    mesh.drop_next(session)
    mesh.release(session)
    mesh.token = max(mesh.new_token(), token)
    session.node, session.token, session.problem = node.node_id, token, ""
    session.why = f"{node.name} served it when the registry lost its memory"
    mesh.waiting.drop(session.session_id)
    mesh.hold(session, node)
    mesh.set_state(session, "running", f"known again from {node.name}")
    mesh.counts["adoptions"] += 1


def _assignment(mesh: Mesh, node: Node, session: Session) -> Assignment:
    camera = mesh.nodes.get(session.facts.camera)
    if camera is not None:
        # Kept with the session too: a camera that is gone for long is forgotten, and may come back.
        session.camera_name, session.camera_url = camera.name, camera.url
        session.camera_original = camera.manifest.original
    facts, warm = session.facts, session.following == node.node_id
    return Assignment(
        session_id=session.session_id,
        token=session.next_token if warm else session.token,
        camera=CameraAddress(
            node_id=facts.camera,
            name=session.camera_name,
            url=session.camera_url,
            original=session.camera_original,
        ),
        algorithm=facts.algorithm,
        width=facts.width,
        height=facts.height,
        fps=facts.fps,
        pinned=facts.pinned,
        gate=facts.gate,
        warm=warm,
        ticket=msgspec.json.encode(facts).decode(),
    )
