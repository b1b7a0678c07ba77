"""The benchmarks run and tell plausible things; how fast anything is, is not asked here."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

from bench.annotated import fairness
from bench.figures import Sample, Target, each_round, ratio, summary, table, value
from bench.yolov3 import _layers
from tests.processes import ROOT

pytestmark = pytest.mark.skipif(shutil.which("gcc") is None, reason="no C compiler: the swarm cannot be built")


def bench(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "cli", "bench", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )


def test_a_run_keeps_everything(tmp_path: Path, shared: Path) -> None:
    """One short round of a cheap scenario: JSON with machine, command lines, raw samples, summary, targets."""
    done = bench(
        "ingest", "--quick", "--out", str(tmp_path), "--data", str(shared), "--markdown", str(tmp_path / "a.md")
    )
    assert done.returncode == 0, done.stdout + done.stderr
    report: dict[str, Any] = json.loads(next(tmp_path.glob("bench-*.json")).read_text())
    assert report["machine"]["cores"] == psutil.cpu_count()
    (found,) = report["scenarios"]
    assert found["name"] == "ingest"
    assert "replay" in found["commands"]
    by_client = {sample["who"]: sample["values"] for sample in found["samples"]}
    assert by_client.keys() >= {"fogline", "http.client", "requests"}
    for client, values in by_client.items():
        assert 0 < values["cpu_ms_per_frame"] < 100, client
        assert 10 < values["fps"] < 60, client
    assert "| fogline | 720p at 30 fps |" in (tmp_path / "a.md").read_text()


def test_viewers_see_what_the_cameras_send(tmp_path: Path, shared: Path) -> None:
    """The swarm counts the frames of the replayed cameras, in order and with their ages, and what slow viewers do."""
    from bench.cluster import replay  # noqa: PLC0415  compiles nothing before it is wanted
    from bench.session import Bench  # noqa: PLC0415
    from bench.swarm import watch  # noqa: PLC0415

    settings = Bench(1, True, shared, tmp_path)
    with replay(settings, 2, 20) as cameras:
        urls = [(f"{url}/stream.jpg", 4) for url in cameras.urls]
        options = ("--never", "2", "--drip", "1")
        seen = watch(settings, urls, 2, servers=[cameras.process], options=options, warm=0.5)
    assert len(seen.targets) == 2
    for target in seen.targets:
        assert target["viewers"] == 4
        assert 12 < target["fps_min"] <= target["fps_max"] < 25
        assert target["disordered"] == target["broken"] == target["errors"] == 0
        assert 0 < target["age_ms"]["p50"] < 1000
    assert not cameras.process.running


def test_an_unknown_scenario_is_told_those_there_are() -> None:
    """A wrong name lists the right ones; --list shows a line for each."""
    wrong = bench("fanuot")
    assert wrong.returncode == 2
    assert "fanout" in wrong.stderr
    listed = bench("--list").stdout.splitlines()
    assert {line.split()[0] for line in listed} >= {"fanout", "endtoend", "soak", "accuracy"}


def test_ratios_are_taken_within_a_round() -> None:
    """Machines drift: each round has its own ratio, a round without one side has none, and the median decides."""
    samples = [
        Sample("we", "x", n, {"fps": ours}) for n, ours in enumerate((10.0, 40.0, 30.0, 99.0))
    ] + [Sample("they", "x", n, {"fps": theirs}) for n, theirs in enumerate((5.0, 10.0, 10.0))]  # fmt: skip
    rounds = ratio(samples, "fps", ("we", "x"), ("they", "x"))
    assert rounds == (2.0, 4.0, 3.0)
    assert Target("t", rounds, at_least=3).met
    assert not Target("t", rounds, at_least=3.5).met
    assert not Target("t", rounds, at_most=2).met
    assert summary(samples)[0]["values"]["fps"] == {"median": 35.0, "min": 10.0, "max": 99.0, "rounds": 4}
    assert each_round(samples, lambda n: value(samples, "they", "x", n, "fps")) == (5.0, 10.0, 10.0)


def test_fairness() -> None:
    """1 when all get the same, 1 / n when one gets everything."""
    assert fairness([5.0, 5.0, 5.0]) == pytest.approx(1)
    assert fairness([9.0, 0.0, 0.0]) == pytest.approx(1 / 3)
    assert fairness([0.0, 0.0]) == 0


def test_tables_line_up() -> None:
    """Figures stand to the right, words to the left."""
    lines = table(("name", "fps"), (("a", "1"), ("bb", "10"))).splitlines()
    assert lines[2:] == ["a       1", "bb     10"]


def test_yolov3_has_its_layers() -> None:
    """The cfg that is made has the 75 convolutions, 23 shortcuts and 3 heads of YOLOv3, and its 62 million weights."""
    text, shapes = _layers()
    assert text.count("[convolutional]") == len(shapes) == 75
    assert text.count("[shortcut]") == 23
    assert text.count("[yolo]") == 3
    weights = sum(wide * filters * size**2 + filters * (4 if normal else 1) for wide, filters, size, normal in shapes)
    assert weights == 62_001_757
