"""Reads the files of a TensorFlow.js graph model: `model.json` and the weight shards beside it."""

from __future__ import annotations

import base64
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mesh.errors import ModelRefused

MAX_JSON_BYTES = 64 << 20  # coco-ssd has half a megabyte
MAX_WEIGHT_BYTES = 1 << 30
MAX_NODES = 50_000
Constant = NDArray[Any]


@dataclass(frozen=True, slots=True)
class GraphNode:
    """One node of the TensorFlow graph. inputs: names of tensors, without control dependencies."""

    name: str
    operation: str
    inputs: tuple[str, ...]
    attributes: dict[str, Any]

    def refuse(self, why: str) -> ModelRefused:
        return ModelRefused(f"TF.js node {self.name} ({self.operation}): {why}")

    def integers(self, key: str) -> list[int]:
        """A list of whole numbers; empty where it is absent. They are texts in the file."""
        return [int(n) for n in self.attributes.get(key, {}).get("list", {}).get("i", [])]

    def integer(self, key: str, default: int = 0) -> int:
        return int(self.attributes.get(key, {}).get("i", default))

    def number(self, key: str, default: float) -> float:
        return float(self.attributes.get(key, {}).get("f", default))

    def text(self, key: str, default: str = "") -> str:
        value = self.attributes.get(key, {}).get("s")
        return default if value is None else _text(value)

    def texts(self, key: str) -> list[str]:
        return [_text(value) for value in self.attributes.get(key, {}).get("list", {}).get("s", [])]

    def shape(self, key: str) -> list[int]:
        """A shape; -1 where a side is open, empty where it is absent."""
        return [int(d.get("size", -1)) for d in self.attributes.get(key, {}).get("shape", {}).get("dim", [])]


def _text(value: Any) -> str:
    """Bytes in one of the two ways in which converters wrote them: numbers, or base64."""
    if isinstance(value, list):
        return bytes(value).decode("utf-8", "replace")
    return base64.b64decode(str(value)).decode("utf-8", "replace")


def read_files(model_json: Path) -> tuple[dict[str, GraphNode], dict[str, Constant]]:
    """Nodes and weights, each by name. Raises ModelRefused with what is wrong."""
    if model_json.stat().st_size > MAX_JSON_BYTES:
        raise ModelRefused(f"{model_json.name} has {model_json.stat().st_size} bytes; the limit is {MAX_JSON_BYTES}")
    try:
        document = json.loads(model_json.read_bytes())
        raw_nodes = document["modelTopology"]["node"]
        groups = document["weightsManifest"]
        if len(raw_nodes) > MAX_NODES:
            raise ModelRefused(f"{model_json.name} has {len(raw_nodes)} nodes; the limit is {MAX_NODES}")
        nodes = {
            raw["name"]: GraphNode(
                name=raw["name"],
                operation=raw["op"],
                inputs=tuple(name for name in raw.get("input", ()) if not name.startswith("^")),
                attributes=raw.get("attr", {}),
            )
            for raw in raw_nodes
        }
        weights: dict[str, Constant] = {}
        for group in groups:
            weights |= _read_group(model_json.parent, group)
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise ModelRefused(f"{model_json.name} is no TF.js graph model ({type(error).__name__}: {error})") from error
    return nodes, weights


def _read_group(folder: Path, group: dict[str, Any]) -> dict[str, Constant]:
    """The weights of one group, whose shards are one after another."""
    content = b""
    for name in group["paths"]:
        if Path(name).name != name:
            raise ModelRefused(f"the weight file {name!r} does not lie beside model.json")
        shard = folder / name
        if not shard.is_file():
            raise ModelRefused(f"the weight file {name} is missing beside model.json")
        if len(content) + shard.stat().st_size > MAX_WEIGHT_BYTES:
            raise ModelRefused(f"more than {MAX_WEIGHT_BYTES} bytes of weights")
        content += shard.read_bytes()
    found, position = {}, 0
    for weight in group["weights"]:
        shape = [int(side) for side in weight["shape"]]
        quantised = weight.get("quantization") or {}
        kind = np.dtype(quantised.get("dtype", weight["dtype"]))
        if min(shape, default=1) < 0 or kind.hasobject:
            raise ModelRefused(f"weight {weight['name']} has no usable shape or type")
        count = math.prod(shape)
        if position + count * kind.itemsize > len(content):
            raise ModelRefused(f"the weight files end before {weight['name']}: {len(content)} bytes are there")
        values = np.frombuffer(content, kind, count, position)
        position += count * kind.itemsize
        if "scale" in quantised:
            values = values.astype(np.float32) * quantised["scale"] + quantised["min"]
        found[str(weight["name"])] = values.astype(weight["dtype"]).reshape(shape)
    if position != len(content):
        raise ModelRefused(f"the weight files hold {len(content)} bytes, the manifest speaks of {position}")
    return found
