"""ONNX Runtime: any CPU, and NVIDIA's GPUs where its CUDA or TensorRT build is installed."""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compute_node.engines.base import Device, Outputs
from compute_node.engines.probe import first_line, tiny_model
from mesh.errors import ModelRefused, SetupProblem
from mesh.machine import this_machine

NAME = "onnxruntime"
PROVIDERS = {
    "tensorrt": "TensorrtExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "cpu": "CPUExecutionProvider",
}
"""Fogline's word for a device, and ONNX Runtime's for who serves it; fastest first."""
NVIDIA = Path("/proc/driver/nvidia/gpus")  # one folder a card, by its place on the PCI bus
GPU_CALLS = 2  # at once: one computes while the other's picture is copied


def _library() -> Any:
    try:
        import onnxruntime  # noqa: PLC0415  takes 0.1 s and 50 MB: only who infers pays
    except ImportError as error:
        raise SetupProblem(f"ONNX Runtime cannot be loaded ({error}); `pip install onnxruntime` brings it") from error
    return onnxruntime


def version() -> str:
    """The library's version, such as `1.31.1`. Raises SetupProblem."""
    return str(_library().__version__)


@lru_cache(maxsize=1)
def devices() -> tuple[Device, ...]:
    """What this build of ONNX Runtime serves here: `onnxruntime:cuda`, `onnxruntime:cuda.1`, `onnxruntime:cpu`.

    With several cards each has its number, in the order of the PCI bus. Tried once a process. Raises SetupProblem.
    """
    built = set(_library().get_available_providers())
    found = []
    for device, provider in PROVIDERS.items():
        if provider not in built:
            continue
        if device == "cpu":
            found.append(Device(f"{NAME}:cpu", this_machine().cpu))
            continue
        cards = _cards()
        for number, title in enumerate(cards or ["NVIDIA GPU"]):
            name = f"{device}.{number}" if len(cards) > 1 else device
            found.append(Device(f"{NAME}:{name}", title, _problem(name)))
    return tuple(found)


def _cards() -> list[str]:
    """The full names of NVIDIA's cards, as their driver tells; empty where it tells none."""
    # CUDA numbers cards by speed unless it is told to go by the bus, as the names here do.
    os.environ.setdefault("CUDA_DEVICE_ORDER", "PCI_BUS_ID")
    names = []
    try:
        for card in sorted(NVIDIA.iterdir()):
            lines = (card / "information").read_text(encoding="utf-8", errors="replace").splitlines()
            fields = dict(line.partition(":")[::2] for line in lines)
            names.append(fields.get("Model", "NVIDIA GPU").strip())
    except OSError:
        return names
    return names


def _problem(device: str) -> str | None:
    """Why `device` cannot be used. A build lists its providers whether or not a driver and its libraries are there."""
    try:
        session = _library().InferenceSession(tiny_model(), _options(), providers=_providers(device, None))
        session.run(None, {"x": np.zeros((1, 3, 8, 8), np.float32)})
    except Exception as error:  # noqa: BLE001  its exceptions have no common base but Exception
        return f"ONNX Runtime offers {device} but cannot use it: {first_line(error)}"
    return None if _serves(session, device) else _unstarted(device)


def _serves(session: Any, device: str) -> bool:
    """Whether the provider came up: where it does not, ONNX Runtime goes on with the CPU and only warns."""
    return PROVIDERS[device.partition(".")[0]] in session.get_providers()


def _unstarted(device: str) -> str:
    return f"ONNX Runtime offers {device} but cannot start it: are its driver, CUDA and cuDNN of the right version?"


def _options() -> Any:
    options = _library().SessionOptions()
    options.log_severity_level = 3  # its warnings about unused initialisers are for model authors
    # Threads that wait must sleep: decoding and encoding want the same cores.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.intra_op_num_threads = os.cpu_count() or 1
    return options


def _providers(device: str, cache: Path | None) -> list[Any]:
    """The providers to ask for, with their options: the wanted one, then those that take what it cannot.

    cache: a folder where TensorRT keeps the engines that it built, because each takes minutes.
    """
    kind, _, number = device.partition(".")
    card = {"device_id": int(number or 0)}
    # The heuristic finds its convolutions in a second; the exhaustive search takes many for a percent or two.
    cuda = (PROVIDERS["cuda"], {**card, "cudnn_conv_algo_search": "HEURISTIC"})
    if kind == "cpu":
        return [PROVIDERS["cpu"]]
    if kind == "cuda":
        return [cuda, PROVIDERS["cpu"]]
    tensorrt: dict[str, Any] = dict(card)
    if cache is not None:
        cache.mkdir(parents=True, exist_ok=True)
        tensorrt |= {
            "trt_engine_cache_enable": True,
            "trt_engine_cache_path": str(cache),
            "trt_timing_cache_enable": True,
            "trt_timing_cache_path": str(cache),
        }
    return [(PROVIDERS["tensorrt"], tensorrt), cuda, PROVIDERS["cpu"]]


class OnnxRuntimeModel:
    """See `CompiledModel`. A session takes calls from many threads by itself."""

    def __init__(self, path: Path, device: str = "cpu", cache: Path | None = None) -> None:
        try:
            self._session = _library().InferenceSession(str(path), _options(), providers=_providers(device, cache))
        except SetupProblem:
            raise
        except OSError as error:
            raise SetupProblem(f"{cache} cannot be written: {error.strerror or error}") from error
        except Exception as error:  # its exceptions have no common base but Exception
            reason = str(error).strip().splitlines()
            raise ModelRefused(
                f"ONNX Runtime cannot run {path.parent.name}/{path.name}: {(reason or [type(error).__name__])[0][:300]}"
            ) from error
        if not _serves(self._session, device):
            raise SetupProblem(_unstarted(device))
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

    @property
    def parallel(self) -> int:
        return (os.cpu_count() or 1) if self._device == "cpu" else GPU_CALLS

    def __call__(self, image: NDArray[np.uint8]) -> Outputs:
        outputs: Outputs = self._session.run(None, {self._input: image[None]})
        return outputs

    def expect_crowd(self) -> None:
        """Nothing to do: one session serves one caller and many alike."""

    def close(self) -> None:
        self._session = None
