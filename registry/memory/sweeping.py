"""What has to happen in memory without anybody asking."""

from __future__ import annotations

from registry.memory.mesh import Mesh
from registry.memory.moving import (
    SLOT_FREE,
    blame,
    bury,
    bury_silent,
    displace,
    displace_all,
    finish,
    hand_all_over,
    held_by,
    move,
    promote,
)
from registry.memory.rows import Node
from registry.store import Swept

BATCH = 64  # of each kind in one run, so that nobody waits for long
FEW, PART = 3, 0.15  # when this many nodes, and more than this part of all, vanish in one window, it is the network
FORGET = 900_000  # ms after which a suspect node is given up whatever is suspected
STRANDED = 15_000  # ms after which the sessions of a suspect node are moved although the network is suspected
STRANDED_AGAIN = 5_000  # ms until that is tried once more
AGAIN = 500  # ms between two tries to find a node for a session
DIAL_AGAIN = 2_000  # ms after which a suspect node is dialled by whoever looks for it
GAP = 2_000  # ms without a sweep after which nobody can have beaten: sweeps come ten times a second
JUMP = 1_000  # ms by which the clock may go back before everything that waits is put on the new time


def sweep(mesh: Mesh, lease: int, idle: int) -> Swept:
    _keep_time(mesh, lease)
    watching = mesh.grace <= mesh.now
    late = mesh.alive.until(mesh.now) if watching else []
    _doubt_the_network(mesh, len(late), lease)
    late = late[:BATCH]
    suspects = tuple(_suspect(mesh, mesh.nodes[node_id]) for node_id in late)
    died, many_died = _give_up(mesh, lease)
    _clear_stranded(mesh)
    _readmit(mesh)
    ended = _end_sessions(mesh, idle)
    _forget(mesh)
    _stop_waiting_for_followers(mesh)
    for node_id in mesh.draining.until(mesh.now - AGAIN, 8):
        mesh.draining.put(node_id, mesh.now)
        hand_all_over(mesh, mesh.nodes[node_id])
    # Those that were sought a node for the longest time ago come first, so that none starves behind hopeless ones.
    for session_id in mesh.waiting.until(mesh.now - AGAIN, 32):
        if not move(mesh, mesh.sessions[session_id], None, SLOT_FREE)[0]:
            mesh.waiting.put(session_id, mesh.now)
    return Swept(
        died=died,
        ended=ended,
        suspects=suspects,
        preserving=mesh.preserving is not None,
        more=len(late) == BATCH or many_died,
    )


def _keep_time(mesh: Mesh, lease: int) -> None:
    if mesh.swept is not None and mesh.swept > mesh.now + JUMP:
        for node_id in list(mesh.alive):
            mesh.alive.put(node_id, mesh.now + lease)
        for index in (
            mesh.suspects, mesh.stranded, mesh.draining, mesh.unreached, mesh.waiting, mesh.warming, mesh.idle,
            mesh.ejected,
        ):  # fmt: skip
            for name in list(index):
                index.put(name, mesh.now)
    # When no sweep ran for a while, the process stood still, and nobody could beat: give everybody a lease's time.
    if mesh.swept is None or abs(mesh.now - mesh.swept) > GAP:
        mesh.grace = mesh.now + lease
    mesh.swept = mesh.now


def _doubt_the_network(mesh: Mesh, silent: int, lease: int) -> None:
    """Begin or end self-preservation. silent: nodes whose lease has just ended."""
    for node_id in mesh.lost.until(mesh.now - 2 * lease):
        mesh.lost.drop(node_id)
    gone = silent + len(mesh.suspects) + len(mesh.lost)
    everybody = len(mesh.alive) + len(mesh.suspects) + len(mesh.lost)
    preserving = gone >= FEW and gone > PART * everybody
    if preserving != (mesh.preserving is not None):
        mesh.preserving = mesh.now if preserving else None
        mesh.changed("mesh")
        mesh.counts["preservations"] += preserving


def _suspect(mesh: Mesh, node: Node) -> tuple[str, str]:
    """A node's lease has ended. Its id and URL."""
    node_id = node.node_id
    mesh.alive.drop(node_id)
    mesh.suspects.put(node_id, mesh.now)
    mesh.stranded.put(node_id, mesh.now + STRANDED)
    mesh.unreached.put(node_id, mesh.now + DIAL_AGAIN)
    node.state, node.suspect_at = "suspect", mesh.now
    mesh.reindex(node)
    mesh.changed("node", node_id)
    if mesh.preserving is None:
        displace_all(mesh, node, f"{node.name} is gone: no beat for {node.silence(mesh.now)}")
    mesh.counts["nodes_suspected"] += 1
    return node_id, node.url


def _give_up(mesh: Mesh, lease: int) -> tuple[int, bool]:
    """Bury whom nobody hopes for any more: how many, and whether there may be more."""
    doubted = mesh.suspects.until(mesh.now - (FORGET if mesh.preserving is not None else lease), BATCH)
    for node_id in doubted:
        node = mesh.nodes[node_id]
        bury_silent(mesh, node, f"no beat for {node.silence(mesh.now)}")
    originals = mesh.originals.until(mesh.now, BATCH)
    for node_id in originals:
        node = mesh.nodes[node_id]
        bury(mesh, node, f"not renewed for {node.silence(mesh.now)}")
        mesh.counts["nodes_died"] += 1
    return len(doubted) + len(originals), len(doubted) == BATCH


def _clear_stranded(mesh: Mesh) -> None:
    """A suspect node's host may come back, but its viewers wait: move what can be moved."""
    for node_id in mesh.stranded.until(mesh.now, 8):
        node = mesh.nodes[node_id]
        reason = f"{node.name} has not been heard of for {node.silence(mesh.now)}"
        for session in held_by(mesh, node):
            if session.following == node_id:
                displace(mesh, session, node, reason)
            elif session.following is not None:
                promote(mesh, session, f"moved: {reason}")
            else:
                move(mesh, session, node_id, f"moved: {reason}")
        if node.held:
            mesh.stranded.put(node_id, mesh.now + STRANDED_AGAIN)
        else:
            mesh.stranded.drop(node_id)


def _readmit(mesh: Mesh) -> None:
    """Those that were left out for long enough are dialled, and may then be given sessions."""
    for node_id in mesh.ejected.until(mesh.now, BATCH):
        node = mesh.nodes[node_id]
        mesh.ejected.drop(node_id)
        node.out_until, node.out_reason = 0, ""
        mesh.probe(node)


def _end_sessions(mesh: Mesh, idle: int) -> int:
    """End those that nobody watches and those whose time is over: how many."""
    unwatched = mesh.idle.until(mesh.now - idle, BATCH)
    for session_id in unwatched:
        finish(mesh, mesh.sessions[session_id], f"nobody watched for {idle // 1000} s")
    over = mesh.expiring.until(mesh.now, BATCH)
    for session_id in over:
        finish(mesh, mesh.sessions[session_id], "its time was over")
    return len(unwatched) + len(over)


def _forget(mesh: Mesh) -> None:
    for node_id in mesh.dead.until(mesh.now, BATCH):
        mesh.dead.drop(node_id)
        del mesh.nodes[node_id]
        mesh.changed("node", node_id)
    for session_id in mesh.ended.until(mesh.now, BATCH):
        mesh.ended.drop(session_id)
        del mesh.sessions[session_id]
        mesh.changed("session", session_id)


def _stop_waiting_for_followers(mesh: Mesh) -> None:
    """A node that was to take over gave no frames in time."""
    for session_id in mesh.warming.until(mesh.now, BATCH):
        session = mesh.sessions[session_id]
        follower = mesh.nodes[session.following or ""]
        mesh.drop_next(session)
        blame(mesh, follower, "registry")
        mesh.probe(follower)
        if session.node is not None:
            mesh.set_state(session, "running", f"{follower.name} was to take over and gave no frames")
