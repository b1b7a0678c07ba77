"""TensorFlow.js graph models to ONNX: the operations of SSD detectors from TensorFlow's object detection.

TensorFlow keeps colours last (NHWC), ONNX first (NCHW). A convolution's result stays colours-first until an operation
needs the other order, so whole networks go through without a transposition. Whatever depends on constants and known
shapes alone is computed here; scales and offsets after a convolution go into its weights.

The loop in which such models resize their input is cut off: the graph's input `images`, float32 [1, H, W, 3], takes
pictures that have the right size already, with values of 0 to 255.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from compute_node.models import tfjs_shapes
from compute_node.models.tfjs_files import Constant, GraphNode, read_files
from mesh.errors import ModelRefused

OPSET = 17
MAX_SIDE = 2048
INPUT = "images"
TO_PLANES, TO_COLOURS_LAST = [0, 3, 1, 2], [0, 2, 3, 1]
LOOP_RESULT = "TensorArrayGatherV3"
BINARY = {
    "Add": "Add",
    "AddV2": "Add",
    "BiasAdd": "Add",
    "Sub": "Sub",
    "Mul": "Mul",
    "RealDiv": "Div",
    "Maximum": "Max",
    "Minimum": "Min",
}
UNARY = {"Relu": "Relu", "Sigmoid": "Sigmoid", "Exp": "Exp", "Sqrt": "Sqrt", "Neg": "Neg", "Tanh": "Tanh"}
CONVOLUTIONS = {"Conv2D", "_FusedConv2D", "FusedConv2D"}
DEPTHWISE = {"DepthwiseConv2dNative", "FusedDepthwiseConv2dNative", "_FusedDepthwiseConv2dNative"}


@dataclass(slots=True)
class Value:
    """A tensor: its name in ONNX and its shape in TensorFlow's order, or, when known now, its constant.

    planes: whether the ONNX tensor is [N, C, H, W] while `shape` says [N, H, W, C].
    """

    shape: tuple[int, ...]
    name: str = ""
    constant: Constant | None = None
    planes: bool = False
    twin: Value | None = field(default=None, repr=False)  # the same in the other order, once made


class _Converter:
    def __init__(self, nodes: dict[str, GraphNode], weights: dict[str, Constant], side: tuple[int, int] | None) -> None:
        self.nodes = nodes
        self.weights = weights
        self.side = side
        self.uses = Counter(name for node in nodes.values() for name in node.inputs)
        self.values: dict[str, Value] = {}
        self.out: list[onnx.NodeProto] = []
        self.constants: dict[str, Constant] = {}
        self.convolutions: dict[str, tuple[str, str]] = {}  # result → names of its kernel and bias
        self.image: Value | None = None

    # Values and nodes

    def constant(self, array: Any, kind: Any = None) -> str:
        name = f"c{len(self.constants)}"
        self.constants[name] = np.array(array, kind, order="C")  # ascontiguousarray would give a scalar an axis
        return name

    def emit(self, operation: str, *inputs: str, **attributes: Any) -> str:
        name = f"n{len(self.out)}"
        self.out.append(helper.make_node(operation, list(inputs), [name], **attributes))
        return name

    def ordered(self, value: Value, planes: bool) -> Value:
        """`value` as [N, C, H, W] (planes) or in TensorFlow's own order."""
        if value.planes == planes:
            return value
        if value.twin is None:
            name = self.emit("Transpose", value.name, perm=TO_PLANES if planes else TO_COLOURS_LAST)
            value.twin = Value(value.shape, name, planes=planes)
        return value.twin

    def named(self, value: Value) -> str:
        """The ONNX name of `value` in TensorFlow's order; a constant becomes an initialiser."""
        if value.constant is not None:
            return value.name or self.constant(value.constant)
        return self.ordered(value, planes=False).name

    def look_up(self, tensor: str) -> Value:
        name, _, port = tensor.partition(":")
        return self.values[f"{name}:{port}" if port not in ("", "0") else name]

    def known(self, node: GraphNode, position: int) -> Constant:
        """The constant input at `position`. Raises ModelRefused where it depends on the picture."""
        value = self.look_up(node.inputs[position])
        if value.constant is None:
            raise node.refuse(f"input {node.inputs[position]} is not constant")
        return value.constant

    # The walk

    def convert(self, outputs: Sequence[str]) -> onnx.ModelProto:
        for output in outputs:
            self._visit(output)
        if self.image is None:
            raise ModelRefused("no picture goes into this TF.js model")
        results = []
        for number, output in enumerate(outputs):
            value = self.values[output]
            self.out.append(helper.make_node("Identity", [self.named(value)], [f"output_{number}"]))
            results.append(helper.make_tensor_value_info(f"output_{number}", TensorProto.FLOAT, list(value.shape)))
        used = {name for node in self.out for name in node.input}
        return helper.make_model(
            helper.make_graph(
                self.out,
                "tfjs",
                [helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, list(self.image.shape))],
                results,
                [numpy_helper.from_array(array, name) for name, array in self.constants.items() if name in used],
            ),
            opset_imports=[helper.make_opsetid("", OPSET)],
            ir_version=8,
            producer_name="fogline",
        )

    def _visit(self, name: str) -> None:
        """Convert what `name` needs, then it; with a stack of its own, because graphs are deeper than Python's."""
        stack, open_now = [name], set()
        while stack:
            current = stack[-1]
            if current in self.values:
                stack.pop()
                continue
            node = self.nodes.get(current)
            if node is None:
                raise ModelRefused(f"TF.js node {current} is used but not there")
            needs = [] if node.operation == LOOP_RESULT else [i.partition(":")[0] for i in node.inputs]
            missing = [need for need in needs if need not in self.values]
            if missing:
                if current in open_now:
                    raise node.refuse("it depends on itself: loops other than the resizing of the input are unknown")
                open_now.add(current)
                stack.extend(missing)
                continue
            try:
                self._convert(node)
            except (KeyError, IndexError, ValueError, TypeError) as error:
                raise node.refuse(f"it cannot be converted ({type(error).__name__}: {error})") from error
            stack.pop()

    def _convert(self, node: GraphNode) -> None:
        operation = node.operation
        if operation == "Const":
            array = self.weights[node.name]
            self.values[node.name] = Value(array.shape, constant=array)
        elif operation in ("Placeholder", LOOP_RESULT):
            self._input(node)
        elif operation in CONVOLUTIONS or operation in DEPTHWISE:
            self.values[node.name] = self._convolution(node)
        elif operation in ("FusedBatchNorm", "FusedBatchNormV2", "FusedBatchNormV3"):
            gamma, beta, mean, variance = (self.known(node, i) for i in range(1, 5))
            factor = gamma / np.sqrt(variance + node.number("epsilon", 1e-3))
            scaled = self._binary(node, "Mul", self.look_up(node.inputs[0]), _known(factor), inner=True)
            self.values[node.name] = self._binary(node, "Add", scaled, _known(beta - mean * factor))
        elif operation in BINARY or operation == "AddN":
            parts = [self.look_up(name) for name in node.inputs]
            result = parts[0]
            for number, part in enumerate(parts[1:]):
                result = self._binary(node, BINARY.get(operation, "Add"), result, part, inner=number > 0)
            self.values[node.name] = result
        elif operation in UNARY or operation in ("Relu6", "Softmax", "Identity", "Cast"):
            self.values[node.name] = self._unary(node)
        elif operation in ("MaxPool", "AvgPool"):
            self.values[node.name] = self._pool(node)
        else:
            for suffix, value in tfjs_shapes.convert(self, node).items():
                self.values[node.name + suffix] = value

    def _input(self, node: GraphNode) -> None:
        """The picture: after the loop that resizes it, or a placeholder of a known size."""
        shape = node.shape("element_shape" if node.operation == LOOP_RESULT else "shape")[-3:]
        height, width = self.side or (shape[0], shape[1])
        if len(shape) != 3 or shape[2] != 3 or not 1 <= min(height, width) <= max(height, width) <= MAX_SIDE:
            raise node.refuse(f"the input {shape} is not one picture [H, W, 3] of a known size up to {MAX_SIDE}")
        if self.image is not None:
            raise node.refuse("a detector takes one picture; this model has a second input")
        self.image = self.values[node.name] = Value((1, height, width, 3), INPUT)

    # Arithmetic

    def _convolution(self, node: GraphNode) -> Value:
        source = self.ordered(self.look_up(node.inputs[0]), planes=True)
        kernel = self.known(node, 1)
        depthwise = node.operation in DEPTHWISE
        rows, columns, channels, filters = kernel.shape
        if channels != source.shape[3]:
            raise node.refuse(f"the kernel {list(kernel.shape)} does not fit the input {list(source.shape)}")
        if depthwise:
            filters *= channels
            weights = kernel.transpose(2, 3, 0, 1).reshape(filters, 1, rows, columns)
        else:
            weights = kernel.transpose(3, 2, 0, 1)
        strides = node.integers("strides")[1:3]
        dilations = (node.integers("dilations") or [1, 1, 1, 1])[1:3]
        pads, size = _padding(node, source.shape[1:3], (rows, columns), strides, dilations)
        fused = node.texts("fused_ops")
        bias = self.known(node, 2) if fused[:1] == ["BiasAdd"] else np.zeros(filters)
        names = self.constant(weights, np.float32), self.constant(bias.reshape(-1), np.float32)
        result = self.emit(
            "Conv",
            source.name,
            *names,
            kernel_shape=[rows, columns],
            strides=strides,
            dilations=dilations,
            pads=pads,
            group=channels if depthwise else 1,
        )
        if not fused and self.uses[node.name] == 1:
            self.convolutions[result] = names
        for activation in fused[1:]:
            if activation not in ("Relu", "Relu6"):
                raise node.refuse(f"the fused operation {activation} is not supported")
            result = self._activate(activation, result)
        return Value((1, *size, filters), result, planes=True)

    def _activate(self, operation: str, name: str) -> str:
        if operation == "Relu6":
            return self.emit("Clip", name, self.constant(0, np.float32), self.constant(6, np.float32))
        return self.emit(UNARY[operation], name)

    def _binary(self, node: GraphNode, operation: str, one: Value, two: Value, *, inner: bool = False) -> Value:
        """`one` (operation) `two`. inner: `one` is a step of this very node, so nobody else reads it."""
        if one.constant is not None and two.constant is not None:
            return _known(_NUMPY[operation](one.constant, two.constant))
        shape = tuple(int(n) for n in np.broadcast_shapes(one.shape, two.shape))
        if two.constant is not None and self._folded(operation, one, two.constant):
            if not inner and self.uses[node.name] != 1:
                # Somebody else reads this result as it is: nothing later may be folded into it.
                self.convolutions.pop(one.name, None)
            return one
        planes = [v for v in (one, two) if v.planes and v.shape == shape]
        if planes:
            names = [self._as_planes(v) for v in (one, two)]
            if all(names):
                return Value(shape, self.emit(operation, *(n for n in names if n)), planes=True)
        return Value(shape, self.emit(operation, self.named(one), self.named(two)))

    def _as_planes(self, value: Value) -> str | None:
        """The ONNX name of `value` for arithmetic with [N, C, H, W]; None where its shape does not allow it."""
        if value.constant is None:
            return self.ordered(value, planes=True).name if len(value.shape) == 4 else None
        array = value.constant
        if array.ndim <= 1:
            return self.constant(array.reshape(1, -1, 1, 1) if array.ndim else array)
        return self.constant(array.transpose(TO_PLANES)) if array.ndim == 4 else None

    def _folded(self, operation: str, value: Value, constant: Constant) -> bool:
        """Put a factor or an offset per channel into the convolution that made `value`; whether that could be done."""
        if value.name not in self.convolutions or constant.size not in (1, value.shape[3]):
            return False
        if constant.ndim > 1 and constant.shape[-1] != constant.size:
            return False
        kernel, bias = self.convolutions[value.name]
        flat = constant.reshape(-1).astype(np.float32)
        if operation == "Mul":
            self.constants[kernel] = self.constants[kernel] * flat.reshape(-1, 1, 1, 1)
            self.constants[bias] = self.constants[bias] * flat
        elif operation in ("Add", "Sub"):
            self.constants[bias] = self.constants[bias] + (flat if operation == "Add" else -flat)
        else:
            return False
        return True

    def _unary(self, node: GraphNode) -> Value:
        value = self.look_up(node.inputs[0])
        operation = node.operation
        if operation == "Identity":
            return value
        if operation == "Cast" or value.constant is not None:
            if value.constant is None:
                raise node.refuse("only constants can be cast")
            if operation != "Cast":
                raise node.refuse("of a constant is not supported")
            return _known(
                value.constant.astype(
                    np.float32 if node.attributes["DstT"].get("type") in (1, "DT_FLOAT") else np.int32
                )
            )
        if operation == "Softmax":
            return Value(value.shape, self.emit("Softmax", self.named(value), axis=-1))
        return Value(value.shape, self._activate(operation, value.name), planes=value.planes)

    def _pool(self, node: GraphNode) -> Value:
        source = self.ordered(self.look_up(node.inputs[0]), planes=True)
        kernel, strides = node.integers("ksize")[1:3], node.integers("strides")[1:3]
        pads, size = _padding(node, source.shape[1:3], kernel, strides, (1, 1))
        operation = "MaxPool" if node.operation == "MaxPool" else "AveragePool"
        name = self.emit(operation, source.name, kernel_shape=kernel, strides=strides, pads=pads)
        return Value((1, *size, source.shape[3]), name, planes=True)


_NUMPY = {
    "Add": np.add,
    "Sub": np.subtract,
    "Mul": np.multiply,
    "Div": np.divide,
    "Max": np.maximum,
    "Min": np.minimum,
}


def _known(array: Constant) -> Value:
    return Value(array.shape, constant=array)


def _padding(
    node: GraphNode, side: Sequence[int], kernel: Sequence[int], strides: Sequence[int], dilations: Sequence[int]
) -> tuple[list[int], tuple[int, ...]]:
    """ONNX's pads [top, left, bottom, right] for TensorFlow's padding word, and the size that comes out."""
    kind = node.text("padding")
    if kind not in ("SAME", "VALID"):
        raise node.refuse(f"padding {kind!r} is not supported")
    first, last, size = [], [], []
    for length, width, stride, dilation in zip(side, kernel, strides, dilations, strict=True):
        reach = (width - 1) * dilation + 1
        result = -(-length // stride) if kind == "SAME" else (length - reach) // stride + 1
        total = max((result - 1) * stride + reach - length, 0) if kind == "SAME" else 0
        first.append(total // 2)
        last.append(total - total // 2)
        size.append(result)
    return first + last, tuple(size)


def read_tfjs(model_json: Path, *, side: tuple[int, int] | None = None) -> onnx.ModelProto:
    """The graph model as ONNX, its outputs those that nothing else reads. side: height and width instead of its own.

    Raises ModelRefused naming the node where something is not supported.
    """
    nodes, weights = read_files(model_json)
    read = {name.partition(":")[0] for node in nodes.values() for name in node.inputs}
    outputs = [
        node.name for node in nodes.values() if node.name not in read and node.operation not in ("Const", "NoOp")
    ]
    if not outputs:
        raise ModelRefused(f"{model_json.name} has no outputs")
    return _Converter(nodes, weights, side).convert(outputs)
