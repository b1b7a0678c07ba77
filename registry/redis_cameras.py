"""Added cameras on Redis: the part of registry.redis_store that is about them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import msgspec

from mesh import codec
from mesh.wire import HostedCamera, Hosting
from registry.camera_store import (
    DRAFT_SECONDS,
    MOST_CAMERAS,
    REMOVED_SECONDS,
    Added,
    CameraRecord,
    HostRecord,
    Put,
)

SWEEP_GAP = 2.0  # seconds without a sweep after which nobody can have asked or beaten: sweeps come ten times a second


class RedisCameras(ABC):
    """Implements registry.camera_store.CameraStore by scripts from `lua/`."""

    @abstractmethod
    def _run(self, script: str, *arguments: Any) -> Any: ...

    def cameras(self) -> Added:
        hosts, *rows = self._run("list_cameras")
        return Added(
            cameras=tuple(_record(row) for row in rows),
            hosts=tuple(
                HostRecord(node_id=node_id, capacity=int(capacity), running=running)
                for node_id, capacity, running in sorted(hosts)
            ),
        )

    def put_camera(self, record: CameraRecord, expected: int) -> Put:
        camera = record.camera
        outcome, other = self._run(
            "put_camera",
            camera.camera_id,
            expected,
            camera.revision,
            camera.name,
            int(camera.draft),
            record.wanted or "",
            record.wanted_name,
            _text(camera),
            round(DRAFT_SECONDS * 1000),
            MOST_CAMERAS,
        )
        return Put(outcome=outcome, other=other)

    def remove_camera(self, camera_id: str) -> bool:
        return bool(self._run("remove_camera", camera_id, round(REMOVED_SECONDS * 1000)))

    def host_cameras(self, node_id: str, hosting: Hosting, lease: float) -> list[HostedCamera] | None:
        reports = [(one.camera_id, one.revision, one.name, one.draft, _text(one)) for one in hosting.cameras]
        known, *wishes = self._run(
            "host_cameras",
            node_id,
            hosting.boot_id,
            round(lease * 1000),
            hosting.capacity,
            round(SWEEP_GAP * 1000),
            MOST_CAMERAS,
            msgspec.json.encode(hosting.problems),
            msgspec.json.encode(reports),
        )
        return [codec.decode(wish, HostedCamera) for wish in wishes] if known else None


def _text(camera: HostedCamera) -> str:
    return msgspec.json.encode(camera).decode()


def _record(row: list[Any]) -> CameraRecord:
    wish, wanted, wanted_name, host, problem, created, changed = row
    return CameraRecord(
        camera=codec.decode(wish, HostedCamera),
        wanted=wanted or None,
        wanted_name=wanted_name,
        host=host or None,
        problem=problem,
        created_at=int(created) / 1000,
        changed_at=int(changed) / 1000,
    )
