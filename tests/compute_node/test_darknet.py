"""Darknet models read by Fogline compute what OpenCV's own reader computes, and broken ones are refused in words."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import onnxruntime
import pytest
from numpy.typing import NDArray

from compute_node.models.darknet import read_darknet
from mesh.errors import ModelRefused

NET = "[net]\nwidth=64\nheight=64\nchannels=3\n"
YOLO = "[yolo]\nnum=3\nmask=0,1,2\nanchors=4,6, 8,9, 12,20\nclasses=2\n"
HEAD = "[convolutional]\nfilters=21\nsize=1\nstride=1\npad=1\nactivation=linear\n"

EVERYTHING = (
    NET
    + """
[convolutional]
batch_normalize=1
filters=8
size=3
stride=1
pad=1
activation=mish
[maxpool]   # keeps the size, as in v3-tiny
size=2
stride=1
[convolutional]
batch_normalize=1
filters=8
size=3
stride=2
pad=1
groups=4
activation=leaky
[route]
layers=-1
groups=2
group_id=1
[convolutional]
filters=8
size=1
stride=1
pad=1
activation=swish
[shortcut]
from=-3
activation=linear
[dropout]
probability=.5
[maxpool]
size=2
stride=2
[convolutional]
filters=8
size=3
stride=2
pad=1
activation=relu
[maxpool]
size=5
stride=1
[upsample]
stride=2
[route]
layers=-1,-4
[convolutional]
filters=21
size=1
stride=1
pad=1
activation=linear
"""
    + YOLO
)
EVERYTHING_FLOATS = (
    (8 * 4 + 8 * 3 * 9) + (8 * 4 + 8 * 2 * 9) + (8 + 8 * 4) + (8 + 8 * 8 * 9) + (21 + 21 * 16)
)  # biases or four per filter, then kernels


def write(
    folder: Path, cfg: str, floats: int, *, version: tuple[int, int] = (0, 2), spread: float = 0.3
) -> tuple[Path, Path]:
    """A cfg and random weights for it."""
    numbers = np.random.default_rng(7).normal(0, spread, floats).astype(np.float32)
    # Variances must be positive, and it does no harm to the rest.
    header = np.array([*version, 0], np.int32).tobytes() + b"\0" * (8 if version >= (0, 2) else 4)
    (folder / "net.cfg").write_text(cfg)
    (folder / "net.weights").write_bytes(header + np.abs(numbers).tobytes())
    return folder / "net.cfg", folder / "net.weights"


def ours(cfg: Path, weights: Path, blob: NDArray[np.float32]) -> NDArray[np.float32]:
    model, _ = read_darknet(cfg, weights)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    result: NDArray[np.float32] = session.run(None, {"images": blob})[0][0]
    return result


def opencvs(cfg: Path, weights: Path, blob: NDArray[np.float32], anchors: int) -> NDArray[np.float32]:
    """OpenCV's rows in our order: head by head as in the cfg, anchor by anchor, and boxes in input pixels."""
    net = cv2.dnn.readNetFromDarknet(str(cfg), str(weights))
    net.setInput(blob)
    heads = [np.asarray(head) for head in net.forward(net.getUnconnectedOutLayersNames())]
    heads.sort(key=len)
    rows = [h.reshape(-1, anchors, h.shape[1]).transpose(1, 0, 2).reshape(-1, h.shape[1]) for h in heads]
    joined = np.concatenate(rows).astype(np.float32)
    joined[:, :4] *= np.array([blob.shape[3], blob.shape[2]] * 2)
    return joined


def agree(mine: NDArray[np.float32], theirs: NDArray[np.float32], pixels: float) -> None:
    """Boxes within `pixels`, scores within 0.002; OpenCV zeroes classes below its own threshold of 0.2."""
    assert mine.shape == theirs.shape
    np.testing.assert_allclose(mine[:, :4], theirs[:, :4], atol=pixels, rtol=1e-3)
    np.testing.assert_allclose(mine[:, 4], theirs[:, 4], atol=2e-3)
    scores = mine[:, 5:] * mine[:, 4:5]
    shown = theirs[:, 5:] > 0
    np.testing.assert_allclose(scores[shown], theirs[:, 5:][shown], atol=2e-3)


def test_every_kind_of_layer_computes_what_opencv_computes(tmp_path: Path) -> None:
    """Groups, routes, shortcuts, both paddings of max-pooling, upsampling and the activations in one network."""
    cfg, weights = write(tmp_path, EVERYTHING, EVERYTHING_FLOATS, spread=0.08)
    blob = np.random.default_rng(3).random((1, 3, 64, 64), np.float32)
    agree(ours(cfg, weights, blob), opencvs(cfg, weights, blob, 3), 0.05)


def test_a_real_yolo_fastest_computes_what_opencv_computes(shared: Path) -> None:
    """130 layers with depthwise groups and two heads, on a real photograph."""
    cfg, weights = (shared / "models" / f"yolo-fastest-1.1-xl.{part}" for part in ("cfg", "weights"))
    picture = cv2.imread(str(next(iter(sorted((shared / "images" / "coco" / "images").glob("*.jpg"))))))
    assert picture is not None
    blob = cv2.dnn.blobFromImage(picture, 1 / 255, (320, 320), swapRB=True).astype(np.float32)
    agree(ours(cfg, weights, blob), opencvs(cfg, weights, blob, 3), 0.5)


def test_old_weights_have_a_shorter_header(tmp_path: Path) -> None:
    """Before version 0.2 the count of seen pictures had four bytes: read otherwise, every weight would be shifted."""
    floats = 21 + 21 * 3
    blob = np.random.default_rng(3).random((1, 3, 64, 64), np.float32)
    new = ours(*write(tmp_path, NET + HEAD + YOLO, floats), blob)
    old = ours(*write(tmp_path, NET + HEAD + YOLO, floats, version=(0, 1)), blob)
    np.testing.assert_array_equal(new, old)


def test_scaled_centres_and_new_coordinates_are_decoded(tmp_path: Path) -> None:
    """YOLOv4's scale_x_y widens a centre's reach; new_coords squares a size that went through the logistic before."""
    head = HEAD.replace("linear", "logistic")
    cfg, weights = write(tmp_path, NET + head + YOLO + "scale_x_y=2.0\nnew_coords=1\n", 21 + 21 * 3)
    blob = np.zeros((1, 3, 64, 64), np.float32)
    row = ours(cfg, weights, blob)[0]
    bias = np.abs(np.random.default_rng(7).normal(0, 0.3, 21).astype(np.float32))
    sure = 1 / (1 + np.exp(-bias))
    np.testing.assert_allclose(row[:2], sure[:2] * 2 - 0.5, rtol=1e-4)
    np.testing.assert_allclose(row[2:4], (sure[2:4] * 2) ** 2 * [4, 6], rtol=1e-4)
    np.testing.assert_allclose(row[4:7], sure[4:7], rtol=1e-4)


def test_another_mask_takes_other_anchors(tmp_path: Path) -> None:
    """The masks of the catalogue replace the cfg's."""
    cfg_text = NET + HEAD + YOLO.replace("12,20", "12,20, 40,50").replace("num=3", "num=4")
    cfg, weights = write(tmp_path, cfg_text, 21 + 21 * 3)
    blob = np.zeros((1, 3, 64, 64), np.float32)
    usual = ours(cfg, weights, blob)
    model, _ = read_darknet(cfg, weights, masks=[[1, 2, 3]])
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    changed = session.run(None, {"images": blob})[0][0]
    np.testing.assert_allclose(changed[0, 2:4] / usual[0, 2:4], [8 / 4, 9 / 6], rtol=1e-4)


@pytest.mark.parametrize(
    ("cfg", "floats", "words"),
    [
        (NET + HEAD + YOLO, 50, r"line 5, \[convolutional\].*truncated.*63.*29"),
        (NET + HEAD + YOLO, 90, r"use 84 numbers, the file holds 90"),
        (NET + "[lstm]\n" + YOLO, 84, r"line 5, \[lstm\].*not supported"),
        (NET + HEAD.replace("linear", "gelu") + YOLO, 84, r"activation=gelu.*mish"),
        (NET + HEAD.replace("=21", "=20") + YOLO, 80, r"line 11, \[yolo\].*20 channels.*21"),
        (NET + HEAD.replace("=21", "=x"), 84, r"filters='x' is not a whole number"),
        (NET + HEAD.replace("=21", "=99999999"), 84, r"filters=99999999 is not within"),
        (NET + "[route]\nlayers=-5\n", 84, r"layer -5 does not lie before"),
        (NET + HEAD, 84, r"no \[yolo\]"),
        (NET.replace("width=64", "width=70") + HEAD + YOLO, 84, r"multiples of 32"),
        (NET.replace("channels=3", "channels=1") + HEAD + YOLO, 84, r"channels=1"),
        ("hello", 84, r"line 1: 'hello' is neither"),
        ("[net\n", 84, r"line 1.*bracket"),
        ("width=3\n", 84, r"line 1.*before any"),
        ("", 84, r"must begin with \[net\]"),
    ],
)
def test_a_broken_model_is_refused_with_its_place(tmp_path: Path, cfg: str, floats: int, words: str) -> None:
    """The error names section and line, or how many weights are missing or left over."""
    with pytest.raises(ModelRefused, match=words):
        read_darknet(*write(tmp_path, cfg, floats))


def test_damaged_weights_are_refused(tmp_path: Path) -> None:
    """NaN in the weights would give a detector that sees nothing, and nobody would know why."""
    cfg, weights = write(tmp_path, NET + HEAD + YOLO, 84)
    content = bytearray(weights.read_bytes())
    content[20:24] = np.array([np.nan], np.float32).tobytes()
    weights.write_bytes(bytes(content))
    with pytest.raises(ModelRefused, match="damaged"):
        read_darknet(cfg, weights)
    weights.write_bytes(b"short")
    with pytest.raises(ModelRefused, match="too short"):
        read_darknet(cfg, weights)
