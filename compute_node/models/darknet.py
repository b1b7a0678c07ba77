"""Darknet (`.cfg` + `.weights`) to ONNX: YOLO v3, v3-tiny, v4, v4-tiny and Yolo-Fastest, with numpy and onnx only.

The graph's input `images` is float32 [1, 3, H, W], red-green-blue, 0 to 1. Its output `output` is
float32 [1, N, 5 + C]: centre x, centre y, width, height in input pixels, objectness, then C class
probabilities, the same as YOLOv5's, so that one decoder serves both.

Written after the documented behaviour of pjreddie/darknet and AlexeyAB/darknet (`parser.c`, `yolo_layer.c`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from compute_node.models.darknet_cfg import MAX_CFG_BYTES, Section, parse_cfg
from mesh.errors import ModelRefused

OPSET = 17
BATCH_NORM_EPSILON = 1e-5  # as Darknet's own inference has it
MAX_SIDE = 2048  # pixels of the network's input
MAX_FILTERS = 1 << 14  # channels of a layer; yolov4's widest has 2048
Floats = NDArray[np.float32]

LEAKY_SLOPE = 0.1


@dataclass(frozen=True, slots=True)
class Tensor:
    """A value in the graph: its name, channels, height and width. None of it for a layer that yields no picture."""

    name: str
    channels: int
    height: int
    width: int


class Weights:
    """The floats of a `.weights` file, handed out in the order in which Darknet wrote them."""

    def __init__(self, path: Path) -> None:
        size = path.stat().st_size
        header = np.fromfile(path, np.int32, count=3)
        if len(header) < 3:
            raise ModelRefused(f"{path.name} has {size} bytes: too short to be Darknet weights")
        major, minor = int(header[0]), int(header[1])
        # From version 0.2 on, the count of pictures seen in training takes 8 bytes instead of 4.
        wide = major * 10 + minor >= 2 and 0 <= major < 1000 and 0 <= minor < 1000
        self._floats = np.fromfile(path, np.float32, offset=20 if wide else 16)
        self._path = path
        self._next = 0

    def take(self, count: int, section: Section) -> Floats:
        """The next `count` floats. Raises ModelRefused, saying how many are missing, where the file ends."""
        left = len(self._floats) - self._next
        if count > left:
            raise section.refuse(
                f"{self._path.name} is truncated: this layer needs {count} more numbers, {left} are left "
                f"of {len(self._floats)}"
            )
        taken = self._floats[self._next : self._next + count]
        self._next += count
        if not np.isfinite(taken).all():
            raise section.refuse(f"{self._path.name} holds NaN or infinity here: it is damaged")
        return taken

    def finish(self) -> None:
        """Raises ModelRefused when floats are left over: cfg and weights do not belong together."""
        if self._next != len(self._floats):
            raise ModelRefused(
                f"{self._path.name} does not belong to this cfg: the layers use {self._next} numbers, "
                f"the file holds {len(self._floats)}"
            )


class _Graph:
    """Collects nodes and constants under fresh names."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def constant(self, value: Any, dtype: type[np.generic] = np.float32) -> str:
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.array(value, dtype, order="C"), name))
        return name

    def add(self, operation: str, *inputs: str, name: str | None = None, **attributes: Any) -> str:
        output = name or f"n{len(self.nodes)}"
        self.nodes.append(helper.make_node(operation, inputs, [output], **attributes))
        return output


class _Builder:
    """Builds the layers one after another; `outputs[i]` is what Darknet's layer i yields."""

    def __init__(self, net: Section, weights: Weights, masks: Sequence[Sequence[int]], side: tuple[int, int]) -> None:
        self.graph = _Graph()
        self.weights = weights
        self.masks = list(masks)
        self.side = side
        self.outputs: list[Tensor] = []
        self.heads: list[str] = []
        self.boxes = 0
        self.classes = 0
        channels = net.integer("channels", 3, least=1)
        if channels != 3:
            raise net.refuse(f"channels={channels}: only colour pictures (3) are supported")
        self.image = Tensor("images", 3, *side)

    def build(self, sections: Sequence[Section]) -> None:
        layers = {
            "convolutional": self._convolutional,
            "maxpool": self._maxpool,
            "upsample": self._upsample,
            "route": self._route,
            "shortcut": self._shortcut,
            "dropout": lambda _section, before: before,
            "yolo": self._yolo,
        }
        current = self.image
        for section in sections:
            layer = layers.get(section.name)
            if layer is None:
                raise section.refuse(f"this layer is not supported; known: {', '.join(sorted(layers))}")
            current = layer(section, current)
            self.outputs.append(current)

    def _at(self, section: Section, layer: int) -> Tensor:
        """The output of `layer`: absolute from 0, or, when negative, counted back from this section."""
        index = section.index + layer if layer < 0 else layer
        if not 0 <= index < section.index:
            raise section.refuse(f"layer {layer} does not lie before it")
        return self.outputs[index]

    def _convolutional(self, section: Section, before: Tensor) -> Tensor:
        filters = section.integer("filters", 1, least=1, most=MAX_FILTERS)
        size = section.integer("size", 1, least=1, most=31)
        groups = section.integer("groups", 1, least=1, most=MAX_FILTERS)
        stride = section.integer("stride", 1, least=1, most=32)
        stride_y, stride_x = (
            section.integer("stride_y", stride, least=1),
            section.integer("stride_x", stride, least=1),
        )
        dilation = section.integer("dilation", 1, least=1, most=32)
        padding = size // 2 * dilation if section.integer("pad", 0) else section.integer("padding", 0, most=31)
        if before.channels % groups or filters % groups:
            raise section.refuse(f"{before.channels} channels to {filters} filters do not divide into {groups} groups")

        normalised = section.integer("batch_normalize", 0, most=1)
        bias: NDArray[np.floating] = self.weights.take(filters, section)
        if normalised:
            scale, mean, variance = (self.weights.take(filters, section) for _ in range(3))
        shape = (filters, before.channels // groups, size, size)
        kernel: NDArray[np.floating] = self.weights.take(int(np.prod(shape)), section).reshape(shape)
        if normalised:
            factor = scale / np.sqrt(np.maximum(variance, 0) + BATCH_NORM_EPSILON)
            kernel, bias = kernel * factor[:, None, None, None], bias - mean * factor

        reach = dilation * (size - 1) + 1
        height = (before.height + 2 * padding - reach) // stride_y + 1
        width = (before.width + 2 * padding - reach) // stride_x + 1
        if height < 1 or width < 1:
            raise section.refuse(f"nothing is left of a {before.height}×{before.width} picture")
        name = self.graph.add(
            "Conv",
            before.name,
            self.graph.constant(kernel),
            self.graph.constant(bias),
            kernel_shape=[size, size],
            strides=[stride_y, stride_x],
            pads=[padding] * 4,
            dilations=[dilation] * 2,
            group=groups,
        )
        return Tensor(self._activation(section, name, "logistic"), filters, height, width)

    def _activation(self, section: Section, name: str, default: str) -> str:
        kind = section.text("activation", default)
        add, constant = self.graph.add, self.graph.constant
        activations: dict[str, Callable[[], str]] = {
            "linear": lambda: name,
            "leaky": lambda: add("LeakyRelu", name, alpha=LEAKY_SLOPE),
            "relu": lambda: add("Relu", name),
            "relu6": lambda: add("Clip", name, constant(0.0), constant(6.0)),
            "logistic": lambda: add("Sigmoid", name),
            "swish": lambda: add("Mul", name, add("Sigmoid", name)),
            "mish": lambda: add("Mul", name, add("Tanh", add("Softplus", name))),
        }
        if kind not in activations:
            raise section.refuse(f"activation={kind} is not supported; known: {', '.join(sorted(activations))}")
        return activations[kind]()

    def _maxpool(self, section: Section, before: Tensor) -> Tensor:
        stride = section.integer("stride", 1, least=1, most=32)
        size = section.integer("size", stride, least=1, most=64)
        padding = section.integer("padding", size - 1, most=63)
        first = padding // 2
        height, width = ((side + padding - size) // stride + 1 for side in (before.height, before.width))
        if height < 1 or width < 1:
            raise section.refuse(f"nothing is left of a {before.height}×{before.width} picture")
        # Darknet starts padding/2 outside and reads what lies beyond the far edge as minus infinity.
        last = [
            max(0, (out - 1) * stride + size - side - first)
            for out, side in ((height, before.height), (width, before.width))
        ]
        name = self.graph.add(
            "MaxPool",
            before.name,
            kernel_shape=[size, size],
            strides=[stride, stride],
            pads=[first, first, *last],
        )
        return Tensor(name, before.channels, height, width)

    def _upsample(self, section: Section, before: Tensor) -> Tensor:
        stride = section.integer("stride", 2, least=1, most=16)
        height, width = before.height * stride, before.width * stride
        if max(height, width) > MAX_SIDE:
            raise section.refuse(f"{height}×{width} is larger than {MAX_SIDE}")
        scales = self.graph.constant([1, 1, stride, stride])
        name = self.graph.add(
            "Resize",
            before.name,
            "",
            scales,
            mode="nearest",
            coordinate_transformation_mode="asymmetric",
            nearest_mode="floor",
        )
        return Tensor(name, before.channels, height, width)

    def _route(self, section: Section, _before: Tensor) -> Tensor:
        sources = [self._at(section, layer) for layer in section.integers("layers")]
        if not sources:
            raise section.refuse("it names no layers")
        groups = section.integer("groups", 1, least=1)
        group = section.integer("group_id", 0)
        parts = []
        for source in sources:
            share = source.channels // groups
            if source.channels % groups or group >= groups:
                raise section.refuse(f"group {group} of {groups} cannot be cut from {source.channels} channels")
            name = source.name
            if groups > 1:
                bounds = (self.graph.constant([n], np.int64) for n in (group * share, (group + 1) * share, 1))
                name = self.graph.add("Slice", name, *bounds)
            parts.append(Tensor(name, share, source.height, source.width))
        if len({(p.height, p.width) for p in parts}) > 1:
            raise section.refuse("sizes differ: " + ", ".join(f"{p.height}×{p.width}" for p in parts))
        if len(parts) == 1:
            return parts[0]
        joined = self.graph.add("Concat", *(p.name for p in parts), axis=1)
        return Tensor(joined, sum(p.channels for p in parts), parts[0].height, parts[0].width)

    def _shortcut(self, section: Section, before: Tensor) -> Tensor:
        if section.text("weights_type", "none") != "none":
            raise section.refuse("weighted shortcuts are not supported")
        name = before.name
        sources = section.integers("from")
        if not sources:
            raise section.refuse("it does not say `from` where")
        for layer in sources:
            other = self._at(section, layer)
            if (other.channels, other.height, other.width) != (before.channels, before.height, before.width):
                raise section.refuse(
                    f"{other.channels}×{other.height}×{other.width} cannot be added to "
                    f"{before.channels}×{before.height}×{before.width}"
                )
            name = self.graph.add("Add", name, other.name)
        return Tensor(self._activation(section, name, "linear"), before.channels, before.height, before.width)

    def _yolo(self, section: Section, before: Tensor) -> Tensor:
        classes = section.integer("classes", 20, least=1, most=10_000)
        if self.heads and classes != self.classes:
            raise section.refuse(f"classes={classes}, but an earlier head has {self.classes}")
        self.classes = classes
        pairs = section.numbers("anchors")
        anchors = list(zip(pairs[::2], pairs[1::2], strict=False))
        head = len(self.heads)
        mask = (
            list(self.masks[head]) if head < len(self.masks) else section.integers("mask") or list(range(len(anchors)))
        )
        if not anchors or any(not 0 <= m < len(anchors) for m in mask):
            raise section.refuse(f"mask {mask} does not fit {len(anchors)} anchors")
        if before.channels != len(mask) * (5 + classes):
            raise section.refuse(
                f"{before.channels} channels come in, but {len(mask)} boxes of {classes} classes "
                f"need {len(mask) * (5 + classes)}"
            )
        decoded = self._decode(section, before, np.array([anchors[m] for m in mask], np.float32))
        self.heads.append(decoded)
        self.boxes += len(mask) * before.height * before.width
        return before

    def _decode(self, section: Section, before: Tensor, anchors: Floats) -> str:
        """Box arithmetic of one head: [1, A·(5+C), h, w] → [1, A·h·w, 5+C] in input pixels."""
        graph, count = self.graph, len(anchors)
        fields, height, width = 5 + self.classes, before.height, before.width
        stretch = section.number("scale_x_y", 1.0)
        new = section.integer("new_coords", 0, most=1)
        pixels = np.array([self.side[1] / width, self.side[0] / height], np.float32)  # of a cell: x, y

        cells = graph.add("Reshape", before.name, graph.constant([1, count, fields, height * width], np.int64))
        rows = graph.add("Transpose", cells, perm=[0, 1, 3, 2])  # [1, A, h·w, 5+C]

        def part(source: str, first: int, last: int) -> str:
            bounds = (graph.constant([n], np.int64) for n in (first, last, 3))
            return graph.add("Slice", source, *bounds)

        # A head with new_coords went through the logistic in its last convolution already.
        logistic = rows if new else graph.add("Sigmoid", rows)
        ys, xs = np.divmod(np.arange(height * width), width)
        grid = np.stack([xs, ys], -1).astype(np.float32) - (stretch - 1) / 2
        centre = graph.add(
            "Add",
            graph.add("Mul", part(logistic, 0, 2), graph.constant(stretch * pixels)),
            graph.constant((grid * pixels)[None, None]),
        )
        size = anchors[None, :, None, :]
        if new:
            side = part(rows, 2, 4)
            extent = graph.add("Mul", graph.add("Mul", side, side), graph.constant(4 * size))
        else:
            extent = graph.add("Mul", graph.add("Exp", part(rows, 2, 4)), graph.constant(size))
        joined = graph.add("Concat", centre, extent, part(logistic, 4, fields), axis=3)
        return graph.add("Reshape", joined, graph.constant([1, count * height * width, fields], np.int64))


def read_darknet(
    cfg: Path,
    weights: Path,
    *,
    masks: Sequence[Sequence[int]] = (),
    side: tuple[int, int] | None = None,
) -> tuple[onnx.ModelProto, int]:
    """The network of `cfg` with `weights` as an ONNX model, and its number of classes.

    masks: anchor numbers for the first, second, … `[yolo]` section instead of the cfg's.
    side: height and width of the input instead of the cfg's, multiples of 32.
    Raises ModelRefused naming section and line, or how many weights are missing or left over.
    """
    if cfg.stat().st_size > MAX_CFG_BYTES:
        raise ModelRefused(f"{cfg.name} has {cfg.stat().st_size} bytes: too long for a Darknet cfg")
    sections = parse_cfg(cfg.read_text("utf-8", "replace"))
    net = sections[0]
    height, width = side or tuple(net.integer(key, 416, least=32, most=MAX_SIDE) for key in ("height", "width"))
    if height % 32 or width % 32 or not (32 <= height <= MAX_SIDE and 32 <= width <= MAX_SIDE):
        raise net.refuse(f"the input of {height}×{width} must have sides that are multiples of 32, up to {MAX_SIDE}")

    builder = _Builder(net, Weights(weights), masks, (height, width))
    builder.build(sections[1:])
    builder.weights.finish()
    if not builder.heads:
        raise ModelRefused(f"{cfg.name} has no [yolo] section: only YOLO detectors are supported")
    graph = builder.graph
    graph.add("Concat", *builder.heads, name="output", axis=1)
    model = helper.make_model(
        helper.make_graph(
            graph.nodes,
            cfg.stem,
            [helper.make_tensor_value_info("images", TensorProto.FLOAT, [1, 3, height, width])],
            [helper.make_tensor_value_info("output", TensorProto.FLOAT, [1, builder.boxes, 5 + builder.classes])],
            graph.constants,
        ),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=8,
        producer_name="fogline",
    )
    return model, builder.classes
