"""Boxes and labels: where they are drawn, and in which script."""

from __future__ import annotations

import numpy as np
import pytest

from compute_node.algorithms.base import Detection, Image
from compute_node.annotate import PALETTE, colour_of, draw


def blank(height: int = 720, width: int = 1280) -> Image:
    return np.zeros((height, width, 3), np.uint8)


def test_a_box_is_drawn_in_its_labels_colour() -> None:
    """Its edges have the colour, its inside is untouched."""
    image = blank()
    draw(image, [Detection("person", 0.9, (400, 300, 600, 500))])
    assert tuple(image[400, 400]) == colour_of("person")
    assert tuple(image[500, 500]) == colour_of("person")
    assert not image[320:480, 420:580].any()


def test_a_scaled_picture_gets_scaled_boxes() -> None:
    """Boxes are in the searched picture's pixels, whatever size is drawn."""
    image = blank(360, 640)
    draw(image, [Detection("cat", 1.0, (400, 300, 600, 500))], scale=0.5)
    assert tuple(image[200, 200]) == colour_of("cat")


@pytest.mark.parametrize(
    "box",
    [
        (0, 0, 30, 30),
        (1250, 0, 1280, 20),
        (1270, 700, 1280, 720),
        (-50, -50, 2000, 2000),
        (0, 719, 1, 720),
        (600, 5, 601, 6),
    ],
)
@pytest.mark.parametrize("label", ["person", "x" * 300, "二维码 检查", "Prüfstück №5", "line\nbreak\x00", "", "مرحبا"])
@pytest.mark.parametrize("size", [(720, 1280), (48, 64), (1, 1)])
def test_any_label_anywhere_stays_inside_the_picture(
    box: tuple[int, int, int, int], label: str, size: tuple[int, int]
) -> None:
    """Edges, tiny pictures, long texts and any script are drawn without an error and without changing the size."""
    image = blank(*size)
    draw(image, [Detection(label, 0.5, box)])
    assert image.shape == (*size, 3)
    assert image.any() or box[0] >= size[1] or box[1] >= size[0] or size == (1, 1)


def test_other_scripts_are_drawn_by_a_font_that_knows_them() -> None:
    """Letters with diacritics differ from those without, and from question marks."""
    pictures = []
    for label in ("Prüfstück", "Prufstuck", "Pr?fst?ck"):
        image = blank()
        draw(image, [Detection(label, 1.0, (400, 300, 600, 500))])
        pictures.append(image[250:300, 395:700].copy())
    assert (pictures[0] != pictures[1]).any()
    assert (pictures[0] != pictures[2]).any()


def test_colours_are_the_same_everywhere_and_differ() -> None:
    """A label has one colour on every node and after every restart."""
    assert colour_of("person") == colour_of("person")
    assert len({colour_of(label) for label in ("person", "cat", "cup", "car", "dog", "bottle", "chair")}) >= 4
    assert all(colour_of(label) in PALETTE for label in ("a", "b"))
