"""TF.js graph models are computed as TensorFlow defines their operations, and others are refused by name."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from numpy.typing import NDArray

from compute_node.models import ModelStore
from compute_node.models.tfjs import read_tfjs
from mesh.errors import ModelRefused

Floats = NDArray[np.float32]
RNG = np.random.default_rng(11)


def text(words: str) -> dict[str, Any]:
    return {"s": base64.b64encode(words.encode()).decode()}


def numbers(*values: int) -> dict[str, Any]:
    return {"list": {"i": [str(n) for n in values]}}


def node(name: str, operation: str, *inputs: str, **attributes: Any) -> dict[str, Any]:
    return {"name": name, "op": operation, "input": list(inputs), "attr": attributes}


def placeholder(height: int, width: int) -> dict[str, Any]:
    sides = [{"size": str(n)} for n in (-1, height, width, 3)]
    return node("image", "Placeholder", shape={"shape": {"dim": sides}})


def write(folder: Path, nodes: list[dict[str, Any]], weights: dict[str, NDArray[Any]]) -> Path:
    """A graph model with its weights in two shards."""
    every = [*nodes, *(node(name, "Const") for name in weights)]
    content = b"".join(array.tobytes() for array in weights.values())
    (folder / "shard1").write_bytes(content[: len(content) // 2])
    (folder / "shard2").write_bytes(content[len(content) // 2 :])
    listed = [{"name": n, "shape": list(a.shape), "dtype": str(a.dtype)} for n, a in weights.items()]
    groups = [{"paths": ["shard1", "shard2"], "weights": listed}]
    path = folder / "model.json"
    path.write_text(json.dumps({"modelTopology": {"node": every}, "weightsManifest": groups}))
    return path


def run(path: Path, image: Floats) -> list[NDArray[Any]]:
    session = onnxruntime.InferenceSession(read_tfjs(path).SerializeToString(), providers=["CPUExecutionProvider"])
    outputs: list[NDArray[Any]] = session.run(None, {"images": image})
    return outputs


def convolve(image: Floats, kernel: Floats, stride: int, *, same: bool, depthwise: bool = False) -> Floats:
    """TensorFlow's convolution in plain loops. image: [H, W, C], kernel: [h, w, C, F]."""
    rows, columns, channels, filters = kernel.shape
    sides = image.shape[:2]
    pads = []
    for side, reach in zip(sides, (rows, columns), strict=True):
        total = max((-(-side // stride) - 1) * stride + reach - side, 0) if same else 0
        pads.append((total // 2, total - total // 2))
    padded = np.pad(image, [*pads, (0, 0)])
    high, wide = ((p - r) // stride + 1 for p, r in zip(padded.shape[:2], (rows, columns), strict=True))
    out = np.zeros((high, wide, channels * filters if depthwise else filters), np.float32)
    for y in range(high):
        for x in range(wide):
            patch = padded[y * stride : y * stride + rows, x * stride : x * stride + columns]
            out[y, x] = (
                (patch[..., None] * kernel).sum((0, 1)).reshape(-1)
                if depthwise
                else np.tensordot(patch, kernel, ([0, 1, 2], [0, 1, 2]))
            )
    return out


@pytest.mark.parametrize("size", [(9, 12), (8, 7)])
@pytest.mark.parametrize("padding", ["SAME", "VALID"])
def test_a_small_network_computes_what_tensorflow_defines(tmp_path: Path, size: tuple[int, int], padding: str) -> None:
    """Convolution, batch-norm, offset, depthwise, clipping, a residual sum, then reshaping as in an SSD's head."""
    weights = {
        "k1": RNG.normal(0, 0.5, (3, 3, 3, 4)),
        "gamma": RNG.uniform(0.5, 2, 4),
        "beta": RNG.normal(0, 1, 4),
        "mean": RNG.normal(0, 1, 4),
        "variance": RNG.uniform(0.5, 2, 4),
        "k2": RNG.normal(0, 0.5, (3, 3, 4, 1)),
        "bias": RNG.normal(0, 1, 4),
        "k3": RNG.normal(0, 0.5, (1, 1, 4, 8)),
    }
    constants: dict[str, NDArray[Any]] = {name: array.astype(np.float32) for name, array in weights.items()}
    constants |= {
        "four": np.array([1, -1, 4], np.int32),
        "order": np.array([0, 2, 1], np.int32),
        "begin": np.array([0, 1, 0], np.int32),
        "size": np.array([-1, 2, -1], np.int32),
    }
    one = {"strides": numbers(1, 1, 1, 1), "dilations": numbers(1, 1, 1, 1)}
    nodes = [
        placeholder(*size),
        node("conv", "Conv2D", "image", "k1", strides=numbers(1, 2, 2, 1), padding=text(padding)),
        node("norm", "FusedBatchNormV3", "conv", "gamma", "beta", "mean", "variance", epsilon={"f": 0.001}),
        node("relu", "Relu6", "norm"),
        node("depth", "DepthwiseConv2dNative", "relu", "k2", padding=text("SAME"), **one),
        node("biased", "BiasAdd", "depth", "bias"),
        node("sum", "AddN", "biased", "relu", "bias"),
        node("wide", "Conv2D", "sum", "k3", padding=text("SAME"), **one),
        node("flat", "Reshape", "wide", "four"),
        node("turned", "Transpose", "flat", "order"),
        node("cut", "Slice", "turned", "begin", "size"),
        node("out", "Sigmoid", "cut"),
    ]
    image = RNG.normal(0, 1, (1, *size, 3)).astype(np.float32)
    first = convolve(image[0], constants["k1"], 2, same=padding == "SAME")
    normed = (first - constants["mean"]) / np.sqrt(constants["variance"] + 0.001) * constants["gamma"] + constants[
        "beta"
    ]
    relu = np.clip(normed, 0, 6)
    biased = convolve(relu, constants["k2"], 1, same=True, depthwise=True) + constants["bias"]
    wide = convolve(biased + relu + constants["bias"], constants["k3"], 1, same=True)
    expected = 1 / (1 + np.exp(-wide.reshape(1, -1, 4).transpose(0, 2, 1)[:, 1:3]))
    (found,) = run(write(tmp_path, nodes, constants), image)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_batch_norm_and_offsets_cost_nothing(tmp_path: Path) -> None:
    """What follows a convolution alone goes into its weights, and no transposition stands between two of them."""
    ones = np.ones(4, np.float32)
    constants: dict[str, NDArray[Any]] = {
        "k": np.ones((1, 1, 3, 4), np.float32),
        "k2": np.ones((1, 1, 4, 4), np.float32),
        "v": ones,
    }
    same = {"strides": numbers(1, 1, 1, 1), "padding": text("SAME")}
    nodes = [
        placeholder(4, 4),
        node("conv", "Conv2D", "image", "k", **same),
        node("norm", "FusedBatchNorm", "conv", "v", "v", "v", "v"),
        node("more", "Add", "norm", "v"),
        node("last", "Conv2D", "more", "k2", **same),
    ]
    kinds = [n.op_type for n in read_tfjs(write(tmp_path, nodes, constants)).graph.node]
    assert kinds == ["Transpose", "Conv", "Conv", "Transpose", "Identity"]


def test_a_result_that_others_read_is_not_changed_behind_their_back(tmp_path: Path) -> None:
    """Two offsets on one convolution stay two, though each alone could go into its weights."""
    constants: dict[str, NDArray[Any]] = {
        "k": RNG.normal(0, 1, (1, 1, 3, 2)).astype(np.float32),
        "a": np.array([1, 2], np.float32),
        "b": np.array([10, 20], np.float32),
    }
    nodes = [
        placeholder(2, 2),
        node("conv", "Conv2D", "image", "k", strides=numbers(1, 1, 1, 1), padding=text("SAME")),
        node("with_a", "Add", "conv", "a"),
        node("with_b", "Add", "conv", "b"),
        node("third", "Add", "with_a", "b"),
        node("fourth", "Mul", "with_a", "b"),
    ]
    image = RNG.normal(0, 1, (1, 2, 2, 3)).astype(np.float32)
    plain = convolve(image[0], constants["k"], 1, same=True)
    with_b, third, fourth = run(write(tmp_path, nodes, constants), image)
    np.testing.assert_allclose(with_b[0], plain + np.array([10, 20]), atol=1e-5)
    np.testing.assert_allclose(third[0], plain + np.array([11, 22]), atol=1e-5)
    np.testing.assert_allclose(fourth[0], (plain + np.array([1, 2])) * [10, 20], atol=1e-4)


def test_a_quantised_weight_is_spread_out_again(tmp_path: Path) -> None:
    """One byte a weight, with scale and least value, as the converter's --quantize writes them."""
    path = write(
        tmp_path,
        [placeholder(2, 2), node("conv", "Conv2D", "image", "k", strides=numbers(1, 1, 1, 1), padding=text("SAME"))],
        {"k": np.array([0, 128, 255], np.uint8).reshape(1, 1, 3, 1)},
    )
    document = json.loads(path.read_text())
    weight = document["weightsManifest"][0]["weights"][0]
    weight |= {"dtype": "float32", "quantization": {"dtype": "uint8", "scale": 0.5, "min": -10}}
    path.write_text(json.dumps(document))
    (found,) = run(path, np.ones((1, 2, 2, 3), np.float32))
    assert found[0, 0, 0, 0] == pytest.approx(-10 + (64 - 10) + (127.5 - 10))


@pytest.mark.parametrize(
    ("extra", "words"),
    [
        (node("x", "LSTMBlockCell", "image"), r"x \(LSTMBlockCell\).*not supported"),
        (node("x", "Relu", "absent"), "absent is used but not there"),
        (node("x", "Relu", "x2"), "depends on itself"),
        (node("x", "Reshape", "image", "image"), "not constant"),
        (node("x", "Conv2D", "image", "k", strides=numbers(1, 1, 1, 1), padding=text("EXPLICIT")), "EXPLICIT"),
        (node("x", "Conv2D", "image", "bad", strides=numbers(1, 1, 1, 1), padding=text("SAME")), "does not fit"),
        (node("x", "Conv2D", "image", "k", padding=text("SAME")), "cannot be converted"),
        ({"op": "Relu"}, "no TF.js graph model"),
    ],
)
def test_what_is_not_supported_is_refused_by_its_name(tmp_path: Path, extra: dict[str, Any], words: str) -> None:
    """The error names node and operation."""
    nodes = [placeholder(4, 4), extra, node("out", "Relu", "x")]
    if extra.get("input") == ["x2"]:
        nodes.append(node("x2", "Relu", "x"))
    constants: dict[str, NDArray[Any]] = {
        "k": np.ones((1, 1, 3, 1), np.float32),
        "bad": np.ones((1, 1, 5, 1), np.float32),
    }
    with pytest.raises(ModelRefused, match=words):
        read_tfjs(write(tmp_path, nodes, constants))


def test_weight_files_that_are_cut_short_or_missing_are_refused(tmp_path: Path) -> None:
    """The counts say by how much."""
    path = write(tmp_path, [placeholder(2, 2)], {"k": np.ones(100, np.float32)})
    (tmp_path / "shard2").write_bytes(b"1234")
    with pytest.raises(ModelRefused, match="end before k: 204 bytes"):
        read_tfjs(path)
    (tmp_path / "shard2").unlink()
    with pytest.raises(ModelRefused, match="shard2 is missing"):
        read_tfjs(path)


def test_the_real_ssd_has_few_transpositions_and_two_outputs(models: Path) -> None:
    """60 convolutions in a row stay colours-first; the installed model says that it is an SSD with 90 classes."""
    store = ModelStore(models)
    if not store.has("ssdlite-mobilenet-v2"):
        pytest.skip("ssdlite-mobilenet-v2 is not installed: run the tests by ./fogline test")
    record = store.open("ssdlite-mobilenet-v2").record
    assert record.layout.kind == "ssd"
    assert record.layout.classes == 90
    assert record.input_hw == (300, 300)
    assert record.preparation.resize == "stretch"
