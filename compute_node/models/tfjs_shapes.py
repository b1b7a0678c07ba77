"""The operations of TF.js graph models that move or cut data, for `tfjs`. Shapes are all known, the batch is one."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from compute_node.models.tfjs_files import GraphNode

if TYPE_CHECKING:
    from compute_node.models.tfjs import Value, _Converter


def convert(to: _Converter, node: GraphNode) -> dict[str, Value]:
    """The results of `node`. Raises ModelRefused that lists what is supported where its operation is unknown."""
    handler = _HANDLERS.get(node.operation)
    if handler is None:
        raise node.refuse(f"this operation is not supported; of this kind are known: {', '.join(sorted(_HANDLERS))}")
    return handler(to, node)


def _value(shape: Any, name: str = "", constant: Any = None) -> Value:
    from compute_node.models.tfjs import Value  # noqa: PLC0415  the two modules need each other

    return Value(tuple(int(n) for n in shape), name, constant)


def _constant(array: Any) -> dict[str, Value]:
    array = np.asarray(array)
    return {"": _value(array.shape, constant=array)}


def _shape(to: _Converter, node: GraphNode) -> dict[str, Value]:
    return _constant(np.array(to.look_up(node.inputs[0]).shape, np.int32))


def _reshape(to: _Converter, node: GraphNode) -> dict[str, Value]:
    value = to.look_up(node.inputs[0])
    target = to.known(node, 1).reshape(-1)
    if value.constant is not None:
        return _constant(value.constant.reshape(target))
    # A view of zeros costs nothing and works -1 out.
    shape = np.broadcast_to(np.int8(0), value.shape).reshape(target).shape
    return {"": _value(shape, to.emit("Reshape", to.named(value), to.constant(shape, np.int64)))}


def _reshaped(to: _Converter, node: GraphNode, shape: list[int]) -> dict[str, Value]:
    value = to.look_up(node.inputs[0])
    if value.constant is not None:
        return _constant(value.constant.reshape(shape))
    return {"": _value(shape, to.emit("Reshape", to.named(value), to.constant(shape, np.int64)))}


def _squeeze(to: _Converter, node: GraphNode) -> dict[str, Value]:
    shape = list(to.look_up(node.inputs[0]).shape)
    axes = [axis % len(shape) for axis in node.integers("squeeze_dims") or node.integers("axis")]
    gone = axes or [i for i, side in enumerate(shape) if side == 1]
    return _reshaped(to, node, [side for i, side in enumerate(shape) if i not in gone])


def _expand(to: _Converter, node: GraphNode) -> dict[str, Value]:
    shape = list(to.look_up(node.inputs[0]).shape)
    axis = int(to.known(node, 1))
    shape.insert(axis if axis >= 0 else len(shape) + 1 + axis, 1)
    return _reshaped(to, node, shape)


def _transpose(to: _Converter, node: GraphNode) -> dict[str, Value]:
    value = to.look_up(node.inputs[0])
    order = [int(n) for n in to.known(node, 1)]
    if value.constant is not None:
        return _constant(value.constant.transpose(order))
    shape = [value.shape[n] for n in order]
    return {"": _value(shape, to.emit("Transpose", to.named(value), perm=order))}


def _concat(to: _Converter, node: GraphNode) -> dict[str, Value]:
    parts = [to.look_up(name) for name in node.inputs[:-1]]
    axis = int(to.known(node, len(node.inputs) - 1)) % len(parts[0].shape)
    if all(part.constant is not None for part in parts):
        return _constant(np.concatenate([part.constant for part in parts if part.constant is not None], axis))
    shape = list(parts[0].shape)
    shape[axis] = sum(part.shape[axis] for part in parts)
    return {"": _value(shape, to.emit("Concat", *(to.named(part) for part in parts), axis=axis))}


def _pack(to: _Converter, node: GraphNode) -> dict[str, Value]:
    parts = [to.look_up(name) for name in node.inputs]
    axis = node.integer("axis") % (len(parts[0].shape) + 1)
    if all(part.constant is not None for part in parts):
        return _constant(np.stack([part.constant for part in parts if part.constant is not None], axis))
    at = to.constant([axis], np.int64)
    rows = [to.emit("Unsqueeze", to.named(part), at) for part in parts]
    shape = list(parts[0].shape)
    shape.insert(axis, len(parts))
    return {"": _value(shape, to.emit("Concat", *rows, axis=axis))}


def _unpack(to: _Converter, node: GraphNode) -> dict[str, Value]:
    value = to.look_up(node.inputs[0])
    axis = node.integer("axis") % len(value.shape)
    results = {}
    for number in range(value.shape[axis]):
        suffix = f":{number}" if number else ""
        if value.constant is not None:
            results[suffix] = _constant(value.constant.take(number, axis))[""]
            continue
        name = to.emit("Gather", to.named(value), to.constant(number, np.int64), axis=axis)
        results[suffix] = _value([side for i, side in enumerate(value.shape) if i != axis], name)
    return results


def _slice(to: _Converter, node: GraphNode) -> dict[str, Value]:
    value = to.look_up(node.inputs[0])
    begin, size = ([int(n) for n in to.known(node, i)] for i in (1, 2))
    sides = zip(begin, size, value.shape, strict=True)
    ends = [side if count == -1 else first + count for first, count, side in sides]
    if value.constant is not None:
        return _constant(value.constant[tuple(slice(b, e) for b, e in zip(begin, ends, strict=True))])
    name = to.emit("Slice", to.named(value), to.constant(begin, np.int64), to.constant(ends, np.int64))
    return {"": _value([e - b for b, e in zip(begin, ends, strict=True)], name)}


def _strided_slice(to: _Converter, node: GraphNode) -> dict[str, Value]:
    value = to.look_up(node.inputs[0])
    begin, end, step = (to.known(node, i) for i in (1, 2, 3))
    if node.integer("new_axis_mask") or node.integer("ellipsis_mask"):
        raise node.refuse("new axes and ellipses are not supported")
    if value.constant is None:
        raise node.refuse("only constants, such as shapes, can be cut so")
    index: list[Any] = []
    for axis in range(len(begin)):
        if node.integer("shrink_axis_mask") >> axis & 1:
            index.append(int(begin[axis]))
            continue
        first = None if node.integer("begin_mask") >> axis & 1 else int(begin[axis])
        last = None if node.integer("end_mask") >> axis & 1 else int(end[axis])
        index.append(slice(first, last, int(step[axis])))
    return _constant(value.constant[tuple(index)])


def _tile(to: _Converter, node: GraphNode) -> dict[str, Value]:
    value = to.look_up(node.inputs[0])
    times = [int(n) for n in to.known(node, 1)]
    if value.constant is not None:
        return _constant(np.tile(value.constant, times))
    name = to.emit("Tile", to.named(value), to.constant(times, np.int64))
    return {"": _value([side * n for side, n in zip(value.shape, times, strict=True)], name)}


_HANDLERS: dict[str, Callable[[_Converter, GraphNode], dict[str, Value]]] = {
    "ConcatV2": _concat,
    "ExpandDims": _expand,
    "Pack": _pack,
    "Reshape": _reshape,
    "Shape": _shape,
    "Slice": _slice,
    "Squeeze": _squeeze,
    "StridedSlice": _strided_slice,
    "Tile": _tile,
    "Transpose": _transpose,
    "Unpack": _unpack,
}
