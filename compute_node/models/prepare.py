"""Makes the installed artifact: an ONNX model that takes pictures as OpenCV has them.

The input is uint8 [1, H, W, 3], blue-green-red. Cast, colour order, normalisation and the change to planes are
nodes of the graph, so that every engine does the same and a frame needs no arithmetic in Python. Where the first
operation is a plain convolution and there is no mean to subtract, the colour order goes into its weights and costs
nothing. The scale stays a node: OpenVINO joins cast, arithmetic and planes into one pass, but makes three of them where
no arithmetic stands between (0.6 of 13.7 ms in YOLOv3-tiny), and a quantized first convolution needs a scale to hold.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from compute_node.models.record import Preparation
from mesh.errors import ModelRefused

INPUT = "fogline_image"
MAX_MODEL_BYTES = 1 << 30  # yolov3 has 248 MB; protobuf itself ends at 2 GB
_FLOATS: dict[int, Any] = {TensorProto.FLOAT: np.float32, TensorProto.FLOAT16: np.float16}


def load_onnx(path: Path) -> onnx.ModelProto:
    """The ONNX model at `path`. Raises ModelRefused where it is none, is too large or points at other files."""
    size = path.stat().st_size
    if size > MAX_MODEL_BYTES:
        raise ModelRefused(f"{path.name} has {size} bytes; the limit is {MAX_MODEL_BYTES}")
    try:
        model = onnx.load_model_from_string(path.read_bytes())
    except Exception as error:  # protobuf and onnx raise many kinds, none of them documented
        raise ModelRefused(f"{path.name} is not an ONNX model: {str(error)[:200]}") from error
    if not model.graph.node:
        raise ModelRefused(f"{path.name} is not an ONNX model: it holds no operations")
    if any(tensor.data_location == TensorProto.EXTERNAL for tensor in _tensors(model)):
        raise ModelRefused(f"{path.name} keeps its weights in another file; save it as one file")
    return model


def _tensors(model: onnx.ModelProto) -> Iterator[onnx.TensorProto]:
    """Every constant of the model, wherever it is: an engine reads the file that one names, wherever that is."""
    yield from model.graph.initializer
    waiting: list[Any] = [model.graph, *model.functions]
    while waiting:
        graph = waiting.pop()
        for sparse in getattr(graph, "sparse_initializer", ()):
            yield from (sparse.values, sparse.indices)
        for attribute in (attribute for node in graph.node for attribute in node.attribute):
            yield from (attribute.t, *attribute.tensors)
            for one in (attribute.sparse_tensor, *attribute.sparse_tensors):
                yield from (one.values, one.indices)
            for inner in (attribute.g, *attribute.graphs):
                yield from inner.initializer
                waiting.append(inner)


def source_input(
    model: onnx.ModelProto, hw: tuple[int, int] | None
) -> tuple[onnx.ValueInfoProto, bool, tuple[int, int]]:
    """The picture input of `model`, whether it wants planes (NCHW), and its height and width.

    hw: what to use where the model leaves its size open. Raises ModelRefused with the inputs that were seen.
    """
    constants = {tensor.name for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in constants]
    seen = "; ".join(f"{v.name} {_shape_words(v)}" for v in inputs) or "none"
    if len(inputs) != 1:
        raise ModelRefused(f"a detector takes one picture; this model's inputs: {seen}")
    value = inputs[0]
    dims = [d.dim_value if d.HasField("dim_value") else 0 for d in value.type.tensor_type.shape.dim]
    if len(dims) != 4 or dims[0] not in (0, 1, -1):
        raise ModelRefused(f"the input must be [1, 3, H, W] or [1, H, W, 3]; seen: {seen}")
    planes = dims[1] == 3 or dims[3] != 3
    if planes and dims[1] not in (0, 3, -1):
        raise ModelRefused(f"the input must have 3 colours; seen: {seen}")
    fixed = (dims[2], dims[3]) if planes else (dims[1], dims[2])
    if min(fixed) > 0:
        if hw is not None and hw != fixed:
            raise ModelRefused(f"this model's input is fixed at {fixed[0]}×{fixed[1]}; {hw[0]}×{hw[1]} was asked for")
        return value, planes, fixed
    if hw is None:
        raise ModelRefused(f"the model leaves its input size open ({seen}): say it, for example 640x640")
    return value, planes, hw


def _shape_words(value: onnx.ValueInfoProto) -> str:
    dims = value.type.tensor_type.shape.dim
    return str([d.dim_value if d.HasField("dim_value") else d.dim_param or "?" for d in dims])


def prepare(model: onnx.ModelProto, preparation: Preparation, hw: tuple[int, int] | None = None) -> onnx.ModelProto:
    """A copy of `model` with the preparation inside. hw: height and width where the model leaves them open.

    Raises ModelRefused where the input is not one picture of 3 colours.
    """
    prepared = onnx.ModelProto()
    prepared.CopyFrom(model)
    graph = prepared.graph
    value, planes, (height, width) = source_input(prepared, hw)
    target, kind = value.name, value.type.tensor_type.elem_type
    flip = preparation.order == "rgb"
    scale, mean = preparation.scale, preparation.mean
    nodes: list[onnx.NodeProto] = []

    if kind != TensorProto.UINT8 and kind not in _FLOATS:
        raise ModelRefused(f"the input {value.name} holds {TensorProto.DataType.Name(kind)}; uint8 or float is needed")
    if flip and kind in _FLOATS and planes and not any(mean) and _fold(graph, target):
        flip = False

    def step(operation: str, *constants: onnx.TensorProto, **attributes: Any) -> None:
        graph.initializer.extend(constants)
        source = nodes[-1].output[0] if nodes else INPUT
        output = f"fogline_{len(nodes)}"
        nodes.append(helper.make_node(operation, [source, *(c.name for c in constants)], [output], **attributes))

    if flip:
        step("Gather", numpy_helper.from_array(np.array([2, 1, 0], np.int64), "fogline_order"), axis=3)
    if kind in _FLOATS:
        number = _FLOATS[kind]
        step("Cast", to=kind)
        if any(mean):
            step("Sub", numpy_helper.from_array(np.array(mean, number).reshape(1, 1, 1, 3), "fogline_mean"))
        if scale != 1.0:
            step("Mul", numpy_helper.from_array(np.array(scale, number), "fogline_scale"))
    if planes:
        step("Transpose", perm=[0, 3, 1, 2])
    if not nodes:
        step("Identity")
    nodes[-1].output[0] = target

    others = [v for v in graph.input if v.name != target]
    del graph.input[:]
    graph.input.append(helper.make_tensor_value_info(INPUT, TensorProto.UINT8, [1, height, width, 3]))
    graph.input.extend(others)
    for later in list(graph.node):
        nodes.append(later)
    del graph.node[:]
    graph.node.extend(nodes)
    del graph.value_info[:]  # sizes of an open input would be stale, and engines work them out themselves
    return prepared


def _fold(graph: onnx.GraphProto, target: str) -> bool:
    """Turn the colours round in the convolution that alone reads `target`; whether that could be done."""
    readers = [node for node in graph.node if target in node.input]
    if len(readers) != 1 or readers[0].op_type != "Conv" or readers[0].input[0] != target:
        return False
    name = readers[0].input[1]
    if sum(name in node.input for node in graph.node) != 1:
        return False
    for tensor in graph.initializer:
        if tensor.name == name:
            kernel = numpy_helper.to_array(tensor)
            if kernel.ndim != 4 or kernel.shape[1] != 3:
                return False
            tensor.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(kernel[:, ::-1]), name))
            return True
    return False
