"""One pipeline: newest camera frame → decode → detect → draw → newest annotated frame, shared by all who want it."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, replace

from compute_node.algorithms.base import Algorithm, Image, Options, ScaledDetector, scaled
from compute_node.drawing import annotated, fitting
from compute_node.figures import Figures
from compute_node.found import Found, age_ms, objects, stamp
from compute_node.gate import MotionGate
from compute_node.ingest import Ingest
from compute_node.metrics import Metrics
from compute_node.picture import Picture
from compute_node.stills import Stills
from compute_node.turns import Turns
from mesh import codec
from mesh.errors import FoglineError
from mesh.frame import Frame
from mesh.logs import logger
from mesh.placard import no_signal_frame
from mesh.rate import Rate
from mesh.stream import Broadcast, Outflow, Pacer, Published
from mesh.wire import CameraAddress, Detections, Gate, StreamStats

SILENCE = 1.5  # seconds without a camera frame after which viewers are told why
# The same for a camera that sends more frames than BRISK a second. Viewers who see nothing for a second ask for another
# node: they must know before that the camera is at fault, not this node.
BRISK_SILENCE = 0.6
BRISK = 4.0
PLACARD_PERIOD = 1.0  # seconds between two such pictures
PIXELS_LINGER = 3.0  # seconds for which pictures are still drawn after the last viewer of them left
log = logger(__name__)


@dataclass(frozen=True, slots=True)
class PipelineKey:
    """What makes two wishes the same work. width, height: the annotated picture fits into them, None for the camera's
    own size; downsample: divides its sides; fps: frames a second at most; gate: `motion` to search only what moved."""

    camera: CameraAddress
    algorithm: str
    width: int | None = None
    height: int | None = None
    downsample: int = 1
    fps: float | None = None
    gate: Gate | None = None

    def size(self, frame: Frame) -> tuple[int, int]:
        """Width and height in pixels of the annotated picture of `frame`: scaled down to fit, never up."""
        return fitting(frame, self.width, self.height, self.downsample)


class Pipeline:
    """Runs from its making to `stop`, in one thread of its own.

    `pictures` broadcasts annotated frames, drawn only while somebody watches them; `results` broadcasts the
    detections; `stills` has the newest frame at any size, drawn for who asks. `problem` says why there are none, None
    while there are. turns: work on a frame waits for one.
    """

    def __init__(
        self, key: PipelineKey, algorithm: Algorithm, ingest: Ingest, turns: Turns, metrics: Metrics, *, quality: int
    ) -> None:
        self.key = key
        outflow = Outflow()  # of pictures and detections together
        self.pictures = Broadcast(outflow)
        self.results: Published[Detections] = Published(codec.dump, outflow)
        self.stills = Stills(quality, metrics)
        self.problem: str | None = None
        self._figures = Figures(metrics)
        outflow.told = metrics.stages["send"].observe
        self._sequence = 0
        self._algorithm = algorithm
        self._ingest = ingest
        self._turns = turns
        self._quality = quality
        self._gate = MotionGate() if key.gate else None
        self._last = Found(Frame(b"", 0, 0.0, 1, 1), [], 0.0)
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

    @property
    def rate(self) -> Rate:
        """Frames searched."""
        return self._figures.rate

    def stats(self, session: str, viewers: int) -> StreamStats:
        """How the frames fare, for the page of `session`, which has so many viewers."""
        info, figures, ingest, outflow = self._algorithm.info, self._figures, self._ingest, self.pictures.outflow
        return StreamStats(
            session=session,
            camera=self.key.camera.name,
            algorithm=info.id,
            model=info.model,
            engine=info.engine,
            gate=self.key.gate,
            viewers=viewers,
            fps=figures.rate.per_second,
            camera_fps=ingest.rate.per_second,
            problem=self.problem,
            frames={**figures.frames, "sent": outflow.sent},
            dropped={
                **ingest.refused,
                **figures.dropped,
                **({"viewer busy": outflow.skipped} if outflow.skipped else {}),
            },
            stages=figures.stages(send=outflow.send),
        )

    def stop(self) -> None:
        """End, and end the streams of those who watch."""
        self._stopping.set()
        self.pictures.close()
        self.results.close()
        self.stills.close()

    def _run(self) -> None:
        detector: ScaledDetector | None = None
        pacer = Pacer(self.key.fps)
        seen = 0
        silence = SILENCE
        last_frame = time.monotonic()
        while not self._stopping.is_set():
            picture, version = self._ingest.frames.wait(seen, 0.25)
            now = time.monotonic()
            if picture is None:
                if now - last_frame > silence and not self._stopping.is_set():
                    last_frame = now - silence + PLACARD_PERIOD
                    self._tell(self._ingest.problem or "the camera node sends no frames")
                continue
            last_frame = now
            silence = BRISK_SILENCE if self._ingest.rate.per_second > BRISK else SILENCE
            if not pacer.admits(now):
                self._figures.drop("fps limit", self._came(seen, version))
                seen = version
                continue
            try:
                if detector is None:
                    detector = scaled(self._algorithm.detector())
                with self._turns.take() as turn:
                    self._figures.took("queue", turn.waited)
                    # The frame that was newest when the wait began may be old by now: nothing was spent on it yet.
                    picture, version = self._ingest.frames.get()
                    self._figures.drop("busy", self._came(seen, version) - 1)
                    seen = version
                    if picture is None or self._stopping.is_set():
                        continue
                    found, image = self._look(picture, detector)
                self._show(picture, found, image)
            except FoglineError as error:
                self.problem = error.detail
                self._figures.drop("bad picture")
            except Exception as error:  # an algorithm may be anybody's code: its failure is shown, the others go on
                log.exception("the algorithm failed", algorithm=self.key.algorithm, camera=self.key.camera.name)
                detector = None  # what it kept between pictures may be broken
                self._figures.drop("algorithm failed")
                self._tell(f"{self.key.algorithm} failed: {error}")
                self._stopping.wait(PLACARD_PERIOD)
        self._ingest.wishes.forget(self)

    def _came(self, seen: int, version: int) -> int:
        """Count the frames after version `seen` up to `version`; those from before this pipeline began do not count."""
        frames = version - seen if seen else 1
        self._figures.came(frames)
        return frames

    def _look(self, picture: Picture, detector: ScaledDetector) -> tuple[Found, Image | None]:
        """What is in `picture`, and its pixels if they were needed for that: the work for which a turn is taken."""
        frame = picture.frame
        self._sequence = frame.sequence
        if frame.no_signal is not None:
            return Found(frame, [], 0.0, frame.no_signal), None
        if self._gate is not None and self._still(self._gate, picture):
            return replace(self._last, frame=frame, inference_ms=0.0, gated=True), None
        needed = detector.needs(frame.width, frame.height)
        shown = self.key.size(frame) if self._watched else (1, 1)
        image = self._decode(picture, max(needed[0], shown[0]), max(needed[1], shown[1]))
        return self._search(image, frame, detector), image

    def _show(self, picture: Picture, found: Found, image: Image | None) -> None:
        """Publish what was found, with a picture if somebody looks. image: the pixels, where `_look` needed them."""
        frame = picture.frame
        self.problem = frame.no_signal
        size = self.key.size(frame)
        self._publish_results(found)
        self.stills.put(picture, found, size)
        if frame.no_signal is not None:
            self.pictures.publish(frame)
            return
        if self._watched:
            if image is None or image.shape[1] < size[0]:
                image = self._decode(picture, *size)
            self.pictures.publish(
                annotated(picture, image, size, found, quality=self._quality, timed=self._figures.timed)
            )
            self._figures.drew()
        self._figures.found(frame.captured_at, gated=found.gated)

    @property
    def _watched(self) -> bool:
        return self.pictures.idle_seconds < PIXELS_LINGER

    def _still(self, gate: MotionGate, picture: Picture) -> bool:
        with self._figures.timed("decode"):
            grey = picture.grey()
        return gate.still(grey, time.monotonic())

    def _decode(self, picture: Picture, width: int, height: int) -> Image:
        """The picture with at least so many pixels, of which those who share the camera hear."""
        divisor = picture.divisor(width, height)
        self._ingest.wishes.wish(self, divisor)
        with self._figures.timed("decode"):
            return picture.pixels(divisor)

    def _search(self, image: Image, frame: Frame, detector: ScaledDetector) -> Found:
        began = time.perf_counter()
        found = detector.search(image, (frame.width, frame.height), Options())
        took = time.perf_counter() - began
        self._figures.took("inference", took)
        if self._gate is not None:
            self._gate.searched(time.monotonic())
        self._last = Found(frame, found, took * 1000)
        return self._last

    def _tell(self, reason: str) -> None:
        """Show viewers why nothing moves."""
        self.problem = reason
        frame = no_signal_frame(self.key.camera.name, reason, sequence=self._sequence)
        found = Found(frame, [], 0.0, reason)
        self.pictures.publish(frame)
        self._publish_results(found)
        self.stills.put(Picture(frame, self._ingest.wishes), found, self.key.size(frame))

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
                age_ms=age_ms(found.frame),
                no_signal=found.error,
                gated=found.gated,
            )
        )
