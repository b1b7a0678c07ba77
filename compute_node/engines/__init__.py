"""Inference engines behind one small interface; see `base.CompiledModel`. Libraries load on first use."""

from __future__ import annotations

import importlib
import importlib.util
from pathlib import Path

from compute_node.engines.base import CompiledModel
from mesh.errors import FoglineError, NotFound, SetupProblem

ENGINES = ("openvino", "onnxruntime")
"""In the order in which they are tried."""

__all__ = ["ENGINES", "CompiledModel", "available", "compile_model", "missing"]


def _devices(engine: str) -> list[str]:
    module = importlib.import_module(f"compute_node.engines.{engine}")
    found: list[str] = module.devices()
    return found


def available() -> list[str]:
    """Engines with their devices on this machine, preferred first: `openvino:cpu`, `onnxruntime:cpu`."""
    found = []
    for engine in ENGINES:
        try:
            found += [f"{engine}:{device}" for device in _devices(engine)]
        except SetupProblem:
            continue  # `missing` says why
    return found


def missing() -> dict[str, str]:
    """Engines that cannot be used here, each with the reason and the remedy."""
    reasons = {}
    for engine in ENGINES:
        try:
            _devices(engine)
        except SetupProblem as error:
            reasons[engine] = error.detail
    return reasons


def compile_model(path: Path, preference: str = "auto") -> CompiledModel:
    """Load the ONNX file at `path` (input uint8 [1, H, W, 3]).

    preference: `auto`, an engine, or an engine with a device such as `openvino:gpu`. With `auto` an engine that is
    missing or refuses the model gives way to the next. Raises NotFound for an unknown engine, SetupProblem where
    none works, ModelRefused where the model is at fault.
    """
    engine, _, device = preference.partition(":")
    if engine != "auto" and engine not in ENGINES:
        raise NotFound.among("engine", engine, ["auto", *ENGINES])
    errors: list[FoglineError] = []
    for candidate in ENGINES if engine == "auto" else (engine,):
        try:
            return _compile(candidate, path, device)
        except FoglineError as error:
            errors.append(error)
    reasons = "; ".join(error.detail for error in errors)
    refused = [error for error in errors if not isinstance(error, SetupProblem)]
    raise (type(refused[0]) if refused else SetupProblem)(reasons)


def _compile(engine: str, path: Path, device: str) -> CompiledModel:
    if engine == "openvino":
        from compute_node.engines.openvino import OpenVinoModel  # noqa: PLC0415

        here = _devices(engine)
        if device and device not in here:
            raise NotFound.among("device of openvino", device, here)
        return OpenVinoModel(path, device or "cpu")
    from compute_node.engines.onnxruntime import OnnxRuntimeModel  # noqa: PLC0415

    here = _devices(engine)
    if device and device not in here:
        raise NotFound.among("device of onnxruntime", device, here)
    return OnnxRuntimeModel(path, device or here[0])
