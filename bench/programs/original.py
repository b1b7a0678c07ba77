"""The original tutorial's design, written anew for comparison: `python -m bench.programs.original camera|compute …`.

Flask's own server, one thread a viewer. For each viewer and each frame: fetch a still from the camera with `requests`,
decode it, change it, encode it again, send it. The detector is OpenCV's Darknet reader with the loop in Python over all
candidates. `/frames` tells how many frames it has sent.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Callable, Iterator
from typing import Any

import cv2
import numpy as np
import requests
from flask import Flask, Response

CONFIDENCE, OVERLAP, SIDE = 0.5, 0.3, 416
Image = Any


class Detector:
    """YOLO by OpenCV, as tutorials have it."""

    def __init__(self, configuration: str, weights: str) -> None:
        self._net = cv2.dnn.readNetFromDarknet(configuration, weights)
        self._outputs = self._net.getUnconnectedOutLayersNames()
        self._colours = np.random.default_rng(42).integers(0, 255, (80, 3))

    def __call__(self, image: Image) -> Image:
        height, width = image.shape[:2]
        blob = cv2.dnn.blobFromImage(image, 1 / 255.0, (SIDE, SIDE), swapRB=True, crop=False)
        self._net.setInput(blob)
        boxes, confidences, classes = [], [], []
        for output in self._net.forward(self._outputs):
            for detection in output:
                scores = detection[5:]
                label = int(np.argmax(scores))
                confidence = scores[label]
                if confidence > CONFIDENCE:
                    centre_x, centre_y, wide, high = (detection[0:4] * np.array([width, height, width, height])).astype(
                        "int"
                    )
                    boxes.append([int(centre_x - wide / 2), int(centre_y - high / 2), int(wide), int(high)])
                    confidences.append(float(confidence))
                    classes.append(label)
        for index in np.array(cv2.dnn.NMSBoxes(boxes, confidences, CONFIDENCE, OVERLAP)).flatten():
            x, y, wide, high = boxes[index]
            colour = [int(c) for c in self._colours[classes[index]]]
            cv2.rectangle(image, (x, y), (x + wide, y + high), colour, 2)
            text = f"{classes[index]}: {confidences[index]:.4f}"
            cv2.putText(image, text, (x, y - 5), cv2.FONT_HERSHEY_SIMPLEX, 0.5, colour, 2)
        return image


def make(camera: str, change: Callable[[Image], Image]) -> Flask:
    app = Flask(__name__)
    sent = itertools.count(1)
    state = {"frames": 0}

    def frames() -> Iterator[bytes]:
        while True:
            answer = requests.get(f"{camera}/image.jpg", timeout=5)
            image = cv2.imdecode(np.frombuffer(answer.content, np.uint8), cv2.IMREAD_COLOR)
            ok, jpeg = cv2.imencode(".jpg", change(image))
            if ok:
                state["frames"] = next(sent)
                yield b"--frame\r\nContent-Type: image/jpeg\r\n\r\n" + jpeg.tobytes() + b"\r\n"

    @app.get("/stream.jpg")
    def stream() -> Response:
        return Response(frames(), mimetype="multipart/x-mixed-replace; boundary=frame")

    @app.get("/healthz")
    def alive() -> dict[str, bool]:
        return {"alive": True}

    @app.get("/frames")
    def count() -> dict[str, int]:
        return {"frames": state["frames"]}

    return app


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("role", choices=("camera", "compute"))
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--camera", required=True, help="address of a camera")
    parser.add_argument("--cfg", default="")
    parser.add_argument("--weights", default="")
    given = parser.parse_args()
    change: Callable[[Image], Image] = (
        Detector(given.cfg, given.weights) if given.role == "compute" else lambda image: image
    )
    make(given.camera, change).run("127.0.0.1", given.port, threaded=True)


if __name__ == "__main__":
    main()
