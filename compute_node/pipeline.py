"""One pipeline: newest camera frame → decode → detect → draw → newest annotated frame, shared by all who want it."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass

from compute_node import annotate, jpeg
from compute_node.algorithms.base import Algorithm, Detection, Detector, Image, Options
from compute_node.ingest import Ingest
from compute_node.metrics import Metrics
from mesh import codec
from mesh.errors import FoglineError
from mesh.frame import Frame
from mesh.logs import logger
from mesh.placard import no_signal_frame
from mesh.rate import Rate
from mesh.stream import Broadcast, Pacer, Published
from mesh.wire import CameraAddress, DetectedObject, Detections, FrameStamp

SILENCE = 1.5  # seconds without a camera frame after which viewers are told why
PLACARD_PERIOD = 1.0  # seconds between two such pictures
PIXELS_LINGER = 3.0  # seconds for which pictures are still drawn after the last viewer of them left
log = logger(__name__)


@dataclass(frozen=True, slots=True)
class PipelineKey:
    """What makes two wishes the same work. width, height: the annotated picture fits into them, None for the camera's
    own size; downsample: divides its sides; fps: frames a second at most."""

    camera: CameraAddress
    algorithm: str
    width: int | None = None
    height: int | None = None
    downsample: int = 1
    fps: float | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """What a detector found in one frame, and how long it took in milliseconds."""

    frame: Frame
    detections: list[Detection]
    inference_ms: float
    error: str | None = None


class Pipeline:
    """Runs from its making to `stop`, in one thread of its own.

    `pictures` broadcasts annotated frames, drawn only while somebody watches them; `results` broadcasts the
    detections. `problem` says why there are none, None while there are.
    """

    def __init__(self, key: PipelineKey, algorithm: Algorithm, ingest: Ingest, metrics: Metrics, quality: int) -> None:
        self.key = key
        self.pictures = Broadcast()
        self.results: Published[Detections] = Published(codec.dump)
        self.rate = Rate()
        self.problem: str | None = None
        self._sequence = 0
        self._algorithm = algorithm
        self._ingest = ingest
        self._metrics = metrics
        self._quality = quality
        self._stopping = threading.Event()
        self._thread = threading.Thread(
            target=self._run, name=f"pipeline {key.algorithm} {key.camera.name}", daemon=True
        )
        self._thread.start()

    @property
    def viewers(self) -> int:
        return self.pictures.viewers + self.results.viewers

    @property
    def idle_seconds(self) -> float:
        """Seconds since anybody wanted anything."""
        return min(self.pictures.idle_seconds, self.results.idle_seconds)

    def stop(self) -> None:
        """End, and end the streams of those who watch."""
        self._stopping.set()
        self.pictures.close()
        self.results.close()

    def _run(self) -> None:
        detector: Detector | None = None
        pacer = Pacer(self.key.fps)
        seen = 0
        last_frame = time.monotonic()
        while not self._stopping.is_set():
            before = seen
            frame, seen = self._ingest.frames.wait(seen, 0.25)
            now = time.monotonic()
            if frame is None:
                if now - last_frame > SILENCE and not self._stopping.is_set():
                    last_frame = now - SILENCE + PLACARD_PERIOD
                    self._tell(self._ingest.problem or "the camera node sends no frames")
                continue
            last_frame = now
            if before and seen - before > 1:
                self._metrics.dropped("busy", seen - before - 1)
            if not pacer.admits(now):
                self._metrics.dropped("fps limit", 1)
                continue
            try:
                if detector is None:
                    detector = self._algorithm.detector()
                self._one(frame, detector)
            except FoglineError as error:
                self.problem = error.detail
                self._metrics.dropped("bad picture", 1)
            except Exception as error:  # an algorithm may be anybody's code: its failure is shown, the others go on
                log.exception("the algorithm failed", algorithm=self.key.algorithm, camera=self.key.camera.name)
                detector = None  # what it kept between pictures may be broken
                self._metrics.dropped("algorithm failed", 1)
                self._tell(f"{self.key.algorithm} failed: {error}")
                self._stopping.wait(PLACARD_PERIOD)

    def _one(self, frame: Frame, detector: Detector) -> None:
        self._sequence = frame.sequence
        if frame.no_signal is not None:
            self.problem = frame.no_signal
            self.pictures.publish(frame)
            self._publish_results(Found(frame, [], 0.0, frame.no_signal))
            return
        with self._metrics.timed("decode"):
            image = jpeg.decode(frame.jpeg)
        began = time.perf_counter()
        with self._metrics.timed("inference"):
            found = detector(image, Options())
        inference_ms = (time.perf_counter() - began) * 1000
        self.problem = None
        self.rate.tick()
        self._publish_results(Found(frame, found, inference_ms))
        if self.pictures.idle_seconds < PIXELS_LINGER:
            self.pictures.publish(self._picture(frame, image, found, inference_ms))
            self._metrics.published.inc()
        self._metrics.age.observe(max(0.0, time.time() - frame.captured_at))

    def _picture(self, frame: Frame, image: Image, found: list[Detection], inference_ms: float) -> Frame:
        columns = image.shape[1]
        width, height = self.key.width, self.key.height
        if self.key.downsample > 1:
            width = max(1, (width or columns) // self.key.downsample)
            height = max(1, (height or image.shape[0]) // self.key.downsample)
        with self._metrics.timed("draw"):
            scaled = jpeg.fit(image, width, height)
            annotate.draw(scaled, found, scaled.shape[1] / columns)
        with self._metrics.timed("encode"):
            data = jpeg.encode(scaled, self._quality)
        return Frame(
            jpeg=data,
            sequence=frame.sequence,
            captured_at=frame.captured_at,
            width=scaled.shape[1],
            height=scaled.shape[0],
            inference_ms=inference_ms,
        )

    def _tell(self, reason: str) -> None:
        """Show viewers why nothing moves."""
        self.problem = reason
        frame = no_signal_frame(self.key.camera.name, reason, sequence=self._sequence)
        self.pictures.publish(frame)
        self._publish_results(Found(frame, [], 0.0, reason))

    def _publish_results(self, found: Found) -> None:
        info = self._algorithm.info
        self.results.publish(
            Detections(
                camera=self.key.camera.name,
                algorithm=info.id,
                model=info.model,
                inference_ms=round(found.inference_ms, 2),
                frame=stamp(found.frame),
                objects=objects(found.detections),
                age_ms=round(max(0.0, time.time() - found.frame.captured_at) * 1000, 1),
                no_signal=found.error,
            )
        )


def stamp(frame: Frame) -> FrameStamp:
    """The part of `frame` that travels with detections."""
    return FrameStamp(
        sequence=frame.sequence, captured_at=round(frame.captured_at, 3), width=frame.width, height=frame.height
    )


def objects(found: list[Detection]) -> list[DetectedObject]:
    """Detections as they travel."""
    return [DetectedObject(label=d.label, confidence=round(d.confidence, 3), box=d.box) for d in found]
