"""A frame, and the slot that holds the newest one."""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class Frame:
    """One JPEG picture on its way from a camera to a viewer.

    jpeg: the whole JPEG file.
    sequence: counts up by one a captured frame since the source's process started; gaps are dropped frames.
    captured_at: Unix seconds of the camera node's wall clock when the picture was taken.
    width, height: pixels of this JPEG.
    inference_ms: milliseconds that the algorithm took; None on a frame that no algorithm saw.
    no_signal: why there is no picture; None on a real frame. Such a frame shows the reason instead.
    gated: the boxes on it are an earlier frame's, because nothing moved since.
    age_ms: milliseconds from the capture until this picture was published; None on a frame that no algorithm saw.
    objects: what the algorithm found, as `mesh.tally` writes it; likewise.
    token: of the placement whose picture this is; None outside of sessions.
    """

    jpeg: bytes
    sequence: int
    captured_at: float
    width: int
    height: int
    inference_ms: float | None = None
    no_signal: str | None = None
    gated: bool = False
    age_ms: float | None = None
    objects: str | None = None
    token: int | None = None

    def headers(self) -> dict[str, str]:
        """The stamps that travel with this frame as HTTP response or part headers."""
        stamps = {"X-Timestamp": f"{self.captured_at:.6f}", "X-Frame": str(self.sequence)}
        if self.inference_ms is not None:
            stamps["X-Inference-Ms"] = f"{self.inference_ms:.2f}"
        if self.age_ms is not None:
            stamps["X-Age-Ms"] = f"{self.age_ms:.1f}"
        if self.objects is not None:
            stamps["X-Objects"] = self.objects
        if self.token is not None:
            stamps["X-Token"] = str(self.token)
        if self.gated:
            stamps["X-Gated"] = "motion"
        if self.no_signal is not None:
            # A header's value is printable; a reason may hold anything.
            stamps["X-No-Signal"] = _CONTROL.sub(" ", self.no_signal.encode("ascii", "replace").decode())[:200]
        return stamps


@dataclass(frozen=True, slots=True)
class Stamps:
    """The stamps of a frame as read back from headers (the inverse of `Frame.headers`)."""

    captured_at: float | None = None
    sequence: int | None = None
    inference_ms: float | None = None
    no_signal: str | None = None

    @classmethod
    def parse(cls, headers: Mapping[str, str]) -> Stamps:
        """Read the stamps from `headers` (names in lower case); what is missing or is no number is None."""

        def number(name: str) -> float | None:
            try:
                return float(headers[name])
            except (KeyError, ValueError):
                return None

        sequence = number("x-frame")
        return cls(
            captured_at=number("x-timestamp"),
            sequence=int(sequence) if sequence is not None and abs(sequence) < 2**63 else None,
            inference_ms=number("x-inference-ms"),
            no_signal=headers.get("x-no-signal"),
        )


class Newest(Generic[T]):
    """A slot of length one: the newest value wins, and whoever was slower never sees the older ones.

    Any thread may call any method. `version` counts the values put so far; a reader passes the version that it
    saw last and gets something newer, or None when nothing came in time or the slot was closed.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._value: T | None = None
        self._version = 0
        self._closed = False

    def put(self, value: T) -> None:
        """Replace the value and wake every waiting reader."""
        with self._changed:
            self._value = value
            self._version += 1
            self._changed.notify_all()

    def get(self) -> tuple[T | None, int]:
        """The value now, None before the first, and its version. Never waits."""
        with self._changed:
            return self._value, self._version

    def wait(self, seen: int, timeout: float) -> tuple[T | None, int]:
        """Wait up to `timeout` seconds for a version above `seen`; (None, seen) when none came."""
        with self._changed:
            self._changed.wait_for(lambda: self._version > seen or self._closed, timeout)
            if self._version > seen and not self._closed:
                return self._value, self._version
            return None, seen

    def close(self) -> None:
        """End every wait, now and later."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    @property
    def closed(self) -> bool:
        return self._closed
