"""Small ONNX models with known answers: whatever goes in, a given array comes out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper


def constant_model(
    outputs: Sequence[NDArray[Any]], hw: tuple[int, int] = (64, 64), *, planes: bool = True, uint8: bool = False
) -> onnx.ModelProto:
    """A model of one picture whose outputs are `outputs`, plus zero times the picture's mean so that it is read."""
    shape = [1, 3, *hw] if planes else [1, *hw, 3]
    nodes, results, constants = [], [], [numpy_helper.from_array(np.array(0, np.float32), "zero")]
    nodes.append(helper.make_node("Cast", ["images"], ["floats"], to=TensorProto.FLOAT))
    nodes.append(helper.make_node("ReduceMean", ["floats"], ["mean"], keepdims=0))
    nodes.append(helper.make_node("Mul", ["mean", "zero"], ["nothing"]))
    for number, array in enumerate(outputs):
        constants.append(numpy_helper.from_array(array.astype(np.float32), f"answer{number}"))
        nodes.append(helper.make_node("Add", [f"answer{number}", "nothing"], [f"out{number}"]))
        results.append(helper.make_tensor_value_info(f"out{number}", TensorProto.FLOAT, list(array.shape)))
    kind = TensorProto.UINT8 if uint8 else TensorProto.FLOAT
    graph = helper.make_graph(nodes, "tiny", [helper.make_tensor_value_info("images", kind, shape)], results, constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def save(model: onnx.ModelProto, path: Path) -> Path:
    path.write_bytes(model.SerializeToString())
    return path


def rows_of(layout: str, hw: tuple[int, int], classes: int) -> NDArray[np.float32]:
    """An empty output of `layout` for an input of `hw`."""
    cells = sum((hw[0] // s) * (hw[1] // s) for s in (8, 16, 32))
    shapes = {
        "yolov5": (1, 3 * cells, 5 + classes),
        "yolox": (1, cells, 5 + classes),
        "yolov8": (1, 4 + classes, cells),
        "end2end": (1, 100, 6),
        "fastestdet": (1, 5 + classes, hw[0] // 16, hw[1] // 16),
    }
    return np.zeros(shapes[layout], np.float32)
