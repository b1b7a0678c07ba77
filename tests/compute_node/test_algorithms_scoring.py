"""The benchmark's average precision is the textbook's."""

from __future__ import annotations

import math

import pytest

from compute_node.algorithms.base import Detection
from compute_node.models.scoring import Truth, average_precision, mean_average_precision, rates

BOX, FAR = (0, 0, 10, 10), (50, 50, 60, 60)


def test_right_wrong_right_gives_the_known_area() -> None:
    """Hits at ranks 1 and 3 of two things: half at precision one, half at two thirds."""
    truths = {"a": [Truth("cat", BOX), Truth("cat", FAR)]}
    found = {
        "a": [
            Detection("cat", 0.9, BOX),
            Detection("cat", 0.8, (100, 100, 110, 110)),
            Detection("cat", 0.7, FAR),
        ]
    }
    assert average_precision(found, truths, "cat") == pytest.approx(0.5 + 0.5 * 2 / 3)


def test_a_second_box_on_one_thing_is_wrong() -> None:
    """Otherwise a detector could be praised for repeating itself."""
    truths = {"a": [Truth("cat", BOX)]}
    found = {"a": [Detection("cat", 0.9, BOX), Detection("cat", 0.8, BOX)]}
    assert average_precision(found, truths, "cat") == 1.0
    assert rates(found, truths, 0.5).precision == 0.5


def test_labels_and_pictures_are_kept_apart() -> None:
    """The right box with the wrong name, or in the wrong picture, is no hit; things never found count."""
    truths = {"a": [Truth("cat", BOX)], "b": [Truth("dog", BOX)]}
    found = {"a": [Detection("dog", 0.9, BOX)], "b": [Detection("cat", 0.9, BOX), Detection("dog", 0.4, BOX)]}
    assert average_precision(found, truths, "cat") == 0.0
    assert average_precision(found, truths, "dog") == pytest.approx(0.5)
    assert mean_average_precision(found, truths) == pytest.approx(0.25)
    assert math.isnan(average_precision(found, truths, "cow"))
    assert rates(found, truths, 0.0).recall == pytest.approx(0.5)
