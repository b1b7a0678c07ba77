"""ultralytics as its users run it; runs in an environment of its own and imports nothing of Fogline.

`export FOLDER` writes `yolov8n.onnx` and `yolov8n_openvino_model/` (random weights) there.
`run MODEL SOURCE SECONDS` prints JSON: frames a second searched, drawn and encoded. SOURCE: the address of an MJPEG
stream; or a file of pictures (32-bit length and JPEG), decoded beforehand so that frames cost nothing.
"""

from __future__ import annotations

import importlib.metadata
import itertools
import json
import os
import struct
import sys
import time
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

# ruff: noqa: PLC0415  each part loads what it needs
WARM = 10  # frames
SIDE = 640


def without_torchvision() -> None:
    """ultralytics wants torchvision for its suppression of boxes, and none loads beside a CPU's torch. It gets its own
    replacement for that, which it uses by itself where torchvision was not imported."""
    usual = importlib.metadata.version

    def version(distribution_name: str) -> str:
        return "0.28.0" if distribution_name == "torchvision" else usual(distribution_name)

    importlib.metadata.version = version
    stand_in = types.ModuleType("torchvision")
    sys.modules["torchvision"] = stand_in
    from ultralytics.utils.nms import TorchNMS  # type: ignore[import-not-found]

    stand_in.ops = types.SimpleNamespace(nms=TorchNMS.nms)  # type: ignore[attr-defined]


def export(folder: str) -> None:
    os.chdir(folder)
    from ultralytics import YOLO  # type: ignore[import-not-found]

    for form in ("onnx", "openvino"):
        YOLO("yolov8n.yaml").export(format=form, imgsz=SIDE)


def pictures(file: str) -> Iterator[Any]:
    import cv2
    import numpy as np

    data, at = Path(file).read_bytes(), 0
    images: list[Any] = []
    while at < len(data) and len(images) < 30:
        (length,) = struct.unpack_from("=I", data, at)
        images.append(cv2.imdecode(np.frombuffer(data, np.uint8, length, at + 4), cv2.IMREAD_COLOR))
        at += 4 + length
    return itertools.cycle(images)


def results(model: Any, source: str) -> Iterator[Any]:
    if source.startswith("http"):
        yield from model.predict(source, stream=True, verbose=False, imgsz=SIDE)
    else:
        for image in pictures(source):
            yield model.predict(image, verbose=False, imgsz=SIDE)[0]


def run(path: str, source: str, seconds: float) -> None:
    import cv2
    from ultralytics import YOLO

    count, begun = 0, 0.0
    for number, result in enumerate(results(YOLO(path, task="detect"), source)):
        cv2.imencode(".jpg", result.plot())
        if number == WARM:
            begun = time.monotonic()
        elif number > WARM:
            count += 1
            if time.monotonic() - begun >= seconds:
                break
    print(json.dumps({"fps": count / (time.monotonic() - begun), "frames": count}), flush=True)


if __name__ == "__main__":
    without_torchvision()
    if sys.argv[1] == "export":
        export(sys.argv[2])
    else:
        run(sys.argv[2], sys.argv[3], float(sys.argv[4]))
    os._exit(0)  # the reader's thread of a stream would keep it
