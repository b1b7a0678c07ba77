"""A node and a session as Redis hashes: what the scripts take, and how the fields are read back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import msgspec

from mesh import codec
from mesh.manifest import Kind
from mesh.wire import Assignment, CameraAddress, Gate, Load, Speed
from registry.store import NodeRecord, Pulse, Reach, Registering, SessionRecord, SessionState, Vital

Row = Mapping[str, str]
_text = msgspec.json.Encoder()
_loads = msgspec.json.Decoder(codec.learn(Load))


def pairs(flat: list[str]) -> dict[str, str]:
    """A flat answer `[field, value, …]` of a script as a dictionary."""
    return dict(zip(flat[::2], flat[1::2], strict=True))


def registering(one: Registering) -> tuple[str, bytes, bytes]:
    """What `register.lua` takes of a node: id, document, facts."""
    manifest, remembered = one.manifest, one.remembered
    facts = {
        "kind": manifest.kind,
        "name": manifest.name,
        "names": one.names,
        "labels": sorted(f"{name}={value}" for name, value in manifest.labels),
        "boot": manifest.boot_id,
        "url": one.url,
        "slots": manifest.slots,
        "serving": remembered.serving if remembered else manifest.serving,
        "reached": bool(remembered and remembered.reached),
        "orders": remembered.orders if remembered else 0,
        "original": manifest.original,
        "algorithms": [
            {"id": entry.id} if entry.fps is None else {"id": entry.id, "fps": entry.fps}
            for entry in manifest.algorithms.values()
        ],
    }
    if manifest.fps is not None:
        facts["fps"] = manifest.fps
    return manifest.node_id, msgspec.json.encode(manifest.document), msgspec.json.encode(facts)


def pulses(some: Sequence[Pulse]) -> bytes:
    """What `pulse.lua` takes of many beats. One argument: several for each beat cost twice the time."""
    beats = [
        (
            one.node_id,
            one.boot_id,
            one.load.direct,
            one.load.fps,
            one.load.no_signal or "",
            _text.encode(one.load).decode(),
        )
        for one in some
    ]
    return msgspec.json.encode(beats)


def vital(text: str) -> Vital:
    """What the hash `vitals` has of a node: milliseconds, a space, the load as JSON."""
    seen, _, load = text.partition(" ")
    return Vital(load=_loads.decode(load), seen=int(seen) / 1000)


def node(node_id: str, row: Row, vitals: str | None, *, lease_ends: float, read_at: float) -> NodeRecord:
    """The node with the hash `row`. lease_ends, read_at: Unix seconds of Redis's clock."""
    state = row.get("state")
    dead = state == "dead"
    last = vital(vitals) if vitals else Vital(load=Load(), seen=_seconds(row.get("seen")))
    return NodeRecord(
        node_id=node_id,
        kind=cast(Kind, row["kind"]),
        name=row["name"],
        boot_id=row["boot"],
        url=row["url"],
        slots=int(row["slots"]),
        used=int(row.get("used", 0)),
        load=last.load,
        document=msgspec.json.decode(row["document"]),
        algorithms=tuple(row.get("algorithms", "").split()),
        original=row.get("original") == "1",
        draining=row.get("draining") == "1",
        reach=cast(Reach, "checking" if row.get("awaited") == "1" else row["reach"]),
        reach_reason=row.get("reach_reason", ""),
        read_at=read_at,
        lease_ends=lease_ends,
        last_seen=max(last.seen, _seconds(row.get("seen"))),
        dead_at=_seconds(row.get("dead_at")) if dead else None,
        dead_reason=row.get("dead_reason", "") if dead else "",
        suspect_at=_seconds(row.get("suspect_at")) if state == "suspect" else None,
        out_until=_seconds(row["out_until"]) if row.get("out_until") else None,
        out_reason=row.get("out_reason", ""),
        orders=int(row.get("orders", 0)),
    )


def beside(row: Row, nodes: Mapping[str, NodeRecord]) -> dict[str, str]:
    """What a session's reader shows of its nodes, as the scripts' `view` gives it."""
    serving, camera = nodes.get(row.get("node", "")), nodes.get(row["camera"])
    found = {"camera_state": "live" if camera and camera.alive else "dead"}
    if serving:
        found |= {"node_name": serving.name, "node_url": serving.url}
    if camera and not camera.alive:
        found["camera_reason"] = camera.dead_reason
    return found


def session(row: Row) -> SessionRecord:
    """The session with the hash `row`, completed by its nodes' fields as the scripts' `view` gives them."""
    node_id = row.get("node") or None
    gone = row.get("camera_state") not in ("live", "suspect")
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
        fps=float(row.get("fps_now") or 0),
        problem=row.get("problem", ""),
        width=_whole(row.get("width")),
        height=_whole(row.get("height")),
        max_fps=float(row["max_fps"]) if row.get("max_fps") else None,
        gate=_gate(row.get("gate")),
        created_at=_seconds(row.get("created")),
        changed_at=_seconds(row.get("changed")),
        camera_gone=(row.get("camera_reason") or "it is unknown") if gone else None,
        following=row.get("next") or None,
        require=codec.decode(row.get("require") or "{}", dict[str, str]),
        prefer=codec.decode(row.get("prefer") or "{}", dict[str, str]),
        speed=cast(Speed, row.get("speed") or "any"),
        expires_at=_seconds(row["expires"]) if row.get("expires") else None,
    )


def assignment(fields: list[Any]) -> Assignment:
    """One element of the beat script's answer."""
    (
        session_id, token, camera, name, url, original, algorithm, width, height, fps, pinned, gate, warm, ticket,
    ) = fields  # fmt: skip
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
        warm=warm == "1",
        ticket=ticket or "",
    )


def _gate(text: str | None) -> Gate | None:
    return cast(Gate, text) if text else None


def _whole(text: str | None) -> int | None:
    return int(text) if text else None


def _seconds(milliseconds: str | None) -> float:
    return int(milliseconds) / 1000 if milliseconds else 0.0
