"""What the registry remembers of cameras that people add, and of the camera nodes that run them."""

from __future__ import annotations

from typing import Literal, Protocol

import msgspec

from mesh.wire import HostedCamera, Hosting

MOST_CAMERAS = 1024  # that can be added: what one host may report, and a page of the dashboard can still show
DRAFT_SECONDS = 120.0  # for which a draft is kept after the last word about it
REMOVED_SECONDS = 86_400.0  # for which it is known that a camera was removed: a host that was away still reports it

Stored = Literal["stored", "changed", "unknown", "full", "taken"]


class CameraRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One added camera as the store has it.

    camera: what its host is told. host: the id of the node that runs it or is to, None while none is found. wanted: the
    id of the node that it is bound to, with the name that this had then. problem: why its host cannot run it, in its
    words. created_at, changed_at: seconds of the store's clock.
    """

    camera: HostedCamera
    wanted: str | None = None
    wanted_name: str = ""
    host: str | None = None
    problem: str = ""
    created_at: float = 0.0
    changed_at: float = 0.0


class HostRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A node that asked what to run, lately when last looked. running: cameras that it was given."""

    node_id: str
    capacity: int
    running: int


class Added(msgspec.Struct, frozen=True, kw_only=True):
    """All added cameras, the oldest first, and all hosts."""

    cameras: tuple[CameraRecord, ...] = ()
    hosts: tuple[HostRecord, ...] = ()

    def camera(self, camera_id: str) -> CameraRecord | None:
        return next((one for one in self.cameras if one.camera.camera_id == camera_id), None)


class Put(msgspec.Struct, frozen=True, kw_only=True):
    """outcome: `stored`; `changed` by somebody else meanwhile; `unknown`, for it was removed or forgotten; `full`,
    there are MOST_CAMERAS; `taken`, the name is that of the camera `other`."""

    outcome: Stored
    other: str = ""


class CameraStore(Protocol):
    """The part of registry.store.Store that is about added cameras."""

    def cameras(self) -> Added: ...

    def put_camera(self, record: CameraRecord, expected: int) -> Put:
        """Write down what `record` says of a camera, but for its host, problem and times, which the store knows better.
        expected: the revision that the camera has, 0 for a new one. A draft is kept for DRAFT_SECONDS from now on."""
        ...

    def remove_camera(self, camera_id: str) -> bool:
        """Whether it was there, or was removed within REMOVED_SECONDS."""
        ...

    def host_cameras(self, node_id: str, hosting: Hosting, lease: float) -> list[HostedCamera] | None:
        """Take down what a host says, give the cameras without a host to those with room, the emptiest first, and tell
        what this one is to run; None: it is unknown, dead or another boot, and has to register.

        A host that does not ask for `lease` seconds, or dies, loses its cameras with the next call of another. A saved
        camera that is reported and unknown, or known in an older revision, is stored as it is reported, unless it was
        removed."""
        ...
