"""ONNX Runtime: any CPU, and NVIDIA's GPUs where its CUDA or TensorRT build is installed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mesh.errors import ModelRefused, SetupProblem

NAME = "onnxruntime"
PROVIDERS = {
    "tensorrt": "TensorrtExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "cpu": "CPUExecutionProvider",
}
"""Fogline's word for a device, and ONNX Runtime's for who serves it; fastest first."""


def _library() -> Any:
    try:
        import onnxruntime  # noqa: PLC0415  takes 0.1 s and 50 MB: only who infers pays
    except ImportError as error:
        raise SetupProblem(f"ONNX Runtime cannot be loaded ({error}); `pip install onnxruntime` brings it") from error
    return onnxruntime


def devices() -> list[str]:
    """The devices that this build of ONNX Runtime serves, such as `cpu`, `cuda`. Raises SetupProblem."""
    built = set(_library().get_available_providers())
    return [device for device, provider in PROVIDERS.items() if provider in built]


class OnnxRuntimeModel:
    """See `CompiledModel`. A session takes calls from many threads by itself."""

    def __init__(self, path: Path, device: str = "cpu") -> None:
        runtime = _library()
        options = runtime.SessionOptions()
        options.log_severity_level = 3  # its warnings about unused initialisers are for model authors
        chosen = PROVIDERS[device]
        providers = [chosen] if device == "cpu" else [chosen, PROVIDERS["cpu"]]
        try:
            self._session = runtime.InferenceSession(str(path), options, providers=providers)
        except Exception as error:  # its exceptions have no common base but Exception
            reason = str(error).strip().splitlines()
            raise ModelRefused(
                f"ONNX Runtime cannot run {path.parent.name}/{path.name}: {(reason or [type(error).__name__])[0][:300]}"
            ) from error
        if chosen not in self._session.get_providers():
            raise SetupProblem(f"ONNX Runtime offers {device} but cannot start it: is its driver installed?")
        value = self._session.get_inputs()[0]
        self._input = value.name
        self._hw = (int(value.shape[1]), int(value.shape[2]))
        self._device = device

    @property
    def engine(self) -> str:
        return f"{NAME}:{self._device}"

    @property
    def input_hw(self) -> tuple[int, int]:
        return self._hw

    def __call__(self, image: NDArray[np.uint8]) -> list[NDArray[Any]]:
        outputs: list[NDArray[Any]] = self._session.run(None, {self._input: image[None]})
        return outputs

    def close(self) -> None:
        self._session = None
