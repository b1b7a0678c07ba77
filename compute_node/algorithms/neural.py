"""A detector of the model store as an algorithm: fit the picture in, infer, decode, suppress, bring boxes back."""

from __future__ import annotations

from compute_node.algorithms.base import AlgorithmInfo, Detection, Detector, Image, Options
from compute_node.algorithms.registry import LoadContext
from compute_node.engines import CompiledModel
from compute_node.engines.choice import Question, choose
from compute_node.models import InstalledModel, ModelStore, Record
from compute_node.models.boxes import Fitter, suppress
from compute_node.models.layouts import SUPPRESSED_INSIDE, decode
from compute_node.models.trial import agreement, trial_picture


class NeuralAlgorithm:
    """See `Algorithm`. One compiled model serves every detector; each detector has an input buffer of its own."""

    def __init__(self, algorithm_id: str, title: str, model: InstalledModel, compiled: CompiledModel) -> None:
        self._compiled = compiled
        self._record = model.record
        self._info = AlgorithmInfo(
            id=algorithm_id,
            name=title,
            category="objectdetection",
            model=model.name,
            labels=tuple(label for label in model.record.labels if label),
            input=model.record.input_hw,
            engine=compiled.engine,
        )

    @property
    def info(self) -> AlgorithmInfo:
        return self._info

    def detector(self) -> Detector:
        return _NeuralDetector(self._record, self._compiled)

    def close(self) -> None:
        self._compiled.close()


class _NeuralDetector:
    """Calls share nothing but the compiled model. One thread at a time."""

    def __init__(self, record: Record, compiled: CompiledModel) -> None:
        self._record = record
        self._compiled = compiled
        self._fit = Fitter(record.input_hw, record.preparation.resize, record.preparation.pad)

    def __call__(self, image: Image, options: Options) -> list[Detection]:
        return self.search(image, (image.shape[1], image.shape[0]), options)

    def needs(self, width: int, height: int) -> tuple[int, int]:
        """See `ScaledDetector`: as much as goes into the model's input."""
        return self._fit.needs(width, height)

    def search(self, image: Image, size: tuple[int, int], options: Options) -> list[Detection]:
        record = self._record
        least = record.confidence if options.confidence is None else options.confidence
        picture, fit = self._fit(image, size)
        outputs = self._compiled(picture)
        boxes, scores, classes = decode(record.layout, outputs, record.input_hw, least)
        if record.layout.kind not in SUPPRESSED_INSIDE:
            kept = suppress(boxes, scores, classes)
            boxes, scores, classes = boxes[kept], scores[kept], classes[kept]
        found = []
        for box, score, number in zip(fit.back(boxes).tolist(), scores.tolist(), classes.tolist(), strict=True):
            label = record.labels[number] if number < len(record.labels) else f"class {number}"
            left, top, right, bottom = box
            if not label or right <= left or bottom <= top:
                continue  # a number that the label list leaves unused, or a box wholly in the bars
            if not options.labels or label in options.labels:
                found.append(Detection(label, min(score, 1.0), (left, top, right, bottom)))
        return found


def load_model(algorithm_id: str, title: str, model: str, context: LoadContext) -> NeuralAlgorithm:
    """The installed `model` as an algorithm. Raises NotFound where it is not installed, and what engines raise."""
    installed = ModelStore(context.data).open(model)
    record = installed.record
    question = Question(
        installed.name, installed.path, record.sha256, trial_picture(record.input_hw), agreement(record)
    )
    return NeuralAlgorithm(algorithm_id, title, installed, choose(question, context.engine, context.data))
