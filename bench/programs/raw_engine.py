"""The raw rate of the engines: `python -m bench.programs.raw_engine MODEL.onnx SECONDS` prints JSON, pictures a second.

The input is prepared beforehand and nothing is done with the outputs: what no pipeline around the engine can exceed.
One caller, and as many at once as the engine likes.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np

WARM = 3  # calls
CALLERS = 4  # at once, where the engine says no number


def prepared(shape: list[Any], kind: str) -> Any:
    """A picture's worth of noise of the model's shape (open sides as 1) and type."""
    sides = [side if isinstance(side, int) and side > 0 else 1 for side in shape]
    noise = np.random.default_rng(1).integers(0, 256, sides, np.uint8)
    return noise if "uint8" in kind or kind == "u8" else (noise / 255).astype(np.float32)


def count(call: Callable[[], Any], seconds: float, callers: int) -> float:
    """Calls a second of `callers` threads together."""
    for _ in range(WARM):
        call()
    done = [0] * callers
    begun = time.perf_counter()

    def work(which: int) -> None:
        while time.perf_counter() - begun < seconds:
            call()
            done[which] += 1

    threads = [threading.Thread(target=work, args=(n,)) for n in range(callers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(done) / (time.perf_counter() - begun)


def openvino_rates(path: str, seconds: float, precision: str) -> dict[str, float]:
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # it would send a message
    import openvino  # noqa: PLC0415

    core = openvino.Core()
    rates = {}
    if precision.upper() not in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        precision = "f32"  # the node has nothing else then, either
    for hint in ("LATENCY", "THROUGHPUT"):
        model = core.compile_model(path, "CPU", {"PERFORMANCE_HINT": hint, "INFERENCE_PRECISION_HINT": precision})
        shape = [d.get_length() if d.is_static else 1 for d in model.input(0).get_partial_shape()]
        data = prepared(shape, model.input(0).get_element_type().get_type_name())
        if hint == "LATENCY":
            request = model.create_infer_request()
            rates["one caller"] = count(lambda: request.infer([data], share_inputs=True), seconds, 1)  # noqa: B023
            continue
        queue = openvino.AsyncInferQueue(model)
        for _ in range(WARM):
            queue.start_async([data], share_inputs=True)
        queue.wait_all()
        begun, done = time.perf_counter(), 0
        while time.perf_counter() - begun < seconds:
            queue.start_async([data], share_inputs=True)
            done += 1
        queue.wait_all()
        rates["at once"] = done / (time.perf_counter() - begun)
    return rates


def main() -> None:
    path, seconds, precision = sys.argv[1], float(sys.argv[2]), sys.argv[3]
    print(json.dumps(openvino_rates(path, seconds, precision)))


if __name__ == "__main__":
    main()
