"""The fastest engine is found by measuring, remembered, and no engine that fails or errs is ever chosen."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from compute_node import engines
from compute_node.algorithms import LoadContext, load
from compute_node.algorithms.base import Options
from compute_node.engines import CompiledModel, Device, candidates, choice, compile_on
from compute_node.engines.base import Outputs
from compute_node.engines.choice import Question, choose, fastest, rate
from compute_node.engines.openvino import CROWD_FROM, OpenVinoModel
from compute_node.models import ModelStore
from compute_node.models.trial import agreement, trial_picture
from mesh.errors import ModelRefused, NotFound, SetupProblem
from tests.compute_node.test_engines import together
from tests.compute_node.tiny_models import constant_model, rows_of, save

HW = (64, 64)


class Slowed:
    """ONNX Runtime behind a delay, or with every output moved, or failing from some call on."""

    def __init__(
        self, path: Path, name: str, *, delay: float = 0.0, moved: float = 0.0, fails_after: int = 10**9
    ) -> None:
        self._inner = compile_on("onnxruntime:cpu", path)
        self._name, self._delay, self._moved, self._left = name, delay, moved, fails_after
        self.closed = False

    @property
    def engine(self) -> str:
        return self._name

    @property
    def input_hw(self) -> tuple[int, int]:
        return self._inner.input_hw

    @property
    def parallel(self) -> int:
        return self._inner.parallel

    def __call__(self, image: NDArray[np.uint8]) -> Outputs:
        self._left -= 1
        if self._left < 0:
            raise RuntimeError("device lost")
        time.sleep(self._delay)
        return [output + np.float32(self._moved) for output in self._inner(image)]

    def expect_crowd(self) -> None:
        self._inner.expect_crowd()

    def close(self) -> None:
        self.closed = True
        self._inner.close()


@pytest.fixture
def installed(tmp_path: Path) -> ModelStore:
    """A store with one tiny detector, `tiny`, that sees one thing."""
    rows = rows_of("yolov8", HW, 2)
    rows[0, :, 5] = [30, 30, 20, 20, 0.9, 0.1]
    save(constant_model([rows]), tmp_path / "tiny.onnx")
    store = ModelStore(tmp_path / "data")
    store.import_file(tmp_path / "tiny.onnx", labels=_labels(tmp_path))
    return store


def _labels(folder: Path) -> Path:
    (folder / "labels.txt").write_text("cat\ndog\n")
    return folder / "labels.txt"


def decide(store: ModelStore, makers: dict[str, Callable[[], CompiledModel]]) -> tuple[CompiledModel, choice.Choice]:
    record = store.open("tiny").record
    return fastest("tiny", list(makers), lambda name: makers[name](), trial_picture(HW), agreement(record))


def test_the_fastest_is_kept_and_the_others_are_freed(installed: ModelStore) -> None:
    """Measured alone and crowded; the figures of all are kept."""
    path = installed.open("tiny").path
    slow = Slowed(path, "slow:cpu", delay=0.2)  # far slower than the quick one is on a busy machine
    quick = Slowed(path, "quick:cpu")
    compiled, found = decide(installed, {"slow:cpu": lambda: slow, "quick:cpu": lambda: quick})
    assert compiled is quick
    assert found.engine == "quick:cpu"
    assert (slow.closed, quick.closed) == (True, False)
    assert found.figures["quick:cpu"].single > found.figures["slow:cpu"].single
    assert found.figures["quick:cpu"].crowd > found.figures["slow:cpu"].crowd
    assert found.left_out == {}


def test_who_disagrees_fails_or_dies_is_left_out_with_the_reason(installed: ModelStore) -> None:
    """However fast: a wrong answer is none. Nothing of it stops the start."""
    path = installed.open("tiny").path

    def missing() -> CompiledModel:
        raise SetupProblem("no driver: install one")

    def crashes() -> CompiledModel:
        raise MemoryError("out of device memory")

    wrong = Slowed(path, "wrong:gpu", moved=0.4)
    nan = Slowed(path, "nan:gpu", moved=float("nan"))
    dies = Slowed(path, "dies:gpu", fails_after=2)
    compiled, found = decide(
        installed,
        {
            "wrong:gpu": lambda: wrong,
            "nan:gpu": lambda: nan,
            "dies:gpu": lambda: dies,
            "missing:gpu": missing,
            "crashes:gpu": crashes,
            "slow:cpu": lambda: Slowed(path, "slow:cpu", delay=0.01),
        },
    )
    assert compiled.engine == "slow:cpu"
    assert set(found.figures) == {"slow:cpu"}
    assert "disagrees" in found.left_out["wrong:gpu"]
    assert "NaN" in found.left_out["nan:gpu"]
    assert "device lost" in found.left_out["dies:gpu"]
    assert found.left_out["missing:gpu"] == "no driver: install one"
    assert "out of device memory" in found.left_out["crashes:gpu"]
    assert wrong.closed
    assert nan.closed
    assert dies.closed


def test_when_nothing_is_left_every_reason_is_said(tmp_path: Path, installed: ModelStore) -> None:
    """The model's fault stays the model's fault, a missing driver stays a problem of the set-up."""
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"no model")
    both = {name: (lambda n=name: compile_on(n, broken)) for name in ("openvino:cpu", "onnxruntime:cpu")}
    with pytest.raises(ModelRefused, match=r"OpenVINO cannot run.*; ONNX Runtime cannot run"):
        decide(installed, both)  # type: ignore[arg-type]

    def missing() -> CompiledModel:
        raise SetupProblem("no driver")

    with pytest.raises(SetupProblem, match="no driver"):
        decide(installed, {"one:cpu": missing})


def test_the_choice_is_remembered_until_something_changes(
    installed: ModelStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second start measures nothing; another version of an engine, or a damaged file, measures anew."""
    model = installed.open("tiny")
    measured: list[int] = []
    whole = choice.measure

    def counting(
        models: dict[str, CompiledModel], picture: NDArray[np.uint8]
    ) -> tuple[dict[str, choice.Figures], dict[str, str]]:
        measured.append(len(models))
        return whole(models, picture)

    monkeypatch.setattr(choice, "measure", counting)
    question = Question("tiny", model.path, model.record.sha256, trial_picture(HW), agreement(model.record))
    here = len(candidates())
    first = choose(question, "auto", tmp_path / "data")
    again = choose(question, "auto", tmp_path / "data")
    assert first.engine == again.engine
    assert measured == [here]
    (kept,) = choice.remembered(tmp_path / "data")
    assert kept.engine == first.engine
    assert {"openvino:cpu", "onnxruntime:cpu"} <= set(kept.figures)
    monkeypatch.setattr(choice, "version", lambda _engine: "99.0")
    choose(question, "auto", tmp_path / "data")
    assert measured == [here, here]
    for file in (tmp_path / "data" / "engines").glob("*.json"):
        file.write_bytes(b"{")
    choose(question, "auto", tmp_path / "data")
    assert measured == [here, here, here]
    assert choose(question, "onnxruntime", tmp_path / "data").engine == "onnxruntime:cpu"
    assert measured == [here, here, here], "a single candidate is not measured"


def test_a_folder_that_cannot_be_written_costs_only_the_memory(installed: ModelStore, tmp_path: Path) -> None:
    """The model runs all the same."""
    (tmp_path / "data" / "engines").write_text("in the way")
    algorithm = load("yolo", LoadContext(tmp_path / "data", "tiny"))
    (found,) = algorithm.detector()(np.zeros((*HW, 3), np.uint8), Options())
    assert found.label == "cat"
    algorithm.close()


def test_devices_that_do_not_work_are_named_and_never_candidates(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several cards have numbers; TensorRT runs when asked for by name only."""
    seen = {
        "openvino": (Device("openvino:cpu", "A CPU"), Device("openvino:gpu.0", "A GPU", "its driver is missing")),
        "onnxruntime": (
            Device("onnxruntime:tensorrt", "A card"),
            Device("onnxruntime:cuda.0", "A card"),
            Device("onnxruntime:cuda.1", "A card"),
            Device("onnxruntime:cpu", "A CPU"),
        ),
    }
    monkeypatch.setattr(engines, "_devices", lambda engine: seen[engine])
    assert candidates() == ["openvino:cpu", "onnxruntime:cuda.0", "onnxruntime:cuda.1", "onnxruntime:cpu"]
    assert candidates("onnxruntime") == ["onnxruntime:cuda.0", "onnxruntime:cuda.1", "onnxruntime:cpu"]
    assert candidates("onnxruntime:cuda.1") == ["onnxruntime:cuda.1"]
    assert candidates("onnxruntime:tensorrt") == ["onnxruntime:tensorrt"]
    assert "openvino:gpu.0" not in engines.available()
    assert engines.missing() == {"openvino:gpu.0": "its driver is missing"}
    with pytest.raises(SetupProblem, match="its driver is missing"):
        candidates("openvino:gpu.0")
    with pytest.raises(NotFound, match=r"known: cpu, gpu\.0"):
        candidates("openvino:npu")


def test_a_gpu_that_is_not_there_fails_in_words(installed: ModelStore) -> None:
    """This build of ONNX Runtime has no CUDA: asking the library for it all the same must not crash."""
    if "onnxruntime:cuda" in engines.available():
        pytest.skip("hardware: this machine has a CUDA device that works")
    from compute_node.engines.onnxruntime import OnnxRuntimeModel  # noqa: PLC0415

    for device in ("cuda", "cuda.1", "tensorrt"):
        with pytest.raises((SetupProblem, ModelRefused), match=r"driver|cannot run"):
            OnnxRuntimeModel(installed.open("tiny").path, device, installed.open("tiny").path.parent / "cache")


def test_the_rate_counts_every_caller_and_passes_errors_on() -> None:
    """Two callers of something that takes 10 ms get at most 200 calls a second done, one at most 100."""
    one, two = (rate(lambda: time.sleep(0.01), callers, 0.1) for callers in (1, 2))
    assert 0 < one <= 100
    assert 0 < two <= 200

    def fails() -> None:
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        rate(fails, 3, 0.1)


def test_an_occasional_second_caller_does_not_change_the_variant(installed: ModelStore) -> None:
    """Only who meets others most of the time gets the crowd's variant, and it goes when they do."""
    model = OpenVinoModel(installed.open("tiny").path)
    picture = trial_picture(HW)
    for _ in range(10):
        for _ in range(9):
            model(picture)
        with model._lock:
            model._running += 1  # somebody else's call, under way
        model(picture)
        with model._lock:
            model._running -= 1
    assert model._overlap < CROWD_FROM
    assert model._compiling is None, "nothing was compiled for a crowd that is none"
    model.expect_crowd()

    def calls(_number: int) -> None:
        for _ in range(30):
            model(picture)

    together(4, calls)
    assert model._crowd is not None
    for _ in range(60):
        model(picture)
    assert not model._crowded
    model.close()
