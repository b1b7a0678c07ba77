"""Models and the archives in which they come, made by somebody who means harm."""

from __future__ import annotations

import gzip
import io
import stat
import tarfile
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from compute_node.models import archives
from compute_node.models.archives import extract
from compute_node.models.catalogue import Member
from compute_node.models.prepare import load_onnx
from compute_node.models.store import ModelStore
from compute_node.models.tfjs_files import read_files
from mesh.errors import InvalidInput, ModelRefused, NotFound, SetupProblem
from tests.compute_node.tiny_models import constant_model, save

WANTED = Member(path="model/weights.bin", name="weights.bin")
Make = Callable[[Path], Path]


def packed(tmp_path: Path, content: bytes) -> Path:
    """A .tar.gz of this tar."""
    path = tmp_path / "model.tar.gz"
    path.write_bytes(gzip.compress(content, 1))
    return path


def tarred(*members: tuple[tarfile.TarInfo, bytes]) -> bytes:
    held = io.BytesIO()
    with tarfile.open(fileobj=held, mode="w") as file:
        for info, content in members:
            info.size = len(content)
            file.addfile(info, io.BytesIO(content))
    return held.getvalue()


def refused(archive: Path, tmp_path: Path, *members: Member) -> str:
    """Why it is; nothing was written, and nothing anywhere else."""
    before = set(tmp_path.rglob("*"))
    folder = tmp_path / "out"
    folder.mkdir()
    with pytest.raises(SetupProblem) as problem:
        extract(archive, members or (WANTED,), folder)
    assert set(tmp_path.rglob("*")) - before == {folder}
    return problem.value.detail


@pytest.mark.parametrize("name", ["../evil", "..", "/etc/evil", "a/b", "a\\b", ""])
def test_a_member_is_written_under_a_plain_name_alone(tmp_path: Path, name: str) -> None:
    """Watches archives._write: what a catalogue wants to call a file leads out of no folder."""
    info = tarfile.TarInfo("model/weights.bin")
    member = Member(path="model/weights.bin", name=name)
    if member.saved_as == "weights.bin":
        member = Member(path="..")
        info = tarfile.TarInfo("..")
    assert "no name for a file" in refused(packed(tmp_path, tarred((info, b"x"))), tmp_path, member)


@pytest.mark.parametrize("name", ["../../evil", "/etc/evil", "model/../../evil"])
@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_a_members_own_path_leads_nowhere(tmp_path: Path, kind: str, name: str) -> None:
    """Watches archives.extract: zip-slip. The wanted file is taken, the others are not even looked at."""
    if kind == "zip":
        archive = tmp_path / "model.zip"
        with zipfile.ZipFile(archive, "w") as file:
            file.writestr(name, b"evil")
            file.writestr(WANTED.path, b"good")
    else:
        archive = packed(tmp_path, tarred((tarfile.TarInfo(name), b"evil"), (tarfile.TarInfo(WANTED.path), b"good")))
    folder = tmp_path / "out"
    folder.mkdir()
    extract(archive, [WANTED], folder)
    assert [path.name for path in tmp_path.rglob("*") if path.is_file() and path != archive] == ["weights.bin"]
    assert (folder / "weights.bin").read_bytes() == b"good"
    other = tmp_path / "elsewhere"
    other.mkdir()
    extract(archive, [Member(path=name, name="plain")], other)  # wanted by its path: it is written where we say
    assert (other / "plain").read_bytes() == b"evil"


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE])
def test_links_and_devices_in_a_tar_are_refused(tmp_path: Path, kind: bytes) -> None:
    """Watches archives._from_tar."""
    info = tarfile.TarInfo(WANTED.path)
    info.type, info.linkname = kind, "/etc/passwd"
    assert "no plain file" in refused(packed(tmp_path, tarred((info, b""))), tmp_path)


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFCHR, stat.S_IFIFO, stat.S_IFDIR])
def test_links_and_devices_in_a_zip_are_refused(tmp_path: Path, kind: int) -> None:
    """Watches archives._from_zip."""
    archive = tmp_path / "model.zip"
    info = zipfile.ZipInfo(WANTED.path)
    info.external_attr = (kind | 0o777) << 16
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr(info, "/etc/passwd")
    assert "no plain file" in refused(archive, tmp_path)


def test_a_zip_bomb_is_refused_by_what_it_declares(tmp_path: Path) -> None:
    """Watches archives._check_size: nothing of it is unpacked."""
    archive = tmp_path / "model.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr(WANTED.path, bytes(64 << 20))
    assert "that is a bomb" in refused(archive, tmp_path)


def test_a_zip_bomb_that_lies_about_its_size_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Watches archives._write: what comes out is counted, whatever the archive says."""
    monkeypatch.setattr(archives, "_check_size", lambda *_: None)
    archive = tmp_path / "model.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr(WANTED.path, bytes(64 << 20))
    assert "unpacks to more than" in refused(archive, tmp_path)


def test_a_tar_bomb_before_the_wanted_member_is_refused(tmp_path: Path) -> None:
    """Watches archives._from_tar: what is passed over has to be unpacked, too."""
    bomb = tarred((tarfile.TarInfo("zeros"), bytes(64 << 20)), (tarfile.TarInfo(WANTED.path), b"good"))
    assert "that is a bomb" in refused(packed(tmp_path, bomb), tmp_path)


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK])
def test_a_tar_whose_headers_fill_the_memory_is_refused(tmp_path: Path, kind: bytes) -> None:
    """Watches archives._BoundedInfo: tarfile would read such a header as a whole."""
    info = tarfile.TarInfo("header")
    info.type = kind
    archive = packed(tmp_path, tarred((info, bytes(200 << 20))))
    tracemalloc.start()
    try:
        assert "a header in the archive" in refused(archive, tmp_path)
        assert tracemalloc.get_traced_memory()[1] < 16 << 20
    finally:
        tracemalloc.stop()


def test_an_archive_in_an_archive_stays_one(tmp_path: Path) -> None:
    """Watches archives.extract: nothing is unpacked twice."""
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr(WANTED.path, bytes(8 << 20))
    archive = tmp_path / "model.zip"
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("inner.zip", inner.getvalue())
    assert "does not hold" in refused(archive, tmp_path)
    extract(archive, [Member(path="inner.zip")], tmp_path / "out")
    assert (tmp_path / "out" / "inner.zip").read_bytes() == inner.getvalue()


@pytest.mark.parametrize(
    "name", ["../evil", "..", ".", "/etc/passwd", "a/b", "a\\b", "a\0b", "A", "-rf", ".hidden", "", "x" * 101, "a\nb"]
)
def test_a_models_name_is_no_path(tmp_path: Path, name: str) -> None:
    """Watches ModelStore._folder, by every call that takes a name."""
    store = ModelStore(tmp_path / "data")
    calls: list[Callable[[], object]] = [
        lambda: store.open(name),
        lambda: store.has(name),
        lambda: store.remove(name),
        lambda: store.choose_default(name),
        lambda: store.install(name, lambda _folder: None),
        lambda: store.import_file(tmp_path / "model.onnx", name=name),
    ]
    for call in calls:
        with pytest.raises(InvalidInput):
            call()
    with pytest.raises(NotFound):
        store.pull(name)
    with pytest.raises(NotFound):
        store.pull_media(name)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_a_models_weights_lie_beside_it(tmp_path: Path) -> None:
    """Watches tfjs_files._read_group."""
    (tmp_path / "secret").write_bytes(b"secret")
    folder = tmp_path / "model"
    folder.mkdir()
    for path in ("../secret", str(tmp_path / "secret"), ".."):
        file = folder / "model.json"
        file.write_text(
            f'{{"modelTopology": {{"node": []}}, "weightsManifest": [{{"paths": ["{path}"], "weights": []}}]}}'
        )
        with pytest.raises(ModelRefused, match=r"does not lie beside|is missing beside"):
            read_files(file)


@pytest.mark.parametrize("place", ["initializer", "constant", "branch", "function"])
def test_a_model_that_reads_another_file_is_refused(tmp_path: Path, place: str) -> None:
    """Watches prepare.load_onnx: an engine would open the path that the model names."""
    tensor = helper.make_tensor("stolen", TensorProto.FLOAT, [1], np.zeros(1, np.float32))
    tensor.ClearField("float_data")
    tensor.data_location = TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", "../../../etc/passwd"
    model = constant_model([np.zeros(4)])
    reads = helper.make_node("Constant", [], ["x"], value=tensor)
    if place == "initializer":
        model.graph.initializer.append(tensor)
    elif place == "constant":
        model.graph.node.append(reads)
    elif place == "branch":
        branch = helper.make_graph([reads], "branch", [], [])
        model.graph.node.append(helper.make_node("If", ["c"], ["y"], then_branch=branch, else_branch=branch))
    else:
        model.functions.append(helper.make_function("own", "f", [], ["x"], [reads], [onnx.helper.make_opsetid("", 17)]))
    with pytest.raises(ModelRefused, match="in another file"):
        load_onnx(save(model, tmp_path / "model.onnx"))
