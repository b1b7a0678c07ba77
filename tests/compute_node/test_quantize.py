"""An INT8 variant: made of a real model, judged on pictures that it never saw, refused where it costs too much."""

from __future__ import annotations

import shutil
from pathlib import Path

import cv2
import msgspec
import numpy as np
import onnx
import pytest
from click.testing import CliRunner

from cli import models as command
from compute_node.algorithms import LoadContext, load
from compute_node.algorithms.base import Detection, Options
from compute_node.models import ModelStore
from compute_node.models.int8 import last_convolutions
from compute_node.models.labelled import read_split
from compute_node.models.prepare import load_onnx
from compute_node.models.quantize import agreement, make_int8
from compute_node.models.record import Int8
from mesh.errors import InvalidInput, NotFound

LABELS = ("cat", "dog")
TINY = "yolov3-tiny"


@pytest.fixture
def store(models: Path, tmp_path: Path) -> ModelStore:
    """A store of the test's own, with the default model."""
    shutil.copytree(models / "models" / TINY, tmp_path / "data" / "models" / TINY)
    return ModelStore(tmp_path / "data")


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Speeds are measured in as many turns as ever, each for a moment: here nobody wants to know them exactly."""
    monkeypatch.setattr("compute_node.models.quantize.ROUND_SECONDS", 0.05)


def folder_of(path: Path, pictures: int, label: str | None = "0 0.5 0.5 0.4 0.4\n0 0.2 0.2 0.1 0.1") -> Path:
    """`pictures` grey pictures, each with `label`."""
    (path / "images").mkdir(parents=True)
    (path / "labels").mkdir()
    for number in range(pictures):
        cv2.imwrite(str(path / "images" / f"{number:03}.png"), np.full((48, 64, 3), 90, np.uint8))
        if label is not None:
            (path / "labels" / f"{number:03}.txt").write_text(label)
    return path


def test_a_real_model_in_int8_passes_the_gate_and_becomes_the_default(
    store: ModelStore, shared: Path, quick: None
) -> None:
    """By the command: figures, record, list, and what `yolo` then runs; `remove` gives the old default back."""
    data = store.open(TINY).path.parents[2]
    coco = shared / "images" / "coco"
    arguments = [
        "quantize",
        TINY,
        "--data",
        str(coco),
        "--store",
        str(data),
        "--max-loss",
        "0.1",
        "--default",
    ]
    done = CliRunner().invoke(command.models, arguments, catch_exceptions=False)
    variant = store.open(f"{TINY}-int8")
    figures = variant.record.int8
    assert figures is not None
    assert figures.calibration == figures.evaluation == 32
    assert 0.4 < figures.map50_before < 0.6
    assert abs(figures.loss) < 0.1
    assert figures.agreement > 0.7
    assert figures.fps_before > 0
    assert figures.source_sha256 == store.open(TINY).record.sha256
    assert variant.path.stat().st_size < 0.4 * store.open(TINY).path.stat().st_size
    assert "32 pictures calibrated, 32 others judged" in done.output
    # A machine without INT8 units is no faster, and rightly refuses.
    assert done.exit_code == (1 if figures.refused else 0), done.output
    assert store.default == (TINY if figures.refused else variant.name)
    (row,) = (row for row in store.list() if row.name == variant.name)
    assert row.int8 == figures
    store.choose_default(variant.name)
    algorithm = load("yolo", LoadContext(data))
    assert algorithm.info.model == variant.name
    algorithm.close()
    store.remove(variant.name)
    assert store.default == TINY


def test_what_loses_too_much_stays_installed_but_refused(store: ModelStore, shared: Path, quick: None) -> None:
    """No loss allowed, on labels that are the original's own boxes: exit code 1, and the words say why."""
    data = store.open(TINY).path.parents[2]
    record = store.open(TINY).record
    # Labels are the original's own boxes, so that its mAP50 is perfect and any change is a loss.
    folder = data.parent / "own"
    (folder / "labels").mkdir(parents=True)
    (folder / "images").mkdir()
    for path in sorted((shared / "images" / "coco" / "images").iterdir())[:40]:  # the least that is enough
        shutil.copy(path, folder / "images")
    algorithm = load("yolo", LoadContext(data, TINY))
    detect = algorithm.detector()
    for path in (folder / "images").iterdir():
        picture = cv2.imread(str(path))
        assert picture is not None
        height, width = picture.shape[:2]
        lines = []
        for found in detect(np.asarray(picture, np.uint8), Options(0.2)):
            left, top, right, bottom = found.box
            x, y = (left + right) / 2 / width, (top + bottom) / 2 / height
            lines.append(
                f"{record.labels.index(found.label)} {x} {y} {(right - left) / width} {(bottom - top) / height}"
            )
        (folder / "labels" / f"{path.stem}.txt").write_text("\n".join(lines))
    algorithm.close()
    arguments = [
        "quantize",
        TINY,
        "--data",
        str(folder),
        "--store",
        str(data),
        "--max-loss",
        "0",
        "--default",
    ]
    done = CliRunner().invoke(command.models, arguments, catch_exceptions=False)
    assert done.exit_code == 1
    assert "is refused as the default: it loses" in done.output
    assert f"FOGLINE_MODEL={TINY}-int8" in done.output
    assert store.default == TINY
    listed = CliRunner().invoke(command.models, ["list", "--data", str(data)], catch_exceptions=False)
    assert "refused as" in listed.output
    algorithm = load("yolo", LoadContext(data, f"{TINY}-int8"))
    assert algorithm.info.model == f"{TINY}-int8"
    algorithm.close()


def test_the_split_is_the_same_every_time_and_shares_nothing(tmp_path: Path) -> None:
    """What cannot be read is left out and named; a picture without a label file shows nothing."""
    folder = folder_of(tmp_path / "set", 40)
    (folder / "images" / "000.png").write_bytes(b"no picture")
    (folder / "labels" / "001.txt").unlink()
    one, other = read_split(folder, LABELS), read_split(folder, LABELS)
    assert one == other
    assert not {p.path for p in one.calibration} & {p.path for p in one.evaluation}
    assert (len(one.calibration), len(one.evaluation)) == (20, 19)
    assert one.unreadable == ("000.png",)
    assert one.calibration[0].things == ()


def test_a_folder_may_name_its_own_classes(tmp_path: Path) -> None:
    """Another order than the model's; a list of which the model knows nothing is refused."""
    folder = folder_of(tmp_path / "set", 40)
    (folder / "classes.txt").write_text("dog\nbird\n")
    split = read_split(folder, LABELS)
    (first, _) = split.evaluation[0].truths(split.classes, 100, 50)
    assert first.label == "dog"
    np.testing.assert_allclose(first.box, (30, 15, 70, 35))
    (folder / "classes.txt").write_text("nut\nbolt\n")
    with pytest.raises(InvalidInput, match="names nothing that the model knows"):
        read_split(folder, LABELS)


@pytest.mark.parametrize(
    ("label", "words"),
    [
        ("2 0.5 0.5 0.1 0.1", "line 1: class 2, but there are 2"),
        ("-1 0.5 0.5 0.1 0.1", "class -1"),
        ("0 320 240 50 60", r"outside of 0…1: they are fractions"),
        ("0 0.5 0.5 0.1", "is not `class cx cy w h`"),
        ("\n0 nan 0.5 0.1 0.1", "line 2: .*outside"),
        ("cat 0.5 0.5 0.1 0.1", "is not `class"),
        ("", "show 0 labelled things"),
        (None, "show 0 labelled things"),
    ],
)
def test_labels_that_cannot_be_right_are_refused_with_file_and_line(
    tmp_path: Path, label: str | None, words: str
) -> None:
    """Before anything is computed."""
    with pytest.raises(InvalidInput, match=words):
        read_split(folder_of(tmp_path / "set", 40, label), LABELS)


def test_folders_without_pictures_labels_or_enough_of_them_are_refused(tmp_path: Path) -> None:
    """Saying how many there are and how many are needed."""
    (tmp_path / "empty").mkdir()
    with pytest.raises(InvalidInput, match="needs images/ and labels/"):
        read_split(tmp_path / "empty", LABELS)
    with pytest.raises(InvalidInput, match="holds 19 pictures; at least 20"):
        read_split(folder_of(tmp_path / "few", 19), LABELS)
    broken = folder_of(tmp_path / "broken", 21)
    for number in range(2):
        (broken / "images" / f"{number:03}.png").write_bytes(b"")
    with pytest.raises(InvalidInput, match=r"holds 19 pictures \(2 more could not be read\)"):
        read_split(broken, LABELS)


def test_only_installed_models_that_are_not_int8_yet_are_quantized(store: ModelStore, tmp_path: Path) -> None:
    """And the loss allowed is a share."""
    data = tmp_path / "data"
    folder = folder_of(tmp_path / "set", 40)
    with pytest.raises(NotFound, match="pull yolov4-tiny"):
        make_int8(data, "yolov4-tiny", folder)
    with pytest.raises(InvalidInput, match="not within"):
        make_int8(data, TINY, folder, max_loss=2)
    made = Int8(source="x", source_sha256="", method="", made_at=0, calibration=0, evaluation=0)
    store.amend(msgspec.structs.replace(store.open(TINY).record, int8=made))
    with pytest.raises(InvalidInput, match="INT8 already"):
        make_int8(data, TINY, folder)


def test_agreement_counts_each_box_once() -> None:
    """A box found again by one of the same label; its neighbour does not lend itself to two."""
    before = {"a": [Detection("cat", 0.9, (0, 0, 10, 10)), Detection("cat", 0.5, (1, 0, 11, 10))]}
    after = {"a": [Detection("cat", 0.8, (0, 0, 10, 10)), Detection("dog", 0.9, (1, 0, 11, 10))]}
    share, shift = agreement(before, after, 0.3)
    assert share == 0.5
    assert shift == pytest.approx(-0.1)
    assert agreement({"a": []}, after, 0.3) == (1.0, 0.0)


def test_the_heads_are_the_convolutions_after_which_none_comes(store: ModelStore) -> None:
    """YOLOv3-tiny has two, with 255 channels each."""
    model: onnx.ModelProto = load_onnx(store.open(TINY).path)
    for number, node in enumerate(model.graph.node):
        node.name = str(number)
    heads = [node for node in model.graph.node if node.name in last_convolutions(model.graph)]
    shapes = {tensor.name: list(tensor.dims) for tensor in model.graph.initializer}
    assert [shapes[node.input[1]][0] for node in heads] == [255, 255]
