"""What was found in a frame, and how it travels."""

from __future__ import annotations

import time
from dataclasses import dataclass

from compute_node.algorithms.base import Detection
from mesh.frame import Frame
from mesh.wire import DetectedObject, FrameStamp


@dataclass(frozen=True, slots=True)
class Found:
    """What a detector found in one frame, and how long it took in milliseconds. error: why there is nothing to search;
    the frame shows it. gated: it is an earlier frame's."""

    frame: Frame
    detections: list[Detection]
    inference_ms: float
    error: str | None = None
    gated: bool = False


def age_ms(frame: Frame) -> float:
    """Milliseconds since `frame` was captured; 0 where the camera's clock is ahead of this one."""
    return round(max(0.0, time.time() - frame.captured_at) * 1000, 1)


def stamp(frame: Frame) -> FrameStamp:
    """The part of `frame` that travels with detections."""
    return FrameStamp(
        sequence=frame.sequence, captured_at=round(frame.captured_at, 3), width=frame.width, height=frame.height
    )


def objects(found: list[Detection]) -> list[DetectedObject]:
    """Detections as they travel."""
    return [DetectedObject(label=d.label, confidence=round(d.confidence, 3), box=d.box) for d in found]
