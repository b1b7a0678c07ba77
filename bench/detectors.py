"""The detectors that are compared with ours: the original's loop, and ultralytics."""

from __future__ import annotations

import json
from pathlib import Path

from bench.cluster import import_model, models, replay
from bench.environment import python_of
from bench.figures import Values
from bench.processes import Failed, Missing, free_port
from bench.session import NATIVE, Bench
from bench.swarm import watch
from bench.yolov3 import yolov3

LABELLED = "images/coco"  # below the folder of test data


def raw(bench: Bench, file: Path, seconds: float, precision: str = "f32") -> Values:
    """OpenVINO's raw rates on this CPU, which a node's are held against. fps: the better way to call it. precision:
    `f32` or `bf16`; the latter is FP32 where the CPU has no such units."""
    with bench.program("raw_engine", str(file), f"{seconds:g}", precision) as process:
        rates: dict[str, float] = json.loads(process.wait(4 * seconds + 120).splitlines()[-1])
    return {"fps": max(rates.values()), **{f"raw {name}": rate for name, rate in rates.items()}}


def original(bench: Bench, seconds: float) -> Values:
    """The original's loop with one viewer on YOLOv3."""
    configuration, weights = yolov3(bench)
    port = free_port()
    words = ("compute", "--port", str(port), "--cfg", str(configuration), "--weights", str(weights))
    with replay(bench, 1, 30) as camera, bench.program("original", *words, "--camera", camera.urls[0]) as process:
        base = f"http://127.0.0.1:{port}"
        process.answers(f"{base}/healthz")
        seen = watch(bench, [(f"{base}/stream.jpg", 1)], seconds, servers=[process], warm=3)
    return {"fps": seen.fps, "compute_cores": seen.cpu[0]}


def ultralytics_model(bench: Bench) -> Path:
    """The folder with yolov8n as ONNX and as ultralytics' own OpenVINO export."""
    python = python_of("ultralytics", bench)
    folder = bench.cache / "yolov8n"
    if not (folder / "yolov8n_openvino_model").is_dir():
        folder.mkdir(parents=True, exist_ok=True)
        bench.say("exporting yolov8n")
        with bench.start("ultralytics export", [str(python), str(_loop()), "export", str(folder)]) as process:
            process.wait(400)
    return folder


def ultralytics(bench: Bench, seconds: float, *, stream: bool) -> Values:
    """ultralytics' predict loop. stream: it reads a camera itself; else decoded frames cost it nothing."""
    model = ultralytics_model(bench) / "yolov8n_openvino_model"
    with replay(bench, 1, 60) as camera:
        # Without `.jpg`, by which ultralytics takes an address for a still to download.
        source = f"{camera.urls[0]}/stream" if stream else str(bench.pictures("720p"))
        command = [str(python_of("ultralytics", bench)), str(_loop()), "run", str(model), source, f"{seconds:g}"]
        with bench.start("ultralytics", command) as process:
            said = process.wait(seconds + 90)
    return {"fps": json.loads(said.splitlines()[-1])["fps"]}


def quantized(bench: Bench, name: str) -> str:
    """The INT8 variant of an installed model, made on first use. Raises Missing where that cannot be."""
    data = models(bench)
    variant = f"{name}-int8"
    if (data / "models" / variant).is_dir():
        return variant
    bench.say(f"quantizing {name}")
    words = ("models", "quantize", name, "--data", str(bench.shared / LABELLED), "--store", str(data))
    with bench.fogline("models quantize", *words) as process:
        try:
            process.wait(900)
        except Failed as why:
            if not (data / "models" / variant).is_dir():  # refused as the default, but there
                raise Missing(f"{name} could not be quantized: {why}") from None
    return variant


def installed_yolov3(bench: Bench) -> str:
    """YOLOv3 of the same weights as the original's loop runs, installed for ours."""
    configuration, _ = yolov3(bench)
    import_model(bench, configuration, "yolov3-random", "--labels", "coco80")
    return "yolov3-random"


def installed_yolov8n(bench: Bench) -> str:
    """The very ONNX file that ultralytics exported, installed for ours."""
    import_model(bench, ultralytics_model(bench) / "yolov8n.onnx", "yolov8n-random", "--labels", "coco80")
    return "yolov8n-random"


def _loop() -> Path:
    return NATIVE.parent / "programs" / "ultralytics_loop.py"
