"""What an inference engine gives: a compiled model that many threads may call at once."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray


class CompiledModel(Protocol):
    """A model that is loaded on a device."""

    @property
    def engine(self) -> str:
        """Library and device, such as `openvino:cpu`."""
        ...

    @property
    def input_hw(self) -> tuple[int, int]:
        """Height and width of the input in pixels."""
        ...

    def __call__(self, image: NDArray[np.uint8]) -> list[NDArray[Any]]:
        """The outputs for one picture, uint8 [H, W, 3] BGR of exactly `input_hw`, in the model's order.

        Any thread may call, many at once; the GIL is free meanwhile. The arrays may be the engine's own memory:
        read them before the same thread calls again.
        """
        ...

    def close(self) -> None:
        """Free the model. Nothing may call afterwards."""
        ...
