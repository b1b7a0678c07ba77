"""What is known of an installed model: the record beside its ONNX file, as frozen typed values."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec

Kind = Literal["yolov5", "yolox", "yolov8", "end2end", "ssd", "tfod", "fastestdet"]
Resize = Literal["letterbox", "corner", "stretch"]
RECORD_SCHEMA = "fogline-model/1"
MODEL_FILE, RECORD_FILE = "model.onnx", "model.json"  # of an installed model's folder


class Preparation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a picture becomes the model's input.

    resize: `letterbox` keeps the aspect and centres the picture, `corner` keeps it and starts at the top left,
    `stretch` fills the input. pad: grey of the bars, 0 to 255. order: of the colours that the model wants.
    The model sees (value - mean) × scale per channel, values 0 to 255, in its own colour order.
    """

    resize: Resize = "letterbox"
    pad: int = 114
    order: Literal["rgb", "bgr"] = "rgb"
    scale: float = 1 / 255
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)


class Overrides(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a catalogue entry or an import says better than the outputs tell; None leaves it to them."""

    resize: Resize | None = None
    pad: int | None = None
    order: Literal["rgb", "bgr"] | None = None
    scale: float | None = None
    mean: tuple[float, float, float] | None = None
    boxes: Literal["yxyx", "xyxy"] | None = None
    kind: Kind | None = None


class Layout(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How the outputs are read. kind: see `layouts.py`. classes: columns of class scores.

    decoded: for `yolox`, whether boxes are in pixels already. background: class 0 means "nothing".
    boxes: order of a corner pair, for `ssd` and `tfod`. outputs: which output plays which part, by position.
    """

    kind: Kind
    classes: int
    decoded: bool = True
    background: bool = False
    boxes: Literal["yxyx", "xyxy"] = "yxyx"
    outputs: tuple[int, ...] = (0,)


class Int8(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How an INT8 variant came about, and what it was measured to be worth.

    source, source_sha256: the model it was made of. made_at: Unix seconds. calibration, evaluation: pictures.
    map50_before, map50_after: on the evaluation pictures, of the source and of this variant. agreement: share of the
    source's boxes that it finds too. score_shift: mean change of their scores. fps_before, fps_after: pictures a
    second with every core busy. max_loss: of mAP50 that was allowed. refused: why it may not be the default, empty
    where it may.
    """

    source: str
    source_sha256: str
    method: str
    made_at: float
    calibration: int
    evaluation: int
    map50_before: float = 0.0
    map50_after: float = 0.0
    agreement: float = 0.0
    score_shift: float = 0.0
    fps_before: float = 0.0
    fps_after: float = 0.0
    max_loss: float = 0.0
    refused: str = "it was not measured"

    @property
    def loss(self) -> float:
        """mAP50 lost; negative where it gained."""
        return self.map50_before - self.map50_after

    @property
    def speedup(self) -> float:
        return self.fps_after / self.fps_before if self.fps_before else 0.0


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """`model.json`. sha256: of model.onnx. files: sha256 of every file that it was made of, by name.

    verified: whether the catalogue knew those hashes; False means pinned on first use.
    confidence: least score shown when a caller names none. input_hw: height and width in pixels.
    int8: of a variant that `fogline models quantize` made.
    """

    schema: str = RECORD_SCHEMA
    name: str
    title: str
    format: str
    licence: str
    source: str
    verified: bool
    sha256: str
    files: dict[str, str]
    labels: tuple[str, ...]
    input_hw: tuple[int, int]
    preparation: Preparation
    layout: Layout
    confidence: float
    family: str = "yolo"
    int8: Int8 | None = None


@dataclass(frozen=True, slots=True)
class InstalledModel:
    """A model that is ready to run: its record, and the ONNX file (input uint8 [1, H, W, 3] BGR)."""

    record: Record
    path: Path

    @property
    def name(self) -> str:
        return self.record.name


def sha256_of(path: Path) -> str:
    """The sha256 of a file in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
