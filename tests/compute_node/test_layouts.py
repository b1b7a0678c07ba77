"""Every known output layout is recognised by its shape, read right, and others are refused with what was seen."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from compute_node.algorithms import LoadContext, load
from compute_node.algorithms.base import Options
from compute_node.models import ModelStore
from compute_node.models.boxes import Fitter, suppress
from compute_node.models.layouts import decode, recognise
from compute_node.models.record import Layout, Overrides
from mesh.errors import ModelRefused
from tests.compute_node.tiny_models import constant_model, rows_of, save

HW = (64, 64)
WANTED = (8, 16, 40, 48)  # the box, in input pixels, that each made-up output holds
CLASSES = 4
LABELS = "ant\nbee\ncat\ndog\n"


def centred() -> NDArray[np.float32]:
    left, top, right, bottom = WANTED
    return np.array([(left + right) / 2, (top + bottom) / 2, right - left, bottom - top], np.float32)


def logit(value: float) -> float:
    return float(np.log(value / (1 - value)))


def output_of(layout: str) -> list[NDArray[np.float32]]:
    """What a model of `layout` gives when it sees a cat (class 2) at WANTED, sure to 0.8 or a little more."""
    return _two_outputs(layout) if layout in ("ssd", "tfod") else [_one_output(layout)]


def _one_output(layout: str) -> NDArray[np.float32]:
    out = rows_of(layout, HW, CLASSES)
    x, y, wide, high = centred()
    if layout == "yolov5":
        out[0, 10] = [x, y, wide, high, 0.9, 0, 0, 0.9, 0]
    elif layout == "yolov8":
        out[0, :, 10] = [x, y, wide, high, 0, 0, 0.85, 0]
    elif layout == "end2end":
        out[0, 0] = [*WANTED, 0.85, 2]
    elif layout == "yolox":
        # Cell (3, 4) of the 8 × 8 grid of stride 8: row 4 × 8 + 3.
        out[0, 35] = [x / 8 - 3, y / 8 - 4, np.log(wide / 8), np.log(high / 8), 0.9, 0, 0, 0.9, 0]
    else:
        row, column = 2, 1  # of FastestDet's 4 × 4 grid
        offsets = np.arctanh(x / 16 - column), np.arctanh(y / 16 - row)
        sizes = logit(float(wide / 64)), logit(float(high / 64))
        out[0, :, row, column] = [0.9, *offsets, *sizes, 0, 0, 0.9, 0]
    return out


def _two_outputs(layout: str) -> list[NDArray[np.float32]]:
    left, top, right, bottom = WANTED
    fractions = np.array([top, left, bottom, right], np.float32) / 64
    if layout == "ssd":
        boxes, scores = np.zeros((1, 50, 1, 4), np.float32), np.zeros((1, 50, CLASSES), np.float32)
        boxes[0, 7, 0], scores[0, 7, 2] = fractions, 0.85
        return [scores, boxes]
    boxes, kinds, scores = np.zeros((1, 20, 4), np.float32), np.ones((1, 20), np.float32), np.zeros((1, 20), np.float32)
    boxes[0, 0], kinds[0, 0], scores[0, 0] = fractions, 3, 0.85
    return [boxes, kinds, scores, np.array([1], np.float32)]


ALL = ("yolov5", "yolox", "yolov8", "end2end", "ssd", "tfod", "fastestdet")


@pytest.mark.parametrize("kind", ALL)
def test_a_layout_is_recognised_and_its_box_read(kind: str) -> None:
    """The box comes out where it was put in, with its class and score."""
    outputs = output_of(kind)
    layout = recognise(outputs, HW, Overrides())
    assert layout.kind == kind
    if kind == "yolox":
        layout = Layout("yolox", CLASSES, decoded=False)
    boxes, scores, classes = decode(layout, outputs, HW, 0.5)
    assert classes.tolist() == [2]
    assert scores[0] == pytest.approx(0.85, abs=0.06)
    np.testing.assert_allclose(boxes[0], WANTED, atol=0.01)


@pytest.mark.parametrize("kind", ALL)
def test_an_imported_model_of_each_layout_finds_its_cat(kind: str, tmp_path: Path) -> None:
    """From an .onnx file to a detection in the pixels of the picture, by the same way that users go."""
    file = save(constant_model(output_of(kind)), tmp_path / f"{kind}.onnx")
    labels = tmp_path / "labels.txt"
    labels.write_text(LABELS)
    ModelStore(tmp_path / "data").import_file(file, labels=labels)
    algorithm = load("yolo", LoadContext(tmp_path / "data", kind))
    picture = np.full((128, 128, 3), 90, np.uint8)
    found = algorithm.detector()(picture, Options(0.5))
    algorithm.close()
    assert [d.label for d in found] == ["cat"]
    np.testing.assert_allclose(found[0].box, np.array(WANTED) * 2, atol=1)


@pytest.mark.parametrize(
    "shapes", [[(1, 1000)], [(1, 77, 9)], [(1, 3, 5, 5)], [(1, 50, 4), (1, 49, 4), (1, 3)], [(2, 84, 85)]]
)
def test_an_unknown_layout_is_refused_with_the_shapes_seen(shapes: list[tuple[int, ...]]) -> None:
    """A classifier or a mask model does not become boxes out of thin air."""
    outputs = [np.zeros(shape, np.float32) for shape in shapes]
    with pytest.raises(ModelRefused) as caught:
        recognise(outputs, HW, Overrides())
    assert str(list(shapes[0])) in caught.value.detail


def test_a_refused_model_leaves_nothing_installed(tmp_path: Path) -> None:
    """Half a model is no model."""
    file = save(constant_model([np.zeros((1, 1000))]), tmp_path / "classifier.onnx")
    store = ModelStore(tmp_path / "data")
    with pytest.raises(ModelRefused):
        store.import_file(file)
    assert not store.has("classifier")
    assert not list((tmp_path / "data" / "models").glob("*new*"))


def test_a_yolox_that_decodes_inside_is_told_from_one_that_does_not(tmp_path: Path) -> None:
    """The same shape, but centres that lie across the picture."""
    out = rows_of("yolox", HW, CLASSES)
    out[0, :, 0] = np.linspace(0, 63, out.shape[1])
    out[0, 35] = [*centred(), 0.9, 0, 0, 0.9, 0]
    store = ModelStore(tmp_path / "data")
    labels = tmp_path / "labels.txt"
    labels.write_text(LABELS)
    assert store.import_file(save(constant_model([out]), tmp_path / "in.onnx"), labels=labels).record.layout.decoded
    raw = store.import_file(save(constant_model(output_of("yolox")), tmp_path / "raw.onnx"), labels=labels)
    assert not raw.record.layout.decoded


def test_labels_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    """Five names for four classes would name things wrongly."""
    labels = tmp_path / "labels.txt"
    labels.write_text(LABELS + "eel\n")
    file = save(constant_model(output_of("yolov8")), tmp_path / "v8.onnx")
    with pytest.raises(ModelRefused, match="4 classes"):
        ModelStore(tmp_path / "data").import_file(file, labels=labels)


def test_an_ssd_with_a_background_class_skips_it(tmp_path: Path) -> None:
    """One score more than labels: the first means that nothing is there."""
    scores, boxes = output_of("ssd")
    padded = np.concatenate([np.full((1, 50, 1), 0.99, np.float32), scores], axis=2)
    labels = tmp_path / "labels.txt"
    labels.write_text(LABELS)
    file = save(constant_model([padded, boxes]), tmp_path / "ssd.onnx")
    model = ModelStore(tmp_path / "data").import_file(file, labels=labels)
    assert model.record.layout.background
    _, _, classes = decode(model.record.layout, [padded, boxes], HW, 0.5)
    assert classes.tolist() == [2]


def test_boxes_that_are_no_numbers_are_left_out() -> None:
    """A model that divides by zero loses its box, not the stream."""
    out = rows_of("yolov5", HW, CLASSES)
    out[0, 10] = [np.nan, 1, 1, 1, 0.9, 0, 0, 0.9, 0]
    out[0, 11] = [1, 1, np.inf, 1, 0.9, 0, 0, 0.9, 0]
    boxes, scores, classes = decode(Layout("yolov5", CLASSES), [out], HW, 0.5)
    assert len(boxes) == len(scores) == len(classes) == 0


def test_suppression_keeps_the_best_of_a_class_and_leaves_other_classes_alone() -> None:
    """Two boxes on one thing become one; a cat on a chair stays a cat and a chair."""
    boxes = np.array([[0, 0, 10, 10], [1, 1, 11, 11], [0, 0, 10, 10], [50, 50, 60, 60]], np.float32)
    kept = suppress(boxes, np.array([0.6, 0.9, 0.7, 0.3], np.float32), np.array([0, 0, 1, 0]))
    assert kept.tolist() == [1, 2, 3]


@pytest.mark.parametrize("resize", ["letterbox", "corner", "stretch"])
@pytest.mark.parametrize("size", [(720, 1280), (1280, 720), (64, 64), (7, 3), (1, 2000)])
def test_a_box_in_the_input_comes_back_to_where_it_was(resize: str, size: tuple[int, int]) -> None:
    """There and back again, within the rounding of the scale, and never outside the picture."""
    height, width = size
    fitter = Fitter((416, 416), resize, 114)  # type: ignore[arg-type]
    fitted, fit = fitter(np.zeros((height, width, 3), np.uint8))
    assert fitted.shape == (416, 416, 3)
    original = np.array([width * 0.25, height * 0.25, width * 0.75, height * 0.75])
    scale = np.array([fit.scale_x, fit.scale_y] * 2)
    inside = original * scale + np.array([fit.left, fit.top] * 2)
    np.testing.assert_allclose(fit.back(inside[None].astype(np.float32))[0], original, atol=1)
    far = fit.back(np.array([[-1e6, -1e6, 1e6, 1e6]], np.float32))[0]
    assert far.tolist() == [0, 0, width, height]


def test_the_bars_of_a_letter_box_are_clean_after_another_size() -> None:
    """The buffer is used again; nothing of the last picture may stay in it."""
    fitter = Fitter((64, 64), "letterbox", 114)
    fitter(np.full((64, 64, 3), 255, np.uint8))
    fitted, _ = fitter(np.full((32, 64, 3), 10, np.uint8))
    assert set(np.unique(fitted).tolist()) == {10, 114}
