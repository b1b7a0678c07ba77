"""OpenVINO: Intel's and other CPUs, Intel's GPUs and NPUs."""

from __future__ import annotations

import sys
import threading
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compute_node.engines.base import Device, Outputs
from compute_node.engines.probe import first_line, tiny_model
from mesh.errors import ModelRefused, SetupProblem
from mesh.logs import logger

NAME = "openvino"
# Which variant serves follows the share of calls that met another one, averaged over about the last 20 calls: an
# occasional second caller must change nothing, because a variant's first calls after a while find cold caches.
OVERLAP_WEIGHT = 0.05
CROWD_FROM, CROWD_UNTIL = 0.6, 0.3  # shares from which the crowd's variant serves, and below which it does no more
BF16 = "cpu.bf16"  # the CPU's units for bfloat16, where it has them: twice as fast, scores differ in the third digit
log = logger(__name__)
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


def version() -> str:
    """The library's version, such as `2026.4.1`. Raises SetupProblem."""
    return str(_library().__version__).partition("-")[0]


@lru_cache(maxsize=1)
def devices() -> tuple[Device, ...]:
    """OpenVINO's devices here: `openvino:cpu`, `openvino:cpu.bf16`, `openvino:gpu.0`, `openvino:npu`. Tried once a
    process.

    Raises SetupProblem where the library cannot be loaded.
    """
    found = []
    for device in _shared_core().available_devices:
        examined = _examined(device)
        found.append(examined)
        if device == "CPU" and "BF16" in _shared_core().get_property(device, "OPTIMIZATION_CAPABILITIES"):
            found.append(Device(f"{NAME}:{BF16}", f"{examined.title}, in bfloat16", examined.problem))
    return tuple(found)


def _examined(device: str) -> Device:
    core, name = _shared_core(), f"{NAME}:{device.lower()}"
    title, problem = device, None
    try:
        title = str(core.get_property(device, "FULL_DEVICE_NAME")).strip() or device
        if device != "CPU":  # a plug-in lists what its driver shows; whether that computes is another matter
            core.compile_model(core.read_model(tiny_model()), device, {})
    except RuntimeError as error:
        problem = f"OpenVINO finds {device} but cannot use it ({first_line(error)}): is its driver complete?"
    return Device(name, title, problem)


def _compile(path: Path, device: str, hint: str) -> Any:
    settings: dict[str, Any] = {"PERFORMANCE_HINT": hint}
    if device.startswith("cpu"):
        # OpenVINO would choose by itself, and nobody would know in which precision a node computes.
        settings["INFERENCE_PRECISION_HINT"] = "bf16" if device == BF16 else "f32"
    try:
        return _shared_core().compile_model(str(path), "CPU" if device == BF16 else device.upper(), settings)
    except RuntimeError as error:
        raise ModelRefused(f"OpenVINO cannot run {path.parent.name}/{path.name}: {first_line(error)}") from error


class OpenVinoModel:
    """See `CompiledModel`. One inference request per calling thread and variant, made on its first call.

    The model exists in two variants. `LATENCY` gives one call all cores: right while one camera is served. `THROUGHPUT`
    gives each of several calls its share, which is steadier beside decoders and encoders. The second is compiled in the
    background once calls overlap, so that whoever serves one camera does not pay for it. On 2 cores, YOLOv3-tiny, one
    caller / four callers: 79 / 80 pictures a second and 41 / 82. An asynchronous queue, more requests or more streams
    than cores, or threads that are not pinned gained nothing: two calls at once use two cores whole.
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
        self._overlap = 0.0
        self._crowded = False
        self._compiling: threading.Thread | None = None
        self._parallel = self._streams()

    @property
    def engine(self) -> str:
        return f"{NAME}:{self._device}"

    @property
    def input_hw(self) -> tuple[int, int]:
        return self._hw

    @property
    def parallel(self) -> int:
        return self._parallel

    def __call__(self, image: NDArray[np.uint8]) -> Outputs:
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

    def expect_crowd(self) -> None:
        self._start_compiling().join()
        with self._lock:
            self._overlap, self._crowded = 1.0, True

    def close(self) -> None:
        if self._compiling is not None:
            self._compiling.join()
        self._local = threading.local()
        self._alone = self._crowd = None

    def _streams(self) -> int:
        """How many calls at once this device serves side by side: its cores for a CPU, a few for a GPU."""
        if self._device.startswith("cpu"):
            return max(1, int(self._alone.get_property("INFERENCE_NUM_THREADS")))
        return max(2, int(self._alone.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS")))

    def _enter(self) -> Any:
        """Count a call in; the `THROUGHPUT` variant where it shall be used and is there."""
        with self._lock:
            met = self._running > 0
            self._running += 1
            self._overlap += (met - self._overlap) * OVERLAP_WEIGHT
            self._crowded = self._overlap > (CROWD_UNTIL if self._crowded else CROWD_FROM)
            wanted = self._crowded and self._compiling is None
            crowd = self._crowd if self._crowded else None
        if wanted:
            self._start_compiling()
        return crowd

    def _start_compiling(self) -> threading.Thread:
        with self._lock:
            if self._compiling is None:
                self._compiling = threading.Thread(target=self._prepare_crowd, name="compile model", daemon=True)
                self._compiling.start()
            return self._compiling

    def _prepare_crowd(self) -> None:
        try:
            crowd = _compile(self._path, self._device, "THROUGHPUT")
            # The first call allocates and packs weights: nobody's frame shall wait for that.
            crowd.create_infer_request().infer([np.zeros((1, *self._hw, 3), np.uint8)])
            self._crowd = crowd
        except (ModelRefused, RuntimeError) as error:
            # It ran as the other variant; at worst (memory is short) calls go on sharing that one.
            log.warning("no variant for many calls at once", model=self._path.parent.name, reason=str(error)[:300])
