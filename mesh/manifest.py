"""The manifest: what a node says it is and can do.

A manifest is JSON. Fogline's own carries `"schema": "fogline/1"` and is checked against the records below; unknown
fields are kept. A document without `schema` is one of the original cluster's: it needs only `host_name`.
The JSON Schema under docs/ is made from these records (`python -m mesh.manifest`).
"""

from __future__ import annotations

import uuid
from typing import Annotated, Any, Final, Literal

import msgspec

from mesh import codec
from mesh.errors import InvalidInput
from mesh.limits import MAX_ALGORITHMS, MAX_LABELS, MAX_NAME, MAX_SIDE, MAX_SLOTS, MAX_TEXT

SCHEMA: Final = "fogline/1"
CAMERA_PORT = 5000
COMPUTE_PORT = 8000
Kind = Literal["camera", "compute"]

# Names are shown to people and travel through other people's pages: no markup, no control characters.
_PLAIN = r"^[^<>\x00-\x1f\x7f]*$"
Name = Annotated[str, msgspec.Meta(max_length=MAX_NAME, pattern=_PLAIN)]
Text = Annotated[str, msgspec.Meta(max_length=MAX_TEXT, pattern=_PLAIN)]
Identifier = Annotated[str, msgspec.Meta(min_length=1, max_length=100, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
Url = Annotated[str, msgspec.Meta(max_length=MAX_TEXT, pattern=r"^https?://[^\s<>@/?#]+(/[^\s<>?#]*)?$")]
Port = Annotated[int, msgspec.Meta(ge=1, le=65535)]
Side = Annotated[int, msgspec.Meta(ge=1, le=MAX_SIDE)]
Rate = Annotated[float, msgspec.Meta(ge=0, le=100_000)]
LabelText = Annotated[str, msgspec.Meta(min_length=1, max_length=100, pattern=r"^[A-Za-z0-9][A-Za-z0-9._:/ -]*$")]
Labels = Annotated[dict[Identifier, LabelText], msgspec.Meta(max_length=MAX_LABELS)]


class AlgorithmEntry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One algorithm of a compute node. path: the original's address of its stream. input: height and width of the
    model's input in pixels. fps: frames per second that the node measured at its start. labels: how many it knows."""

    id: Identifier
    name: Name
    category: Name = ""
    family: Name = msgspec.field(default="Computer Vision", name="class")
    path: Text = ""
    model: Name | None = None
    labels: Annotated[int, msgspec.Meta(ge=0)] | None = None
    input: Annotated[list[Side], msgspec.Meta(min_length=2, max_length=2)] | None = None
    fps: Rate | None = None
    engine: Name | None = None


class _Node(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    schema: Literal["fogline/1"]
    node_id: Identifier
    boot_id: Identifier
    host_name: Name
    name: Name
    FriendlyName: Name = ""
    ip_address: Name = ""
    port: Port | None = None
    advertise_url: Url | None = None
    version: Name = ""
    ram: Name = ""
    cpu: Name = ""
    cores: Annotated[int, msgspec.Meta(ge=1, le=65536)] | None = None
    accelerators: Annotated[list[Name], msgspec.Meta(max_length=64)] = []
    labels: Labels = {}


class CameraManifest(_Node, frozen=True, kw_only=True, omit_defaults=True):
    """A camera node. source: what kind of source it reads, without its address or password; source_host: the
    camera that it comes from, where it comes over the network. width, height: pixels of
    its frames; fps: how many a second. hosting: how many cameras it runs for others at most. hosted_by: the node_id of
    the camera node that runs it for the mesh."""

    kind: Literal["camera"]
    type: Name = "Camera"
    source: Name = ""
    source_host: Name = ""
    width: Side | None = None
    height: Side | None = None
    fps: Rate | None = None
    hosting: Annotated[int, msgspec.Meta(ge=0, le=1024)] = 0
    hosted_by: Identifier | None = None


class ComputeManifest(_Node, frozen=True, kw_only=True, omit_defaults=True):
    """A compute node. slots: how many sessions it serves at once. serving: how many it serves at this moment; a
    registry that does not know them hears of them by the next beat. algorithm: those that truly loaded."""

    kind: Literal["compute"]
    slots: Annotated[int, msgspec.Meta(ge=0, le=MAX_SLOTS)]
    serving: Annotated[int, msgspec.Meta(ge=0, le=MAX_SLOTS)] = 0
    algorithm: Annotated[list[AlgorithmEntry], msgspec.Meta(max_length=MAX_ALGORITHMS)]


class _OriginalAlgorithm(msgspec.Struct, frozen=True):
    name: Name = ""
    category: Name = ""
    path: Text = ""


class _Original(msgspec.Struct, frozen=True):
    """What of the original's documents Fogline reads; the rest is only kept."""

    host_name: Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_NAME, pattern=_PLAIN)]
    name: Name = ""
    FriendlyName: Name = ""
    ip_address: Name = ""
    algorithm: Annotated[list[_OriginalAlgorithm], msgspec.Meta(max_length=MAX_ALGORITHMS)] = []


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """A manifest that was checked: what the registry needs of it, and the document as it was sent.

    original: it came by the original's calls. algorithms: id → entry. labels: what sessions may require of it, its own
    and those that follow from the manifest (`accelerator`, `host`). fps: a camera's. serving: sessions on it.
    document: every field, unknown ones too.
    """

    kind: Kind
    node_id: str
    boot_id: str
    name: str
    host_name: str
    ip_address: str
    port: int
    advertise_url: str | None
    slots: int
    algorithms: dict[str, AlgorithmEntry]
    document: dict[str, Any]
    original: bool = False
    labels: frozenset[tuple[str, str]] = frozenset()
    fps: float | None = None
    serving: int = 0


def parse(document: dict[str, Any], kind: Kind | None = None) -> Manifest:
    """Check a manifest. `kind` is the one that the route implies; it is needed for the original's documents.

    Raises InvalidInput with the path of the field that is wrong.
    """
    if "schema" not in document:
        if kind is None:
            raise InvalidInput(f'schema: missing; send "schema": "{SCHEMA}" with the manifest', field="schema")
        return _parse_original(document, kind)
    given = document.get("kind")
    if given not in ("camera", "compute"):
        raise InvalidInput(f"kind: must be 'camera' or 'compute', not {given!r:.40}", field="kind")
    if kind is not None and given != kind:
        raise InvalidInput(f"kind: this call takes manifests of kind '{kind}', not '{given}'", field="kind")
    _check_strings(document)
    if given == "camera":
        camera = codec.convert(document, CameraManifest)
        return _manifest(camera, "camera", document, slots=0, algorithms={}, port=CAMERA_PORT)
    compute = codec.convert(document, ComputeManifest)
    algorithms = {entry.id: entry for entry in compute.algorithm}
    if len(algorithms) < len(compute.algorithm):
        raise InvalidInput("algorithm: two entries have the same id", field="algorithm")
    return _manifest(compute, "compute", document, slots=compute.slots, algorithms=algorithms, port=COMPUTE_PORT)


def dump(record: CameraManifest | ComputeManifest) -> dict[str, Any]:
    """A node's own manifest as the document that it sends; `parse(dump(record))` gives it back."""
    document: dict[str, Any] = msgspec.to_builtins(record)
    # omit_defaults would leave out words that readers of the original's lists expect.
    for name in ("type", "source", "FriendlyName", "ip_address"):
        if hasattr(record, name):
            document[name] = getattr(record, name)
    return document


def original_id(kind: Kind, host_name: str) -> str:
    """The node id of one of the original's nodes, which have only their host's name."""
    return str(uuid.uuid5(uuid.NAMESPACE_DNS, f"{kind}.{host_name}"))


def same_category(one: str, other: str) -> bool:
    """Whether two categories are the same but for case, spaces and hyphens, as the original's users write them."""

    def plain(text: str) -> str:
        return "".join(c for c in text.lower() if c not in " -_")

    return plain(one) == plain(other)


def json_schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) of a manifest, as published under docs/."""
    schemas, definitions = msgspec.json.schema_components(
        [CameraManifest, ComputeManifest], ref_template="#/$defs/{name}"
    )
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Fogline manifest",
        "description": "What a node says it is and can do. Unknown fields are kept.",
        "oneOf": list(schemas),
        "$defs": definitions,
    }


def _manifest(
    record: CameraManifest | ComputeManifest,
    kind: Kind,
    document: dict[str, Any],
    *,
    slots: int,
    algorithms: dict[str, AlgorithmEntry],
    port: int,
) -> Manifest:
    return Manifest(
        kind=kind,
        node_id=record.node_id,
        boot_id=record.boot_id,
        name=record.name,
        host_name=record.host_name,
        ip_address=record.ip_address,
        port=record.port or port,
        advertise_url=record.advertise_url.rstrip("/") if record.advertise_url else None,
        slots=slots,
        algorithms=algorithms,
        document=document,
        labels=_labels(record),
        fps=record.fps if isinstance(record, CameraManifest) else None,
        serving=record.serving if isinstance(record, ComputeManifest) else 0,
    )


def _labels(record: CameraManifest | ComputeManifest) -> frozenset[tuple[str, str]]:
    """A node's own labels, its host, and each kind of accelerator: `openvino:gpu.0` and `onnxruntime:cuda` are gpu."""
    found = {("host", record.host_name)}
    for accelerator in record.accelerators:
        device = accelerator.partition(":")[2].partition(".")[0].lower()
        if device:
            found.add(("accelerator", "gpu" if device in ("cuda", "tensorrt", "rocm") else device))
    return frozenset(found | set(record.labels.items()))


def _parse_original(document: dict[str, Any], kind: Kind) -> Manifest:
    if "host_name" not in document:
        raise InvalidInput("host_name: missing; the registry keeps nodes by it, so send one", field="host_name")
    _check_strings(document)
    record = codec.convert(document, _Original)
    algorithms: dict[str, AlgorithmEntry] = {}
    for entry in record.algorithm:
        # `haar/image.jpg` → `haar`: the first part of the path is what the original's URLs call it.
        ident = entry.path.strip("/").partition("/")[0]
        if ident and all(c.isalnum() or c in "._-" for c in ident) and ident[0].isalnum() and ident.isascii():
            algorithms[ident] = AlgorithmEntry(id=ident, name=entry.name, category=entry.category, path=entry.path)
    return Manifest(
        kind=kind,
        node_id=original_id(kind, record.host_name),
        boot_id="original",
        name=record.FriendlyName or record.name or record.host_name,
        host_name=record.host_name,
        ip_address=record.ip_address,
        port=CAMERA_PORT if kind == "camera" else COMPUTE_PORT,
        advertise_url=None,
        slots=1 if kind == "compute" else 0,
        algorithms=algorithms,
        document=document,
        original=True,
    )


def _check_strings(document: dict[str, Any]) -> None:
    """Markup is refused wherever it stands, in unknown fields too: somebody's page may show them unescaped."""
    todo: list[tuple[str, Any]] = [("", document)]
    while todo:
        path, value = todo.pop()
        if isinstance(value, dict):
            todo += [(f"{path}.{key}" if path else str(key), child) for key, child in value.items()]
            if any("<" in key or ">" in key for key in value):
                raise InvalidInput(f"{path or '$'}: a field's name must not contain < or >", field=path or "$")
        elif isinstance(value, list):
            todo += [(f"{path}[{index}]", child) for index, child in enumerate(value)]
        elif isinstance(value, str):
            if len(value) > MAX_TEXT:
                raise InvalidInput(f"{path}: longer than {MAX_TEXT} characters", field=path)
            if "<" in value or ">" in value:
                raise InvalidInput(f"{path}: must not contain < or >", field=path)


if __name__ == "__main__":
    import sys

    sys.stdout.write(msgspec.json.format(codec.dump(json_schema()), indent=2).decode() + "\n")
