"""OpenVINO: Intel's and other CPUs, Intel's GPUs and NPUs."""

from __future__ import annotations

import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mesh.errors import ModelRefused, SetupProblem

NAME = "openvino"
CROWDED_SECONDS = 0.5  # after calls overlapped they will again; changing variants costs caches
_core_lock = threading.Lock()
_core: Any = None


def _library() -> Any:
    """The openvino package, imported without its telemetry: merely importing it would send a message otherwise.
    Its converter falls back to a stub when `openvino_telemetry` cannot be imported."""
    if "openvino" not in sys.modules and "openvino_telemetry" not in sys.modules:
        sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]
    try:
        import openvino  # noqa: PLC0415  takes 0.1 s and 60 MB: only who infers pays
    except ImportError as error:
        raise SetupProblem(f"OpenVINO cannot be loaded ({error}); `pip install openvino` brings it") from error
    return openvino


def _shared_core() -> Any:
    """One core a process: each holds its own plug-ins and threads."""
    global _core  # noqa: PLW0603  made on first use, because importing a module must start nothing
    with _core_lock:
        if _core is None:
            try:
                _core = _library().Core()
            except RuntimeError as error:
                raise SetupProblem(f"OpenVINO does not start: {str(error)[:300]}") from error
        return _core


def devices() -> list[str]:
    """OpenVINO's devices here in lower case, such as `cpu`, `gpu`, `gpu.0`, `npu`. Raises SetupProblem."""
    return [device.lower() for device in _shared_core().available_devices]


def _compile(path: Path, device: str, hint: str) -> Any:
    settings: dict[str, Any] = {"PERFORMANCE_HINT": hint}
    if device.startswith("cpu"):
        # Where the CPU has bfloat16 units OpenVINO would use them, and scores would differ between machines.
        settings["INFERENCE_PRECISION_HINT"] = "f32"
    try:
        return _shared_core().compile_model(str(path), device.upper(), settings)
    except RuntimeError as error:
        raise ModelRefused(f"OpenVINO cannot run {path.parent.name}/{path.name}: {_first_line(error)}") from error


class OpenVinoModel:
    """See `CompiledModel`. One inference request per calling thread and variant, made on its first call.

    The model exists in two variants. `LATENCY` gives one call all cores: right while one camera is served. `THROUGHPUT`
    gives each of several calls its share, which is faster in sum and steadier. The second is compiled in the background
    once calls overlap, so that whoever serves one camera does not pay for it. On 2 cores, YOLOv3-tiny: 75 and 39
    pictures a second for one caller, 32 to 75 and 78 for four.
    """

    def __init__(self, path: Path, device: str = "cpu") -> None:
        self._path = path
        self._device = device
        self._alone = _compile(path, device, "LATENCY")
        self._crowd: Any = None
        _, height, width, _ = (int(n) for n in self._alone.input(0).shape)
        self._hw = (height, width)
        self._count = len(self._alone.outputs)
        self._local = threading.local()
        self._lock = threading.Lock()
        self._running = 0
        self._crowded_until = 0.0
        self._compiling: threading.Thread | None = None

    @property
    def engine(self) -> str:
        return f"{NAME}:{self._device}"

    @property
    def input_hw(self) -> tuple[int, int]:
        return self._hw

    def __call__(self, image: NDArray[np.uint8]) -> list[NDArray[Any]]:
        crowd = self._enter()
        try:
            name = "alone" if crowd is None else "crowd"
            request = getattr(self._local, name, None)
            if request is None:
                request = (crowd or self._alone).create_infer_request()
                setattr(self._local, name, request)
            results = request.infer([image[None]], share_inputs=True, share_outputs=True)
            return [results[i] for i in range(self._count)]
        finally:
            with self._lock:
                self._running -= 1

    def _enter(self) -> Any:
        """Count a call in; the `THROUGHPUT` variant where it shall be used and is there."""
        now = time.monotonic()
        with self._lock:
            self._running += 1
            if self._running > 1:
                self._crowded_until = now + CROWDED_SECONDS
                if self._compiling is None:
                    self._compiling = threading.Thread(target=self._prepare_crowd, name="compile model", daemon=True)
                    self._compiling.start()
            return self._crowd if now < self._crowded_until else None

    def _prepare_crowd(self) -> None:
        try:
            self._crowd = _compile(self._path, self._device, "THROUGHPUT")
        except ModelRefused:
            # It ran as the other variant; at worst (memory is short) calls go on sharing that one.
            self._crowd = None

    def close(self) -> None:
        if self._compiling is not None:
            self._compiling.join()
        self._local = threading.local()
        self._alone = self._crowd = None


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[-1] if lines else type(error).__name__)[:300]
