"""A node and a session as Redis hashes: how their fields are read back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import msgspec

from mesh.manifest import Kind
from mesh.wire import Assignment, CameraAddress, Gate, Load
from registry.store import NodeRecord, Reach, SessionRecord, SessionState

Row = Mapping[str, str]


def pairs(flat: list[str]) -> dict[str, str]:
    """A flat answer `[field, value, …]` of a script as a dictionary."""
    return dict(zip(flat[::2], flat[1::2], strict=True))


def node(node_id: str, row: Row, *, used: int, lease_ends: float, read_at: float) -> NodeRecord:
    """The node with the hash `row`. lease_ends, read_at: Unix seconds of Redis's clock."""
    dead = row.get("state") != "live"
    return NodeRecord(
        node_id=node_id,
        kind=cast(Kind, row["kind"]),
        name=row["name"],
        boot_id=row["boot"],
        url=row["url"],
        slots=int(row["slots"]),
        used=used,
        load=msgspec.json.decode(row.get("load") or "{}", type=Load),
        document=msgspec.json.decode(row["document"]),
        algorithms=tuple(row.get("algorithms", "").split()),
        original=row.get("original") == "1",
        draining=row.get("draining") == "1",
        reach=cast(Reach, row["reach"]),
        reach_reason=row.get("reach_reason", ""),
        read_at=read_at,
        lease_ends=lease_ends,
        last_seen=_seconds(row.get("seen")),
        dead_at=_seconds(row.get("dead_at")) if dead else None,
        dead_reason=row.get("dead_reason", "") if dead else "",
    )


def session(row: Row) -> SessionRecord:
    """The session with the hash `row`, completed by its nodes' fields as the scripts' `view` gives them."""
    node_id = row.get("node") or None
    gone = row.get("camera_state") != "live"
    return SessionRecord(
        session_id=row["session_id"],
        camera=row["camera"],
        camera_name=row["camera_name"],
        algorithm=row["algorithm"],
        state=cast(SessionState, row["state"]),
        state_reason=row.get("state_reason", ""),
        node=node_id,
        node_name=row.get("node_name") if node_id else None,
        node_url=row.get("node_url") if node_id else None,
        token=int(row.get("token", 0)),
        why=row.get("why", ""),
        pinned=row.get("pinned") == "1",
        viewers=int(row.get("viewers", 0)),
        fps=float(row.get("fps_now", 0)),
        problem=row.get("problem", ""),
        width=_whole(row.get("width")),
        height=_whole(row.get("height")),
        max_fps=float(row["max_fps"]) if row.get("max_fps") else None,
        gate=_gate(row.get("gate")),
        created_at=_seconds(row.get("created")),
        changed_at=_seconds(row.get("changed")),
        camera_gone=(row.get("camera_reason") or "it is unknown") if gone else None,
    )


def assignment(fields: list[Any]) -> Assignment:
    """One element of the beat script's answer."""
    session_id, token, camera, name, url, original, algorithm, width, height, fps, pinned, gate = fields
    return Assignment(
        session_id=session_id,
        token=int(token),
        camera=CameraAddress(node_id=camera, name=name, url=url, original=original == "1"),
        algorithm=algorithm,
        width=_whole(width),
        height=_whole(height),
        fps=float(fps) if fps else None,
        pinned=pinned == "1",
        gate=_gate(gate),
    )


def _gate(text: str | None) -> Gate | None:
    return cast(Gate, text) if text else None


def _whole(text: str | None) -> int | None:
    return int(text) if text else None


def _seconds(milliseconds: str | None) -> float:
    return int(milliseconds) / 1000 if milliseconds else 0.0
