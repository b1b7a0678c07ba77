"""One added camera: what the registry told of it, and the camera that runs."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import msgspec

from camera_node.camera import Camera, House
from camera_node.metrics import Metrics
from camera_node.mounts import PREFIX
from camera_node.settings import CameraSettings
from camera_node.sources import SourceKind, resolve
from camera_node.sources.url import take_apart
from mesh.client import RegistryClient
from mesh.errors import InvalidInput, NotFound, RegistryAway
from mesh.identity import Identity
from mesh.networks import SERVICE_PORTS, Networks
from mesh.wire import HostedCamera, Registration

# What an added camera may be read from, by scheme, and the kind of source that this is. A host must not show its own
# files and devices to whoever may add a camera, nor to a registry that is not what it seems.
ALLOWED = {"rtsp": "rtsp", "rtsps": "rtsp", "http": "http", "https": "http", "demo": "demo"}


class HostedClient(RegistryClient):
    """What one hosted camera says to the registry, through its host's client. Any thread may call any method.

    Another host may run the camera by now, as the same node with another boot: so this one registers only while it is
    `permitted` to, and leaves only if the node that is known is still its own.
    """

    def __init__(self, through: RegistryClient, boot_id: str, permitted: Callable[[], bool]) -> None:
        super().__init__("")
        self._through = through
        self._boot_id = boot_id
        self._permitted = permitted
        self._retired = False

    @property
    def url(self) -> str:
        return self._through.url

    @property
    def host(self) -> str:
        return self._through.host

    @property
    def several(self) -> bool:
        return self._through.several

    def retire(self) -> None:
        """Another camera takes this one's place here, as the same node: neither register nor leave any more."""
        self._retired = True

    def register(self, document: dict[str, Any]) -> Registration:
        """As a RegistryClient's; raises RegistryAway while that is not permitted."""
        if self._retired or not self._permitted():
            raise RegistryAway("this node has not heard lately that it is to run this camera")
        return super().register(document)

    def leave(self, node_id: str) -> None:
        if self._retired:
            return
        try:
            if self.node(node_id).get("boot_id") == self._boot_id:
                super().leave(node_id)
        except NotFound:
            return  # it was removed, and the registry has forgotten it already

    def _send(self, *arguments: Any, **options: Any) -> bytes:
        return self._through._send(*arguments, **options)


class Hosted:
    """One added camera that runs here. Only the host's thread calls its methods.

    told: what the registry said last. host: the identity of the node that runs it; address: that node's own.
    """

    def __init__(
        self,
        told: HostedCamera,
        settings: CameraSettings,
        host: Identity,
        house: House,
        *,
        client: RegistryClient,
        address: Callable[[], str],
        permitted: Callable[[], bool],
        networks: Callable[[], Networks] = lambda: Networks(loopback=True, closed=SERVICE_PORTS),
    ) -> None:
        """networks: in which its source may be, now; asked whenever it connects. Raises InvalidInput, NotFound or
        SetupProblem with words for people when it cannot be run."""
        self.told = told
        self._kind = _within(source_of(told), networks)
        boot_id = str(uuid.uuid4())
        self._client = HostedClient(client, boot_id, permitted)
        self.camera = Camera(
            replace(
                settings,
                source=told.source,
                width=told.width or 0,
                height=told.height or 0,
                fps=told.fps or 0.0,
                verify=told.verify,
            ),
            self._kind,
            replace(host, node_id=told.camera_id, boot_id=boot_id, name=told.name),
            house,
            client=self._client,
            metrics=Metrics(),
            standing=lambda: {
                "advertise_url": f"{address()}{PREFIX}{told.camera_id}",
                "hosted_by": host.node_id,
            },
        )

    @property
    def shown(self) -> str:
        """The source without its secrets."""
        return self._kind.shown

    def can_become(self, told: HostedCamera) -> bool:
        """Whether it can go on as `told` says, without being started anew."""
        return _essence(told) == _essence(self.told)

    def become(self, told: HostedCamera) -> None:
        """Go on as `told` says."""
        if told.name != self.told.name:
            self.camera.rename(told.name)
        self.told = told

    def retire(self) -> None:
        """End it so that another one can take its place at once, as the same node. Waits a few seconds at most."""
        self._client.retire()
        self.camera.stop()


def _within(kind: SourceKind, networks: Callable[[], Networks]) -> SourceKind:
    """The same source, which goes nowhere else."""
    return replace(kind, make=lambda options: kind.make(replace(options, networks=networks())))


def _essence(told: HostedCamera) -> HostedCamera:
    """What of it cannot change while it runs."""
    return msgspec.structs.replace(told, revision=1, name="", draft=False)


def source_of(told: HostedCamera) -> SourceKind:
    """Its source, told apart but not opened. Raises InvalidInput for what a host does not read for others, and
    SetupProblem for an address that is none; the words never hold the address."""
    scheme, colon, _ = told.source.partition(":")
    wanted = ALLOWED.get(scheme.lower()) if colon else None
    kind = resolve(told.source) if wanted else None
    if kind is None or kind.kind != wanted:
        raise InvalidInput(
            "an added camera is read from rtsp://…, rtsps://…, http://…, https://… or demo:, never from a file or a"
            " device of the node that runs it"
        )
    if f"{PREFIX}{told.camera_id}" in told.source:  # under whatever name of its host: each picture would make another
        raise InvalidInput("the source is this camera's own stream: give the address of another camera")
    if wanted != "demo":
        take_apart(told.source)
    return kind
