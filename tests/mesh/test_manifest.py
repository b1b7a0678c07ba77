"""Manifests: what is taken, what is refused, and that nothing is lost on the way."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from mesh import codec, manifest
from mesh.errors import FoglineError, InvalidInput, MalformedBody, TooLarge
from tests.processes import ROOT

COMPUTE: dict[str, Any] = {
    "schema": "fogline/1", "kind": "compute", "node_id": "9f0c", "boot_id": "b1", "host_name": "press-shop-2",
    "FriendlyName": "Press shop 2", "name": "Thinkstation", "ip_address": "10.20.0.14",
    "advertise_url": "http://10.20.0.14:8000", "version": "0.1.0", "ram": "16gb", "cpu": "Intel(R) Xeon(R)", "cores": 8,
    "accelerators": ["openvino:cpu"], "slots": 4,
    "algorithm": [
        {"name": "Object detection (YOLO)", "id": "yolo", "category": "objectdetection", "class": "Computer Vision",
         "path": "yolo/image.jpg", "model": "yolov3-tiny", "labels": 80, "input": [416, 416], "fps": 36.1}
    ],
}  # fmt: skip
CAMERA: dict[str, Any] = {
    "schema": "fogline/1", "kind": "camera", "node_id": "c-1", "boot_id": "b2", "host_name": "hall-1",
    "name": "web camera", "type": "Camera", "source": "v4l2", "width": 1280, "height": 720, "fps": 30,
}  # fmt: skip
ORIGINAL_CAMERA = {"name": "web camera", "type": "Camera", "host_name": "cam-pi", "ip_address": "10.0.0.7"}
ORIGINAL_DEVICE = {
    "FriendlyName": "Thinkstation", "name": "Thinkstation", "ram": "2gb", "cpu": "amd", "host_name": "thinkstation",
    "ip_address": "10.0.0.8",
    "algorithm": [{"name": "HAAR Cascade", "category": "facialrecognition", "class": "Computer Vision",
                   "path": "haar/image.jpg"}],
}  # fmt: skip


def with_change(document: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {**json.loads(json.dumps(document)), **changes}


def test_the_designs_manifest_is_read() -> None:
    """The contract's own example parses into what the registry needs."""
    read = manifest.parse(COMPUTE)
    assert (read.kind, read.node_id, read.slots, read.port) == ("compute", "9f0c", 4, 8000)
    assert read.advertise_url == "http://10.20.0.14:8000"
    assert read.algorithms["yolo"].family == "Computer Vision"
    assert manifest.parse(CAMERA).port == 5000


def test_unknown_fields_are_kept() -> None:
    """What a later version adds survives this one."""
    read = manifest.parse(with_change(COMPUTE, rack={"row": 4, "tags": ["a"]}))
    assert read.document["rack"] == {"row": 4, "tags": ["a"]}


def test_a_manifest_that_was_dumped_parses_back() -> None:
    """dump and parse are inverse for what a node sends."""
    record = codec.convert(CAMERA, manifest.CameraManifest)
    again = manifest.parse(manifest.dump(record), "camera")
    assert codec.convert(again.document, manifest.CameraManifest) == record


@pytest.mark.parametrize(("document", "kind"), [(ORIGINAL_CAMERA, "camera"), (ORIGINAL_DEVICE, "compute")])
def test_the_originals_documents_are_read(document: dict[str, Any], kind: manifest.Kind) -> None:
    """A document without `schema` gets the original's defaults and an id that stays the same."""
    read = manifest.parse(document, kind)
    assert read.original
    assert read.document == document
    assert read.port == (5000 if kind == "camera" else 8000)
    assert read.node_id == manifest.parse({**document, "name": "renamed"}, kind).node_id
    if kind == "compute":
        assert (read.slots, list(read.algorithms)) == (1, ["haar"])


WRONG = [
    ("slots", with_change(COMPUTE, slots="four"), "slots"),
    ("slots below zero", with_change(COMPUTE, slots=-1), "slots"),
    ("slots missing", {k: v for k, v in COMPUTE.items() if k != "slots"}, "slots"),
    ("kind", with_change(COMPUTE, kind="toaster"), "kind"),
    ("schema", with_change(COMPUTE, schema="fogline/99"), "schema"),
    ("a name with markup", with_change(COMPUTE, name="<img src=x onerror=alert(1)>"), "name"),
    ("markup in an unknown field", with_change(COMPUTE, note={"deep": ["<b>"]}), "note.deep[0]"),
    ("markup as a field's name", with_change(COMPUTE, **{"<script>": 1}), "$"),
    ("an algorithm's name", with_change(COMPUTE, algorithm=[{"id": "x", "name": 7}]), "algorithm[0].name"),
    ("an algorithm's id", with_change(COMPUTE, algorithm=[{"id": "../x", "name": "x"}]), "algorithm[0].id"),
    (
        "10,000 algorithms",
        with_change(COMPUTE, algorithm=[{"id": f"a{n}", "name": "x"} for n in range(10_000)]),
        "algorithm",
    ),
    ("two of one id", with_change(COMPUTE, algorithm=[{"id": "x", "name": "x"}] * 2), "algorithm"),
    ("a long name", with_change(COMPUTE, name="n" * 201), "name"),
    ("a long unknown text", with_change(COMPUTE, note="n" * 3000), "note"),
    ("an address that is none", with_change(COMPUTE, advertise_url="file:///etc/passwd"), "advertise_url"),
    ("an address with a password", with_change(COMPUTE, advertise_url="http://u:p@h:1"), "advertise_url"),
    ("a port", with_change(COMPUTE, port=70000), "port"),
    ("a size", with_change(CAMERA, width=0), "width"),
    ("an id with a slash", with_change(CAMERA, node_id="a/b"), "node_id"),
]


@pytest.mark.parametrize(("document", "field"), [w[1:] for w in WRONG], ids=[w[0] for w in WRONG])
def test_what_is_wrong_is_refused_with_its_path(document: dict[str, Any], field: str) -> None:
    """An error names the field."""
    with pytest.raises(InvalidInput) as caught:
        manifest.parse(document)
    assert caught.value.members["field"] == field
    assert 400 <= caught.value.status < 500


def test_an_original_document_needs_its_host_name() -> None:
    """Without `host_name` there is nothing to keep it by, and the error says so."""
    with pytest.raises(InvalidInput, match="host_name") as caught:
        manifest.parse({"name": "web camera"}, "camera")
    assert caught.value.status == 422


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b"", MalformedBody),
        (b"{", MalformedBody),
        (b'{"a": NaN}', MalformedBody),
        (b'{"a": 1e999}', MalformedBody),
        (b'{"a": "\xff"}', MalformedBody),
        (b"[" * 100_000 + b"]" * 100_000, MalformedBody),
        (b'{"a":' * 40 + b"1" + b"}" * 40, MalformedBody),
        (b"[1]", InvalidInput),
        (b'"text"', InvalidInput),
        (b'{"a": "' + b"x" * 300_000 + b'"}', TooLarge),
    ],
)
def test_bodies_that_are_no_manifest_are_refused_in_words(body: bytes, error: type[FoglineError]) -> None:
    """Anything that is not a small JSON object is a clear client error."""
    with pytest.raises(error) as caught:
        codec.parse_object(body)
    assert caught.value.detail


def test_the_published_schema_is_the_one_in_force() -> None:
    """docs/manifest.schema.json is what the records say."""
    published = json.loads((ROOT / "docs" / "manifest.schema.json").read_text())
    assert published == manifest.json_schema(), "run: python -m mesh.manifest > docs/manifest.schema.json"


@pytest.mark.parametrize(
    ("document", "valid"), [(COMPUTE, True), (CAMERA, True), (WRONG[0][1], False), (WRONG[5][1], False)]
)
def test_the_published_schema_accepts_what_the_registry_accepts(document: dict[str, Any], valid: bool) -> None:
    """A third party that validates against the schema gets the same verdict."""
    validator = jsonschema.Draft202012Validator(manifest.json_schema())
    assert validator.is_valid(document) is valid
    try:
        manifest.parse(document)
        taken = True
    except InvalidInput:
        taken = False
    assert taken is valid


def test_categories_match_as_the_originals_users_write_them() -> None:
    """Case, spaces and hyphens make no difference."""
    assert manifest.same_category("Facial Recognition", "facialrecognition")
    assert manifest.same_category("object-detection", "ObjectDetection")
    assert not manifest.same_category("object", "objects")


def test_many_threads_may_meet_a_kind_of_record_first(tmp_path: Path) -> None:
    """As in a registry whose nodes all come at once; in fresh processes, for a record is learned once in each."""
    program = tmp_path / "storm.py"
    program.write_text(
        "import threading\n"
        "from mesh import manifest\n"
        "document = {'schema': 'fogline/1', 'kind': 'compute', 'node_id': 'a', 'boot_id': 'b', 'host_name': 'h',\n"
        "            'name': 'n', 'slots': 1, 'algorithm': [{'id': 'yolo', 'name': 'YOLO'}]}\n"
        "gate = threading.Barrier(16)\n"
        "def meet():\n"
        "    gate.wait()\n"
        "    for _ in range(20):\n"
        "        assert manifest.parse(dict(document)).name == 'n'\n"
        "threads = [threading.Thread(target=meet) for _ in range(16)]\n"
        "for thread in threads: thread.start()\n"
        "for thread in threads: thread.join()\n"
    )
    for _ in range(8):
        done = subprocess.run(
            [sys.executable, str(program)], cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=False
        )
        assert done.returncode == 0
