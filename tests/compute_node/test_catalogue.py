"""The catalogue is sound, and the store installs, lists, pins and removes what it should."""

from __future__ import annotations

import hashlib
import re
import threading
from pathlib import Path

import numpy as np
import pytest

from compute_node.models import ModelStore, store
from compute_node.models.catalogue import Catalogue, Entry, Media, UrlSource, catalogue, label_set
from mesh.errors import Conflict, FoglineError, InvalidInput, ModelRefused, NotFound, SetupProblem
from tests.compute_node.conftest import FileServer
from tests.compute_node.tiny_models import constant_model, rows_of, save

CLASSES = 80
HW = (96, 96)  # at 64×64 a YOLOv8 of 80 classes has as many columns as a YOLOX has rows


def a_model() -> bytes:
    return bytes(constant_model([rows_of("yolov8", HW, CLASSES)], HW).SerializeToString())


@pytest.fixture
def small(file_server: FileServer, monkeypatch: pytest.MonkeyPatch) -> FileServer:
    """A catalogue of one model and one picture, both on a server of this machine."""
    file_server.files |= {"/m.onnx": a_model(), "/p.png": b"picture"}
    entry = Entry(
        title="Small",
        format="onnx",
        licence="CC0",
        homepage="http://example.org/",
        input=HW,
        sources=(UrlSource(f"{file_server.url}/m.onnx"),),
        files={"model": "m.onnx"},
    )
    media = Media(title="Pictures", licence="CC0", sources=(UrlSource(f"{file_server.url}/p.png"),))
    made = Catalogue(default="small", models={"small": entry}, media={"demo": media})
    monkeypatch.setattr(store, "catalogue", lambda: made)
    return file_server


def test_the_catalogue_names_every_promised_model() -> None:
    """Each with a licence, files that its sources bring, and labels that exist."""
    known = catalogue()
    assert known.default == "yolov3-tiny"
    promised = {"yolov3-tiny", "ssdlite-mobilenet-v2", "yolov3", "yolov4-tiny", "yolox-nano", "yolox-tiny", "yolox-s"}
    assert promised <= set(known.models)
    for entry in known.models.values():
        brought = set()
        for source in entry.sources:
            brought |= {source.saved_as} if isinstance(source, UrlSource) else {m.saved_as for m in source.members}
        assert set(entry.files.values()) <= brought
        assert entry.licence
        assert label_set(entry.labels)
    assert known.models["yolov3-tiny"].verified
    assert known.models["ssdlite-mobilenet-v2"].verified
    assert not known.models["yolox-s"].verified
    assert known.models["yolov3-tiny"].masks == ((3, 4, 5), (1, 2, 3))


def test_every_hash_of_the_catalogue_is_one() -> None:
    """64 hexadecimal digits in lower case."""
    text = Path(store.__file__).with_name("catalogue.toml").read_text()
    hashes = re.findall(r'sha256 = "([^"]*)"', text)
    assert hashes
    assert all(re.fullmatch(r"[0-9a-f]{64}", digest) for digest in hashes)


def test_the_label_lists_agree() -> None:
    """The same 80 names, at the numbers that each kind of model uses."""
    assert len(label_set("coco80")) == 80
    assert len(label_set("coco90")) == 90
    assert [name for name in label_set("coco90") if name] == list(label_set("coco80"))
    assert label_set("coco90")[0] == "person"
    assert label_set("coco90")[89] == "toothbrush"
    with pytest.raises(NotFound, match="coco80"):
        label_set("../secrets")


def test_a_pull_installs_and_a_second_one_does_nothing(small: FileServer, tmp_path: Path) -> None:
    """The record says what it was made of; the server is asked once."""
    models = ModelStore(tmp_path)
    assert [(row.name, row.installed, row.default) for row in models.list()] == [("small", False, True)]
    model = models.pull("small")
    assert model.record.files == {"m.onnx": hashlib.sha256(small.files["/m.onnx"]).hexdigest()}
    assert model.record.sha256 == hashlib.sha256(model.path.read_bytes()).hexdigest()
    assert not model.record.verified
    assert model.record.labels == label_set("coco80")
    assert models.pull("small") == model
    assert len(small.seen) == 1
    assert [(row.name, row.installed) for row in models.list()] == [("small", True)]
    assert {path.name for path in (tmp_path / "models").iterdir()} == {"small", ".pins.json"}


def test_a_source_that_changed_is_refused_after_the_first_pull(small: FileServer, tmp_path: Path) -> None:
    """What nobody could check beforehand must at least stay the same, even after a removal."""
    models = ModelStore(tmp_path)
    models.pull("small")
    models.remove("small")
    small.files["/m.onnx"] = a_model() + b"\x22\x00"
    with pytest.raises(SetupProblem, match="its source changed"):
        models.pull("small")
    assert not models.has("small")
    small.files["/m.onnx"] = a_model()
    assert models.pull("small").name == "small"


def test_a_pull_that_fails_leaves_no_model(small: FileServer, tmp_path: Path) -> None:
    """Neither a file that is no model nor a server without it makes a folder that looks installed."""
    models = ModelStore(tmp_path)
    small.files["/m.onnx"] = b"<html>log in first</html>"
    with pytest.raises(ModelRefused, match="not an ONNX model"):
        models.pull("small")
    del small.files["/m.onnx"]
    with pytest.raises(SetupProblem, match="404"):
        models.pull("small")
    assert not models.has("small")
    assert [path.name for path in (tmp_path / "models").iterdir() if path.name != ".pins.json"] == []
    with pytest.raises(NotFound, match="models pull small"):
        models.open("small")


def test_two_pulls_at_once_fetch_once(small: FileServer, tmp_path: Path) -> None:
    """The second waits for the first and finds it done."""
    results = []
    threads = [threading.Thread(target=lambda: results.append(ModelStore(tmp_path).pull("small"))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(results) == 4
    assert len(small.seen) == 1


def test_media_are_pulled_once(small: FileServer, tmp_path: Path) -> None:
    """Pictures for the demo camera lie where the camera looks."""
    models = ModelStore(tmp_path)
    paths = models.pull_media("demo")
    assert paths == [tmp_path / "media" / "demo" / "p.png"]
    assert paths[0].read_bytes() == b"picture"
    assert models.pull_media("demo") == paths
    assert len(small.seen) == 1
    with pytest.raises(NotFound, match="demo"):
        models.pull_media("other")


@pytest.mark.parametrize("name", ["", ".", "..", "../x", "a/b", "A", "-x", "x" * 200, "a b", "é", "x\n"])
def test_a_name_that_leads_elsewhere_is_refused(name: str, tmp_path: Path) -> None:
    """Names become folders: nothing but plain ones."""
    models = ModelStore(tmp_path / "data")
    file = save(constant_model([rows_of("yolov8", HW, CLASSES)], HW), tmp_path / "m.onnx")
    with pytest.raises(InvalidInput):
        models.import_file(file, name=name)
    with pytest.raises(FoglineError):
        models.remove(name)
    with pytest.raises(InvalidInput):
        models.open(name)


def test_an_import_does_not_replace_unless_told(tmp_path: Path) -> None:
    """A name that is taken stays with whom it has."""
    models = ModelStore(tmp_path / "data")
    file = save(constant_model([rows_of("yolov8", HW, CLASSES)], HW), tmp_path / "My Model (1).onnx")
    assert models.import_file(file).name == "my-model-1"
    with pytest.raises(Conflict):
        models.import_file(file)
    assert models.import_file(file, replace=True, confidence=0.7).record.confidence == 0.7
    models.remove("my-model-1")
    with pytest.raises(NotFound, match="installed model"):
        models.remove("my-model-1")


def test_an_open_input_size_must_be_said(tmp_path: Path) -> None:
    """640×640 cannot be guessed from a model that takes any size."""
    made = constant_model([rows_of("yolov8", HW, CLASSES)], HW)
    dims = made.graph.input[0].type.tensor_type.shape.dim
    dims[0].dim_param, dims[2].dim_param, dims[3].dim_param = "batch", "height", "width"
    file = save(made, tmp_path / "open.onnx")
    models = ModelStore(tmp_path / "data")
    with pytest.raises(ModelRefused, match="640x640"):
        models.import_file(file)
    assert models.import_file(file, dims=HW).record.input_hw == HW


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("m.onnx", b"", "not an ONNX model"),
        ("m.onnx", b"\x00" * 100, "not an ONNX model"),
        ("m.pt", b"x", "known are"),
        ("m.cfg", b"[net]", "weights is missing"),
        ("model.json", b"{}", "no TF.js graph model"),
        ("model.json", b"[" * 100_000, "no TF.js graph model"),
        ("model.json", b'{"modelTopology":{"node":[]},"weightsManifest":[{"paths":["../x"],"weights":[]}]}', "beside"),
    ],
)
def test_a_file_that_is_no_model_is_refused_in_words(name: str, content: bytes, words: str, tmp_path: Path) -> None:
    """Whatever a user points at, an error says what is known."""
    (tmp_path / name).write_bytes(content)
    with pytest.raises(FoglineError, match=words):
        ModelStore(tmp_path / "data").import_file(tmp_path / name, name="bad")


def test_a_model_with_its_weights_elsewhere_is_refused(tmp_path: Path) -> None:
    """An ONNX file may point at any path; ours may not."""
    made = constant_model([rows_of("yolov8", HW, CLASSES).astype(np.float32)], HW)
    tensor = made.graph.initializer[1]
    tensor.ClearField("raw_data")
    tensor.data_location = 1
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", "../../../etc/passwd"
    with pytest.raises(ModelRefused, match="another file"):
        ModelStore(tmp_path / "data").import_file(save(made, tmp_path / "m.onnx"))


def test_a_damaged_record_does_not_hide_the_others(tmp_path: Path) -> None:
    """The list says which is damaged and how to mend it."""
    models = ModelStore(tmp_path / "data")
    file = save(constant_model([rows_of("yolov8", HW, CLASSES)], HW), tmp_path / "a.onnx")
    models.import_file(file)
    models.import_file(file, name="b")
    (tmp_path / "data" / "models" / "a" / "model.json").write_text("{")
    rows = {row.name: row.title for row in models.list() if row.installed}
    assert "models remove a" in rows["a"]
    assert rows["b"] == "a.onnx"
