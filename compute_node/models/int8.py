"""A model in INT8: the weights of its convolutions and what flows into them as whole numbers with a scale.

The result is an ONNX model with QuantizeLinear and DequantizeLinear around each convolution, which OpenVINO and ONNX
Runtime both run on INT8 units (VNNI, AMX, DP4A). What was chosen, and why, by measuring (docs/accuracy.md):

- Only convolutions: they are the work. Quantized box arithmetic destroys boxes; quantized additions and joins gain
  nothing.
- The last convolutions stay in floating point: box sizes go through an exponential, which magnifies rounding.
- Weights have a scale a channel; activations are unsigned with a zero point, for after a ReLU half of the signed
  numbers would be lost.
- A range is the mean over the calibration pictures of each one's least and greatest value: one odd picture does not
  stretch it. Percentiles and entropy took 3 to 5 times as long and were no better.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from compute_node.models.prepare import INPUT, load_onnx
from mesh.errors import ModelRefused, SetupProblem

METHOD = "onnxruntime static QDQ, convolutions but the last, u8 activations, i8 weights a channel, mean of min and max"
OPSET_OF_CHANNELS = 13  # the first in which DequantizeLinear takes a scale a channel

Pictures = Callable[[], Iterator[NDArray[np.uint8]]]
"""Begins anew at each call: the calibration pictures, each uint8 [H, W, 3] BGR as the model's input wants it."""


def quantize(source: Path, into: Path, pictures: Pictures) -> None:
    """Write the INT8 variant of the installed ONNX model `source` to the file `into`. Takes seconds.

    Raises ModelRefused where the model cannot be quantized, SetupProblem where ONNX Runtime is missing.
    """
    try:
        from onnxruntime.quantization import (  # noqa: PLC0415  50 MB: only who quantizes pays
            CalibrationMethod,
            QuantFormat,
            QuantType,
            quantize_static,
        )
    except ImportError as error:
        raise SetupProblem(f"quantizing needs ONNX Runtime ({error}); `pip install onnxruntime` brings it") from error
    model = _named(_new_enough(load_onnx(source)))
    if not any(node.op_type == "Conv" for node in model.graph.node):
        raise ModelRefused(f"{source.parent.name} has no convolutions: there is nothing to make smaller")
    try:
        with _quiet():
            quantize_static(
                model,
                str(into),
                _reader(pictures),
                quant_format=QuantFormat.QDQ,
                op_types_to_quantize=["Conv"],
                nodes_to_exclude=last_convolutions(model.graph),
                per_channel=True,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                calibrate_method=CalibrationMethod.MinMax,
                extra_options={"CalibMovingAverage": True},
            )
    except Exception as error:  # the quantizer raises whatever it stumbles over
        raise ModelRefused(f"{source.parent.name} cannot be quantized: {str(error)[:300]}") from error


def last_convolutions(graph: onnx.GraphProto) -> list[str]:
    """The names of the convolutions from which no path leads to another one: what they give is boxes and scores."""
    readers: dict[str, list[onnx.NodeProto]] = {}
    for node in graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    before: dict[str, bool] = {}  # by output: whether a convolution follows

    for node in reversed(graph.node):  # ONNX lists nodes in the order in which they can run
        follows = any(
            reader.op_type == "Conv" or before.get(reader.output[0], False)
            for name in node.output
            for reader in readers.get(name, [])
        )
        for name in node.output:
            before[name] = follows
    return [node.name for node in graph.node if node.op_type == "Conv" and not before[node.output[0]]]


def _new_enough(model: onnx.ModelProto) -> onnx.ModelProto:
    version = next((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), 0)
    if version >= OPSET_OF_CHANNELS:
        return model
    from onnx import version_converter  # noqa: PLC0415  a compiled module that few models need

    try:
        return version_converter.convert_version(model, OPSET_OF_CHANNELS)
    except Exception as error:  # its exceptions are the converter's own, undocumented
        raise ModelRefused(
            f"the model is of ONNX opset {version}, INT8 needs {OPSET_OF_CHANNELS}, and it cannot be raised: "
            f"{str(error)[:200]}"
        ) from error


def _named(model: onnx.ModelProto) -> onnx.ModelProto:
    """Every node under a name of its own: by name the quantizer leaves some out."""
    for number, node in enumerate(model.graph.node):
        node.name = f"{node.op_type}_{number}"
    return model


def _reader(pictures: Pictures) -> Any:
    from onnxruntime.quantization import CalibrationDataReader  # noqa: PLC0415  as above

    class Reader(CalibrationDataReader):  # type: ignore[misc]  # the library is untyped
        def __init__(self) -> None:
            self._rest = pictures()

        def get_next(self) -> dict[str, NDArray[np.uint8]] | None:
            picture = next(self._rest, None)
            return None if picture is None else {INPUT: picture[None]}

    return Reader()


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the quantizer's advice to its programmer."""
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.ERROR)
    try:
        yield
    finally:
        root.setLevel(level)
