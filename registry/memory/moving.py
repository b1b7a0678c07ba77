"""Placing, moving with and without a gap, and ending sessions in memory; and what becomes of nodes."""

from __future__ import annotations

from msgspec.structs import replace

from registry.memory.mesh import Mesh
from registry.memory.placing import Wish, seek
from registry.memory.rows import Node, Session
from registry.store import Dialled, Reach

WARM = 15_000  # ms within which a node that takes over must have pictures
BLAMED = 60_000  # ms for which a report on a node counts
EJECTED, MOST_EJECTED = 10_000, 300_000  # ms that a node is left out the first time, and at most
REFORMED = 600_000  # ms after which earlier ejections count no more
SHARE = 0.34  # the part of the compute nodes that may be left out at once
DEAD_SHOWN = 900_000  # ms for which a node that died can be asked after
ENDED_SHOWN = 600_000  # ms for which a session that ended can be asked after
SLOT_FREE = "moved: a slot is free again"

# --- sessions


def place(mesh: Mesh, session: Session, node: Node, why: str) -> None:
    """Give a session to a node: from now on only the new token counts."""
    mesh.release(session)
    session.node, session.token, session.why = node.node_id, mesh.new_token(), why
    session.problem, session.fps = "", None
    mesh.waiting.drop(session.session_id)
    mesh.hold(session, node)
    mesh.counts["placements"] += 1


def move(mesh: Mesh, session: Session, without: str | None, reason: str) -> tuple[bool, str]:
    """Seek another node than `without` for a session: whether there was one, and why."""
    chosen, why = seek(mesh, Wish.of(session.facts), without)
    if chosen is None:
        return False, why
    place(mesh, session, chosen, why)
    mesh.set_state(session, "placed", reason)
    _count_move(mesh, reason)
    return True, why


def promote(mesh: Mesh, session: Session, reason: str) -> None:
    """The node that runs a session already takes it over."""
    mesh.release(session)
    session.node, session.token, session.why = session.following, session.next_token, session.next_why
    session.following, session.problem = None, ""
    mesh.warming.drop(session.session_id)
    mesh.bump(session.node)
    mesh.set_state(session, "running", reason)
    _count_move(mesh, reason)


def _count_move(mesh: Mesh, reason: str) -> None:
    """Count a move, also by what led to it. reason: in the words that the session shows."""
    cause = "gone"
    if reason.startswith("moved: a viewer got no frames from "):
        cause = "no frames"
    elif reason == SLOT_FREE:
        cause = "slot free"
    elif reason.endswith(" is draining"):
        cause = "draining"
    elif reason.endswith(" was started anew"):
        cause = "restart"
    mesh.counts["moves"] += 1
    mesh.counts[f"moves: {cause}"] += 1


def hand_over(mesh: Mesh, session: Session, leaving: Node, reason: str) -> None:
    """Move a session without a gap: another node runs it first. It is done at once where nobody would see a gap."""
    if session.following is not None:
        return
    if session.state != "running" or (session.viewers == 0 and not session.facts.pinned):
        move(mesh, session, leaving.node_id, f"moved: {reason}")
        return
    chosen, why = seek(mesh, Wish.of(session.facts), leaving.node_id)
    if chosen is None:
        return
    session.following, session.next_token, session.next_why = chosen.node_id, mesh.new_token(), why
    mesh.warming.put(session.session_id, mesh.now + WARM)
    mesh.hold(session, chosen)
    mesh.counts["placements"] += 1
    mesh.set_state(session, "moving", f"moving to {chosen.name}: {reason}")


def hand_all_over(mesh: Mesh, node: Node) -> None:
    reason = f"{node.name} is draining"
    for session in held_by(mesh, node):
        if session.following == node.node_id:
            displace(mesh, session, node, reason)
        else:
            hand_over(mesh, session, node, reason)


def displace(mesh: Mesh, session: Session, node: Node, reason: str) -> None:
    """A session lost its node, or the one that was to follow: give it another, or let it wait for one."""
    if session.following == node.node_id:
        mesh.drop_next(session)
        if session.node is not None:
            mesh.set_state(session, "running", reason)
        return
    if session.following is not None:
        promote(mesh, session, f"moved: {reason}")
        return
    mesh.release(session)
    moved, why = move(mesh, session, node.node_id, f"moved: {reason}")
    if not moved:
        mesh.set_state(session, "moving", f"{reason}; waiting for a free slot: {why}")
        mesh.waiting.put(session.session_id, mesh.now)
        if not session.facts.pinned:
            mesh.idle.put(session.session_id, mesh.now)


def displace_all(mesh: Mesh, node: Node, reason: str) -> None:
    for session in held_by(mesh, node):
        displace(mesh, session, node, reason)


def held_by(mesh: Mesh, node: Node) -> list[Session]:
    return [mesh.sessions[session_id] for session_id in node.held]


def failover(mesh: Mesh, session: Session, token: int, reporter: str) -> str:
    """A viewer gets no frames from the placement with this token. What happened, in words."""
    if session.state == "ended":
        return "the session has ended"
    if session.token != token:
        return "already moved: this is the present placement"
    if session.node is None:
        return "waiting for a free slot"
    node = mesh.nodes[session.node]
    reason = f"moved: a viewer got no frames from {node.name}"
    moved, why = True, ""
    if session.following is not None:
        promote(mesh, session, reason)
    else:
        moved, why = move(mesh, session, node.node_id, reason)
    blame(mesh, node, reporter)
    if node.state == "live":
        mesh.probe(node)
    if moved:
        return "moved"
    mesh.counts["refusals"] += 1
    return f"stays on {node.name}: no other node can take it: {why}"


def pin(mesh: Mesh, session: Session) -> None:
    """Somebody wants it to go on without a viewer."""
    session.facts = replace(session.facts, pinned=True)
    mesh.idle.drop(session.session_id)
    mesh.bump(session.node)
    mesh.bump(session.following)
    mesh.changed("session", session.session_id)


def finish(mesh: Mesh, session: Session, reason: str) -> None:
    mesh.drop_next(session)
    mesh.release(session)
    for index in (mesh.waiting, mesh.idle, mesh.expiring):
        index.drop(session.session_id)
    if mesh.joins.get(session.facts.join) == session.session_id:
        del mesh.joins[session.facts.join]
    session.viewers, session.problem, session.fps = 0, "", None
    mesh.set_state(session, "ended", reason)
    mesh.ended.put(session.session_id, mesh.now + ENDED_SHOWN)
    mesh.counts["sessions_ended"] += 1


# --- nodes


def bury(mesh: Mesh, node: Node, reason: str) -> None:
    """A node is gone: take it out of everything and move its sessions."""
    mesh.unlist(node)
    node.state, node.dead_at, node.dead_reason = "dead", mesh.now, reason
    for index in (
        mesh.alive, mesh.originals, mesh.suspects, mesh.stranded, mesh.unreached, mesh.draining, mesh.ejected,
    ):  # fmt: skip
        index.drop(node.node_id)
    node.reports.clear()
    mesh.dead.put(node.node_id, mesh.now + DEAD_SHOWN)
    displace_all(mesh, node, f"{node.name} is gone: {reason}")
    mesh.changed("node", node.node_id)


def bury_silent(mesh: Mesh, node: Node, reason: str) -> None:
    """A suspect node is given up."""
    bury(mesh, node, reason)
    mesh.lost.put(node.node_id, mesh.now)
    mesh.counts["nodes_died"] += 1


def revive(mesh: Mesh, node: Node) -> None:
    """A node is heard of again after its lease had ended. It is dialled before it gets more."""
    mesh.suspects.drop(node.node_id)
    mesh.stranded.drop(node.node_id)
    node.state = "live"
    mesh.probe(node)


def dialled(mesh: Mesh, node: Node, result: Dialled, again_after: int) -> None:
    """A node was dialled at its present address. again_after: milliseconds until the next try when it was in vain."""
    if result.gone and (node.state == "suspect" or blamed(mesh, node)):
        why = f"no beat for {node.silence(mesh.now)}" if node.state == "suspect" else "a viewer got no frames"
        bury_silent(mesh, node, f"{why}, and nothing listens at {node.url}")
        return
    if node.state == "suspect" or result.problem is not None:
        mesh.unreached.put(node.node_id, mesh.now + again_after)
    else:
        mesh.unreached.drop(node.node_id)
    if node.state == "live":
        _note_reach(mesh, node, result.problem)


def _note_reach(mesh: Mesh, node: Node, problem: str | None) -> None:
    """A live node was dialled. problem: why it was not reached."""
    reach: Reach = "failed" if problem is not None else "ok"
    if (node.reach, node.reach_reason) != (reach, problem or ""):
        if node.reach != reach:
            node.reach_since = mesh.now
        node.reach, node.reach_reason = reach, problem or ""
        mesh.changed("node", node.node_id)
    if problem is not None and blamed(mesh, node):
        blame(mesh, node, "registry")
    mesh.reindex(node)


def blame(mesh: Mesh, node: Node, reporter: str) -> None:
    """Somebody says that a node gives no frames. One alone has it dialled; several have it left out."""
    node.reports[reporter] = mesh.now
    reports = blamed(mesh, node)
    if reports >= 2:
        _eject(mesh, node, f"{reports} reports of missing frames within a minute")


def blamed(mesh: Mesh, node: Node) -> int:
    """How many reported a node lately."""
    node.reports = {who: at for who, at in node.reports.items() if at > mesh.now - BLAMED}
    return len(node.reports)


def _eject(mesh: Mesh, node: Node, reason: str) -> None:
    """Leave a node out for a while, the longer the more often; never so many that little is left."""
    computes = sum(other.there and other.manifest.kind == "compute" for other in mesh.nodes.values())
    out = len(mesh.ejected)
    if computes - out <= 1 or out >= max(1, int(computes * SHARE)):
        return
    node.ejections = 1 if mesh.now - node.ejected_at > REFORMED else node.ejections + 1
    node.ejected_at = mesh.now
    node.out_until = mesh.now + min(MOST_EJECTED, EJECTED * 2 ** (node.ejections - 1))
    node.out_reason = reason
    node.reports.clear()
    mesh.ejected.put(node.node_id, node.out_until)
    mesh.reindex(node)
    mesh.changed("node", node.node_id)
    mesh.counts["ejections"] += 1
