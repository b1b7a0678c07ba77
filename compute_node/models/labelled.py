"""A folder of labelled pictures in YOLO's text format, checked before anybody relies on it.

`FOLDER/images/NAME.jpg` and `FOLDER/labels/NAME.txt` belong together; a line is `class cx cy w h`, the last four as
fractions of the picture. A picture without a label file shows nothing. `FOLDER/classes.txt` names the classes, one a
line; where it is absent they are the model's own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from compute_node.models.scoring import Truth
from mesh.errors import InvalidInput

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp")
SLACK = 0.01  # by which a fraction may lie outside of 0…1: rounding of other tools
LEAST_PICTURES = 20  # fewer say nothing: half of them calibrate, half of them judge
LEAST_THINGS = 20  # labelled in the pictures that judge
MOST_CALIBRATION = 128  # more change the ranges no more, but take memory and time


@dataclass(frozen=True, slots=True)
class Labelled:
    """One picture and what is in it. things: class number, centre x, centre y, width, height as fractions."""

    path: Path
    things: tuple[tuple[int, float, float, float, float], ...]

    def picture(self) -> NDArray[np.uint8]:
        """uint8 [H, W, 3] BGR."""
        image = cv2.imread(str(self.path))
        if image is None:
            raise InvalidInput(f"{self.path} can no longer be read", field="data")
        return np.asarray(image, np.uint8)

    def truths(self, classes: Sequence[str], width: int, height: int) -> list[Truth]:
        """What is in it, in pixels of the picture of `width` × `height`."""
        return [
            Truth(
                classes[number],
                ((x - w / 2) * width, (y - h / 2) * height, (x + w / 2) * width, (y + h / 2) * height),
            )
            for number, x, y, w, h in self.things
        ]


@dataclass(frozen=True, slots=True)
class Split:
    """calibration: pictures that set the ranges. evaluation: others, which judge. unreadable: files left out."""

    calibration: tuple[Labelled, ...]
    evaluation: tuple[Labelled, ...]
    classes: tuple[str, ...]
    unreadable: tuple[str, ...]


def read_split(folder: Path, model_labels: Sequence[str]) -> Split:
    """The pictures of `folder`, divided the same way every time: by name, in turns.

    Raises InvalidInput that says what is missing or wrong, with file and line.
    """
    images, labels = folder / "images", folder / "labels"
    for part in (images, labels):
        if not part.is_dir():
            raise InvalidInput(
                f"there is no folder {part}: --data needs images/ and labels/ in YOLO's text format", field="data"
            )
    classes = _classes(folder, model_labels)
    good, unreadable = [], []
    for path in sorted(p for p in images.iterdir() if p.suffix.lower() in SUFFIXES):
        if cv2.imread(str(path)) is None:
            unreadable.append(path.name)
            continue
        good.append(Labelled(path, _things(labels / f"{path.stem}.txt", len(classes))))
    skipped = f" ({len(unreadable)} more could not be read)" if unreadable else ""
    if len(good) < LEAST_PICTURES:
        raise InvalidInput(
            f"{images} holds {len(good)} pictures{skipped}; at least {LEAST_PICTURES} are needed, "
            "from the cameras on which the model shall run",
            field="data",
        )
    calibration, evaluation = good[::2][:MOST_CALIBRATION], good[1::2]
    things = sum(len(one.things) for one in evaluation)
    if things < LEAST_THINGS:
        raise InvalidInput(
            f"the {len(evaluation)} pictures that judge show {things} labelled things; at least {LEAST_THINGS} are "
            f"needed: is {labels} filled, with the pictures' names?",
            field="data",
        )
    return Split(tuple(calibration), tuple(evaluation), classes, tuple(unreadable))


def _classes(folder: Path, model_labels: Sequence[str]) -> tuple[str, ...]:
    """The folder's class names; else the model's, without the numbers that its list leaves unused."""
    try:
        lines = (folder / "classes.txt").read_text("utf-8").splitlines()
    except FileNotFoundError:
        return tuple(label for label in model_labels if label)
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{folder / 'classes.txt'} cannot be read: {error}", field="data") from error
    classes = tuple(line.strip() for line in lines if line.strip())
    if not set(classes) & set(model_labels):
        raise InvalidInput(
            f"{folder / 'classes.txt'} names nothing that the model knows; its labels begin with "
            f"{', '.join(list(model_labels)[:5])}",
            field="data",
        )
    return classes


def _things(file: Path, classes: int) -> tuple[tuple[int, float, float, float, float], ...]:
    try:
        lines = file.read_text("utf-8").splitlines()
    except FileNotFoundError:
        return ()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{file} cannot be read: {error}", field="data") from error
    things = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        parts = line.split()
        try:
            kind = int(parts[0])
            x, y, w, h = (float(part) for part in parts[1:])
        except ValueError:
            raise InvalidInput(f"{file}, line {number}: {line[:80]!r} is not `class cx cy w h`", field="data") from None
        if not 0 <= kind < classes:
            raise InvalidInput(
                f"{file}, line {number}: class {kind}, but there are {classes}, counted from 0 "
                "(classes.txt beside images/ names others)",
                field="data",
            )
        if not all(-SLACK <= value <= 1 + SLACK for value in (x, y, w, h)):
            raise InvalidInput(
                f"{file}, line {number}: {line[:80]!r} has numbers outside of 0…1: "
                "they are fractions of the picture, not pixels",
                field="data",
            )
        things.append((kind, x, y, w, h))
    return tuple(things)
