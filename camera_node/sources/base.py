"""What every source of pictures is, and what it may be told."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from mesh.networks import Networks

Image = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Captured:
    """One picture as it came: either `data`, a JPEG or PNG file that nobody has checked yet, or `image`, decoded.

    captured_at: Unix seconds when the picture was taken or, where only that is known, when it arrived.
    image: height × width × 3 bytes, blue first; or height × width for a grey picture.
    """

    captured_at: float
    data: bytes | None = None
    image: Image | None = None


def _ignore(_reason: str, _pictures: int) -> None:
    return None


@dataclass(frozen=True, slots=True)
class SourceOptions:
    """What a source may be told. width, height (pixels) and fps are wishes, None for the source's own.

    data: the service's data folder. verify: whether to check certificates. refused: counts pictures that the source
    itself passes over, by reason; may be called from any thread. networks: where a source that somebody else chose may
    be; None for the operator's own choice, which may be anywhere.
    """

    data: Path = Path("data")
    width: int | None = None
    height: int | None = None
    fps: float | None = None
    verify: bool = True
    refused: Callable[[str, int], None] = _ignore
    networks: Networks | None = None


class Source(Protocol):
    """A source of pictures, used by one thread at a time and made anew after every failure.

    Made by calling its class with the text that the user gave (`rtsp://…`) and the options. Making one does nothing
    yet that could fail or wait.
    """

    def open(self) -> None:
        """Connect. Raises SourceLost with words for the user; gives up after 12 seconds at most."""
        ...

    def read(self) -> Captured:
        """The next picture, at the source's own pace. Raises SourceLost; gives up after 5 seconds without one."""
        ...

    def close(self) -> None:
        """Let go of everything. Must not fail, whatever state the source is in."""
        ...
