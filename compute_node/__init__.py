"""The compute node: camera frames → algorithm → annotated frames and detections."""

import os

# ONNX Runtime's builds report to their maker from their import on, unless this is set before.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
