"""`ssd`: SSDLite-MobileNetV2, lighter than YOLO on the eye of small machines; the same files run in a browser."""

from __future__ import annotations

from compute_node.algorithms.base import Algorithm
from compute_node.algorithms.neural import load_model
from compute_node.algorithms.registry import LoadContext
from compute_node.models import ModelStore

MODEL = "ssdlite-mobilenet-v2"


def load(context: LoadContext) -> Algorithm:
    model = ModelStore(context.data).chosen("ssd") or MODEL
    return load_model("ssd", "Object detection (SSD)", model, context)
