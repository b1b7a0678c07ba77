"""Settings come from options, then variables, then defaults, and say what is wrong by name."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, dataclass
from pathlib import Path
from typing import Any

import pytest

from mesh.errors import SetupProblem
from mesh.settings import NodeSettings, load, setting


@dataclass(frozen=True)
class Example(NodeSettings):
    port: int = setting(5000, "port", least=1, most=65535)
    rate: float = setting(1.5, "rate", least=0)
    quick: bool = setting(False, "quick")
    camera: tuple[str, ...] = setting((), "sources")


def test_an_option_wins_over_a_variable_over_the_default() -> None:
    """The nearest word counts."""
    environ = {"FOGLINE_PORT": "6000", "FOGLINE_NAME": "from variable", "FOGLINE_QUICK": "yes"}
    found = load(Example, {"port": "7000", "name": None}, environ)
    assert (found.port, found.name, found.quick, found.rate) == (7000, "from variable", True, 1.5)


def test_a_setting_that_repeats_is_split_at_commas_in_its_variable() -> None:
    """`FOGLINE_CAMERA=0,rtsp://x` means two cameras."""
    assert load(Example, {}, {"FOGLINE_CAMERA": "0, rtsp://x"}).camera == ("0", "rtsp://x")
    assert load(Example, {"camera": ("a", "b")}, {"FOGLINE_CAMERA": "0"}).camera == ("a", "b")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"port": "abc"}, "whole number"),
        ({"port": "0"}, "at least 1"),
        ({"port": "70000"}, "at most 65535"),
        ({"rate": "nan"}, "at least 0"),
        ({"rate": "-1"}, "at least 0"),
        ({"quick": "perhaps"}, "yes or no"),
        ({"log": "loud"}, "choose one of auto, json, text"),
    ],
)
def test_a_wrong_value_names_option_and_variable(options: dict[str, Any], words: str) -> None:
    """The message is enough to mend it."""
    with pytest.raises(SetupProblem) as caught:
        load(Example, options, {})
    name = next(iter(options))
    assert words in caught.value.detail
    assert f"--{name}" in caught.value.detail
    assert f"FOGLINE_{name.upper()}" in caught.value.detail


def test_settings_cannot_be_changed_and_paths_are_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was read at the start stays."""
    monkeypatch.chdir(tmp_path)
    found = load(Example, {"data": "here"}, {})
    assert found.data == tmp_path / "here"
    with pytest.raises(FrozenInstanceError):
        found.port = 1  # type: ignore[misc]
