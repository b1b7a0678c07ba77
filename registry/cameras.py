"""Cameras that people add: who adds, changes and removes them, which host runs which, and what is read of them."""

from __future__ import annotations

import uuid
from typing import Any, Final

import msgspec
from msgspec.structs import replace

from mesh.errors import Conflict, InvalidInput, NotFound, RegisterAgain, RegistryAway
from mesh.logs import logger
from mesh.networks import SERVICE_PORTS, Networks
from mesh.source import shown
from mesh.wire import AddedCamera, CameraChange, CameraList, CameraRequest, HostedCamera, Hosting, HostingReply
from registry import camera_source, camera_standing
from registry.camera_store import MOST_CAMERAS, Added, CameraRecord
from registry.listing import Snapshots, View
from registry.store import NodeRecord, Store

ASK_SECONDS: Final = 1.0  # between two questions of a host: a camera that is added shows a picture in a few seconds
LEASE_SECONDS: Final = (
    5.0  # without a question after which a host's cameras go to others: a few lost ones are no reason
)
TRIES: Final = 3  # of a change that somebody else's comes before
HERE: Final = Networks(loopback=True, closed=SERVICE_PORTS)  # of a mesh on one machine

log = logger(__name__)


class Cameras:
    """The cameras that were added. Any thread may call any method. Sources are told to hosts alone: what is listed,
    logged and raised has none of their passwords. networks: in which they may be."""

    def __init__(self, store: Store, snapshots: Snapshots, networks: Networks = HERE) -> None:
        self._store = store
        self._networks = networks
        self._snapshots = snapshots
        self._last: Added | None = None  # as read last, for when Redis is away

    def listed(self, view: View) -> CameraList:
        """All of them, the oldest first; as they were when the store is away."""
        added, stale = self._known(view.stale)
        return camera_standing.listed(added, self._snapshots.mirror.node, stale=stale)

    def one(self, camera_id: str) -> dict[str, Any]:
        """The camera as it is listed; as it was when the store is away."""
        added, stale = self._known(self._snapshots.view().stale)
        record = added.camera(camera_id)
        if record is None:
            raise _unknown(camera_id)
        document: dict[str, Any] = msgspec.to_builtins(self._document(record, added))
        return document | ({"stale": True} if stale else {})

    def add(self, request: CameraRequest) -> AddedCamera:
        """Raises InvalidInput for a source or name that cannot be, Conflict where the name is taken or too many are
        there, NotFound for an unknown host."""
        camera_source.check(request.source, self._networks)
        wanted, wanted_name = self._host_of(request.host)
        camera = HostedCamera(
            camera_id=str(uuid.uuid4()),
            revision=1,
            name=_trimmed(request.name),
            source=request.source,
            width=request.width,
            height=request.height,
            fps=request.fps,
            verify=request.verify,
            draft=request.draft,
        )
        self._put(CameraRecord(camera=camera, wanted=wanted, wanted_name=wanted_name), 0)
        log.info(
            "a camera is tried" if camera.draft else "a camera is added", name=camera.name, node_id=camera.camera_id
        )
        return self._present(camera.camera_id)

    def change(self, camera_id: str, change: CameraChange) -> AddedCamera:
        """Raises as `add` does, and NotFound for a camera that is not there."""
        for _ in range(TRIES):
            record = self._read().camera(camera_id)
            if record is None:
                raise _unknown(camera_id)
            wish = self._changed(record, change)
            if self._put(wish, record.camera.revision):
                log.info("a camera is changed", name=wish.camera.name, node_id=camera_id, revision=wish.camera.revision)
                return self._present(camera_id)
        raise Conflict("others change this camera at the same moment; look at it and try again")

    def remove(self, camera_id: str) -> None:
        if not self._store.remove_camera(camera_id):
            raise _unknown(camera_id)
        log.info("a camera is removed", node_id=camera_id)

    def host(self, node_id: str, hosting: Hosting) -> HostingReply:
        """What the host is to run now, passwords and all. Raises RegisterAgain."""
        # What it reports may be given to another host one day.
        reported = [camera for camera in hosting.cameras if self._allowed(camera)]
        cameras = self._store.host_cameras(node_id, replace(hosting, cameras=reported), LEASE_SECONDS)
        if cameras is None:
            raise RegisterAgain(f"the registry does not know node {node_id} with this boot_id: send the manifest again")
        return HostingReply(
            cameras=cameras,
            seconds=ASK_SECONDS,
            lease_seconds=LEASE_SECONDS,
            networks=list(self._networks.allowed),
        )

    def host_of(self, camera_id: str) -> str | None:
        """The id of the node that runs the added camera or is to, None where there is no such camera or no host."""
        added = self._last or self._read()
        record = added.camera(camera_id)
        return record.host if record is not None else None

    def run_by(self, node_id: str) -> list[str]:
        """The ids of the added cameras that this node runs or is to run."""
        return [record.camera.camera_id for record in self._read().cameras if record.host == node_id]

    def may_be_run_by(self, camera_id: str, node_id: str) -> bool:
        """Whether this node may speak for the camera: it runs it, or ran it until it was removed a moment ago."""
        if self.host_of(camera_id) == node_id:
            return True
        record = self._read().camera(camera_id)  # it may have been given to the node since
        if record is not None:
            return record.host == node_id
        left = self._snapshots.mirror.node(camera_id)
        return left is not None and left.alive and left.document.get("hosted_by") == node_id

    def keep_warm(self) -> None:
        """Read them, so that they are known when Redis goes away while nobody looks."""
        try:
            self._read()
        except RegistryAway:
            return  # its readers get told; there is nothing to keep

    # --- steps of the above

    def _allowed(self, camera: HostedCamera) -> bool:
        try:
            camera_source.check(camera.source, self._networks)
        except InvalidInput:
            return False
        return True

    def _read(self) -> Added:
        self._last = self._store.cameras()
        return self._last

    def _known(self, stale: bool) -> tuple[Added, bool]:
        """What is there, and whether it may be old. Raises RegistryAway when nothing was ever read."""
        if not stale or self._last is None:
            try:
                return self._read(), False
            except RegistryAway:
                if self._last is None:
                    raise
        return self._last, True

    def _present(self, camera_id: str) -> AddedCamera:
        """The camera that was just put."""
        added = self._read()
        record = added.camera(camera_id)
        if record is None:
            raise _unknown(camera_id)
        return self._document(record, added)

    def _document(self, record: CameraRecord, added: Added) -> AddedCamera:
        return camera_standing.document_of(record, added, self._snapshots.mirror.node)

    def _put(self, record: CameraRecord, expected: int) -> bool:
        """Whether it is written down; False when somebody else was faster."""
        done = self._store.put_camera(record, expected)
        if done.outcome == "unknown":
            raise _unknown(record.camera.camera_id)
        if done.outcome == "full":
            raise Conflict(f"{MOST_CAMERAS:,} cameras are added, and there can be no more: remove one first")
        if done.outcome == "taken":
            raise Conflict(
                f"name: another added camera is called {record.camera.name!r} ({done.other}); choose another name",
                field="name",
                known=[done.other],
            )
        return done.outcome == "stored"

    def _changed(self, record: CameraRecord, change: CameraChange) -> CameraRecord:
        camera = record.camera
        given = {name: getattr(change, name) for name in change.__struct_fields__}
        given = {name: value for name, value in given.items() if value is not msgspec.UNSET}
        if "name" in given:
            given["name"] = _trimmed(given["name"])
        if given.get("source") == shown(camera.source).text:
            del given["source"]  # people edit what they see, and that is without the password
        elif "source" in given:
            camera_source.check(given["source"], self._networks)
            others = [(one.camera.camera_id, one.camera.source) for one in self._read().cameras]
            camera_source.check_no_circle(camera.camera_id, given["source"], others)
        if given.get("draft") and not camera.draft:
            raise InvalidInput(
                "draft: a camera that is saved stays so; add another one to try something", field="draft"
            )
        wanted, wanted_name = record.wanted, record.wanted_name
        if "host" in given:
            text = given.pop("host")
            if text is None or text not in (wanted, wanted_name):
                wanted, wanted_name = self._host_of(text)
        changed = replace(camera, **given)
        if changed != camera:
            changed = replace(changed, revision=camera.revision + 1)
        return replace(record, camera=changed, wanted=wanted, wanted_name=wanted_name)

    def _host_of(self, text: str | None) -> tuple[str | None, str]:
        """The id and name of the host that people call `text`. Raises NotFound, Conflict or InvalidInput."""
        if text is None:
            return None, ""
        found = self._store.find("camera", text)
        offers = {node_id: name for node_id, name in found if _hosts(self._store.node(node_id))}
        if not found:
            nodes = self._snapshots.view().snapshot.nodes
            raise NotFound.among("camera host", text, (node.name for node in nodes if node.alive and _hosts(node)))
        if not offers:
            raise InvalidInput(
                f"host: {text!r} runs no added cameras: start it with --host-cameras 8, or leave the host open",
                field="host",
            )
        if len(offers) > 1:
            ids = sorted(offers)
            raise Conflict(
                f"host: {len(ids)} camera hosts are called {text!r}; say which by its id: {', '.join(ids)}",
                field="host",
                known=ids,
            )
        return next(iter(offers.items()))


def _hosts(node: NodeRecord | None) -> bool:
    """Whether it offers to run added cameras."""
    offer = node.document.get("hosting", 0) if node is not None else 0
    return isinstance(offer, int) and offer > 0


def _trimmed(name: str) -> str:
    trimmed = name.strip()
    if not trimmed:
        raise InvalidInput("name: is empty; give one by which people know the camera", field="name")
    return trimmed


def _unknown(camera_id: str) -> NotFound:
    return NotFound(f"no added camera {camera_id!r}: it was removed, or was never saved; GET /v1/cameras lists them")
