"""`yolo`: any detector of the model store; the catalogue's default when nobody chooses."""

from __future__ import annotations

from compute_node.algorithms.base import Algorithm
from compute_node.algorithms.neural import load_model
from compute_node.algorithms.registry import LoadContext
from compute_node.models import ModelStore


def load(context: LoadContext) -> Algorithm:
    model = context.model or ModelStore(context.data).default
    return load_model("yolo", "Object detection (YOLO)", model, context)
