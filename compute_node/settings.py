"""What a compute node can be told."""

from __future__ import annotations

from dataclasses import dataclass

from mesh.limits import MAX_SLOTS
from mesh.settings import NodeSettings, setting


@dataclass(frozen=True)
class ComputeSettings(NodeSettings):
    port: int = setting(0, "port to listen on; 0 for 8000 or the next free one", least=0, most=65535)
    slots: int = setting(0, "sessions served at once; 0 for two a core", least=0, most=MAX_SLOTS)
    algorithms: str = setting(
        "", "algorithms to offer, separated by commas; all that this machine can load when empty", metavar="LIST"
    )
    model: str = setting("", "model that `yolo` runs; the default of `fogline models list` when empty", metavar="NAME")
    engine: str = setting(
        "auto",
        "inference engine: auto (the fastest one measured), openvino, onnxruntime, or one with a device such as"
        " openvino:gpu.0",
        metavar="ENGINE",
    )
    quality: int = setting(80, "JPEG quality of annotated pictures", least=1, most=100)
