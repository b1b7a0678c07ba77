"""Both engines compute the same, from many threads at once, and say what is missing."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from compute_node import engines
from compute_node.engines import Device, available, compile_model, missing
from compute_node.models import ModelStore
from compute_node.models.prepare import prepare, source_input
from compute_node.models.record import Preparation
from mesh.errors import ModelRefused, NotFound, SetupProblem
from tests.compute_node.tiny_models import constant_model, save
from tests.processes import ROOT

ENGINES = ("openvino", "onnxruntime")
HW = (12, 20)


def echo_model(*, planes: bool = True, convolution: bool = False, kind: int = TensorProto.FLOAT) -> onnx.ModelProto:
    """A model that gives back what it is fed; with a convolution (of ones' diagonal) or with a plain addition."""
    shape = [1, 3, *HW] if planes else [1, *HW, 3]
    constants = [numpy_helper.from_array(np.eye(3, dtype=np.float32).reshape(3, 3, 1, 1), "kernel")]
    if convolution:
        nodes = [helper.make_node("Conv", ["images", "kernel"], ["out"], kernel_shape=[1, 1])]
    else:
        nodes = [helper.make_node("Cast", ["images"], ["out"], to=TensorProto.FLOAT)]
    graph = helper.make_graph(
        nodes,
        "echo",
        [helper.make_tensor_value_info("images", kind, shape)],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, shape)],
        constants if convolution else [],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def a_picture() -> NDArray[np.uint8]:
    return np.random.default_rng(5).integers(0, 256, (*HW, 3), np.uint8)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(("convolution", "planes"), [(False, True), (True, True), (False, False)])
@pytest.mark.parametrize(
    "preparation",
    [
        Preparation(),
        Preparation(order="bgr", scale=1.0),
        Preparation(order="rgb", scale=1 / 128, mean=(127.0, 100.0, 50.0)),
    ],
)
def test_the_model_sees_the_picture_as_it_was_trained_to(
    tmp_path: Path, engine: str, convolution: bool, planes: bool, preparation: Preparation
) -> None:
    """Colour order, mean, scale and planes are right, whether they are nodes or went into a convolution."""
    path = save(prepare(echo_model(planes=planes, convolution=convolution), preparation), tmp_path / "m.onnx")
    compiled = compile_model(path, engine)
    assert compiled.input_hw == HW
    assert compiled.engine.startswith(engine)
    picture = a_picture()
    (found,) = compiled(picture)
    ordered = picture[..., ::-1] if preparation.order == "rgb" else picture
    expected = (ordered.astype(np.float32) - np.array(preparation.mean, np.float32)) * preparation.scale
    np.testing.assert_allclose(found[0], expected.transpose(2, 0, 1) if planes else expected, atol=1e-4)
    compiled.close()


def test_the_colour_order_goes_into_the_first_convolution() -> None:
    """It is then no work at all; the scale stays a node, and a mean needs the order before it."""
    plain = [n.op_type for n in prepare(echo_model(convolution=True), Preparation()).graph.node]
    assert plain == ["Cast", "Mul", "Transpose", "Conv"]
    centred = prepare(echo_model(convolution=True), Preparation(mean=(1.0, 2.0, 3.0)))
    assert [n.op_type for n in centred.graph.node] == ["Gather", "Cast", "Sub", "Mul", "Transpose", "Conv"]


def test_preparing_leaves_the_given_model_as_it_was() -> None:
    """The trial with one preparation must not show in the next."""
    model = echo_model(convolution=True)
    before = model.SerializeToString()
    prepare(model, Preparation())
    assert model.SerializeToString() == before


@pytest.mark.parametrize("kind", [TensorProto.UINT8, TensorProto.FLOAT16])
def test_models_of_bytes_and_of_half_precision_are_fed_right(tmp_path: Path, kind: int) -> None:
    """TF-OD models take bytes, slim exports half floats."""
    path = save(prepare(echo_model(planes=False, kind=kind), Preparation(scale=1.0)), tmp_path / "m.onnx")
    picture = a_picture()
    (found,) = compile_model(path)(picture)
    np.testing.assert_allclose(found[0], picture[..., ::-1], atol=0.1)


@pytest.mark.parametrize(
    ("shape", "words"), [([1, 3, 8], r"must be \[1, 3, H, W\]"), ([1, 4, 8, 8], "3 colours"), ([8, 3, 8, 8], "must be")]
)
def test_an_input_that_is_no_picture_is_refused(shape: list[int], words: str) -> None:
    """With what was seen."""
    model = echo_model()
    model.graph.input[0].CopyFrom(helper.make_tensor_value_info("images", TensorProto.FLOAT, shape))
    with pytest.raises(ModelRefused, match=words):
        source_input(model, None)


def test_what_is_here_is_listed_openvino_first() -> None:
    """Both engines are installed for the tests."""
    assert available()[0] == "openvino:cpu"
    assert "onnxruntime:cpu" in available()
    assert missing() == {}


def test_an_engine_that_is_missing_gives_way_to_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And when it was asked for by name, the error says how to get it."""
    path = save(prepare(echo_model(), Preparation()), tmp_path / "m.onnx")
    whole = engines._devices

    def without_openvino(engine: str) -> tuple[Device, ...]:
        if engine == "openvino":
            raise SetupProblem("OpenVINO cannot be loaded; `pip install openvino` brings it")
        return whole(engine)

    monkeypatch.setattr(engines, "_devices", without_openvino)
    assert compile_model(path).engine == "onnxruntime:cpu"
    assert available() == ["onnxruntime:cpu"]
    assert "pip install openvino" in missing()["openvino"]
    with pytest.raises(SetupProblem, match="pip install openvino"):
        compile_model(path, "openvino")


def test_unknown_engines_and_devices_list_the_known(tmp_path: Path) -> None:
    """A typo is found at a glance."""
    path = save(prepare(echo_model(), Preparation()), tmp_path / "m.onnx")
    with pytest.raises(NotFound, match="known: auto, onnxruntime, openvino"):
        compile_model(path, "tensorflow")
    with pytest.raises(NotFound, match="known: cpu"):
        compile_model(path, "onnxruntime:fpga")


@pytest.mark.parametrize("engine", [*ENGINES, "auto"])
def test_a_file_that_no_engine_runs_is_refused_in_words(tmp_path: Path, engine: str) -> None:
    """Damaged, or with an operation that nobody knows."""
    (tmp_path / "broken.onnx").write_bytes(b"no model")
    with pytest.raises(ModelRefused, match="cannot run"):
        compile_model(tmp_path / "broken.onnx", engine)
    model = echo_model()
    model.graph.node[0].op_type = "Teleport"
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1
    with pytest.raises(ModelRefused, match="cannot run"):
        compile_model(save(model, tmp_path / "unknown.onnx"), engine)


def together(count: int, work: Callable[[int], None]) -> None:
    """Run `work` in `count` threads; the first error of any is raised."""
    errors: list[Exception] = []

    def guarded(number: int) -> None:
        try:
            work(number)
        except Exception as error:  # noqa: BLE001  whatever it is, it is raised below in the test's own thread
            errors.append(error)

    threads = [threading.Thread(target=guarded, args=(n,), daemon=True) for n in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
    if errors:
        raise errors[0]


@pytest.mark.parametrize("engine", ENGINES)
def test_many_threads_get_their_own_answers(tmp_path: Path, engine: str) -> None:
    """Eight threads with eight pictures on one compiled model, long enough for OpenVINO to change its variant."""
    compiled = compile_model(save(prepare(echo_model(), Preparation(scale=1.0)), tmp_path / "m.onnx"), engine)

    def work(number: int) -> None:
        picture = np.full((*HW, 3), number * 20, np.uint8)
        until = time.monotonic() + 0.7
        while time.monotonic() < until:
            (found,) = compiled(picture)
            assert (found == number * 20).all()

    together(8, work)
    compiled.close()


def test_importing_openvino_sends_no_telemetry() -> None:
    """Its telemetry package is never imported, and the library works without it."""
    code = (
        "import sys; from compute_node.engines import available; assert 'openvino:cpu' in available(); "
        "assert sys.modules.get('openvino_telemetry') is None, 'imported'; print('silent')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, cwd=ROOT, check=False
    )
    assert done.stdout.strip() == "silent", done.stderr


def test_importing_the_packages_loads_no_engine() -> None:
    """Neither an engine nor onnx comes with the list of algorithms or the store."""
    code = (
        "import sys, compute_node.algorithms, compute_node.engines, compute_node.models; "
        "heavy = {'openvino', 'onnxruntime', 'onnx', 'cv2', 'zxingcpp', 'pypi_simple'} & set(sys.modules); print(heavy)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, cwd=ROOT, check=False
    )
    assert done.stdout.strip() == "set()", done.stderr


@pytest.mark.parametrize("model", ["yolov3-tiny", "ssdlite-mobilenet-v2"])
def test_both_engines_agree_on_real_models(models: Path, shared: Path, model: str) -> None:
    """The same outputs for a real photograph, to the last digits of float32."""
    store = ModelStore(models)
    if not store.has(model):
        pytest.skip(f"{model} is not installed: run the tests by ./fogline test")
    path = store.open(model).path
    photograph = cv2.imread(str(min((shared / "images" / "coco" / "images").glob("*.jpg"))))
    assert photograph is not None
    results: list[list[NDArray[Any]]] = []
    for engine in ENGINES:
        compiled = compile_model(path, engine)
        height, width = compiled.input_hw
        fitted = np.ascontiguousarray(cv2.resize(photograph, (width, height)), np.uint8)
        results.append([np.array(output) for output in compiled(fitted)])
        compiled.close()
    for one, other in zip(*results, strict=True):
        np.testing.assert_allclose(one, other, rtol=5e-3, atol=5e-3)


def test_a_constant_model_runs_on_both_engines(tmp_path: Path) -> None:
    """The tests' own models are sound."""
    answer = np.arange(6, dtype=np.float32).reshape(1, 2, 3)
    path = save(prepare(constant_model([answer]), Preparation()), tmp_path / "m.onnx")
    for engine in ENGINES:
        (found,) = compile_model(path, engine)(np.zeros((64, 64, 3), np.uint8))
        np.testing.assert_array_equal(found, answer)
