"""From a model's own files to the installed artifact: convert, recognise, prepare, run once, write the record."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import numpy as np
import onnx
from numpy.typing import NDArray

from compute_node.engines import CompiledModel, compile_model
from compute_node.models.catalogue import Entry, label_set
from compute_node.models.layouts import (
    CONFIDENCES,
    USUAL_CONFIDENCE,
    decode,
    preparation_for,
    recognise,
    yolox_is_decoded,
)
from compute_node.models.prepare import load_onnx, prepare, source_input
from compute_node.models.record import MODEL_FILE, RECORD_FILE, Layout, Overrides, Preparation, Record, sha256_of
from compute_node.models.trial import trial_picture
from mesh.errors import InvalidInput, ModelRefused

if TYPE_CHECKING:
    from collections.abc import Sequence

DARKNET_GREY = 127  # what Darknet's own letter-boxing fills the bars with
MOST_LABELS = 10_000
MOST_LABEL_BYTES = 1 << 20
COCO_CLASSES = {80: "coco80", 90: "coco90"}


@dataclass(frozen=True, slots=True)
class _Made:
    """A model in ONNX as its format gave it, and what the format already tells of it."""

    model: onnx.ModelProto
    overrides: Overrides
    hw: tuple[int, int] | None = None


def build(into: Path, name: str, entry: Entry, files: Path, sums: dict[str, str]) -> None:
    """Make the artifact of a catalogue entry in `into` from its fetched `files` (hashes: `sums`)."""
    paths = {part: files / file for part, file in entry.files.items()}
    made = _convert(entry.format, paths, masks=entry.masks, dims=None, open_dims=entry.input)
    made = _Made(made.model, _merged(entry.overrides, made.overrides), made.hw)
    record = Record(
        name=name,
        title=entry.title,
        format=entry.format,
        licence=entry.licence,
        source=entry.source_words,
        verified=entry.verified,
        sha256="",
        files=sums,
        labels=label_set(entry.labels),
        input_hw=entry.input,
        preparation=Preparation(),
        layout=Layout("yolov5", 0),
        confidence=entry.confidence,
        family=entry.family,
    )
    _finish(into, record, made)


def import_model(
    into: Path,
    name: str,
    file: Path,
    *,
    labels: Path | str | None,
    dims: tuple[int, int] | None,
    confidence: float | None,
) -> None:
    """Make the artifact of a user's `file` in `into`. See `ModelStore.import_file`."""
    if not file.is_file():
        raise InvalidInput(f"there is no file {file}", field="file")
    if confidence is not None and not 0 <= confidence <= 1:
        raise InvalidInput(f"a confidence of {confidence} is not within 0…1", field="confidence")
    paths = _parts(file)
    kind = {".onnx": "onnx", ".cfg": "darknet", ".json": "tfjs"}[file.suffix.lower()]
    made = _convert(kind, paths, masks=(), dims=dims, open_dims=None)
    record = Record(
        name=name,
        title=file.name,
        format=kind,
        licence="unknown: brought by the user",
        source=f"file {file.name}",
        verified=False,
        sha256="",
        files={path.name: sha256_of(path) for path in paths.values()},
        labels=_read_labels(labels) if labels is not None else (),
        input_hw=(0, 0),
        preparation=Preparation(),
        layout=Layout("yolov5", 0),
        confidence=-1.0 if confidence is None else confidence,
    )
    _finish(into, record, made)


def _parts(file: Path) -> dict[str, Path]:
    suffix = file.suffix.lower()
    if suffix == ".weights":
        file, suffix = file.with_suffix(".cfg"), ".cfg"
    if suffix == ".cfg":
        weights = file.with_suffix(".weights")
        for path in (file, weights):
            if not path.is_file():
                raise InvalidInput(f"Darknet models are two files; {path} is missing", field="file")
        return {"cfg": file, "weights": weights}
    if suffix in (".onnx", ".json"):
        return {"model": file}
    raise ModelRefused(f"{file.name}: known are .onnx, Darknet's .cfg with its .weights, and TF.js' model.json")


def _convert(
    kind: str,
    paths: dict[str, Path],
    *,
    masks: Sequence[Sequence[int]],
    dims: tuple[int, int] | None,
    open_dims: tuple[int, int] | None,
) -> _Made:
    """The files as ONNX. dims: a size that was asked for. open_dims: one for models that leave theirs open."""
    if kind == "darknet":
        from compute_node.models.darknet import read_darknet  # noqa: PLC0415  one format a pull

        model, _ = read_darknet(paths["cfg"], paths["weights"], masks=masks, side=dims)
        return _Made(model, Overrides(kind="yolov5", pad=DARKNET_GREY))
    if kind == "tfjs":
        from compute_node.models.tfjs import read_tfjs  # noqa: PLC0415  one format a pull

        return _Made(read_tfjs(paths["model"], side=dims), Overrides())
    model = load_onnx(paths["model"])
    if dims is None and open_dims is not None:
        try:
            source_input(model, None)
        except ModelRefused:
            return _Made(model, Overrides(), open_dims)
    return _Made(model, Overrides(), dims)


def _merged(first: Overrides, second: Overrides) -> Overrides:
    """`first`, and `second` where that says nothing."""
    values = {
        name: mine if (mine := getattr(first, name)) is not None else getattr(second, name)
        for name in Overrides.__struct_fields__
    }
    return Overrides(**values)


def _finish(into: Path, record: Record, made: _Made) -> None:
    """Recognise the layout by running once, write `model.onnx` as it shall run, run it again, write the record."""
    _, _, hw = source_input(made.model, made.hw)
    path = into / MODEL_FILE
    trial = _compile(made, Preparation(), path)
    try:
        outputs = [np.array(o) for o in _run(trial, hw)]
    finally:
        trial.close()
    layout = recognise(outputs, hw, made.overrides)
    preparation = preparation_for(layout.kind, made.overrides)
    compiled = _compile(made, preparation, path)
    try:
        outputs = [np.array(o) for o in _run(compiled, hw)]
    finally:
        compiled.close()
    if layout.kind == "yolox":
        layout = msgspec.structs.replace(layout, decoded=yolox_is_decoded(outputs[0], hw))
    labels = record.labels or _usual_labels(layout.classes)
    confidence = record.confidence if record.confidence >= 0 else CONFIDENCES.get(layout.kind, USUAL_CONFIDENCE)
    layout = _matched(layout, labels)
    decode(layout, outputs, hw, confidence)
    finished = msgspec.structs.replace(
        record,
        sha256=sha256_of(path),
        labels=labels,
        input_hw=hw,
        preparation=preparation,
        layout=layout,
        confidence=confidence,
    )
    (into / RECORD_FILE).write_bytes(msgspec.json.format(msgspec.json.encode(finished)))


def _compile(made: _Made, preparation: Preparation, path: Path) -> CompiledModel:
    path.write_bytes(prepare(made.model, preparation, made.hw).SerializeToString())
    return compile_model(path)


def _run(compiled: CompiledModel, hw: tuple[int, int]) -> list[NDArray[np.float32]]:
    try:
        return compiled(trial_picture(hw))
    except Exception as error:  # engines raise their own kinds: whatever stops a model now would stop it later
        raise ModelRefused(f"the model loads but does not run: {str(error)[:300]}") from error


def _matched(layout: Layout, labels: tuple[str, ...]) -> Layout:
    """`layout` with class 0 as background where that makes the labels fit. Raises ModelRefused where they do not."""
    if layout.classes in (0, len(labels)):
        return layout
    if layout.kind == "ssd" and layout.classes == len(labels) + 1:
        return msgspec.structs.replace(layout, background=True)
    raise ModelRefused(f"the model tells {layout.classes} classes apart, but {len(labels)} labels were given")


def _usual_labels(classes: int) -> tuple[str, ...]:
    """COCO's where the number fits, else numbers as names. An end-to-end model does not say how many it has."""
    listed = COCO_CLASSES.get(classes or 80)
    return label_set(listed) if listed else tuple(f"class {n}" for n in range(classes))


def _read_labels(labels: Path | str) -> tuple[str, ...]:
    """A list that ships with Fogline, or a file with one label a line."""
    path = Path(labels)
    if not path.is_file():
        if re.fullmatch(r"[a-z0-9]+", str(labels)):
            return label_set(str(labels))
        raise InvalidInput(f"there is no label file {path}", field="labels")
    text = path.read_bytes()[:MOST_LABEL_BYTES].decode("utf-8", "replace")
    found = tuple(line.strip()[:200] for line in text.splitlines() if line.strip())
    if not 1 <= len(found) <= MOST_LABELS:
        raise InvalidInput(f"{path.name} holds {len(found)} labels; 1 to {MOST_LABELS} are needed", field="labels")
    return found
