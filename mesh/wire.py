"""What nodes, registry and clients say to one another, besides the manifest."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

from mesh.limits import MAX_FPS
from mesh.manifest import Identifier, Labels, Name, Rate, Side

Count = Annotated[int, msgspec.Meta(ge=0, le=1_000_000)]
Token = Annotated[int, msgspec.Meta(ge=0, le=2**53)]  # grows for as long as the data lives; exact in any JSON reader
Fps = Annotated[float, msgspec.Meta(gt=0, le=MAX_FPS)]
Percent = Annotated[float, msgspec.Meta(ge=0, le=100)]
Reason = Annotated[str, msgspec.Meta(max_length=2000)]
Gate = Literal["motion"]
Speed = Literal["any", "fastest"]


class Datagrams(msgspec.Struct, frozen=True, kw_only=True):
    """Where beats may go as signed UDP datagrams. port: of the host that answered. key: in hexadecimal, for this node
    and this boot alone."""

    port: int
    key: str


class Pace(msgspec.Struct, frozen=True, kw_only=True):
    """How a node is to beat. seconds: between two beats. full_seconds: between two full beats by HTTP while the others
    get through as `datagrams`; those are None where the registry takes none."""

    seconds: float
    full_seconds: float = 0.0
    datagrams: Datagrams | None = None


class Registration(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to a manifest. lease_seconds: without a beat for so long the node counts as dead.
    manifest_seconds: when to send the manifest again. url: the address under which the registry lists the node.
    now: Unix seconds of the registry's clock. trust: the version of its trust document, see mesh.access_wire.Trust."""

    node_id: str
    lease_seconds: float
    manifest_seconds: float
    heartbeat: Pace
    url: str = ""
    now: float | None = None
    trust: int = 0


class Load(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """What a node is doing. direct: streams that it serves without a session, each of which holds a slot.
    fps: frames per second that it captures or infers now. cpu_percent, ram_percent, accelerator_percent: of all its
    cores, memory and the busiest accelerator in use; temperature: of the hottest of them in °C. clock_skew: seconds by
    which its clock is ahead of the registry's. None where it cannot know. no_signal: why a camera has no picture."""

    direct: Count = 0
    viewers: Count = 0
    fps: Rate = 0.0
    cpu_percent: Rate = 0.0
    ram_percent: Percent | None = None
    accelerator_percent: Percent | None = None
    temperature: Annotated[float, msgspec.Meta(ge=-100, le=1000)] | None = None
    clock_skew: Annotated[float, msgspec.Meta(ge=-1e10, le=1e10)] | None = None
    no_signal: Reason | None = None


class SessionReport(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How a node's session does. problem: why it gives no detections now, in words. ready: it has a picture of its own
    to show. ticket: the assignment's, sent when the registry has said that it does not know the session."""

    session_id: Identifier
    token: Token
    viewers: Count = 0
    fps: Rate = 0.0
    problem: Reason | None = None
    ready: bool = False
    ticket: Annotated[str, msgspec.Meta(max_length=8000)] | None = None


class Beat(msgspec.Struct, frozen=True, kw_only=True):
    """A node is alive, and this is what it does."""

    boot_id: Identifier
    load: Load = Load()
    sessions: Annotated[list[SessionReport], msgspec.Meta(max_length=4096)] = []


class CameraAddress(msgspec.Struct, frozen=True, kw_only=True):
    """Where a camera's frames are. original: it speaks the original's calls only."""

    node_id: str
    name: str
    url: str
    original: bool = False


class Assignment(msgspec.Struct, frozen=True, kw_only=True):
    """A session that a compute node should serve. token: grows with every placement; only the newest is obeyed.
    width, height: the annotated picture fits into them; fps: at most so many a second. gate: `motion` to search only
    pictures in which something moved and to repeat the last result meanwhile. warm: another node serves it still; run,
    so that viewers who come over find pictures. ticket: what the registry needs to know the session again, should it
    lose its memory; nobody else reads it."""

    session_id: str
    token: int
    camera: CameraAddress
    algorithm: str
    width: int | None = None
    height: int | None = None
    fps: float | None = None
    pinned: bool = False
    gate: Gate | None = None
    warm: bool = False
    ticket: str = ""


class BeatReply(msgspec.Struct, frozen=True, kw_only=True):
    """What the node should be serving now. orders: number of this state of affairs; datagrams carry it, so that a node
    learns that there is something new. unknown: ids of reported sessions that the registry knows nothing of: neither
    that they go on nor that they ended. The node keeps them, and sends their tickets with its next beat. now:
    Unix seconds of the registry's clock. trust: the version of its trust document, see mesh.access_wire.Trust."""

    lease_seconds: float
    draining: bool = False
    sessions: list[Assignment] = []
    heartbeat: Pace | None = None
    orders: int = 0
    unknown: list[str] = []
    now: float | None = None
    trust: int = 0


class SessionRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A wish for one algorithm on one camera. camera: node_id or name. node: node_id or name of the compute node
    that shall serve it, any free one when missing. require: labels that the node must have (`{"accelerator": "gpu"}`);
    prefer: labels that it has if one such node is free. speed: `fastest` for the fastest class of nodes that has a free
    slot. ttl: seconds after which it ends in any case. wait: when every node is full, make the session all the same and
    let it wait for a slot. gate: see `Assignment`."""

    camera: Name
    algorithm: Identifier
    node: Name | None = None
    width: Side | None = None
    height: Side | None = None
    fps: Fps | None = None
    pinned: bool = False
    gate: Gate | None = None
    require: Labels = {}
    prefer: Labels = {}
    speed: Speed = "any"
    ttl: Annotated[float, msgspec.Meta(gt=0, le=31_536_000)] | None = None
    wait: bool = False


class FailoverRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A viewer gets no frames from the placement with this token."""

    token: Token


SourceText = Annotated[str, msgspec.Meta(min_length=1, max_length=2000, pattern=r"^[^\s<>\x00-\x1f\x7f]+$")]
Revision = Annotated[int, msgspec.Meta(ge=1, le=2**53)]


class CameraRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A camera that somebody adds. source: `rtsp://`, `rtsps://`, `http://` or `https://` with the password if it needs
    one, or `demo:`. width, height, fps: wanted, where the source can choose. verify: check the certificate. host:
    node_id or name of the camera node that shall run it, any with room when missing. draft: not saved yet; it runs, so
    that it can be looked at, and is forgotten after two minutes without another word of it."""

    name: Annotated[Name, msgspec.Meta(min_length=1)]
    source: SourceText
    width: Side | None = None
    height: Side | None = None
    fps: Fps | None = None
    verify: bool = True
    host: Name | None = None
    draft: bool = False


class CameraChange(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be different of an added camera; what is missing stays, and null means none."""

    name: Annotated[Name, msgspec.Meta(min_length=1)] | msgspec.UnsetType = msgspec.UNSET
    source: SourceText | msgspec.UnsetType = msgspec.UNSET
    width: Side | msgspec.UnsetType | None = msgspec.UNSET
    height: Side | msgspec.UnsetType | None = msgspec.UNSET
    fps: Fps | msgspec.UnsetType | None = msgspec.UNSET
    verify: bool | msgspec.UnsetType = msgspec.UNSET
    host: Name | msgspec.UnsetType | None = msgspec.UNSET
    draft: bool | msgspec.UnsetType = msgspec.UNSET


class HostedCamera(msgspec.Struct, frozen=True, kw_only=True):
    """A camera that a camera node is to run for the mesh, as a node of its own with `camera_id` as its `node_id`.
    source: with its password. revision: grows with every change; a host that runs an older one starts it anew, unless
    only the name differs."""

    camera_id: Identifier
    revision: Revision
    name: Name
    source: SourceText
    width: Side | None = None
    height: Side | None = None
    fps: Fps | None = None
    verify: bool = True
    draft: bool = False


class Hosting(msgspec.Struct, frozen=True, kw_only=True):
    """What a camera host runs. capacity: how many added cameras it can run at once. cameras: those that it runs, as
    it was told them: a registry that has lost its memory knows them from here again. problems: by camera_id, why one
    cannot be run there."""

    boot_id: Identifier
    capacity: Annotated[int, msgspec.Meta(ge=0, le=1024)]
    cameras: Annotated[list[HostedCamera], msgspec.Meta(max_length=1024)] = []
    problems: Annotated[dict[Identifier, Reason], msgspec.Meta(max_length=1024)] = {}


class HostingReply(msgspec.Struct, frozen=True, kw_only=True):
    """What the host is to run now, and nothing else. seconds: until it asks again. lease_seconds: without being asked
    for so long the registry gives its cameras to others. networks: in which cameras may be; the private ones when
    empty."""

    cameras: list[HostedCamera]
    seconds: float
    lease_seconds: float
    networks: list[str] = []


class AddedCamera(msgspec.Struct, frozen=True, kw_only=True):
    """An added camera as it is listed. source: without its password. host: the node that runs it, None while none
    does; host_wanted: the one that was asked for. state: `waiting` for a host with room, `starting`, `running`,
    or `failing` for the reason in state_reason."""

    camera_id: str
    revision: int
    name: str
    source: str
    width: int | None
    height: int | None
    fps: float | None
    verify: bool
    draft: bool
    host: str | None
    host_name: str | None
    host_wanted: str | None
    state: Literal["waiting", "starting", "running", "failing"]
    state_reason: str
    url: str | None
    created_at: float
    changed_at: float


class CameraHost(msgspec.Struct, frozen=True, kw_only=True):
    """A camera node that runs added cameras. capacity: at most so many; running: so many now."""

    node_id: str
    name: str
    capacity: int
    running: int


class CameraList(msgspec.Struct, frozen=True, kw_only=True):
    cameras: list[AddedCamera]
    hosts: list[CameraHost]
    stale: bool = False


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """RFC 9457. Further members depend on the problem."""

    title: str
    status: int
    detail: str
    type: str = "about:blank"


class DetectedObject(msgspec.Struct, frozen=True, kw_only=True):
    """box: x_min, y_min, x_max, y_max in pixels of the camera's own frame. confidence: 0 to 1."""

    label: str
    confidence: float
    box: tuple[int, int, int, int]


class FrameStamp(msgspec.Struct, frozen=True, kw_only=True):
    """sequence: counts captured frames. captured_at: Unix seconds of the camera's clock. width, height: pixels."""

    sequence: int
    captured_at: float
    width: int
    height: int


class Detections(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What one algorithm found in one frame. age_ms: from capture until this was published. no_signal: why there is
    no picture to look at. gated: nothing moved, so this repeats what was found in an earlier frame."""

    session: str | None = None
    camera: str | None = None
    algorithm: str
    model: str | None
    inference_ms: float
    frame: FrameStamp
    objects: list[DetectedObject]
    age_ms: float | None = None
    no_signal: str | None = None
    gated: bool = False


class Times(msgspec.Struct, frozen=True, kw_only=True):
    """How long something took lately, in milliseconds, over the last `count` times."""

    count: int
    mean: float
    p50: float
    p99: float


class StreamStats(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How one session's frames fare on the node that serves it. Times and rates are of the last seconds, counts since
    the pipeline started.

    fps, camera_fps: frames a second searched, and got from the camera. frames: `in`, `searched`, `gated`, `drawn`, and
    `sent` to all viewers together. dropped: frames that were not searched or not sent, by reason. stages: `decode`,
    `queue` (waiting for a turn), `inference`, `draw`, `encode`, `send`, `age` (from capture to publication).
    """

    session: str
    camera: str
    algorithm: str
    model: str | None = None
    engine: str | None = None
    gate: Gate | None = None
    viewers: int
    fps: float
    camera_fps: float
    problem: str | None = None
    frames: dict[str, int]
    dropped: dict[str, int]
    stages: dict[str, Times]


def strip(document: dict[str, Any]) -> dict[str, Any]:
    """`document` without the members that are None."""
    return {key: value for key, value in document.items() if value is not None}
