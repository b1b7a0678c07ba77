"""A model of one operation: what a device must run before it counts as working."""

from __future__ import annotations

from functools import lru_cache


@lru_cache(maxsize=1)
def tiny_model() -> bytes:
    """An ONNX model that doubles a float32 [1, 3, 8, 8]: a driver that cannot do this can do nothing."""
    from onnx import TensorProto, helper  # noqa: PLC0415  only a machine with an accelerator needs it

    shape = [1, 3, 8, 8]
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        [helper.make_node("Add", ["x", "x"], ["y"])],
        "probe",
        [value("x", TensorProto.FLOAT, shape)],
        [value("y", TensorProto.FLOAT, shape)],
    )
    model: bytes = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8
    ).SerializeToString()
    return model


def first_line(error: Exception) -> str:
    """What an engine's exception says, without the trace that it puts around."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[-1] if lines else type(error).__name__)[:300]
