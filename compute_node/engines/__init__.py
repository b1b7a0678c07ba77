"""Inference engines behind one small interface; see `base.CompiledModel`. Libraries load on first use."""

from __future__ import annotations

import importlib
from pathlib import Path

from compute_node.engines.base import CompiledModel, Device
from mesh.errors import FoglineError, NotFound, SetupProblem

ENGINES = ("openvino", "onnxruntime")
"""In the order in which they are tried."""
SLOW_TO_START = ("tensorrt",)
"""Devices that build for minutes before their first picture: they run when asked for by name, never by `auto`."""

__all__ = ["ENGINES", "CompiledModel", "Device", "available", "candidates", "compile_model", "found", "missing"]


def _devices(engine: str) -> tuple[Device, ...]:
    """Raises SetupProblem where the engine cannot be loaded."""
    module = importlib.import_module(f"compute_node.engines.{engine}")
    devices: tuple[Device, ...] = module.devices()
    return devices


def version(engine: str) -> str:
    """The version of an engine's library. Raises SetupProblem where it cannot be loaded."""
    return str(importlib.import_module(f"compute_node.engines.{engine}").version())


def found() -> list[Device]:
    """Every device that an engine sees on this machine, preferred first, those that do not work among them."""
    devices: list[Device] = []
    for engine in ENGINES:
        try:
            devices += _devices(engine)
        except SetupProblem:
            continue  # `missing` says why
    return devices


def available() -> list[str]:
    """Engines with the devices on which they work here, preferred first: `openvino:cpu`, `onnxruntime:cuda.0`."""
    return [device.name for device in found() if device.problem is None]


def missing() -> dict[str, str]:
    """Engines and devices that cannot be used here, each with the reason and the remedy."""
    reasons: dict[str, str] = {}
    for engine in ENGINES:
        try:
            reasons |= {device.name: device.problem for device in _devices(engine) if device.problem}
        except SetupProblem as error:
            reasons[engine] = error.detail
    return reasons


def candidates(preference: str = "auto") -> list[str]:
    """What `preference` (`auto`, an engine, or an engine with a device such as `openvino:gpu.0`) allows, in order.

    Raises NotFound for an unknown engine or device, SetupProblem where nothing works.
    """
    engine, _, device = preference.partition(":")
    if engine != "auto" and engine not in ENGINES:
        raise NotFound.among("engine", engine, ["auto", *ENGINES])
    works = available()
    if device:
        if preference in works:
            return [preference]
        if preference in missing():
            raise SetupProblem(missing()[preference])
        here = [device.name.partition(":")[2] for device in _devices(engine)]
        raise NotFound.among(f"device of {engine}", device, here)
    chosen = [
        name
        for name in works
        if engine in ("auto", name.partition(":")[0]) and name.partition(":")[2].partition(".")[0] not in SLOW_TO_START
    ]
    if not chosen:
        raise SetupProblem("; ".join(missing().values()) or f"no device of {engine} works here")
    return chosen


def compile_model(path: Path, preference: str = "auto", cache: Path | None = None) -> CompiledModel:
    """Load the ONNX file at `path` (input uint8 [1, H, W, 3]) on the first candidate that takes it, unmeasured.

    preference: see `candidates`. cache: a folder for what an engine builds and may use again. Raises what `candidates`
    raises, SetupProblem where no engine works, ModelRefused where the model is at fault.
    """
    errors: list[FoglineError] = []
    # The CPU comes first here: what runs only on a GPU of this machine could not be moved to another.
    for candidate in sorted(candidates(preference), key=lambda name: not name.endswith(":cpu")):
        try:
            return compile_on(candidate, path, cache)
        except FoglineError as error:
            errors.append(error)
    reasons = "; ".join(error.detail for error in errors)
    refused = [error for error in errors if not isinstance(error, SetupProblem)]
    raise (type(refused[0]) if refused else SetupProblem)(reasons)


def compile_on(candidate: str, path: Path, cache: Path | None = None) -> CompiledModel:
    """Load the ONNX file at `path` on one candidate such as `openvino:cpu`. Raises SetupProblem or ModelRefused."""
    engine, _, device = candidate.partition(":")
    if engine == "openvino":
        from compute_node.engines.openvino import OpenVinoModel  # noqa: PLC0415

        return OpenVinoModel(path, device)
    from compute_node.engines.onnxruntime import OnnxRuntimeModel  # noqa: PLC0415

    return OnnxRuntimeModel(path, device, cache)
