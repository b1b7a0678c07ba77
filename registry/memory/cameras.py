"""Added cameras in memory, and which host runs which."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from msgspec.structs import replace

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
from registry.memory.mesh import Mesh
from registry.memory.sweeping import GAP


@dataclass(slots=True)
class _Host:
    """A node that asks what to run. ends: ms; its cameras go to others then."""

    capacity: int = 0
    ends: int = 0
    runs: set[str] = field(default_factory=set)


class MemoryCameras:
    """Implements registry.camera_store.CameraStore, with the same answers as the one on Redis."""

    def __init__(self, mesh: Mesh) -> None:
        self._mesh = mesh
        self._added: dict[str, CameraRecord] = {}  # by id, the oldest first
        self._drafts: dict[str, int] = {}  # ms: when they are forgotten
        self._removed: dict[str, int] = {}  # ms: until when that is known
        self._hosts: dict[str, _Host] = {}

    def cameras(self) -> Added:
        with self._mesh.at_work():
            self._drop_drafts()
            return Added(
                cameras=tuple(self._added[camera_id] for camera_id in self._oldest_first(self._added)),
                hosts=tuple(
                    HostRecord(node_id=node_id, capacity=host.capacity, running=len(host.runs))
                    for node_id, host in sorted(self._hosts.items())
                ),
            )

    def put_camera(self, record: CameraRecord, expected: int) -> Put:
        camera = record.camera
        with self._mesh.at_work():
            self._drop_drafts()
            known = self._added.get(camera.camera_id)
            if known is None and expected > 0:
                return Put(outcome="unknown")
            if (known.camera.revision if known else 0) != expected:
                return Put(outcome="changed")
            if known is None and len(self._added) >= MOST_CAMERAS:
                return Put(outcome="full")
            for other in () if camera.draft else self._added.values():
                if other.camera.camera_id != camera.camera_id and _saved_as(other, camera.name):
                    return Put(outcome="taken", other=other.camera.camera_id)
            self._write(camera)
            now = self._added[camera.camera_id]
            self._added[camera.camera_id] = replace(now, wanted=record.wanted, wanted_name=record.wanted_name)
            if now.host is not None and record.wanted not in (None, now.host):
                self._give(camera.camera_id, None)
            return Put(outcome="stored")

    def remove_camera(self, camera_id: str) -> bool:
        with self._mesh.at_work():
            self._removed = {one: until for one, until in self._removed.items() if until > self._mesh.now}
            if camera_id in self._added:
                self._forget(camera_id)
                self._removed[camera_id] = self._mesh.now + round(REMOVED_SECONDS * 1000)
            return camera_id in self._removed

    def host_cameras(self, node_id: str, hosting: Hosting, lease: float) -> list[HostedCamera] | None:
        mesh = self._mesh
        with mesh.at_work():
            node = mesh.nodes.get(node_id)
            if node is None or not node.there or node.manifest.boot_id != hosting.boot_id:
                return None
            self._drop_drafts()
            self._remember(hosting.cameras)
            self._pass_over_lost_hosts(node_id)
            host = self._hosts.setdefault(node_id, _Host(capacity=-1))
            host.ends = mesh.now + round(lease * 1000)
            if host.capacity != hosting.capacity:
                host.capacity = hosting.capacity
                mesh.changed("camera")
            for camera_id in self._oldest_first(host.runs)[host.capacity :]:
                self._give(camera_id, None)
            self._place(node_id, {one.camera_id for one in hosting.cameras})
            answer = []
            for camera_id in self._oldest_first(host.runs):
                record, problem = self._added[camera_id], hosting.problems.get(camera_id, "")
                if record.problem != problem:
                    self._added[camera_id] = replace(record, problem=problem)
                    mesh.changed("camera", camera_id)
                answer.append(record.camera)
            return answer

    # --- steps of the above, inside `at_work`

    def _write(self, camera: HostedCamera) -> None:
        at = self._mesh.now / 1000
        known = self._added.get(camera.camera_id) or CameraRecord(camera=camera, created_at=at)
        self._added[camera.camera_id] = replace(known, camera=camera, changed_at=at)
        if camera.draft:
            self._drafts[camera.camera_id] = self._mesh.now + round(DRAFT_SECONDS * 1000)
        else:
            self._drafts.pop(camera.camera_id, None)
        self._mesh.changed("camera", camera.camera_id)

    def _forget(self, camera_id: str) -> None:
        record = self._added.pop(camera_id)
        self._drafts.pop(camera_id, None)
        if record.host is not None:
            self._hosts[record.host].runs.discard(camera_id)
        self._mesh.changed("camera", camera_id)

    def _drop_drafts(self) -> None:
        for camera_id in [one for one, until in self._drafts.items() if until <= self._mesh.now]:
            self._forget(camera_id)

    def _give(self, camera_id: str, host: str | None) -> None:
        """Let a camera have this host, or none."""
        record = self._added[camera_id]
        if record.host is not None:
            self._hosts[record.host].runs.discard(camera_id)
        if host is not None:
            self._hosts[host].runs.add(camera_id)
        self._added[camera_id] = replace(record, host=host, problem="")
        self._mesh.changed("camera", camera_id)

    def _remember(self, reported: Iterable[HostedCamera]) -> None:
        """What the store has lost, the hosts know."""
        for camera in reported:
            known = self._added.get(camera.camera_id)
            removed = self._removed.get(camera.camera_id, 0) > self._mesh.now
            news = known.camera.revision < camera.revision if known else len(self._added) < MOST_CAMERAS
            if not camera.draft and not removed and news:
                self._write(camera)

    def _pass_over_lost_hosts(self, asking: str) -> None:
        mesh = self._mesh
        # While no sweep runs the process stood still, and nobody could ask.
        watching = mesh.swept is not None and abs(mesh.now - mesh.swept) <= GAP and mesh.grace <= mesh.now
        for node_id, host in list(self._hosts.items()):
            if node_id != asking and (not self._there(node_id) or (watching and host.ends <= mesh.now)):
                for camera_id in list(host.runs):
                    self._give(camera_id, None)
                del self._hosts[node_id]
                mesh.changed("camera")

    def _place(self, asking: str, runs: set[str]) -> None:
        """Give the cameras without a host to those with room. runs: what the asking one runs already."""
        without = [camera_id for camera_id, record in self._added.items() if record.host is None]
        homeless = [self._added[camera_id] for camera_id in self._oldest_first(without)]
        room = {node_id: self._room(node_id, host) for node_id, host in sorted(self._hosts.items())} if homeless else {}

        def give(camera_id: str, host: str) -> None:
            self._give(camera_id, host)
            room[host] -= 1

        free = []
        # Those that belong to a host come before those that any can have.
        for record in homeless:
            camera_id = record.camera.camera_id
            host = record.wanted or (asking if camera_id in runs else None)
            if host is not None and room.get(host, 0) > 0:
                give(camera_id, host)
            elif record.wanted is None:
                free.append(camera_id)
        for camera_id in free:
            open_to = [node_id for node_id, left in room.items() if left > 0]
            if not open_to:
                break
            give(camera_id, min(open_to, key=lambda node_id: len(self._hosts[node_id].runs)))

    def _room(self, node_id: str, host: _Host) -> int:
        node = self._mesh.nodes.get(node_id)
        if node is None or not node.there or node.draining:
            return 0
        return host.capacity - len(host.runs)

    def _there(self, node_id: str) -> bool:
        node = self._mesh.nodes.get(node_id)
        return node is not None and node.there

    def _oldest_first(self, camera_ids: Iterable[str]) -> list[str]:
        return sorted(camera_ids, key=lambda camera_id: (self._added[camera_id].created_at, camera_id))


def _saved_as(record: CameraRecord, name: str) -> bool:
    return record.camera.name == name and not record.camera.draft
